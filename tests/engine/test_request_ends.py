"""What each request gets at its end, whatever ends it; and where its random numbers and its start token come from."""

from dataclasses import replace

import pytest
import torch
from small_engine import MODEL, engine
from summing import oracle
from vocabularies import VOCABULARIES

from course_lib.decoding import SamplingParams, generate_cached, generate_naive, sample
from course_lib.engine import Scheduler
from course_lib.errors import IntegrityError, ParameterError
from course_lib.models import load_tokenizer


def test_without_any_seed_every_run_differs():
    """One rule for all that draws: a seed repeats, None does not, in the same process or in another."""
    params = SamplingParams(max_tokens=30, temperature=2.0)
    logits = torch.zeros(1000)
    for draw in (
        lambda: engine().generate([[1, 2]], params)[0].token_ids,
        lambda: generate_naive(MODEL, [1, 2], params),
        lambda: generate_cached(MODEL, [1, 2], params),
        lambda: [sample(logits, params) for _ in range(5)],
    ):
        torch.manual_seed(0)
        first = draw()
        torch.manual_seed(0)  # the state of torch's own generator, with which every process begins
        assert draw() != first
    for draw in (
        lambda seed: engine().generate([[1, 2]], replace(params, seed=seed))[0].token_ids,
        lambda seed: generate_naive(MODEL, [1, 2], replace(params, seed=seed)),
        lambda seed: generate_cached(MODEL, [1, 2], replace(params, seed=seed)),
        lambda seed: [sample(logits, replace(params, seed=seed)) for _ in range(5)],
    ):
        assert draw(3) == draw(3) != draw(4)


# --- aborted and stopped ---


@pytest.mark.parametrize("steps_before", [0, 1, 2])
def test_an_aborted_request_ends_with_an_output_for_each_of_its_sequences(steps_before):
    e = engine()
    request = e.add_request([1, 2, 3], SamplingParams(max_tokens=8, n=3))
    for _ in range(steps_before):
        e.step()
    assert e.abort(request) and not e.abort(request)
    outputs = e.step()
    assert [(o.index, o.finish_reason, len(o.token_ids)) for o in outputs] == [
        (index, "abort", steps_before) for index in range(3)
    ]
    assert not e.has_unfinished() and e.metrics.num_finished == 3
    e.check_integrity()


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("which", [["1"], ["0", "1"]])
def test_generate_returns_when_its_requests_are_aborted_meanwhile(at, which):
    class Impatient(Scheduler):
        calls = 0

        def schedule(self):
            self.calls += 1
            if self.calls == at:
                for request_id in which:
                    e.abort(request_id)
            return super().schedule()

    e = engine(parts=dict(scheduler=Impatient))
    outputs = e.generate([[1, 2], [3, 4]], SamplingParams(max_tokens=4, n=2))
    assert [(o.request_id, o.index) for o in outputs] == [("0", 0), ("0", 1), ("1", 0), ("1", 1)]
    assert [o.finish_reason == "abort" for o in outputs] == [i in which for i in ("0", "0", "1", "1")]
    e.check_integrity()


TOKENS = VOCABULARIES["byte-fallback"]
NAMED = dict(parts=dict(tokenizer=TOKENS))


def test_a_special_token_as_a_stop_string_stops_where_it_stands():
    plain = engine().generate([[4, 5]], SamplingParams(max_tokens=25))[0].token_ids
    special = next(i for i in plain if i in TOKENS.skipped_ids)
    params = SamplingParams(max_tokens=25, stop=TOKENS.token_text(special), ignore_eos=True)
    output = engine(**NAMED).generate([[4, 5]], params)[0]
    assert output.token_ids == plain[: plain.index(special) + 1] and output.finish_reason == "stop"
    assert TOKENS.token_text(special) not in output.text
    with pytest.raises(ParameterError, match="special token '</s>'.*left out.*stop='</s>'"):
        engine(**NAMED).add_request([4, 5], SamplingParams(max_tokens=4, stop="x</s>"))


def test_a_prompt_that_brings_its_start_token_gets_no_second_one(monkeypatch):
    tokenizer, seen = load_tokenizer("tale"), []
    e, start = engine(parts=dict(tokenizer=tokenizer)), tokenizer.bos_token_id
    monkeypatch.setattr(e, "add_request", lambda ids, params: seen.append(ids) or "0")
    monkeypatch.setattr(e, "has_unfinished", lambda: False)
    for text in ("Once", tokenizer.token_text(start) + "Once"):
        with pytest.raises(IntegrityError, match="nothing is left to compute"):
            e.generate([text])
    assert seen == [[start, *tokenizer.encode("Once", add_bos=False)]] * 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_fork_whose_sibling_left_the_shared_block_reads_its_own_table(is_async):
    """The sibling ends with its first token, so the block that both share is the fork's alone: nothing is copied, no
    block is new, and still the runner must be told the table of a sequence that it sees for the first time.
    """
    prompt, how = [4, 5, 6, 7, 8], dict(max_tokens=9, temperature=0.5, n=2)  # the prompt ends within a block of 4
    for seed in range(20):
        params = SamplingParams(seed=seed, **how)
        first, other = (oracle(MODEL, prompt, params, index) for index in range(2))
        if first[0] not in other:
            break
    params = replace(params, stop_token_ids=(first[0],))
    outputs = engine(async_scheduling=is_async).generate([prompt], params)
    assert [o.token_ids for o in outputs] == [first[:1], other]
