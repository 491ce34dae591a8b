"""The mistakes in 09.dynamic_batcher. Each is a right batcher in which one part is replaced."""

from collections import deque

from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Mistake

from .solutions.dynamic_batcher import DynamicBatcher


class Wrong(DynamicBatcher):
    """A batcher with one part replaced; see `variant`."""

    full = staticmethod(lambda count, size: count >= size)
    due = staticmethod(lambda now, since, timeout: now >= since + timeout)
    company = staticmethod(lambda came, due: len(came))
    gives = staticmethod(lambda pair: pair[1])
    early = list
    since, clock, most, newest, nothing, rest, removes, says = "first", "arrival", True, False, list, "keep", True, None

    @classmethod
    def variant(cls, **changes):
        return type(
            "Wrong",
            (cls,),
            {
                name: staticmethod(value) if name in ("full", "due", "company", "gives") else value
                for name, value in changes.items()
            },
        )

    def __init__(self, max_batch_size, timeout):
        super().__init__(max_batch_size, timeout)
        self.seen, self.left = None, 0

    def ready_at(self):
        if self.says is None:
            return (
                super().ready_at()
                if self.since == "first"
                else self.waiting[-1][0] + self.timeout
                if self.waiting
                else None
            )
        return self.says()

    def _since(self, now):
        came = self.waiting[0 if self.since == "first" else -1][0]
        if self.clock == "look":
            if self.seen is None:
                self.seen = now
            return self.seen
        return self.left if self.clock == "batch" else came

    def take(self, now):
        if not self.waiting:
            return self.nothing()
        late = self.due(now, self._since(now), self.timeout)
        if not self.full(len(self.waiting), self.max_batch_size) and not late:
            return self.early()
        count = min(self.max_batch_size, len(self.waiting)) if self.most else len(self.waiting)
        if not self.full(len(self.waiting), self.max_batch_size):
            count = self.company([came for came, _ in self.waiting], lambda came: self.due(now, came, self.timeout))
        self.left, self.seen = now, None
        if not self.removes:
            return [name for _, name in list(self.waiting)[:count]]
        batch = [self.gives(self.waiting.pop() if self.newest else self.waiting.popleft()) for _ in range(count)]
        if self.rest == "drop":
            self.waiting.clear()
        elif self.rest == "restart":
            self.waiting = deque((now, name) for _, name in self.waiting)
        return batch


variant = Wrong.variant


def after_the_newest(batcher):
    """A wrong ready_at of a batch that is not full: the timeout after the arrival of the newest request."""
    if not 0 < len(batcher.waiting) < batcher.max_batch_size:
        return DynamicBatcher.ready_at(batcher)
    return batcher.waiting[-1][0] + batcher.timeout


def loses_equal_requests(answer):
    """Whether a batcher that serves three names in their order does not do so with equal lists, or other names."""

    def served(*requests):
        batcher = answer(2, 0)
        try:
            for request in requests:
                batcher.add(request, 0)
            return [*batcher.take(0), *batcher.take(0)]
        except TypeError:  # a list is no key
            return None

    if served("a", "b", "c") != ["a", "b", "c"]:
        return False
    return served([1], [1], [1]) != [[1], [1], [1]] or served("c", "b", "a") != ["c", "b", "a"]


MISTAKES = [
    Mistake(
        "a method is missing.",
        "The server calls `add(request, now)`, `take(now)` and `ready_at()`.",
        is_made_by=lambda answer, found: (
            not all(callable(getattr(answer, name, None)) for name in ("add", "take", "ready_at"))
        ),
    ),
    Mistake(
        "None is returned where no batch starts.",
        "Return `[]`, an empty batch: the caller may use its length.",
        tuple(variant(**dict.fromkeys(names, lambda self: None)) for names in (("nothing", "early"), ("early",))),
    ),
    Mistake(
        "the timer begins again with each arrival.",
        "While requests keep arriving within the timeout, the batch never starts and the first request waits for "
        "ever. Count from the arrival of the first request in the queue.",
        (variant(since="last"), variant(says=after_the_newest), variant(since="last", says=after_the_newest)),
    ),
    Mistake(
        "all batchers share one queue.",
        "A list in the body of the class is one list for all objects. Make it in `__init__`: `self.waiting = deque()`.",
        is_made_by=shares_a_list,
    ),
    Mistake(
        "requests are used as keys, compared, or sorted.",
        "A request can be a list, which is no key of a dict, and two can be equal. Keep (time, request) pairs in a "
        "list or a deque, in the order in which they came.",
        is_made_by=lambda answer, found: found.trial is not None and loses_equal_requests(answer),
    ),
    Mistake(
        "times are rounded.",
        "Keep them as they come: `int` drops the fraction of a second.",
        (
            variant(says=lambda self: None if not self.waiting else int(DynamicBatcher.ready_at(self))),
            variant(says=lambda self: None if not self.waiting else round(DynamicBatcher.ready_at(self))),
        ),
    ),
    Mistake(
        "`take` and `ready_at` compare times in two ways.",
        "0.7 + 0.1 is 0.7999999999999999 as a float, and minus 0.7 it is less than 0.1. So at the time that `ready_at` "
        "gave, nothing starts, and the server asks again and again. Compare in one way: `now >= self.ready_at()`.",
        variant(due=lambda now, since, timeout: now - since >= timeout),
    ),
    Mistake(
        "a batch starts only when full.",
        "A request that arrives alone then waits until others come, which may take hours. Check the timeout too.",
        variant(due=lambda now, since, timeout: False),
    ),
    Mistake(
        "a batch starts as soon as any request waits.",
        "Then most batches hold one request, and all weights are read for this one request.",
        variant(due=lambda now, since, timeout: True),
    ),
    Mistake(
        "a full batch waits for the timeout.",
        "No request can join it any more: start at once.",
        variant(full=lambda count, size: False),
    ),
    Mistake(
        "a batch counts as full only with one request more.",
        "`max_batch_size` requests are a full batch: ≥, not >.",
        variant(full=lambda count, size: count > size),
    ),
    Mistake(
        "a batch counts as full with one request less.",
        "There is room for `max_batch_size` requests.",
        variant(full=lambda count, size: count >= max(1, size - 1)),
    ),
    Mistake(
        "the timeout ends one step too late.",
        "A request that came at 2 with a timeout of 3 is due at 5: ≥, not >.",
        variant(due=lambda now, since, timeout: now > since + timeout),
    ),
    Mistake(
        "requests that have not waited for the timeout are left in the queue.",
        "When a batch starts, all waiting requests join it, up to `max_batch_size`.",
        (variant(company=lambda came, due: sum(map(due, came))), variant(company=lambda came, due: 1)),
    ),
    Mistake(
        "the waiting time of requests left in the queue starts again.",
        "A request that found no place in a batch has waited all the same. Keep its arrival time.",
        variant(rest="restart"),
    ),
    Mistake(
        "arrival times are returned with the requests.",
        "`take` returns the requests as they were passed to `add`. Only the batcher needs their arrival times.",
        (variant(gives=lambda pair: pair), variant(gives=lambda pair: pair[::-1])),
    ),
    Mistake(
        "all waiting requests form one batch.",
        "A batch holds at most `max_batch_size` requests: there is no memory for more.",
        variant(most=False),
    ),
    Mistake(
        "the newest requests go first.",
        "`pop()` takes the last of the queue. First come, first served: `popleft()`, or a slice from the front.",
        variant(newest=True),
    ),
    Mistake(
        "requests that find no place in the batch are lost.",
        "Only the requests of the batch leave the queue.",
        variant(rest="drop"),
    ),
    Mistake(
        "the requests of a batch stay in the queue.",
        "They would be served again. Remove them from the queue.",
        variant(removes=False),
    ),
    Mistake(
        "the waiting time is counted from the last batch.",
        "A request has waited since its arrival, whatever was served before. Keep each request's own arrival time.",
        (
            variant(clock="batch"),
            variant(
                says=lambda self: (
                    DynamicBatcher.ready_at(self)
                    if not 0 < len(self.waiting) < self.max_batch_size
                    else max(self.left, self.waiting[0][0]) + self.timeout
                )
            ),
        ),
    ),
    Mistake(
        "the waiting time is counted from the first call of `take`.",
        "The server may be busy for long before it calls `take`. `add` is given the arrival time.",
        variant(clock="look"),
    ),
    Mistake(
        "`ready_at` ignores that the batch is full.",
        "A full batch is ready at the arrival of the request that filled it.",
        variant(says=lambda self: self.waiting[0][0] + self.timeout if self.waiting else None),
    ),
    Mistake(
        "`ready_at` returns a duration, not a time.",
        "Return a time on the same clock as `now`: the arrival time of the first request, plus the timeout.",
        variant(
            says=lambda self: (
                None if not self.waiting else self.timeout if len(self.waiting) < self.max_batch_size else 0
            )
        ),
    ),
    Mistake(
        "`ready_at` returns a time although no request waits.",
        "While no request waits, no time is right: return None.",
        (
            variant(says=lambda self: DynamicBatcher.ready_at(self) or 0),
            variant(says=lambda self: float("inf") if not self.waiting else DynamicBatcher.ready_at(self)),
        ),
    ),
]
