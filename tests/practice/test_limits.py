"""The limits of a check count work: a busy machine gives an answer as much as an idle one."""

import time

import pytest

from course_lib.practice.judge import limits
from course_lib.practice.judge.limits import OutOfTime, Stopwatch, limited


@pytest.fixture
def clocks(monkeypatch):
    """clocks(passed, worked): sets the time that went by, and what the process computed in it."""
    now = {"passed": 100.0, "worked": 10.0}
    monkeypatch.setattr(limits.time, "monotonic", lambda: now["passed"])
    monkeypatch.setattr(limits.time, "process_time", lambda: now["worked"])
    monkeypatch.setattr(limits, "patience", lambda: 5.0)

    def advance(passed, worked):
        now["passed"] += passed
        now["worked"] += worked

    return advance


@pytest.mark.parametrize(
    "passed, worked, seconds",
    [(3.0, 3.0, 3.0), (8.0, 2.0, 2.0), (3.0, 12.0, 3.0), (10.0, 0.0, 2.0)],
    ids=["idle machine", "busy machine", "several threads", "the code sleeps"],
)
def test_seconds_of_work_are_those_of_the_processor_and_a_part_of_those_that_went_by(clocks, passed, worked, seconds):
    watch = Stopwatch()
    assert watch.seconds() == 0
    clocks(passed, worked)
    assert watch.seconds() == pytest.approx(seconds)


class Slowly(Stopwatch):
    """Each look finds another hundredth of a second of work, however long it took."""

    def __init__(self):
        self.looks = 0

    def seconds(self):
        self.looks += 1
        return 0.01 * self.looks


def test_code_that_had_no_processor_is_not_stopped(monkeypatch):
    watch = Slowly()
    monkeypatch.setattr(limits, "Stopwatch", lambda: watch)
    with pytest.raises(OutOfTime, match="not done after 0.05 s"):
        limited(lambda: [None for _ in iter(int, 1)], 0.05)
    assert watch.looks == 5


def test_code_that_ends_in_time_gives_its_result_and_is_not_stopped_afterwards():
    assert [limited(lambda: 7, 0.2) for _ in range(50)] == [7] * 50
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass  # an exception that was sent too late would arrive here


def test_a_busy_machine_gets_more_patience_and_never_without_end(monkeypatch):
    monkeypatch.setattr(limits.os, "cpu_count", lambda: 2)
    for load, times in ((0.0, 2.0), (9.0, 6.5), (100.0, 10.0)):
        monkeypatch.setattr(limits.os, "getloadavg", lambda load=load: (load, load, load), raising=False)
        assert limits.patience() == times
    monkeypatch.delattr(limits.os, "getloadavg")
    assert limits.patience() == 5.0
