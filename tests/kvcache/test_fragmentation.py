"""The simulator of contiguous memory: every slot is counted once, in random and in small examples."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.errors import ParameterError
from course_lib.kvcache.fragmentation import (
    OPT_13B_SLOTS,
    PARTS,
    PUBLISHED,
    Request,
    account,
    draw_requests,
    mean_shares,
    reserve_exact,
    reserve_maximum,
    reserve_power_of_two,
    simulate,
)

LIMIT = 24
LENGTHS = st.tuples(st.integers(0, 20), st.integers(1, LIMIT // 2), st.integers(1, LIMIT // 2))
POLICIES = st.sampled_from([reserve_maximum(LIMIT), reserve_exact, reserve_power_of_two, lambda r: r.final + r.id % 3])


@settings(max_examples=200, deadline=None)
@given(st.lists(LENGTHS, max_size=12), POLICIES, st.integers(40, 90))
def test_every_slot_is_counted_once_and_belongs_to_one_request(lengths, reserve, capacity):
    requests = [Request(i, *length) for i, length in enumerate(lengths)]
    seen, ended = {}, {}
    for step in simulate(requests, reserve, capacity, 200):
        assert sum(step[part] for part in PARTS) == capacity and min(step[part] for part in PARTS) >= 0
        edge = 0
        for s in step["segments"]:
            assert edge <= s["start"] and s["used"] <= s["final"] <= s["reserved"] == reserve(requests[s["request"]])
            edge = s["start"] + s["reserved"]
            grown = seen.get(s["request"], (s["start"], s["used"] - 1))
            assert grown == (s["start"], s["used"] - 1)  # it never moves, and gets one token a step
            seen[s["request"]] = s["start"], s["used"]
            if s["used"] == s["final"]:
                ended[s["request"]] = step["time"]
        assert edge <= capacity
        assert step["external"] == 0 or step["waiting"] > 0
        if not step["waiting"]:
            assert step["free"] == capacity - sum(s["reserved"] for s in step["segments"])
    assert len(ended) == len(requests)  # no request waits for ever: each fits into the empty memory


@settings(max_examples=60, deadline=None)
@given(st.lists(LENGTHS, max_size=12), POLICIES)
def test_requests_start_in_the_order_of_arrival(lengths, reserve):
    requests = [Request(i, *length) for i, length in enumerate(lengths)]
    begun = {}
    for step in simulate(requests, reserve, 50, 200):
        for s in step["segments"]:
            begun.setdefault(s["request"], step["time"])
    order = sorted(requests, key=lambda r: (r.arrival, r.id))
    assert [begun[r.id] for r in order] == sorted(begun.values())
    assert all(begun[r.id] >= r.arrival for r in requests)


def test_an_example_by_hand():
    """Capacity 10. A (2 + 2) and B (1 + 1) arrive at step 0. C (3 + 2) arrives at step 1 and waits for the end of A."""
    requests = [Request(0, 0, 2, 2), Request(1, 0, 1, 1), Request(2, 1, 3, 2)]
    first, second, third = simulate(requests, lambda r: r.final + 1, 10, 3)  # reserves 5, 3 and 6
    assert first == {
        "time": 0,
        "waiting": 0,
        "used": 5,
        "reserved": 1,
        "internal": 2,
        "external": 0,
        "free": 2,
        "segments": [
            {"request": 0, "start": 0, "reserved": 5, "used": 3, "final": 4},
            {"request": 1, "start": 5, "reserved": 3, "used": 2, "final": 2},
        ],
    }
    assert second == {
        "time": 1,
        "waiting": 1,
        "used": 4,
        "reserved": 0,
        "internal": 1,
        "external": 5,
        "free": 0,
        "segments": [{"request": 0, "start": 0, "reserved": 5, "used": 4, "final": 4}],
    }  # B left; 5 slots in a row are free, and C needs 6
    assert third == {
        "time": 2,
        "waiting": 0,
        "used": 4,
        "reserved": 1,
        "internal": 1,
        "external": 0,
        "free": 4,
        "segments": [{"request": 2, "start": 0, "reserved": 6, "used": 4, "final": 5}],
    }


def test_holes_are_external_only_if_the_waiting_request_does_not_fit():
    segments = [
        {"request": 0, "start": 2, "reserved": 3, "used": 1, "final": 2},
        {"request": 1, "start": 9, "reserved": 1, "used": 1, "final": 1},
    ]
    assert account(segments, 16, 5) == {"used": 2, "reserved": 1, "internal": 1, "external": 6, "free": 6}
    assert account(segments, 16, 0)["free"] == 12
    assert account([], 16, 16) == {"used": 0, "reserved": 0, "internal": 0, "external": 0, "free": 16}


def test_the_policies_reserve_what_their_names_say():
    request = Request(0, 0, 100, 25)
    assert reserve_maximum(2048)(request) == 2048 and reserve_exact(request) == 125
    assert (
        reserve_power_of_two(request) == 132
    )  # "if the true output length is 25, it reserves 32": arXiv 2309.06180, section 6.1
    assert [reserve_power_of_two(Request(0, 0, 0, n)) for n in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]


def test_lengths_depend_on_the_seed_and_keep_the_limit():
    requests = draw_requests(2000, seed=3)
    assert requests == draw_requests(2000, seed=3) != draw_requests(2000, seed=4)
    assert all(r.prompt >= 1 and r.output >= 1 and r.final <= 2048 and r.arrival == 0 for r in requests)
    assert abs(sum(r.prompt for r in requests) / 2000 / 161.31 - 1) < 0.1
    assert abs(sum(r.output for r in requests) / 2000 / 337.99 - 1) < 0.12  # a little lower: long ones are cut
    spread = draw_requests(500, seed=3, every=5)
    assert sorted(r.arrival for r in spread) == [r.arrival for r in spread] and 4 < spread[-1].arrival / 500 < 6


def test_our_shares_are_near_those_published():
    """The paper measured other requests on a real engine, so near is within 0.12 of the memory."""
    requests = draw_requests(600, seed=1)
    ours = mean_shares(simulate(requests, reserve_maximum(2048), OPT_13B_SLOTS, 6000)[1000:])
    for part, share in PUBLISHED["Orca (Max)"].items():
        assert abs(ours[part] - share) < 0.12, part
    exact = mean_shares(simulate(requests, reserve_exact, OPT_13B_SLOTS, 6000)[1000:])
    assert exact["internal"] == 0 and exact["used"] > 1.5 * ours["used"] and exact["requests"] > ours["requests"]


def test_published_shares_are_shares():
    for name in ("Orca (Max)", "Orca (Pow2)", "Orca (Oracle)"):
        assert 0.995 < sum(PUBLISHED[name].values()) < 1.005
    assert (PUBLISHED["Orca (Max)"]["used"], PUBLISHED["Orca (Oracle)"]["used"]) == (0.204, 0.382)


def test_keeping_every_tenth_step_changes_no_step():
    requests = draw_requests(40, seed=0, max_tokens=64, mean_prompt=10, mean_output=10)
    assert simulate(requests, reserve_exact, 200, 60, every=10) == simulate(requests, reserve_exact, 200, 60)[::10]


def test_means_are_over_steps_and_shares_of_the_memory():
    steps = simulate([Request(0, 0, 3, 2)], reserve_exact, 10, 3)  # 4 tokens, then 5, then the request has left
    shares = mean_shares(steps)
    assert shares["used"] == pytest.approx(9 / 30) and shares["free"] == pytest.approx(20 / 30)
    assert shares["requests"] == pytest.approx(2 / 3)
    with pytest.raises(ParameterError, match="no step"):
        mean_shares([])


@pytest.mark.parametrize(
    "reserve, words",
    [
        (lambda r: r.final - 1, "write into the next request's slots"),
        (lambda r: None, "reserves None slots"),
        (lambda r: 12.0, "whole number"),
        (lambda r: 101, "wait for ever"),
    ],
)
def test_a_policy_that_reserves_a_wrong_number_of_slots_is_refused(reserve, words):
    with pytest.raises(ParameterError, match=words):
        simulate([Request(0, 0, 5, 5)], reserve, 100, 10)


@pytest.mark.parametrize("change", [{"max_tokens": 1}, {"mean_prompt": 0}, {"mean_output": 0.5}])
def test_lengths_out_of_range_are_refused(change):
    with pytest.raises(ParameterError, match="at least one token"):
        draw_requests(3, **change)


@pytest.mark.parametrize("change", [{"capacity": 0}, {"num_steps": 0}, {"every": 0}, {"capacity": 10.0}])
def test_sizes_out_of_range_are_refused(change):
    with pytest.raises(ParameterError, match="whole number of at least 1"):
        simulate([], reserve_exact, **{"capacity": 10, "num_steps": 5, **change})
