"""What an answer keeps from one call or object to the next is found, shown by two programs, and named."""

from collections import Counter, OrderedDict

import pytest
import torch

from course_lib.practice.check import judge
from course_lib.practice.judge.exercise import Exercise, Property, Trial
from course_lib.practice.judge.kept import Kept


def double_all(numbers):
    return [2 * n for n in numbers]


class Sum:
    def __init__(self):
        self.seen = []

    def add(self, n):
        self.seen.append(n)
        return sum(self.seen)


def exercise(reference, act, cases):
    trials = [Trial([f"{reference.__name__}({case})"], lambda answer, case=case: act(answer, case)) for case in cases]
    return Exercise(
        "99.test", "", reference.__name__, [Property("It holds", "It matters.", trials)], [], [], [reference]
    )


CALLS = exercise(double_all, lambda answer, case: answer(list(case)), ([1], [2, 3], [1], [4]))
OBJECTS = exercise(Sum, lambda answer, case: answer().add(case), (1, 2, 3))

collected = []


def into_a_global(numbers):
    collected.extend(2 * n for n in numbers)
    return list(collected)


def into_a_default(numbers, out=[]):  # noqa: B006
    out.extend(2 * n for n in numbers)
    return list(out)


def into_itself(numbers):
    into_itself.calls = getattr(into_itself, "calls", 0) + 1
    return [2 * n for n in numbers] * into_itself.calls


def into_a_closure():
    kept = {}

    def answer(numbers):
        return kept.setdefault("result", [2 * n for n in numbers])

    return answer


class OfTheClass:
    seen = []

    def add(self, n):
        self.seen.append(n)
        return sum(self.seen)


class ClearedByAnother:
    """Leaves something in the class for 1, and clears it for all other numbers: after those nothing has changed."""

    seen = []

    def add(self, n):
        self.seen.append(n)
        found = sum(self.seen)
        if n > 1:
            self.seen.clear()
        return found


class CountedByTheClass:
    total = 0

    def add(self, n):
        type(self).total += n
        return self.total


@pytest.mark.parametrize(
    "about, answer, name",
    [
        (CALLS, into_a_global, "`collected` is kept"),
        (CALLS, into_a_default, "the default of `out`"),
        (CALLS, into_itself, "`into_itself.calls` is kept"),
        (CALLS, into_a_closure(), "`kept` is kept"),
        (OBJECTS, OfTheClass, "`seen` belongs to the class"),
        (OBJECTS, ClearedByAnother, "`seen` belongs to the class"),
        (OBJECTS, CountedByTheClass, "`total` belongs to the class"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_state_that_outlives_a_run_is_named_and_both_runs_are_shown(about, answer, name):
    result = judge(about, answer)
    assert result.failure.mistake.name.startswith(name), str(result)
    assert "# and after it:" in result.failure.counterexample.story


def test_memory_that_changes_no_result_is_allowed():
    known = {}

    def answer(numbers):
        key = tuple(numbers)
        if key not in known:
            known[key] = [2 * n for n in numbers]
        return list(known[key])

    assert judge(CALLS, answer)


def test_an_answer_that_is_wrong_alone_is_shown_alone():
    calls = []

    def answer(numbers):
        calls.append(numbers)
        return numbers

    found = judge(CALLS, answer).failure
    assert found.mistake is None and len(found.counterexample.story) == 1


def test_kept_brings_back_how_an_answer_was_handed_in():
    kept = Kept(OfTheClass)
    OfTheClass.seen.append(7)
    OfTheClass.new = 1
    assert sorted(name for _, name in kept.changed()) == ["new", "seen"]
    kept.restore()
    assert kept.changed() == [] and not hasattr(OfTheClass, "new")


@pytest.mark.parametrize(
    "got, said",
    [
        ([2.0], "`2.0` in it is a float; an int is asked for"),
        ((2,), "this is a tuple; a list is asked for"),
        ({2}, "this is a set; a list is asked for"),
        (range(2, 3), "`range(2, 3)` is a range; a list is asked for"),
        (torch.tensor([2]), "this is a Tensor; a list is asked for"),
    ],
)
def test_a_right_value_of_another_kind_is_said_so_and_no_other_reason_is_given(got, said):
    about = exercise(double_all, lambda answer, case: answer(list(case)), ([1],))
    shown = str(judge(about, lambda numbers: got))
    assert "The values are right" in shown and said in shown and "It matters" not in shown


@pytest.mark.parametrize(
    "got, said",
    [
        (([2], {2}), "a part of them is a set; a list is asked for"),
        (([2], range(2, 3)), "`range(2, 3)` in it is a range; a list is asked for"),
    ],
)
def test_a_part_of_another_kind_is_said_so(got, said):
    def twice(numbers):
        return double_all(numbers), double_all(numbers)

    assert said in str(judge(exercise(twice, lambda answer, case: answer(case), ([1],)), lambda numbers: got))


def test_kinds_of_dict_are_dicts():
    about = exercise(dict, lambda answer, case: answer(case), ({"a": 1}, {"b": 2}))
    assert judge(about, type("dict", (OrderedDict,), {})) and judge(about, type("dict", (Counter,), {}))
