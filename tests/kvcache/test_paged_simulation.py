"""The same requests with pages: nothing is reserved, and every request is served to its end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.errors import ParameterError
from course_lib.kvcache import BlockAllocator
from course_lib.kvcache.fragmentation import PARTS, PUBLISHED, Request, draw_requests, mean_shares, simulate_paged
from course_lib.trace.records import Trace


def test_an_example_by_hand():
    """3 blocks of 4. Request 1 finds no block for its fifth token, is preempted, and starts again with its tokens."""
    steps = simulate_paged([Request(0, 0, 4, 5), Request(1, 0, 3, 4)], BlockAllocator(3, 4), 9)
    assert [[(s["request"], s["used"]) for s in step["segments"]] for step in steps] == [
        [(0, 5), (1, 4)],
        [(0, 6)],
        [(0, 7)],
        [(0, 8)],
        [(0, 9)],
        [(1, 5)],
        [(1, 6)],
        [(1, 7)],
        [],
    ]
    assert [step["preempted"] for step in steps] == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert [step["waiting"] for step in steps] == [0, 1, 1, 1, 1, 0, 0, 0, 0]
    assert [[step[part] for part in PARTS] for step in steps[:2]] == [[9, 0, 3, 0, 0], [6, 0, 2, 0, 4]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=8),
    st.integers(1, 6),
    st.integers(0, 10),
)
def test_every_slot_is_counted_once_and_every_request_ends(lengths, size, more):
    requests = [Request(i, *one) for i, one in enumerate(lengths)]
    allocator = BlockAllocator(-(-24 // size) + more, size)
    seen = {}
    for step in simulate_paged(requests, allocator, 8 * 24 + 40):
        assert sum(step[part] for part in PARTS) == allocator.num_blocks * size
        assert step["internal"] < size * max(1, len(step["segments"])) and step["used"] == sum(
            s["used"] for s in step["segments"]
        )
        for s in step["segments"]:
            # one token more, also after a preemption
            assert s["used"] == seen.get(s["request"], requests[s["request"]].prompt) + 1
            seen[s["request"]] = s["used"]
    assert seen == {r.id: r.final for r in requests} and allocator.num_free == allocator.num_blocks
    allocator.check_integrity()


def test_the_trace_has_one_step_for_each_step():
    trace = Trace()
    steps = simulate_paged(
        draw_requests(6, seed=2, mean_prompt=8, mean_output=8, max_tokens=30), BlockAllocator(30, 4, trace=trace), 40
    )
    written = [0] * 40
    for record in trace.records:
        if record["event"] == "append":
            written[record["step"]] += 1
    assert written == [len(step["segments"]) for step in steps]


def test_our_share_is_near_the_published_one():
    steps = simulate_paged(draw_requests(400, seed=1), BlockAllocator(980, 16), 1600)[600:]
    assert abs(mean_shares(steps)["used"] - PUBLISHED["vLLM"]["used"]) < 0.03


def test_a_request_larger_than_memory_is_refused():
    with pytest.raises(ParameterError, match="memory has 12"):
        simulate_paged([Request(0, 0, 8, 8)], BlockAllocator(3, 4), 5)
