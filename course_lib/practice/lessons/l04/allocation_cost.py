"""What a call of an allocator in 04.allocator costs: the items that its containers touch, counted.

No clock is read, so the result is the same on every machine and under every load.
"""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import ItemsView, KeysView, ValuesView

from course_lib.practice.judge.exercise import Counterexample, Trial
from course_lib.practice.judge.outcome_text import written
from course_lib.practice.judge.running import Raised

SLOW = object()
"""The outcome of an answer for which a call costs more where there are many blocks."""
SMALL, LARGE, MOST = 1_024, 16_384, 4
CALLS = 12
OPERATIONS = {
    "allocate": lambda allocator, held: allocator.allocate(1),
    "free": lambda allocator, held: allocator.free([held.pop()]),
    "fork": lambda allocator, held: allocator.fork([held[0]]),
    "num_free": lambda allocator, held: allocator.num_free,
    "ref_count": lambda allocator, held: allocator.ref_count(held[0]),
}


def allocation_cost(answer, num_blocks, operation="allocate"):
    """Items of containers that 12 calls touch, and the calls. The allocator has so many blocks, half of them in use."""
    allocator, count = answer(num_blocks, 16), Counter()
    held = list(allocator.allocate(num_blocks // 2))
    allocator.free([held.pop() for _ in range(8)])
    for _ in range(CALLS):
        watch(allocator, count)
        OPERATIONS[operation](allocator, held)
    return CALLS + count["items"]


def watch(allocator, count):
    """Puts containers that count touched items in the place of those that the allocator holds."""
    for name, value in list(vars(allocator).items()):
        if made := WATCHED.get(type(value)):  # and none that is watched already
            other = made(value.default_factory, value) if isinstance(value, defaultdict) else made(value)
            other.count_of = count
            setattr(allocator, name, other)


def _watched(kind, whole, each=(), one=(), views=()):
    """A subclass that counts. Methods that touch all items: whole; items as they go on: each; one item: one."""

    def single(name):
        method = getattr(kind, name)

        def act(self, *args):
            self.count_of["items"] += 1
            return method(self, *args)

        return act

    def touching(name):
        method = getattr(kind, name)

        def act(self, *args):
            self.count_of["items"] += len(self)
            return method(self, *args)

        return act

    def going(name):
        method = getattr(kind, name)

        def act(self):
            for item in method(self):
                self.count_of["items"] += 1
                yield item

        return act

    parts = {name: touching(name) for name in whole} | {name: going(name) for name in each}
    parts |= {name: single(name) for name in one}
    parts |= {name: (lambda self, view=view: view(self)) for name, view in views}
    return type(kind.__name__, (kind,), parts | {"__hash__": None})


class _List(_watched(list, "insert remove index count copy sort reverse __contains__ __add__".split(), ["__iter__"])):
    def pop(self, at=-1):
        self.count_of["items"] += len(self) - at if at >= 0 else -at
        return super().pop(at)

    def __getitem__(self, at):
        got = super().__getitem__(at)
        self.count_of["items"] += len(got) if isinstance(at, slice) else 1
        return got

    def __delitem__(self, at):
        first = at.indices(len(self))[0] if isinstance(at, slice) else at % max(1, len(self))
        self.count_of["items"] += len(self) - first
        super().__delitem__(at)


_VIEWS = (("keys", KeysView), ("values", ValuesView), ("items", ItemsView))
_DEQUE = "insert remove index count copy rotate reverse __contains__".split()
_SET = "copy union intersection difference __and__ __or__ __sub__ __xor__ __le__ __lt__ __eq__".split()
WATCHED = {
    list: _List,
    deque: _watched(deque, _DEQUE, ["__iter__"], ["__getitem__"]),
    set: _watched(set, _SET, ["__iter__"]),
    bytearray: _watched(bytearray, "find index count __contains__".split(), ["__iter__"], ["__getitem__"]),
    **{
        kind: _watched(kind, ["copy"], ["__iter__"], ["__getitem__", "get"], _VIEWS)
        for kind in (dict, Counter, OrderedDict, defaultdict)
    },
}


def costs_alike(answer):
    """Raises Counterexample where a call costs much more with LARGE blocks."""
    for operation in OPERATIONS:
        story = [
            "from course_lib.practice.play import allocation_cost  # items of containers that are touched",
            f"allocation_cost(BlockAllocator, {LARGE:_}, {operation!r}) / "
            f"allocation_cost(BlockAllocator, {SMALL:_}, {operation!r})",
        ]
        trial = Trial(
            story,
            lambda answer, operation=operation: (
                allocation_cost(answer, LARGE, operation) / allocation_cost(answer, SMALL, operation)
            ),
            limit_s=10.0,
        )
        ratio, _ = trial.outcome(answer)
        if isinstance(ratio, Raised) or ratio > MOST:
            got = written(trial, ratio) if isinstance(ratio, Raised) else f"{ratio:.0f}"
            note = f"{LARGE // SMALL} times as many blocks"
            raise Counterexample(story, f"about 1, and at most {MOST}", got, note, outcome=SLOW)
    return f"the same cost with {LARGE // SMALL} times as many blocks"
