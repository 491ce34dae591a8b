"""The mistakes in 09.dynamic_batcher. Each is a right batcher in which one part is replaced."""

from collections import deque

from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Mistake

from .solutions.dynamic_batcher import DynamicBatcher


class Wrong(DynamicBatcher):
    """A batcher with one thing changed; see `variant`."""

    full = staticmethod(lambda count, size: count >= size)
    due = staticmethod(lambda now, since, timeout: now >= since + timeout)
    company = staticmethod(lambda came, due: len(came))
    gives = staticmethod(lambda pair: pair[1])
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
            return self.nothing()
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


MISTAKES = [
    Mistake(
        "a method is missing.",
        "The server calls `add(request, now)`, `take(now)` and `ready_at()`.",
        is_made_by=lambda answer, found: (
            not all(callable(getattr(answer, name, None)) for name in ("add", "take", "ready_at"))
        ),
    ),
    Mistake(
        "None says that there is no batch.",
        "`[]` is a batch of nobody: the caller may ask for its length.",
        variant(nothing=lambda self: None),
    ),
    Mistake(
        "the timer begins again with each arrival.",
        "On a busy morning the next one always comes just in time, and the first waits for ever. Count from the first "
        "of those who wait.",
        (
            variant(since="last"),
            variant(
                says=lambda self: (
                    DynamicBatcher.ready_at(self)
                    if not 0 < len(self.waiting) < self.max_batch_size
                    else self.waiting[-1][0] + self.timeout
                )
            ),
        ),
    ),
    Mistake(
        "all batchers share one queue.",
        "A list in the body of the class is one list for all objects. Make it in `__init__`: `self.waiting = deque()`.",
        is_made_by=shares_a_list,
    ),
    Mistake(
        "it starts only when full.",
        "That is static batching: a lone request at night waits until morning. Look at the timeout too.",
        variant(due=lambda now, since, timeout: False),
    ),
    Mistake(
        "it starts as soon as anybody is there.",
        "Then most batches hold one request, and the weights are read for it alone.",
        variant(due=lambda now, since, timeout: True),
    ),
    Mistake(
        "a full batch waits for the timeout.",
        "Nobody can join it any more: start at once.",
        variant(full=lambda count, size: False),
    ),
    Mistake(
        "a batch is full only with one too many.",
        "`max_batch_size` requests are a full batch: ≥, not >.",
        variant(full=lambda count, size: count > size),
    ),
    Mistake(
        "a batch is full with one too few.",
        "There is room for `max_batch_size`.",
        variant(full=lambda count, size: count >= max(1, size - 1)),
    ),
    Mistake(
        "the timeout is over one step too late.",
        "Who came at 2 with a timeout of 3 is due at 5: ≥, not >.",
        variant(due=lambda now, since, timeout: now > since + timeout),
    ),
    Mistake(
        "those whose own time is not up stay behind.",
        "When the batch starts there is room: whoever waits goes along, up to `max_batch_size`.",
        (variant(company=lambda came, due: sum(map(due, came))), variant(company=lambda came, due: 1)),
    ),
    Mistake(
        "who stays behind begins to wait anew.",
        "Whoever found no place has waited all the same. Each keeps the time at which it came.",
        variant(rest="restart"),
    ),
    Mistake(
        "times come along with the requests.",
        "`take` gives the requests as they were handed to `add`. When they came is the batcher's own affair.",
        (variant(gives=lambda pair: pair), variant(gives=lambda pair: pair[::-1])),
    ),
    Mistake(
        "all who wait go together.", "`max_batch_size` is the most: memory for more is not there.", variant(most=False)
    ),
    Mistake(
        "the newest go first.",
        "`pop()` takes the last one. First come, first served: `popleft()`, or a slice from the front.",
        variant(newest=True),
    ),
    Mistake("who finds no place is forgotten.", "Only those who go may leave the queue.", variant(rest="drop")),
    Mistake("those who go stay in the queue.", "They would be served again. Take them off it.", variant(removes=False)),
    Mistake(
        "the time is counted from the last batch.",
        "A request has waited since it came, whatever was served before. Keep each request's own arrival.",
        variant(clock="batch"),
    ),
    Mistake(
        "the time is counted from when `take` first looks.",
        "The server may be busy for long before it looks. `add` is told when the request came.",
        variant(clock="look"),
    ),
    Mistake(
        "`ready_at` ignores that the batch is full.",
        "A full batch is ready as soon as the last of them came.",
        variant(says=lambda self: self.waiting[0][0] + self.timeout if self.waiting else None),
    ),
    Mistake(
        "`ready_at` gives a length of time, not a point.",
        "It is a time on the same clock as `now`: the arrival of the first, plus the timeout.",
        variant(
            says=lambda self: (
                None if not self.waiting else self.timeout if len(self.waiting) < self.max_batch_size else 0
            )
        ),
    ),
    Mistake(
        "`ready_at` says a time though nobody waits.",
        "With nobody there, no time is right: None.",
        (
            variant(says=lambda self: DynamicBatcher.ready_at(self) or 0),
            variant(says=lambda self: float("inf") if not self.waiting else DynamicBatcher.ready_at(self)),
        ),
    ),
]
