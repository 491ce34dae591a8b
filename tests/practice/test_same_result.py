"""A function that hands out one list twice, and one that is right only after its first call, do not pass."""

from functools import cache

import pytest

from course_lib.practice.check import judge
from course_lib.practice.judge.exercise import Exercise, Property, Trial


def squares(n):
    return [i * i for i in range(n)]


def exercise(*sizes):
    trials = [Trial([f"squares({n})"], lambda answer, n=n: list(answer(n)), size=n) for n in sizes]
    return Exercise("00.toy", "Squares", "squares", [Property("It squares", "", trials)], [], [], [squares])


def kept_list():
    made = []

    def answer(n):
        made[:] = squares(n)
        return made

    return answer


def kept_tuple():
    return cache(lambda n: tuple(squares(n)))


def wrong_first():
    seen = {}

    def answer(n):
        seen["calls"] = seen.get("calls", 0) + 1
        return squares(n) if seen["calls"] > 1 or n < 3 else []

    return answer


@pytest.mark.parametrize("answer, said", [(kept_list(), "same list"), (cache(squares), "same list")])
def test_two_calls_that_return_one_list_are_told(answer, said):
    result = judge(exercise(1, 2, 4), answer)
    assert not result and said in result.failure.mistake.name
    assert "# and after it:" in result.failure.counterexample.story


def test_an_answer_that_is_wrong_in_its_first_call_does_not_pass():
    result = judge(exercise(1, 2, 4), wrong_first())
    assert not result and result.failure.mistake.name == "`seen` is kept from one call to the next."
    assert result.failure.counterexample.got == "[]"


@pytest.mark.parametrize("answer", [squares, kept_tuple(), lambda n: sorted(squares(n))])
def test_results_of_their_own_and_ones_that_nobody_can_change_pass(answer):
    assert judge(exercise(1, 2, 4), answer)
