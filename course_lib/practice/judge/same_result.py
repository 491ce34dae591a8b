"""Finds two calls that return one and the same list, dict or tensor: what one caller changes, the other one finds."""

import functools
import inspect
from collections import deque

from .agreement import is_tensor
from .exercise import Counterexample, Mistake
from .limits import Stopwatch

_MOST = 40
"""So many items of a result are looked at."""
_KINDS = (list, dict, set, deque)


def owned(value, depth=2):
    """{key: kind} of the containers and tensors in a result that its caller may change. Equal keys are one memory."""
    if is_tensor(value):
        return {("memory", value.untyped_storage().data_ptr()): "tensor"} if value.numel() else {}
    found = {("object", id(value)): type(value).__name__} if isinstance(value, _KINDS) else {}
    if depth and isinstance(value, (*_KINDS, tuple)):
        for item in list(value.values() if isinstance(value, dict) else value)[:_MOST]:
            found |= owned(item, depth - 1)
    return found


def returned_again(exercise, runs):
    """(Property, Counterexample) of a call that returns what an earlier one has returned; or None.

    For a function that passed and keeps something from call to call. It is not looked at for longer than a check may
    take.
    """
    if inspect.isclass(runs.answer) or not runs.kept.changed():
        return None
    watch, results = Stopwatch(), _Results(runs.answer)
    runs.kept.restore()
    for prop in exercise.properties:
        for trial in sorted(prop.trials, key=lambda t: t.size):
            if watch.seconds() > runs.budget_s:
                return None
            first, kind = results.again(trial)
            if kind and not _Results(exercise.reference).again(trial)[1]:
                return prop, _counterexample(first, trial, kind)
    return None


class _Results:
    """What an answer has returned in all trials so far."""

    def __init__(self, answer):
        self.answer = answer
        self.first = {}
        """{key of `owned`: (the trial that brought it first, the result)}. A result that is held keeps its key."""

    def again(self, trial):
        """(an earlier trial, what it and this one share: "list", "tensor", …); ("", "") where they share nothing."""
        shared = ["", ""]

        @functools.wraps(self.answer)
        def watched(*args, **kwargs):
            result = self.answer(*args, **kwargs)
            given = set().union(*(owned(one) for one in (*args, *kwargs.values())))
            for key, kind in owned(result).items():
                if key in self.first and key not in given:
                    shared[:] = self.first[key][0], kind
                self.first.setdefault(key, (trial, result))
            return result

        for _ in range(2):  # a function that remembers its results gives them again to the same question
            trial.outcome(watched)
        return tuple(shared)


def _counterexample(first, trial, kind):
    return Counterexample(
        [*first.story, "# and after it:", *trial.story],
        f"a new {kind} from each call",
        f"the {kind} that an earlier call has returned",
        trial=trial,
        mistake=Mistake(
            f"two calls return the same {kind}.",
            "The first caller still holds it, and finds there what the second call writes. Make a new one in each.",
        ),
    )
