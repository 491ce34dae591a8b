"""Drawn days of an engine: what it is set up as, what comes when, and who gives up; and the audit after every step."""

from dataclasses import dataclass

from hypothesis import strategies as st
from summing import VOCABULARY, oracle
from ties import past_ties

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig
from course_lib.errors import ParameterError
from course_lib.kvcache import PagedCache

BEGINNINGS = ([], [3, 1, 4, 1, 5, 9, 2, 6], [3, 1, 4, 1, 27, 18, 28], [2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5])
POISON = 12345.0


@dataclass(frozen=True)
class Arrival:
    """One request of the day."""

    at_step: int
    prompt: list
    params: SamplingParams
    priority: int
    client: str
    abort_after: int | None  # steps after its arrival


@st.composite
def arrivals(draw):
    prompt = BEGINNINGS[draw(st.integers(0, 3))][: draw(st.integers(0, 9))] + draw(
        st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=3)
    )
    kind = draw(st.integers(0, 7))
    params = SamplingParams(
        max_tokens=draw(st.integers(1, 14)),
        n=(1, 1, 1, 1, 2, 3, 1, 2)[kind],
        temperature=1.0 if kind > 4 else 0.0,
        seed=draw(st.integers(0, 3)),
        stop_token_ids=(7, 11) if kind == 3 else (),
    )
    return Arrival(
        draw(st.integers(0, 5)),
        prompt,
        params,
        draw(st.integers(-1, 2)),
        draw(st.sampled_from("xyz")),
        draw(st.integers(0, 12)) if draw(st.integers(0, 6)) == 6 else None,
    )


@st.composite
def days(draw, **fixed):
    """(EngineConfig, arrivals): small enough that memory is short most of the time."""
    size = draw(st.sampled_from([1, 2, 3, 4, 4, 5, 8]))
    config = dict(
        block_size=size,
        num_blocks=-(-draw(st.integers(16, 36)) // size),
        max_num_seqs=draw(st.sampled_from([1, 2, 3, 4, 6, 8])),
        max_num_batched_tokens=draw(st.sampled_from([1, 3, 5, 8, 13, 40, 64])),
        chunked_prefill=draw(st.integers(0, 4)) > 0,
        prefix_caching=draw(st.integers(0, 3)) > 0,
        eviction=draw(st.sampled_from(["lru", "priority"])),
        watermark=draw(st.sampled_from([0.0, 0.0, 0.2])),
        async_scheduling=draw(st.booleans()),
    )
    return EngineConfig(**{**config, **fixed}), draw(st.lists(arrivals(), min_size=2, max_size=7))


class Audited(PagedCache):
    """Sees to it that only own, unhashed blocks are written."""

    def begin_step(self, tables, num_new_tokens):
        for table, n in zip(tables, num_new_tokens):
            for place in range((table.num_tokens - n) // self.pool.block_size, len(table.block_ids)):
                block = table.block_ids[place]
                assert self.allocator.ref_count(block) == 1 and not self.allocator.is_hashed(block), (
                    f"block {block} would be overwritten"
                )
        return super().begin_step(tables, num_new_tokens)


def live(model, config, day, *, seen=None, served=None):
    """Lives through a day; every request must end, and with the tokens that it writes alone. seen: a Counter of what
    happened. served: the model that the engine gets, where it is another; default: the same.
    """
    if served is None:
        e = Engine(model, config, attention=Audited if len(day) % 2 else None, trace=False)
    else:
        e = Engine(served, config, trace=False)
    poison(e.pool, slice(None))
    coming, ids, got = sorted(day, key=lambda a: a.at_step), {}, {}
    step = 0
    while coming or e.has_unfinished():
        while coming and coming[0].at_step <= step:
            arrival = coming.pop(0)
            try:
                ids[e.add_request(arrival.prompt, arrival.params, priority=arrival.priority, client=arrival.client)] = (
                    arrival,
                    step,
                )
            except ParameterError:
                assert could_never_be_served(config, arrival)
        for request_id, (arrival, since) in ids.items():
            if arrival.abort_after is not None and step == since + arrival.abort_after:
                e.abort(request_id)
        for output in e.step():
            check_output(model, output, ids[output.request_id][0], got)
        audit(e)
        step += 1
        assert step < 2000, f"no end in sight: {e}"
    assert e.allocator.num_free == config.num_blocks and not e.runner.saved and not e.live.sequences
    for request_id, (arrival, _) in ids.items():
        texts = {index for i, index in got if i == request_id}
        assert texts == set(range(arrival.params.n))
        assert all(got[request_id, index].finished for index in texts)
    e.close()
    if seen is not None:
        seen.update(count_events(e, got))


def check_output(model, output, arrival, got):
    key = output.request_id, output.index
    alone = oracle(model, arrival.prompt, arrival.params, output.index)
    expected = past_ties(model, arrival.prompt, arrival.params, output.index, output.token_ids, alone)
    before = got[key].token_ids if key in got else []
    assert output.token_ids == before + output.new_token_ids == expected[: len(output.token_ids)]
    assert key not in got or not got[key].finished
    if output.finished and output.finish_reason != "abort":
        assert output.token_ids == expected
        assert output.finish_reason == ("stop" if expected[-1] in arrival.params.stop_token_ids else "length")
    else:
        assert output.finished or len(output.token_ids) < len(expected)
    got[key] = output


def audit(e):
    """The invariants after a step. What is free is overwritten, so that nobody can live on what was freed."""
    e.check_integrity()
    free = list(e.allocator._free)
    poison(e.pool, free)


def poison(pool, blocks):
    """Overwrites all that is kept in these blocks, whatever its dtype."""
    for kept in pool.by_token:
        kept[:, blocks] = POISON if kept.dtype.is_floating_point and kept.dtype.itemsize > 1 else 101


def could_never_be_served(config, arrival):
    tokens = len(arrival.prompt) + arrival.params.max_tokens - 1
    return (
        tokens > config.num_blocks * config.block_size
        or arrival.params.n > config.max_num_seqs
        or not config.chunked_prefill
        and tokens > config.max_num_batched_tokens
    )


def count_events(e, got):
    m, lives = e.metrics, [o.metrics for o in got.values()]
    return {
        "scenarios": 1,
        "steps": m.num_steps,
        "requests": m.num_requests,
        "preemptions": m.num_preemptions,
        "preempted scenarios": m.num_preemptions > 0,
        "preempted three times": sum(r.num_preemptions >= 3 for r in lives),
        "swapped tokens": m.num_swapped_tokens,
        "cached tokens": m.num_cached_tokens,
        "recomputed tokens": m.num_recomputed_tokens,
        "texts forked": sum(o.index > 0 for o in got.values()),
        "aborts": sum(o.finish_reason == "abort" for o in got.values()),
    }
