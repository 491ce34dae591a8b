"""Exercise 04.find_the_leak: a tool that finds the faulty operation of an allocator without reading its code."""

import importlib

from course_lib.practice.fixtures.seeded_ledgers import FAULTS, LedgerA, LedgerB, LedgerC, LedgerD, seeded_ledger
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, Property, Trial

from .find_the_leak_answers import find_at_random, find_one_by_one, never_reports, tool
from .solutions.find_the_leak import find_the_leak


def on(fault, late, **more):
    """The Trial of one fault, which shows from call `late` of its operation on."""
    said = "".join(f", {name}={value}" for name, value in more.items())
    lines = [
        "from course_lib.practice.play import seeded_ledger",
        f"find_the_leak(seeded_ledger({fault!r}, late={late}{said}))  # from call {late} of {fault[0]} on",
    ]

    def act(answer):
        got = answer(seeded_ledger(fault, late, **more))
        return tuple(got) if isinstance(got, list) else got

    return Trial(lines, act, size=late)


def on_right(module, name):
    """The Trial of an allocator without a fault."""

    def act(answer):
        got = answer(getattr(importlib.import_module(module), name))
        return tuple(got) if isinstance(got, list) else got

    return Trial([f"from {module} import {name}", f"find_the_leak({name})"], act)


RIGHT = [
    on_right("course_lib.kvcache", "BlockAllocator"),
    on_right("course_lib.practice.lessons.l04.allocator_answers", "StackOfBlocks"),
    on_right("course_lib.practice.lessons.l04.allocator_answers", "LowestFirst"),
]


def finds_the_four(answer):
    """Runs the answer on the four allocators of the exercise."""
    for name, kind in (("LedgerA", LedgerA), ("LedgerB", LedgerB), ("LedgerC", LedgerC), ("LedgerD", LedgerD)):
        trial = Trial(
            [f"from course_lib.practice.play import {name}", f"find_the_leak({name})"],
            lambda answer, kind=kind: answer(kind),
        )
        got, printed = trial.outcome(answer)
        if not isinstance(got, (tuple, list)) or tuple(got) != kind.fault:
            raise Counterexample(trial.story, kind.fault, got, printed=printed)
    return "all four faults are found"


def blames_none(answer, found):
    """Whether the answer reports `allocate` of a right allocator when it has just returned None."""
    last = []

    class Recorded(importlib.import_module("course_lib.kvcache").BlockAllocator):
        def allocate(self, n=1):
            last[:] = [super().allocate(n)]
            return last[0]

        def fork(self, block_ids):
            last.clear()
            super().fork(block_ids)

        def free(self, block_ids):
            last.clear()
            super().free(block_ids)

    got = answer(Recorded)
    return isinstance(got, (tuple, list)) and got[:1] in (("allocate",), ["allocate"]) and last == [None]


SEVERAL = {"several": True}
SWAPPED = {"lost": "twice", "twice": "lost", "count": "count"}
TITLES = {
    ("allocate", "lost"): "It finds an `allocate` that returns None and keeps the blocks that it took",
    ("allocate", "twice"): "It finds an `allocate` after which a block is held and still free",
    ("fork", "count"): "It finds a `fork` that does not increase the count of every block",
    ("free", "lost"): "It finds a `free` after which a block is not free",
    ("free", "twice"): "It finds a `free` after which a shared block is free too early",
    ("free", "count"): "It finds a `free` that does not lower a count",
}
WHY = {
    "lost": "`num_free` is smaller than the number of blocks without a holder.",
    "twice": "`num_free` is larger than the number of blocks without a holder.",
    "count": "`ref_count(b)` is not the number of holders of the block.",
}

IN_LISTS = {fault: [{}, SEVERAL] if fault[0] == "free" else [{}] for fault in FAULTS}
"""The options of each fault. That of `fork` shows with several blocks only in any case."""

FIND_THE_LEAK = Exercise(
    id="04.find_the_leak",
    title="Which operation leaks?",
    name="find_the_leak",
    cases="allocators",
    properties=[
        *(
            Property(
                TITLES[fault],
                WHY[fault[1]],
                [on(fault, late, **more) for more in IN_LISTS[fault] for late in (1, 2, 3)],
            )
            for fault in FAULTS
        ),
        Property(
            "A block that is lost and keeps its count is lost",
            "`num_free` comes first: a wrong count is the fault only where `num_free` is right.",
            [on(("free", "lost"), late, count_stays=True) for late in (1, 2, 3)],
        ),
        Property(
            "It returns None for an allocator without a fault",
            "People soon ignore a tool that gives false alarms.",
            RIGHT,
        ),
        Property(
            "It finds the faults of `LedgerA` to `LedgerD`",
            "Your tool, on the four allocators of this exercise.",
            run=finds_the_four,
            slow=True,
        ),
    ],
    mistakes=[
        Mistake(
            "no fault is ever reported.",
            "Count the holders of each block yourself, and compare `num_free` and `ref_count` with your counts after "
            "every call.",
            (tool(compares_after=()), never_reports),
        ),
        Mistake(
            "each operation is tried only once.",
            "A fault may show only in the second or the third call. Repeat the same calls.",
            tool(rounds=1),
        ),
        Mistake(
            "`allocate` is never called for too many blocks.",
            "If too few blocks are free, `allocate` returns None and must change nothing. Call it for more blocks "
            "than there are, and compare.",
            tool(asks_too_much=False),
        ),
        Mistake(
            "no block is ever shared.",
            "Wrong counts show only if a block has two holders: call `fork`, and then `free`.",
            tool(forks=False),
        ),
        Mistake(
            "no block is ever freed.",
            "A block that is not returned to the free list shows only after a `free`.",
            tool(frees=False),
        ),
        Mistake(
            "it uses lists of one block only.",
            "A faulty loop may stop too early: use a list of several blocks.",
            tool(n=1),
        ),
        Mistake(
            "it does not compare after every call.",
            "Later, any of the calls before may have been the faulty one. Compare after every call: the first "
            "comparison that fails tells the operation.",
            (tool(compares_after=("free",)), tool(compares_after=("fork", "free"))),
        ),
        Mistake(
            "`ref_count` is never compared.",
            "With a wrong count, a block is later lost or freed too early. Compare it with the number of holders.",
            tool(counts=False),
        ),
        Mistake(
            "counts are compared before `num_free`.",
            "A block that is lost may have a wrong count as well. Compare `num_free` first.",
            tool(counts_first=True),
        ),
        Mistake(
            "lost and twice are swapped.",
            "Fewer free blocks than blocks without a holder: a block is lost. More: two requests will get the same "
            "block.",
            tool(returns=lambda operation, what: (operation, SWAPPED[what])),
        ),
        Mistake(
            "only the operation is returned.",
            "Return a pair: the operation and the fault.",
            tool(returns=lambda operation, what: operation),
        ),
        Mistake(
            "only the fault is returned.",
            "Return a pair: the operation and the fault.",
            tool(returns=lambda operation, what: what),
        ),
        Mistake(
            "the two are returned in the wrong order.",
            "The operation comes first.",
            tool(returns=lambda operation, what: (what, operation)),
        ),
        Mistake(
            "every fault is reported as lost.",
            "Check whether there are too few or too many free blocks, and compare the counts as well.",
            tool(returns=lambda operation, what: (operation, "lost")),
        ),
        Mistake(
            "None from `allocate` is taken for a fault.",
            "To return None is right where fewer than n blocks are free. Compare `num_free` before and after such a "
            "call: a right allocator loses no block by it.",
            (tool(none_is=("allocate", "lost")), tool(none_is=("allocate", "count"))),
            is_made_by=blames_none,
        ),
        Mistake(
            "a fault is reported for a right allocator.",
            "If no comparison fails, return None.",
            (
                tool(nothing=("free", "lost")),
                tool(nothing=("allocate", "lost")),
                tool(nothing=("free", "count")),
                tool(nothing=()),
            ),
        ),
    ],
    hints=[
        "Keep your own counts: `held = Counter()`. After `allocate` and `fork`, `held.update(blocks)`; after `free`, "
        "`held.subtract(blocks)`.",
        "Compare `allocator.num_free` with the number of blocks without a holder, then `allocator.ref_count(b)` with "
        "`held[b]` for each block.",
        "Compare after each single call. The first comparison that fails tells the operation. Fewer free blocks than "
        'blocks without a holder is "lost", more is "twice", otherwise "count".',
        "One round: allocate more blocks than there are; allocate three; fork them; free them; free them again. Run "
        "three rounds.",
    ],
    rights=[find_the_leak, find_at_random, find_one_by_one],
    why="The tool keeps its own counts, which are slower but so simple that they are right, and compares after every "
    "call. `KVCacheManager.check_integrity()` does the same with the block tables of all requests, and the tests of "
    "this course call it after each of 50,000 random operations.",
)
