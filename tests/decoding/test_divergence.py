"""first_divergence: it names the step, the layer and the position of a fault, and nothing where there is none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.decoding import first_divergence
from course_lib.errors import ParameterError
from course_lib.kvcache import ContiguousCache, Recompute
from course_lib.models import ModelConfig, Transformer

CONFIG = ModelConfig(
    vocab_size=50, hidden_size=24, intermediate_size=32, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=6
)
TEXT = [7, 3, 9, 1, 4, 4, 8, 2, 30, 11]


@pytest.fixture(scope="module")
def model():
    return make_model()


def make_model():
    torch.manual_seed(0)
    made = Transformer(CONFIG).eval().requires_grad_(False)
    for weight in made.parameters():
        if weight.ndim == 2:
            weight.normal_(std=1 / weight.shape[1] ** 0.5)
    return made


def good(max_tokens=32):
    return ContiguousCache(CONFIG, max_tokens, device="cpu", dtype=torch.float32)


class Faulty(ContiguousCache):
    """Right but for one output: `layer`, in the step that holds `position`, at that position."""

    def __init__(self, layer, position, by=0.5):
        super().__init__(CONFIG, 32, device="cpu", dtype=torch.float32)
        self.fault, self.by = (layer, position), by

    def attend(self, layer, q, k, v):
        start = self.num_tokens
        out = super().attend(layer, q, k, v).clone()
        if layer == self.fault[0] and start <= self.fault[1] < start + len(q):
            out[self.fault[1] - start, 1, 2] += self.by
        return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2), st.integers(0, 9), st.integers(1, 10), st.booleans())
def test_it_finds_the_fault_where_it_was_put(layer, position, prefill, swapped):
    pair = [Faulty(layer, position), good()]
    found = first_divergence(make_model(), TEXT, *(pair[::-1] if swapped else pair), prefill=prefill)
    step = 0 if position < prefill else position - prefill + 1
    assert (found.step, found.layer, found.position) == (step, layer, position)
    assert math.isclose(found.difference, 0.5, rel_tol=1e-4) and found.scale > 0.1


def test_the_earliest_step_comes_before_the_lowest_layer(model):
    class Two(Faulty):
        def attend(self, layer, q, k, v):
            out = super().attend(layer, q, k, v)
            return out + 1 if layer == 0 and self.num_tokens == 8 else out

    found = first_divergence(model, TEXT, Two(2, 6), good())
    assert (found.step, found.layer, found.position) == (2, 2, 6)


def test_two_right_caches_agree_and_so_does_recompute(model):
    assert first_divergence(model, TEXT, good(), good()) is None
    assert first_divergence(model, TEXT, good(), Recompute()) is None
    assert first_divergence(model, TEXT, Recompute(), good(), prefill=1) is None
    assert first_divergence(model, [5], good(), good()) is None
    found = first_divergence(model, TEXT, Recompute(), Faulty(1, 4))
    assert (found.step, found.layer, found.position) == (0, 1, 4)


def test_half_of_the_text_is_prefill(model):
    kept = good()
    found = first_divergence(model, TEXT, Faulty(0, 5), kept)
    assert (found.step, kept.num_tokens) == (1, 6), "it stops at the first"
    assert first_divergence(model, TEXT[:9], Faulty(0, 4), good()).step == 0  # five of nine


def test_the_classic_mistakes(model):
    class Ignores(ContiguousCache):
        def attend(self, layer, q, k, v):
            super().attend(layer, q, k, v)
            return Recompute().attend(layer, q, k, v)

    class NoMask(ContiguousCache):
        def attend(self, layer, q, k, v):
            super().attend(layer, q, k, v)
            keys, values = (x[layer, None, :, : (self.num_tokens or len(k))] for x in (self.k, self.v))
            return torch.nn.functional.scaled_dot_product_attention(
                q.transpose(0, 1)[None], keys, values, enable_gqa=True
            )[0].transpose(0, 1)

    make = dict(max_tokens=32, device="cpu", dtype=torch.float32)
    found = first_divergence(model, TEXT, Ignores(CONFIG, **make), good())
    assert (found.step, found.layer, found.position) == (1, 0, 5)
    found = first_divergence(model, TEXT, NoMask(CONFIG, **make), good())
    assert (found.step, found.layer, found.position) == (0, 0, 0)


def test_nan_is_a_difference(model):
    found = first_divergence(model, TEXT, Faulty(1, 7, by=math.nan), good())
    assert (found.step, found.layer, found.position) == (3, 1, 7)


def test_a_difference_within_rounding_is_none(model):
    assert first_divergence(model, TEXT, Faulty(1, 7, by=1e-5), good()) is None
    assert first_divergence(model, TEXT, Faulty(1, 7, by=1e-5), good(), tolerance=1e-7) is not None


def test_it_says_what_it_found(model):
    found = first_divergence(model, TEXT, Faulty(2, 7), good())
    assert repr(found).startswith(
        "first divergence: step 3 (decode), layer 2, position 7: "
        "the outputs of attention differ by 0.5, where the largest"
    )


def test_what_cannot_be_compared_is_refused(model):
    one, used = good(), good()
    model(torch.tensor([1, 2]), torch.arange(2), used)

    class Flat(ContiguousCache):
        def attend(self, layer, q, k, v):
            return super().attend(layer, q, k, v).flatten(1)

    for caches, more, words in [
        ((one, one), {}, "same object"),
        ((one, used), {}, "holds 2 tokens of another sequence"),
        ((one, good), {}, "has no attend"),
        (
            (good(), Flat(CONFIG, 32, device="cpu", dtype=torch.float32)),
            {},
            r"cache_b.attend returned a tensor \[5, 24\] in layer 0.*\[5, 4, 6\]",
        ),
        ((good(), good()), {"prefill": 0}, "1 to 10 here"),
        ((good(), good()), {"prefill": 11}, "1 to 10 here"),
    ]:
        with pytest.raises(ParameterError, match=words):
            first_divergence(model, TEXT, *caches, **more)
    assert one.num_tokens == 0, "nothing is fed before all is checked"
    with pytest.raises(ParameterError, match="prompt is empty"):
        first_divergence(model, [], good(), good())
