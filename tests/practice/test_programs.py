"""Programs against a class: any right answer passes, and of a failing program only what matters is left."""

import pytest

from course_lib.practice.check import judge
from course_lib.practice.judge import programs
from course_lib.practice.judge.agreement import agree
from course_lib.practice.judge.examine import Fails
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials, told
from course_lib.practice.judge.running import Raised
from course_lib.practice.judge.runs import Runs


class Tickets:
    """Numbered tickets; `take` gives any that is free, `back` takes it back."""

    def __init__(self, size):
        self.free = list(range(size))

    def take(self):
        return self.free.pop() if self.free else None

    def back(self, ticket):
        self.free.insert(0, ticket)


class Lowest(Tickets):
    def take(self):
        self.free.sort()
        return self.free.pop(0) if self.free else None


class Twice(Tickets):
    """Wrong: what came back is there twice."""

    def back(self, ticket):
        self.free += [ticket, ticket]


class TwiceOtherwise(Lowest):
    def back(self, ticket):
        self.free = [ticket] * 2 + self.free


class Taking(Game):
    opening = ("tickets = Tickets({size})",)
    lines = {"take": "{0} = tickets.take()", "back": "tickets.back({0})"}

    def __init__(self, answer, size):
        self.tickets, self.free, self.held = answer(size), size, {}

    def take(self, name):
        got = self.tickets.take()
        if got is None or got in self.held.values():
            return (
                Seen("none" if got is None else "one in use", repr(got), ends=True)
                if self.free or got is not None
                else Seen("none")
            )
        self.held[name], self.free = got, self.free - 1
        return Seen("one", repr(got))

    def back(self, name):
        if name not in self.held:
            raise Senseless
        self.tickets.back(self.held.pop(name))
        self.free += 1
        return Seen("done")


def draw(chance, names, setup):
    return ("take", NAMES[len(names)]) if not names or chance.random() < 0.5 else ("back", chance.choice(names))


TRIALS = random_trials(Taking, Tickets, draw, 60, seed=1, setups=({"size": 3}, {"size": 5}))
BOTH = Mistake("a ticket that came back is there twice.", "Two may get it.", (Twice, TwiceOtherwise))
EXERCISE = Exercise(
    "99.tickets",
    "Tickets",
    "Tickets",
    [Property("Nobody gets a ticket that is in use", "It is theirs.", TRIALS)],
    [BOTH],
    ["a"] * 3,
    [Tickets, Lowest],
    cases="programs",
)


@pytest.mark.parametrize("right", EXERCISE.rights, ids=["newest", "lowest"])
def test_any_order_of_handing_out_is_right(right):
    assert judge(EXERCISE, right)


@pytest.mark.parametrize("wrong", [Twice, TwiceOtherwise], ids=["newest", "lowest"])
def test_what_is_left_is_what_matters(wrong):
    failure = judge(EXERCISE, wrong).failure
    found = failure.counterexample
    assert found.story == [
        "tickets = Tickets(1)",
        "a = tickets.take()",
        "tickets.back(a)",
        "b = tickets.take()",
        "c = tickets.take()",
    ]
    assert (found.expected, found.got) == ("none", "0") and failure.mistake is BOTH
    assert found.trial not in TRIALS and 1 < found.failing < len(TRIALS)


def test_nothing_can_be_left_out_of_a_shrunk_program():
    program = judge(EXERCISE, Twice).failure.counterexample.trial.act.__self__
    smaller = [*program.shorter(), *program.lower()]
    assert smaller
    for one in smaller:
        expected, got = (one.trial().outcome(answer, timed=False)[0] for answer in (Tickets, Twice))
        assert isinstance(expected, Raised) or agree(expected, got), one.story()


def test_steps_that_use_what_is_left_out_go_too():
    program = told(
        Taking, {"size": 2}, ("take", "a"), ("take", "b"), ("back", "a"), ("take", "a"), ("back", "a")
    ).act.__self__
    assert program.without(0, 1).steps == (("take", "b"), ("take", "a"), ("back", "a"))
    assert program.without(1, 2).steps == (("take", "a"), ("back", "a"), ("take", "a"), ("back", "a"))


def test_programs_are_the_same_each_time_and_make_sense():
    again = random_trials(Taking, Lowest, draw, 60, seed=1, setups=({"size": 3}, {"size": 5}))
    assert [t.story for t in again] == [t.story for t in TRIALS]
    assert len({tuple(t.story) for t in TRIALS}) > 30
    assert not any(isinstance(EXERCISE.expected(t), Raised) for t in TRIALS)


def test_an_answer_that_raises_is_shown_with_its_line():
    class Raises(Tickets):
        def back(self, ticket):
            self.fre.append(ticket)

    found = judge(EXERCISE, Raises).failure.counterexample
    assert len(found.story) == 3 and "AttributeError" in found.got and "self.fre.append(ticket)" in found.got


def test_an_answer_that_never_ends_is_not_shrunk():
    class Ends(Tickets):
        def take(self):
            while True:
                pass

    quick = [told(Taking, {"size": 1}, ("take", "a"))]
    object.__setattr__(quick[0], "limit_s", 0.2)
    exercise = Exercise("99.t", "T", "Tickets", [Property("It ends", "It must.", quick)], [], ["a"] * 3, [Tickets] * 2)
    assert "not done after 0.2 s" in judge(exercise, Ends).failure.counterexample.got


def test_shrinking_ends_when_the_time_is_up_and_says_so(worked):
    class Slow(Twice):
        def take(self):
            worked.seconds += 0.125
            return super().take()

    for trial in TRIALS:
        trial.outcome(Slow)
    budget, worked.seconds = worked.seconds + 0.25, 0.0  # enough for the trials, and for two calls more
    verdict = judge(EXERCISE, Slow, budget_s=budget).failure
    up = f"your code had worked for {budget:g} s, the time of a check."
    assert verdict.unfinished == (f"There may be a smaller case: {up}", f"No known mistake was looked for: {up}")
    long = judge(EXERCISE, Slow, budget_s=1000).failure
    assert long.mistake is BOTH and long.unfinished == () and long.counterexample.failing > 1
    assert verdict.counterexample.failing is None and verdict.counterexample.trial.size > long.counterexample.trial.size


def test_shrinking_is_bounded_by_counting(monkeypatch):
    found, tried = [], []
    for most in (0, 1, 5, 600):
        monkeypatch.setattr(programs, "SMALLER_PROGRAMS", most)
        asked = []
        program = TRIALS[-1].act.__self__

        def fails(trial, asked=asked):
            asked.append(trial)
            return [None] * len(trial.act.__self__.steps) if trial.act.__self__.steps else None

        found.append(programs.smallest(program, TRIALS[-1], fails, [None] * len(program.steps)))
        tried.append(len(asked) - 1)  # the last one only has its variables renamed
    assert tried[:3] == [0, 1, 5] and tried[3] < 600
    assert [len(one.story) for one in found] == sorted((len(one.story) for one in found), reverse=True)


def test_a_smaller_program_that_runs_out_of_time_is_not_taken():
    failing = [t for t in TRIALS if not agree(EXERCISE.expected(t), t.outcome(Twice)[0])]
    outcomes = Runs(Twice)
    fails, (one, smaller, other) = Fails(EXERCISE, outcomes), failing[:3]
    assert fails(one) is not None and not fails.stopped
    outcomes.done[smaller] = Raised("OutOfTime", "stopped"), ""
    assert fails(smaller) is None and fails.stopped.startswith("There may be a smaller case: one that was tried was")
    assert fails(other) is None  # after that none is tried any more


def test_the_reference_runs_a_smaller_program_once_for_all_answers():
    runs = []

    class Counted(Tickets):
        def __init__(self, size):
            runs.append(size)
            super().__init__(size)

    rights = [Counted, Lowest]
    exercise = Exercise("99.t", "T", "Tickets", [Property("None", "Is.", TRIALS)], [], ["a"] * 3, rights)
    first = judge(exercise, Twice).failure.counterexample
    before = len(runs)
    again = judge(exercise, Twice).failure.counterexample
    assert again.story == first.story and again.expected == first.expected
    assert before > len(TRIALS) + 10 and len(runs) - before <= 1  # what is shown in the end is a trial of its own
