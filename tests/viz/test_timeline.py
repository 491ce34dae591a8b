"""The engine's timeline: its lanes against the scheduler that wrote the trace, its words, and what it refuses."""

import json

import pytest
from traces import Life, long_life, scheduled, short_life

from course_lib.engine.request import RUNNING, SWAPPED, WAITING
from course_lib.errors import CourseError
from course_lib.trace.records import Trace
from course_lib.viz import memory_view, timeline_view


@pytest.fixture(scope="module")
def short():
    return timeline_view(short_life(), clients=True)


@pytest.fixture(scope="module")
def big():
    return timeline_view(long_life())


def test_the_lanes():
    lanes = {
        lane["name"]: [lane["begin"], lane["done"], lane["spans"]] for lane in timeline_view(scheduled()).data["lanes"]
    }
    assert lanes == {
        "a": [0, [3, "length", True], [["prefill", 0, 2, 0, [8, 2]], ["decode", 2, 4, 10, 0]]],
        "b": [0, None, [["waiting", 0, 1, 0, 0], ["prefill", 1, 2, 0, [3]], ["preempted", 2, 3, 0, 0],
                        ["recompute", 3, 4, 0, [4]], ["decode", 4, 5, 4, 0]]],
        "c": [2, [3, "abort", False], [["waiting", 2, 3, 0, 0]]],
    }  # fmt: skip


def test_the_words():
    view = timeline_view(scheduled())
    assert [view.words(step) for step in range(1, view.last + 1)] == [
        "b arrives and waits. a is admitted with prompt tokens 0–7 of 10.",
        "b is admitted with prompt tokens 0–2 of 3. a computes prompt tokens 8–9 of 10.",
        "c arrives and waits. b is preempted: 3 tokens thrown away. a decodes one token.",
        "b resumes: 3 tokens recomputed. a decodes one token. c is aborted. a is finished (length).",
        "b decodes one token.",
    ]
    assert view.data["subtitle"] == "first come, first served, at most 8 tokens and 2 sequences a step"


def test_the_table_at_a_moment():
    assert timeline_view(scheduled()).table(4) == [
        {
            "request": "a",
            "client": "ann",
            "priority": 0,
            "state": "decode, then length",
            "tokens": 1,
            "computed": 12,
            "prompt": 10,
        },
        {"request": "b", "client": "bob", "priority": 0, "state": "recompute", "tokens": 4, "computed": 4, "prompt": 3},
        {
            "request": "all",
            "client": "",
            "priority": "",
            "state": "2 run, 0 wait",
            "tokens": 5,
            "computed": "",
            "prompt": "",
        },
    ]


SETTINGS = [
    ("fcfs", "recompute", 1),
    ("fcfs", "swap", 1),
    ("priority", "recompute", 2),
    ("priority", "swap", 1),
    ("fair", "recompute", 1),
    ("fair", "swap", 2),
]


@pytest.mark.parametrize("policy, preemption, n", SETTINGS)
def test_the_replay_is_where_the_scheduler_was(policy, preemption, n):
    """After every step, for every request: what it did, and how many of its tokens are computed. Memory agrees."""
    life = Life(5, num_blocks=16, policy=policy, preemption=preemption, n=n, aborts=0.01)
    view = timeline_view(life.trace)
    kinds = {span[0] for lane in view.data["lanes"] for span in lane["spans"]}
    assert {"waiting", "prefill", "decode", "swapped" if preemption == "swap" else "preempted"} <= kinds
    for step, (now, states, _, num_free) in enumerate(life.steps[: view.last], 1):
        rows = {row["request"][1:]: row for row in view.table(step)[:-1]}
        assert set(rows) == set(states)
        for request, (status, computed) in states.items():
            row, (number, before) = rows[request], now.get(request, (0, computed))
            assert (row["tokens"], row["computed"]) == (number, before + number)
            wanted = {WAITING: ("waits", "preempted"), SWAPPED: ("swapped out",), RUNNING: ("runs",)}[status]
            assert row["state"].split(",")[0] in (("prefill", "decode", "recompute") if request in now else wanted)
        running = sum(status == RUNNING for status, _ in states.values())
        assert view.data["sums"][step - 1] == [
            sum(number for number, _ in now.values()),
            running,
            len(states) - running,
        ]
        assert view.data["memory"]["sums"][step - 1][0] == 16 - num_free
        assert view.memory(step).in_use == 16 - num_free


def test_a_request_that_is_preempted_again_before_all_is_back_still_recomputes():
    trace = Trace()
    trace.add("queue", request="a", client="ann", priority=0, num_tokens=6)
    for preempted, start, count in ((0, 0, 6), (0, 6, 1), (7, 0, 3), (3, 0, 4), (0, 4, 3), (0, 7, 1)):
        if preempted:
            trace.add("preempt", request="a", how="recompute", num_tokens=preempted)
            trace.next_step()
        trace.add("schedule", requests=["a"], starts=[start], counts=[count])
        trace.next_step()
    spans = [span[0] for span in timeline_view(trace).data["lanes"][0]["spans"]]
    assert spans == ["prefill", "decode", "preempted", "recompute", "preempted", "recompute", "decode"]


def test_what_was_thrown_away_is_recomputed():
    view = timeline_view(Life(5, num_blocks=22, preemption="recompute").trace)
    again = [
        span
        for lane in view.data["lanes"]
        for before, span in zip(lane["spans"], lane["spans"][1:])
        if span[0] == "recompute" and before[0] != "recompute"
    ]
    assert again and all(
        before[0] in ("preempted", "recompute")
        for lane in view.data["lanes"]
        for before, span in zip(lane["spans"], lane["spans"][1:])
        if span[0] == "recompute"
    )


def test_service_is_what_the_policy_counted():
    """All clients have requests from the beginning on, so that no client's counter is lifted."""
    life = Life(2, num_steps=0, policy="fair")
    for _ in range(18):
        life.come((2, 30), (1, 20), 1, "abc")
    for _ in range(90):
        life.step()
    view = timeline_view(life.trace, clients=["c", "a"])
    names = view.data["client_names"]
    assert [names[one["client"]] for one in view.data["clients"]] == ["c", "a"]
    for client, service in ((names[one["client"]], one["service"]) for one in view.data["clients"]):
        assert service[-1] == life.steps[view.last - 1][2][client] > 0
        assert service == sorted(service)


def test_a_step_that_was_undone_counts_nothing():
    trace = scheduled()
    trace.add("preempt", request="b", how="recompute", num_tokens=4)  # as Scheduler.undo writes it
    trace.add("schedule", requests=["b"], starts=[0], counts=[5])
    view = timeline_view(trace)
    assert view.words(5) == "The step was undone for b: none of these tokens count. b resumes: 4 tokens recomputed."
    assert view.data["sums"][4] == [5, 1, 0] and view.table(5)[0]["tokens"] == 5


def test_limits_that_a_scheduler_broke_are_said():
    trace = Trace([{"step": 0, "event": "engine", "policy": "Mine", "max_num_seqs": 1, "max_num_batched_tokens": 4}])
    for request in "ab":
        trace.add("queue", request=request, client="x", priority=0, num_tokens=3)
    trace.add("schedule", requests=["a", "b"], starts=[0, 0], counts=[3, 3])
    assert (
        timeline_view(trace)
        .words(1)
        .endswith("6 tokens are 2 over the token budget of 4. 2 sequences run, but max_num_seqs is 1.")
    )


def test_a_trace_may_end_anywhere():
    records = Life(4, num_steps=30, num_blocks=20).trace.records
    for end in range(3, len(records), 7):
        view = timeline_view(records[:end])
        assert view.words(view.last) and view.table(view.last)


def test_a_name_may_come_back_when_its_request_is_done():
    trace = scheduled()
    trace.next_step()
    trace.add("queue", request="a", client="ann", priority=0, num_tokens=2)
    view = timeline_view(trace)
    assert [lane["name"] for lane in view.data["lanes"]] == ["a", "b", "c", "a"]
    assert [row["request"] for row in view.table(6)[:-1]] == ["a", "b"] or [
        row["request"] for row in view.table(6)[:-1]
    ] == ["b", "a"]


QUEUE = [[0, "queue", "a", "x", 0, 3]]


@pytest.mark.parametrize(
    "rows, says",
    [
        ([], "says nothing of an engine"),
        ([[0, "start", 4, 2], [0, "allocate", [1]]], "says nothing of an engine or a scheduler, only of memory"),
        ([[0, "schedule", ["a"], [0], [1]]], "schedules request 'a', which never came"),
        ([*QUEUE, [0, "schedule", ["a"], [0], []]], "schedules 1 requests with 1 starts and 0 counts"),
        ([*QUEUE, [0, "schedule", ["a"], [0], [0]]], "at least one token"),
        ([*QUEUE, [0, "schedule", ["a", "a"], [0, 1], [1, 1]]], "twice in one step"),
        ([*QUEUE, [0, "preempt", "a", "swap", 0]], "preempts request 'a', which does not run: it is waiting"),
        (
            [*QUEUE, [0, "finish", "a", "stop"], [1, "schedule", ["a"], [0], [1]]],
            r"schedules request 'a', which is done since step 0 \(stop\)",
        ),
        ([*QUEUE, *QUEUE], "queues request 'a', which is being served already"),
        ([[0, "queue", "a", "x", 0, None]], "num_tokens = None"),
        ([*QUEUE, [0, "append", "a", 3, [0]]], "A trace begins with the record `start`"),
        ([*QUEUE, [0, "schedule", ["a"]]], "record 1 is"),
        ([*QUEUE, [1_700_000_000, "finish", "a", "stop"]], "go from step 0 to step 1,700,000,000"),
    ],
)
def test_it_refuses(rows, says):
    with pytest.raises(CourseError, match=says):
        timeline_view(rows)


def test_memory_and_clients_are_chosen(tmp_path, short):
    trace = Life(4, num_steps=20, num_blocks=20).trace
    trace.save(tmp_path / "trace.jsonl")
    views = [
        timeline_view(given) for given in (trace, trace.records, trace.rows(), Trace.load(tmp_path / "trace.jsonl"))
    ]
    assert all(view.data == views[0].data for view in views)
    assert timeline_view(trace, memory=False).data["memory"] is None and views[0].data["clients"] is None
    assert views[0].memory(9).tables == memory_view(trace).memory(9).tables
    with pytest.raises(CourseError, match="clients names 'z'; the requests of this trace came from 'a', 'b'"):
        timeline_view(trace, clients=["z"])
    short.selected = "1"
    short.selected = ("block", 3)
    assert short.selected == ["block", 3]
    for nowhere, says in (
        ("z", "is no request of this trace"),
        (["block", 20], "there are blocks 0 to 19"),
        (True, "is no request"),
    ):
        with pytest.raises(CourseError, match=says):
            short.selected = nowhere
    short.selected = None


def test_still_form(short, big):
    picture = short.snapshot(step=12)
    assert (
        picture.data[:4] == b"\x89PNG"
        and picture.width in (919, 920)
        and 400 < picture.height < 1000
        and len(picture.data) < 110_000
    )
    assert short.words(12) in picture.alt and "step 12 of 40" in picture.alt
    picture = big.snapshot(500)
    assert len(picture.data) < 130_000 and picture.height < 1300
    assert repr(short) == "<timeline: by priority, at most 16 tokens and 5 sequences a step, step 1 of 40>"


def test_a_thousand_steps_of_300_requests_stay_under_two_megabytes(big):
    assert len(json.dumps(big.data, separators=(",", ":"), ensure_ascii=False).encode()) <= 2_000_000
    assert big.last == 1000 and len(big.data["lanes"]) == 300
