"""Scheduler and policies on the ledger alone, without a model: literal steps, order, fairness, and nobody left
behind.
"""

import pytest
from desk import Desk
from hypothesis import settings

from course_lib.decoding import SamplingParams
from course_lib.engine import Request
from course_lib.errors import IntegrityError

SETTINGS = settings(deadline=None, derandomize=True, database=None)


# --- literal steps ---


def test_running_requests_go_first_and_the_rest_of_the_budget_is_the_next_ones():
    d = Desk(max_num_batched_tokens=8)
    d.add("a", 6), d.add("b", 9), d.add("c", 2)
    assert d.plan() == {"a": 6, "b": 2}
    assert d.plan() == {"a": 1, "b": 7}
    assert d.plan() == {"a": 1, "b": 1, "c": 2}
    assert d.plan() == {"a": 1, "b": 1, "c": 1}


def test_the_first_in_line_is_not_overtaken_by_smaller_ones():
    d = Desk(num_blocks=4, block_size=4, prefix_caching=False)
    d.add("a", 9), d.add("b", 8), d.add("c", 1)
    assert d.plan() == {"a": 9}  # b needs two blocks, one is free; c would fit
    assert [d.plan() for _ in range(3)] == [{"a": 1}] * 3
    assert d.plan() == {"b": 8, "c": 1}


def test_two_long_prompts_do_not_begin_together_where_only_one_can_end():
    """Half a prompt holds memory and brings nothing: whoever is admitted has room for all of its tokens."""
    d = Desk(num_blocks=8, block_size=1, max_num_batched_tokens=4, prefix_caching=False)
    d.add("a", 6, answer=1), d.add("b", 5, answer=1)
    assert [d.plan() for _ in range(4)] == [{"a": 4}, {"a": 2}, {"b": 4}, {"b": 1}]


def test_the_watermark_keeps_room_for_those_who_run():
    for watermark, first in ((0.0, {"a": 8, "b": 8}), (0.25, {"a": 8})):
        d = Desk(num_blocks=4, watermark=watermark, prefix_caching=False)
        d.add("a", 8), d.add("b", 8)
        assert d.plan() == first


def test_the_last_one_makes_room_and_is_the_first_to_come_back():
    d = Desk(num_blocks=4, prefix_caching=False)
    a, b = d.add("a", 4, answer=10), d.add("b", 7, answer=9)
    c = d.add("c", 5)
    assert d.plan() == {"a": 4, "b": 7}
    assert d.plan() == {"a": 1, "b": 1}
    step = d.step()  # b writes into a third block, and there is none
    assert d.names(step) == ["a"] and step.preempted == [("b", 8)]
    assert b.num_computed_tokens == 0 and b.num_tokens == 9 and d.s.waiting.peek() is b and len(d.s.waiting) == 2
    while a.finish_reason is None:
        assert "b" not in d.plan()
    assert d.plan() == {"b": 9} and c.num_computed_tokens == 0


def test_what_is_swapped_says_from_which_blocks_and_to_which_slots():
    d = Desk(num_blocks=4, preemption="swap", prefix_caching=False)
    b = (d.add("a", 4, answer=6), d.add("b", 7, answer=9))[1]
    d.step(), d.step()
    step = d.step()
    assert step.swapped_out == [("b", [1, 2], 8)] and step.preempted == [("b", 0)]
    assert (b.num_computed_tokens, b.status) == (8, "swapped")
    for _ in range(3):
        step = d.step()
    assert step.swapped_in == []
    step = d.step()
    [(name, start, slots)] = step.swapped_in
    assert (name, start, len(slots)) == ("b", 0, 8)
    assert next(s for s in step.scheduled if s.request_id == "b").num_tokens == 1
    table = d.s.manager.table(b)
    assert slots == [table.slot(i) for i in range(8)]


def test_what_the_cache_still_has_is_not_swapped_in():
    d = Desk(num_blocks=4, preemption="swap")
    d.add("a", 4, answer=6), d.add("b", 7, answer=9)
    while not (step := d.step()).swapped_in:
        pass
    [(b, start, slots)] = step.swapped_in
    assert start in (4, 8) and len(slots) == 8 - start


def test_a_step_that_broke_off_leaves_no_trace_of_itself():
    d = Desk(num_blocks=6)
    requests = [d.add(name, 6, answer=9) for name in "abc"]
    d.step()
    before = [r.token_ids[:] for r in requests]
    step = d.s.schedule()
    d.s.undo(step)
    d.s.manager.check_integrity()
    assert not d.s.running and len(d.s.waiting) == 3 and d.s.num_sequences == 0 and d.s.manager.allocator.num_free == 6
    assert [r.token_ids for r in requests] == before and all(
        r.num_computed_tokens == 0 and r.status == "waiting" for r in requests
    )
    assert d.s.waiting.peek() is requests[0]


def test_a_step_short_of_memory_admits_nobody():
    """Not even one who would fit: its blocks would be missing again in the next step."""
    d = Desk(num_blocks=5, policy="fair", prefix_caching=False)
    d.add("a", 8, answer=9, client="x"), d.add("b", 12, answer=9, client="x")
    assert d.plan() == {"a": 8, "b": 12}
    d.add("c", 2, client="y")
    step = d.step()
    assert [name for name, _ in step.preempted] == ["b"] and d.names(step) == ["a"]
    assert "c" in d.plan()


def test_a_swapped_request_finds_more_in_the_cache_than_it_had_computed():
    d = Desk(num_blocks=8, preemption="swap", max_num_batched_tokens=6)
    text = list(range(12))
    b = d.add("b", text)
    d.step()
    step = d.s.schedule()  # b goes on, but let it be swapped out instead
    d.s.undo(step)
    b.status, b.num_computed_tokens = "swapped", 6
    d.s._swapped["b"] = b
    other = Request("other", text, SamplingParams(max_tokens=1))
    d.s.manager.allocate_slots(other, 12 - d.s.manager.match_prefix(other))
    d.s.manager.commit(other, 12)
    d.s.manager.free(other)
    hit = d.s.manager.match_prefix(b)
    step = d.s.schedule()
    assert (
        hit >= 8
        and step.swapped_in == [("b", hit, [])]
        and [(s.request_id, s.num_tokens) for s in step.scheduled] == [("b", 12 - hit)]
        and b.num_computed_tokens == hit
    )


def test_copies_of_a_step_that_broke_off_are_not_made_later():
    d = Desk(num_blocks=6, prefix_caching=False)
    a = d.add("a", 6, answer=9)
    d.step()
    child = a.fork(1)
    child.append(7)
    a.num_sequences, d.s.num_sequences = 2, 2
    d.s.fork(a, child)
    step = d.s.schedule()
    assert len(step.copies) == 1
    d.s.undo(step)
    assert d.s.manager.allocator.copies == [] and d.s.manager.allocator.num_free == 6


def test_integrity_names_what_does_not_hold():
    d = Desk()
    a = d.add("a", 6)
    d.step()
    d.s.num_sequences += 1
    with pytest.raises(IntegrityError, match="stand for 1 sequences, 2 are counted"):
        d.s.check_integrity()
    d.s.num_sequences -= 1
    a.num_computed_tokens -= 1
    with pytest.raises(IntegrityError, match="slots for 6 tokens"):
        d.s.check_integrity()
