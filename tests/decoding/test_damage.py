"""What a smaller cache costs: rounding by its definition; the quantised cache of an engine is the oracle."""

import pytest
import torch
from random_models import model as random_model

from course_lib.decoding.damage import RoundedCache, Rounding, damage, run_through
from course_lib.errors import ParameterError
from course_lib.kvcache import PagedCache, Recompute
from course_lib.kvcache.quantised_pool import make_pool

IDS = [(5 * i + i * i) % 23 for i in range(40)]


@pytest.mark.parametrize("kind", ["int8", "fp8", "int4", "bfloat16"])
def test_a_rounded_cache_is_the_cache_of_an_engine(kind):
    model = random_model().double()
    pool = make_pool(model.config, 20, 4, "cpu", torch.float64, kv_dtype=kind)
    want = run_through(model, IDS, PagedCache(pool, window=17, sinks=2))
    rounding = Rounding(kind)
    assert torch.allclose(run_through(model, IDS, RoundedCache(rounding, rounding, window=17, sinks=2)), want)
    assert not torch.allclose(run_through(model, IDS, RoundedCache(window=17, sinks=2)), want)


def test_which_numbers_share_a_scale():
    x = torch.tensor([[[1.0, 10.0], [4.0, 40.0]], [[7.0, 70.0], [0.0, 20.0]]])  # tokens, heads, channels
    assert Rounding(2, "token")(x).tolist() == [[[0, 10], [0, 40]], [[0, 70], [0, 20]]]
    assert Rounding(2, "head")(x).tolist() == [[[0, 0], [0, 40]], [[0, 70], [0, 0]]]
    assert Rounding(2, "channel")(x).tolist() == [[[0, 0], [4, 40]], [[7, 70], [0, 0]]]
    assert Rounding(2, "channel", 1)(x).tolist() == x.tolist()


def test_the_damage_of_nothing_is_nothing_and_a_lost_answer_is_counted():
    model = random_model()
    exact = run_through(model, IDS, Recompute())
    top = exact.argmax(-1).tolist()
    right = [i for i in range(1, len(IDS)) if top[i - 1] == IDS[i]]
    ids = IDS[:30] + top[29:30]  # the last token is what the model says
    texts, exact = [(ids, [(20, [30]), (300, [right[0] if right else 30])])], [run_through(model, ids, Recompute())]
    none = damage(model, texts, Recompute(), exact)
    assert none.answers == ((1, 1), (1, 1), (0, 0), (0, 0)) and none.lost == () and none.logit_error == 0
    loss = torch.nn.functional.cross_entropy(exact[0][:-1], torch.tensor(ids[1:]))
    assert none.perplexity == pytest.approx(float(loss.exp()), rel=1e-5)
    much = damage(model, texts, RoundedCache(window=1), exact)
    assert much.logit_error > 0.1
    assert set(much.lost) == {(0, i) for i in range(2) if not is_right(model, texts[0], i)}


def is_right(model, text, question):
    ids, questions = text
    top = run_through(model, ids, RoundedCache(window=1)).argmax(-1).tolist()
    return all(top[i - 1] == ids[i] for i in questions[question][1])


@pytest.mark.parametrize("wrong", [dict(kind="int3"), dict(kind=9), dict(kind=True), dict(scales="row")])
def test_what_is_no_rounding_is_refused(wrong):
    with pytest.raises(ParameterError, match="it can be"):
        Rounding(**wrong)
