"""Cases of 04.find_the_leak: a tool that finds the faulty operation of an allocator, and what it breaks, from outside."""

import importlib

from course_lib.practice.fixtures.seeded_ledgers import FAULTS, LedgerA, LedgerB, LedgerC, LedgerD, seeded_ledger
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, Property, Trial

from .find_the_leak_answers import find_by_chance, find_one_by_one, tool
from .solutions.find_the_leak import find_the_leak


def on(fault, late):
    """The Trial of one fault."""
    lines = [
        "from course_lib.practice.play import seeded_ledger",
        f"find_the_leak(seeded_ledger({fault!r}, late={late}))  # from the {['first', 'second', 'third'][late - 1]} {fault[0]} on",
    ]

    def act(answer):
        said = answer(seeded_ledger(fault, late))
        return tuple(said) if isinstance(said, list) else said

    return Trial(lines, act, size=late)


def on_right(module, name):
    """The Trial of an allocator without a fault."""

    def act(answer):
        said = answer(getattr(importlib.import_module(module), name))
        return tuple(said) if isinstance(said, list) else said

    return Trial([f"from {module} import {name}", f"find_the_leak({name})"], act)


RIGHT = [
    on_right("course_lib.kvcache", "BlockAllocator"),
    on_right("course_lib.practice.lessons.l04.allocator_answers", "StackOfBlocks"),
    on_right("course_lib.practice.lessons.l04.allocator_answers", "LowestFirst"),
]


def finds_the_four(answer):
    """The four allocators of the exercise."""
    for name, kind in (("LedgerA", LedgerA), ("LedgerB", LedgerB), ("LedgerC", LedgerC), ("LedgerD", LedgerD)):
        trial = Trial(
            [f"from course_lib.practice.play import {name}", f"find_the_leak({name})"],
            lambda answer, kind=kind: answer(kind),
        )
        got, printed = trial.outcome(answer)
        if not isinstance(got, (tuple, list)) or tuple(got) != kind.fault:
            raise Counterexample(trial.story, kind.fault, got, printed=printed)
    return "all four are found"


SWAPPED = {"lost": "twice", "twice": "lost", "count": "count"}
SAYS = {
    ("allocate", "lost"): "It finds a request that keeps what it took, and says None",
    ("allocate", "twice"): "It finds a block that is given and stays free",
    ("fork", "count"): "It finds a fork that does not count every block",
    ("free", "lost"): "It finds a block that does not come back",
    ("free", "twice"): "It finds a shared block that is free too early",
    ("free", "count"): "It finds a count that is not lowered",
}
WHY = {
    "lost": "num_free is smaller than the number of blocks that nobody holds.",
    "twice": "num_free is larger than the number of blocks that nobody holds.",
    "count": "ref_count(b) is not the number of holders.",
}

FIND_THE_LEAK = Exercise(
    id="04.find_the_leak",
    title="Which operation leaks?",
    name="find_the_leak",
    cases="allocators",
    properties=[
        *(Property(SAYS[fault], WHY[fault[1]], [on(fault, late) for late in (1, 2, 3)]) for fault in FAULTS),
        Property("It says None of an allocator without a fault", "A tool that cries wolf is soon ignored.", RIGHT),
        Property(
            "It finds the faults of `LedgerA` to `LedgerD`",
            "Your tool, on the four of this exercise.",
            run=finds_the_four,
            slow=True,
        ),
    ],
    mistakes=[
        Mistake(
            "every allocator is said to be right.",
            "Count yourself who holds what, and compare `num_free` and `ref_count` with it after every call.",
            tool(looks=()),
        ),
        Mistake(
            "each operation is tried once.",
            "A fault may wait for the second or the third call. Repeat the same few calls.",
            tool(rounds=1),
        ),
        Mistake(
            "nobody asks for too much.",
            "A request that does not fit says None, and must leave everything as it was. Ask for more blocks than "
            "there are, and look.",
            tool(asks_too_much=False),
        ),
        Mistake(
            "no block is ever shared.",
            "Whether counts are kept shows only where a block has two holders: fork, and then free.",
            tool(forks=False),
        ),
        Mistake(
            "nothing is ever freed.", "What does not come back shows only when something should.", tool(frees=False)
        ),
        Mistake(
            "it only works with single blocks.", "A loop may stop too early: use a list of several blocks.", tool(n=1)
        ),
        Mistake(
            "it looks only at the end.",
            "By then the fault may have been anywhere. Look after every call: the first look that fails names the "
            "operation.",
            (tool(looks=("free",)), tool(looks=("fork", "free"))),
        ),
        Mistake(
            "`ref_count` is never looked at.",
            "A count that is wrong loses a block later, or gives it away. Compare it with how many hold the block.",
            tool(counts=False),
        ),
        Mistake(
            "lost and twice are swapped.",
            "Fewer free than nobody holds: one is lost. More: one will be given to two.",
            tool(names=lambda operation, what: (operation, SWAPPED[what])),
        ),
        Mistake(
            "the operation alone is returned.",
            "Return a pair: the operation, and what it breaks.",
            tool(names=lambda operation, what: operation),
        ),
        Mistake(
            "what is broken alone is returned.",
            "Return a pair: the operation, and what it breaks.",
            tool(names=lambda operation, what: what),
        ),
        Mistake(
            "the two are returned in the other order.",
            "The operation comes first.",
            tool(names=lambda operation, what: (what, operation)),
        ),
        Mistake(
            "every fault is called lost.",
            "Compare in both directions, and the counts as well.",
            tool(names=lambda operation, what: (operation, "lost")),
        ),
        Mistake(
            "a right allocator is accused.",
            "Where no look fails, return None.",
            (
                tool(nothing=("free", "lost")),
                tool(nothing=("allocate", "lost")),
                tool(nothing=("free", "count")),
                tool(nothing=()),
            ),
        ),
    ],
    hints=[
        "Keep books of your own: `held = Counter()`. After `allocate` and `fork`, `held.update(blocks)`; after "
        "`free`, `held.subtract(blocks)`.",
        "A look compares: `allocator.num_free` with how many blocks nobody holds, then `allocator.ref_count(b)` with "
        "`held[b]` for each block.",
        "Look after each single call. The first look that fails tells the operation; fewer free than nobody holds is "
        '"lost", more is "twice", otherwise "count".',
        "A round: ask for more than there are; allocate three; fork them; free them; free them again. Three rounds.",
    ],
    rights=[find_the_leak, find_by_chance, find_one_by_one],
    why="The tool is a second, slower set of books, kept so simply that it is surely right, and a look after every "
    "call. `KVCacheManager.check_integrity()` does the same with the tables of all requests, and the tests of this "
    "course call it after each of 50,000 random operations.",
)
