"""Mistakes that people make in 04.allocator."""

from course_lib.practice.judge.exercise import Mistake

from .allocation_cost import SLOW
from .allocator_answers import NeverAgain, WrongAllocator

wrong = WrongAllocator.variant

MISTAKES = [
    Mistake(
        "out of memory is raised, not answered.",
        "None says that there is no room now. Nothing is wrong: the request waits and asks again. Look at how many "
        "are free before you take any.",
        is_made_by=lambda answer, found: str(found.expected).startswith("None") and "Error" in str(found.got),
    ),
    Mistake(
        "`num_free` is a method.",
        "It is read like a number, `allocator.num_free`. Write `@property` above its `def`.",
        is_made_by=lambda answer, found: "a method" in str(found.got),
    ),
    Mistake(
        "a method is missing.",
        "The block table, the manager and the view call `allocate`, `fork`, `free`, `num_free`, `ref_count` and "
        "`check_integrity`.",
        is_made_by=lambda answer, found: (
            not all(
                callable(getattr(answer, name, None))
                for name in ("allocate", "fork", "free", "ref_count", "check_integrity")
            )
        ),
    ),
    Mistake(
        "a block costs more the more there are.",
        "`list.pop(0)` moves all others up; `in`, `min` and `index` look at each. A `deque` gives and takes at both "
        "ends at the same cost, and so does a list at its end.",
        is_made_by=lambda answer, found: found.outcome is SLOW,
    ),
    Mistake(
        "num_blocks and block_size are confused.",
        "`num_blocks` says how many blocks there are, `block_size` how many tokens fit into one. The order is "
        "(num_blocks, block_size).",
        wrong(swapped=True),
    ),
    Mistake(
        "slots are counted, not blocks.",
        "`num_free` and the ids count blocks. `block_size` only matters to whoever turns blocks into slots.",
        wrong(unit="slots"),
    ),
    Mistake(
        "ids are counted from 1.",
        "The pool's tensors have rows 0 to num_blocks - 1: id num_blocks is outside.",
        wrong(first=1),
    ),
    Mistake(
        "one block is given several times.",
        "n blocks are n different ids: take one off the free list for each.",
        wrong(repeats=True),
    ),
    Mistake(
        "a block that is in use is handed out.",
        "What is handed out must leave the free list: `popleft()` or `pop()`, not a look.",
        wrong(takes=False),
    ),
    Mistake(
        "blocks come back in another kind of value.",
        "A list of ids is asked for, also for one block.",
        (
            wrong(returns=lambda b: b[0] if len(b) == 1 else b),
            wrong(returns=tuple),
            wrong(returns=set),
            wrong(returns=iter),
        ),
    ),
    Mistake(
        "what is there is given, where more was asked for.",
        "The caller needs all n: with fewer, its last tokens have no place. All or nothing.",
        (wrong(short="partial"), wrong(short="some"), wrong(short="partial", newest=True)),
    ),
    Mistake(
        "a request that fails keeps what it took.",
        "It says None and the blocks are gone: nobody knows that it has them. Ask `n > num_free` before the first is "
        "taken.",
        wrong(short="lost"),
    ),
    Mistake(
        "an empty list says that there is no room.",
        "`[]` is the right answer to `allocate(0)`. No room is None, so that the two can be told apart.",
        wrong(short="empty"),
    ),
    Mistake(
        "the last block is never given.",
        "n blocks can be had when n are free: only `n > num_free` is too many.",
        (wrong(short="early"), wrong(last=False)),
    ),
    Mistake("freed blocks are never used again.", "A block without a holder goes back to the free list.", NeverAgain),
    Mistake(
        "a shared block is freed by its first holder.",
        "Lower the count by one, and put the block back only when it reaches 0. The other holder still reads it.",
        (wrong(shares=False, known="each"), wrong(shares=False), wrong(shares=False, newest=True)),
    ),
    Mistake(
        "`fork` counts nothing, or not all.",
        "Each block of the list gets one holder more: `counts[b] += 1`.",
        (wrong(counts="none"), wrong(counts="first"), wrong(counts="set")),
    ),
    Mistake(
        "a block can be freed twice.",
        "If its count is 0, nobody holds it: raise `LedgerError`. Otherwise it stands in the free list twice, and two "
        "requests get it.",
        (wrong(known="range"), wrong(known="range", newest=True), wrong(known="none")),
    ),
    Mistake(
        "ids that do not exist are not refused.",
        "Ask `0 <= b < num_blocks` first. A negative index counts from the end, and one that is too large ends in an "
        "IndexError.",
        (wrong(unknown="last"), wrong(unknown="raises")),
    ),
    Mistake(
        "a list that names a block twice slips through.",
        "Each of the two is held when you look, but together they are more than one holder. Count them: "
        "`Counter(block_ids)`.",
        (wrong(known="each"), wrong(known="each", newest=True)),
    ),
    Mistake(
        "half of a list is freed before it is refused.",
        "Look through the whole list first and change things after that: all or nothing.",
        (wrong(whole=False), wrong(whole=False, newest=True)),
    ),
    Mistake(
        "a free block can be shared.",
        "Nobody holds it, and the next `allocate` gives it away. Raise `LedgerError`.",
        wrong(shareable="none"),
    ),
    Mistake(
        "half of a list is shared before it is refused.",
        "Look through the whole list first and change things after that: all or nothing.",
        wrong(shareable="late"),
    ),
    Mistake(
        "`check_integrity` never complains.",
        "Compare two things that are kept apart: the free list, and the blocks whose count is 0.",
        wrong(checks="never"),
    ),
    Mistake(
        "`check_integrity` complains of right books.",
        "It may only raise where the free list and the counts disagree.",
        wrong(checks="always"),
    ),
]
