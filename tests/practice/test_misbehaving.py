"""Answers that raise, exit, never end, take too long, or cannot be written down: a failure, and nothing worse."""

import functools
import signal
import time

import pytest
import torch

from course_lib import check
from course_lib.kvcache import Recompute
from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.lessons.l01.greedy import greedy


def broken(logits):
    scores = logits.tolist()
    return scores.index(maximum)  # noqa: F821


def test_an_exception_shows_its_type_its_message_and_the_learners_line():
    found = check("01.greedy", broken).failure.counterexample
    assert "NameError: name 'maximum' is not defined" in found.got
    assert "line 3 of broken:  return scores.index(maximum)" in found.got


def test_an_exception_from_deep_inside_a_library_shows_the_learners_line():
    def deep(logits):
        return torch.cat([logits, "no tensor"])

    assert "line 2 of deep:  return torch.cat(" in check("01.greedy", deep).failure.counterexample.got


def test_stray_exit_and_endless_recursion_are_only_failures():
    def leaves(logits):
        raise SystemExit(1)

    def falls(logits):
        return falls(logits)

    assert "SystemExit" in check("01.greedy", leaves).failure.counterexample.got
    assert "RecursionError" in check("01.greedy", falls).failure.counterexample.got


def test_an_exception_that_is_its_own_cause_is_only_a_failure():
    def circles(logits):
        error = ValueError("round and round")
        raise error from error

    assert "ValueError: round and round" in check("01.greedy", circles).failure.counterexample.got


def test_a_stub_is_recognised_behind_another_exception():
    def stub(x):
        try:
            raise NotImplementedError
        except NotImplementedError as error:
            raise ValueError("the engine could not use it") from error

    assert judge(one_trial(lambda answer: answer(1)), stub).state == "unwritten"


def test_ctrl_c_goes_through():
    press = functools.partial(signal.raise_signal, signal.SIGINT)  # the real one: a check replaces the name

    with pytest.raises(KeyboardInterrupt):
        check("01.greedy", lambda logits: press())


def test_a_keyboard_interrupt_that_nobody_pressed_is_only_a_failure():
    def interrupted(logits):
        raise KeyboardInterrupt

    got = check("01.greedy", interrupted).failure.counterexample.got
    assert "nobody pressed Ctrl-C" in got and "line 2 of interrupted:  raise KeyboardInterrupt" in got


def one_trial(act, limit_s=0.3):
    trial = Trial(["answer(1)"], act, limit_s=limit_s)
    return Exercise(
        "99.loop", "Loop", "answer", [Property("It ends.", "It must.", [trial])], [], ["a", "b", "c"], [lambda x: x] * 2
    )


def test_a_loop_without_end_is_stopped_even_inside_a_bare_except():
    def plain(x):
        while True:
            x += 1

    def stubborn(x):
        while True:
            try:
                while True:
                    x += 1
            except Exception:
                pass

    def deaf(x):
        for _ in range(2):  # swallows what it is sent, more than once
            try:
                while True:
                    x += 1
            except:  # noqa: E722
                pass

    exercise = one_trial(lambda answer: answer(1))
    for answer in (plain, stubborn, deaf):
        verdict = judge(exercise, answer).failure
        assert answer is deaf or "not done after 0.3 s. Does the loop end?" in verdict.counterexample.got
        assert answer is deaf or verdict.counterexample.failing is None
    time.sleep(0.5)  # nothing arrives late


def test_a_loop_that_goes_on_calling_the_model_is_stopped_by_counting():
    def goes_on(model, token_ids, max_tokens, stop_token_ids=()):
        while True:
            model(torch.tensor(token_ids), torch.arange(len(token_ids)), Recompute())

    got = check("01.generate", goes_on).failure.counterexample.got
    assert "the model was called 8 times. When does the loop end?" in got


def test_a_slow_answer_is_stopped_after_the_time_for_a_whole_check_and_told_how_far_it_came(worked):
    def slow(logits):
        worked.seconds += 0.0625
        return greedy(logits)

    result = judge(registry.find("01.greedy"), slow, budget_s=0.25)
    assert result.state == "failed"
    total = len(registry.find("01.greedy").trials)
    assert f"too slow: 4 of {total} logits in 0.25 s" in result.failure.counterexample.got
    assert "Those were right" in str(result)
    assert result.failure.mistake is None and result.failure.counterexample.failing is None
    assert result.failure.unfinished == ()  # what was stopped is the failure itself


def test_a_slow_wrong_answer_shows_what_is_wrong_and_that_nothing_else_was_looked_for(worked):
    def slow(logits):
        worked.seconds += 0.125
        return int(logits.argmax()) + 1

    result = judge(registry.find("01.greedy"), slow, budget_s=1)
    assert "too slow" not in str(result) and result.failure.counterexample.got == "1"
    assert result.failure.counterexample.failing is None and result.failure.mistake is None
    assert result.failure.unfinished == (
        "Not all logits were run: your code had worked for 1 s, the time of a check.",
        "No known mistake was looked for: your code had worked for 1 s, the time of a check.",
    )
    for form in (str(result), result._repr_html_()):
        assert all(sentence in form for sentence in result.failure.unfinished)


def test_the_same_answer_with_more_time_gets_its_name(worked):
    def slow(logits):
        worked.seconds += 0.125
        return int(logits.argmin())

    short, long = (judge(registry.find("01.greedy"), slow, budget_s=budget) for budget in (2, 1000))
    assert short.failure.mistake is None and short.failure.unfinished
    assert long.failure.mistake.name == "the smallest logit is taken." and not long.failure.unfinished


def first_is_wrong_and_last_never_ends():
    trials = [
        Trial([f"answer({size})"], lambda answer, size=size: answer(size), size=size, limit_s=0.3) for size in range(5)
    ]
    found, rest = Property("Right", "It must.", trials[:4]), Property("It ends.", "It must.", trials[4:])
    mistake = Mistake("one too many.", "It adds one.", lambda x: x + 1)
    return Exercise("99.loop", "Loop", "answer", [found, rest], [mistake], ["a", "b", "c"], [lambda x: x] * 2)


def test_where_another_case_never_ends_the_result_says_that_no_mistake_was_looked_for():
    def answer(x):
        while x == 4:
            pass
        return x + 1

    verdict = judge(first_is_wrong_and_last_never_ends(), answer).failure
    assert verdict.mistake is None and verdict.counterexample.failing == 4
    assert verdict.unfinished == ("No known mistake was looked for: another case was stopped after 0.3 s.",)
    named = judge(first_is_wrong_and_last_never_ends(), lambda x: x + 1).failure
    assert named.mistake.name == "one too many." and named.unfinished == ()


def test_a_mistake_that_is_asked_for_too_long_is_said():
    def takes_long(answer, found):
        while True:
            pass

    trial = Trial(["answer(1)"], lambda answer: answer(1))
    mistake = Mistake("slow to tell.", "It is.", is_made_by=takes_long)
    exercise = Exercise(
        "99.ask", "Ask", "answer", [Property("Right", "It must.", [trial])], [mistake], ["a"] * 3, [lambda x: x] * 2
    )
    object.__setattr__(trial, "limit_s", 0.1)
    verdict = judge(exercise, lambda x: -x).failure
    assert verdict.unfinished[0].startswith(
        "Known mistakes were not looked for to the end: your code was stopped after"
    )


def test_a_wrong_answer_of_ours_that_never_ends_is_never_run():
    def never(x):
        raise AssertionError("a mistake that never ends was run")

    trials = [Trial([f"answer({x})"], lambda answer, x=x: answer(x), size=x) for x in range(5)]
    mistakes = [Mistake("it never ends.", "It does not.", never, is_made_by=lambda answer, found: False, ends=False)]
    exercise = Exercise(
        "99.n", "N", "answer", [Property("Right", "It must.", trials)], mistakes, ["a"] * 3, [lambda x: x] * 2
    )
    assert judge(exercise, lambda x: x + 1).failure.mistake is None
    assert never not in {answer for answer, _ in exercise._outcomes}


def test_each_trial_runs_once_for_the_check_and_its_diagnosis():
    calls = []

    def smallest(logits):
        calls.append(1)
        return int(logits.argmin())

    exercise = registry.find("01.greedy")
    asked = sum(m.is_made_by is not None for m in exercise.mistakes) * 41  # is_made_by may call it again
    assert judge(exercise, smallest).failure.mistake.name == "the smallest logit is taken."
    assert len(calls) <= len(exercise.trials) + asked


class Unwritable:
    def __repr__(self):
        raise RuntimeError("no")


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no")


def test_a_value_or_an_exception_that_cannot_be_written_is_only_a_failure():
    def raises(logits):
        raise Unspeakable

    assert "an object of class Unwritable that cannot be written down: RuntimeError: no" in str(
        check("01.greedy", lambda logits: Unwritable())
    )
    assert "Unspeakable: (its __str__ raises RuntimeError)" in str(check("01.greedy", raises))


def test_a_huge_value_is_shown_by_its_first_items():
    got = check("01.greedy", lambda logits: [0] * 5_000_000).failure.counterexample.got
    assert got == "[0, 0, 0, 0, 0, 0, ...]   (list of 5,000,000)"
