"""Mistakes that people make in 04.allocator."""

from course_lib.errors import LedgerError
from course_lib.practice.judge.exercise import Mistake

from .allocation_cost import SLOW
from .allocator_answers import NeverAgain, WrongAllocator
from .allocator_damage import KINDS, complains, damaged
from .allocator_game import Changed

wrong = WrongAllocator.variant


def takes_negative_ids(answer, found):
    """Whether the last line has a negative id, and the answer refuses free blocks and ids that are too large."""

    def refuses(block):
        allocator = answer(4, 4)
        held = allocator.allocate(1)
        refused = 0
        for act in (allocator.fork, allocator.free):
            try:
                act([next(b for b in range(4) if b not in held) if block is None else block])
            except LedgerError:
                refused += 1
        return refused == 2

    return found.got == "no error" and "-" in found.story[-1] and refuses(None) and refuses(9)


def never_complains(answer):
    """Whether check_integrity() says nothing, whatever contradicts what."""
    allocator = answer(6, 4)
    allocator.free(allocator.allocate(4)[:1])
    return all(complains(other) == "no error" for _, other in damaged(allocator))


class AppendsAfterwards(WrongAllocator):
    """Lowers all counts first; then it goes through the list again, and frees each block whose count is 0."""

    def free(self, block_ids):
        block_ids = self._known(block_ids)
        self._check(block_ids)
        for b in block_ids:
            self.count[b] -= 1
        self.list.extend(b for b in block_ids if self.count[b] == 0)


class AllForZero(WrongAllocator):
    """Slices the last n ids off a list: for n = 0, that is the whole list."""

    def allocate(self, n=1):
        return super().allocate(n or len(self.list))


def takes_all_for_zero(answer, found):
    """Whether allocate(0) returns all blocks."""
    return "allocate(0)" in found.story[-1] and len(answer(4, 4).allocate(0)) == 4


MISTAKES = [
    Mistake(
        "an exception is raised where None must be returned.",
        "None means that too few blocks are free now. This is not an error: the request waits and tries again. Check "
        "how many blocks are free before you take any.",
        is_made_by=lambda answer, found: str(found.expected).startswith("None") and "Error" in str(found.got),
    ),
    Mistake(
        "`num_free` is a method.",
        "It is read without brackets: `allocator.num_free`. Write `@property` above its `def`.",
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
        "the caller's list is changed.",
        "The list belongs to the table that passed it. Read it, and change only lists of your own.",
        is_made_by=lambda answer, found: "the list that was passed" in str(found.got),
    ),
    Mistake(
        "a list that was returned is changed later.",
        "The caller keeps the list that `allocate` returned. Return a new list each time, and do not keep it.",
        is_made_by=lambda answer, found: (
            getattr(found.outcome, "kind", "") == Changed.__name__ or "that was returned before" in str(found.got)
        ),
    ),
    Mistake(
        "a call costs more, the more blocks there are.",
        "`list.pop(0)` moves all other items; `in`, `min`, `sum` and `index` read each item. A `deque` adds and "
        "removes at both ends in constant time, and a list does so at its end. `num_free` is the length of the free "
        "list, or a number that you keep.",
        is_made_by=lambda answer, found: found.outcome is SLOW,
    ),
    Mistake(
        "num_blocks and block_size are confused.",
        "`num_blocks` is the number of blocks, `block_size` the number of tokens in a block. The order is "
        "(num_blocks, block_size).",
        wrong(swapped=True),
    ),
    Mistake(
        "slots are counted, not blocks.",
        "`num_free` and the ids count blocks. `block_size` matters only where slots are computed from blocks.",
        wrong(unit="slots"),
    ),
    Mistake(
        "ids are counted from 1.",
        "The pool's tensors have rows 0 to num_blocks - 1: there is no row num_blocks.",
        wrong(first=1),
    ),
    Mistake(
        "the same block is returned several times.",
        "n blocks have n different ids: remove an id from the free list for each.",
        wrong(repeats=True),
    ),
    Mistake(
        "a block that is in use is allocated again.",
        "An allocated block must be removed from the free list: use `popleft()` or `pop()`.",
        wrong(takes=False),
    ),
    Mistake(
        "the blocks are not returned as a list.",
        "Return a list of ids, also for one block.",
        (
            wrong(returns=lambda b: b[0] if len(b) == 1 else b),
            wrong(returns=tuple),
            wrong(returns=set),
            wrong(returns=iter),
        ),
    ),
    Mistake(
        "fewer than n blocks are returned.",
        "The caller needs all n blocks: with fewer, its last tokens have no slot. Return all or None.",
        (wrong(short="partial"), wrong(short="some"), wrong(short="partial", newest=True)),
    ),
    Mistake(
        "a call that returns None keeps the blocks that it took.",
        "The blocks are lost: no table holds them, and they are not free. Check `n > num_free` before you take the "
        "first block.",
        wrong(short="lost"),
    ),
    Mistake(
        "an empty list is returned where None must be returned.",
        "`[]` is the right result of `allocate(0)`. Return None where too few blocks are free, so that the two differ.",
        wrong(short="empty"),
    ),
    Mistake(
        "the last block is never allocated.",
        "n blocks can be allocated if n are free: only `n > num_free` is too many.",
        (wrong(short="early"), wrong(last=False)),
    ),
    Mistake(
        "freed blocks are never used again.", "A block without a holder must go back to the free list.", NeverAgain
    ),
    Mistake(
        "a shared block becomes free when its first holder frees it.",
        "Decrease the count by one, and return the block to the free list only when the count is 0. The other holder "
        "still reads it.",
        (wrong(shares=False, known="each"), wrong(shares=False), wrong(shares=False, newest=True)),
    ),
    Mistake(
        "`fork` does not increase the count of every block.",
        "Each block of the list gets one more holder: `counts[b] += 1`.",
        (wrong(counts="none"), wrong(counts="first"), wrong(counts="set")),
    ),
    Mistake(
        "the count of a block has an upper limit.",
        "A system prompt is shared by hundreds of sequences. int8 ends at 127, uint8 at 255: count in Python's `int`.",
        (wrong(most=127), wrong(most=255)),
        is_made_by=lambda answer, found: any("for _ in range" in line for line in found.story),
    ),
    Mistake(
        "no block at all is asked for, and None is returned.",
        "0 blocks can always be allocated, also where none is free: the result is `[]`.",
        wrong(short="zero"),
    ),
    Mistake(
        "`allocate(0)` takes all blocks.",
        "`free_list[-n:]` is the whole list if n is 0, because -0 is 0. Use `free_list[len(free_list) - n :]`, or pop "
        "n times.",
        AllForZero,
        is_made_by=takes_all_for_zero,
    ),
    Mistake(
        "`fork` counts a block once that the list names twice.",
        "Each time that the list names a block is one holder more. Do not make a set of the list.",
        wrong(counts="distinct"),
    ),
    Mistake(
        "a block can be freed twice.",
        "If its count is 0, it has no holder: raise `LedgerError`. Otherwise it is in the free list twice, and two "
        "requests get it.",
        (wrong(known="range"), wrong(known="range", newest=True), wrong(known="none")),
    ),
    Mistake(
        "ids that do not exist are accepted, or raise another error.",
        "Check `0 <= b < num_blocks` first. A negative index counts from the end, and one that is too large raises "
        "IndexError.",
        (wrong(unknown="last"), wrong(unknown="raises"), wrong(unknown="negative")),
        is_made_by=lambda answer, found: (
            str(found.expected) == "LedgerError"
            and (str(found.got).startswith(("IndexError", "KeyError")) or takes_negative_ids(answer, found))
        ),
    ),
    Mistake(
        "a block that the list names twice is put into the free list twice.",
        "Its count is 0 after the loop, at both of its places. Append a block at the moment when its count becomes 0.",
        AppendsAfterwards,
    ),
    Mistake(
        "a list that names a block twice is accepted.",
        "Each of the two passes the check, but together they are more than the holders of the block. Count them: "
        "`Counter(block_ids)`.",
        (wrong(known="each"), wrong(known="each", newest=True)),
    ),
    Mistake(
        "a part of the list is freed before the error is raised.",
        "Check the whole list before you change anything.",
        (wrong(whole=False), wrong(whole=False, newest=True)),
    ),
    Mistake(
        "a free block can be shared.",
        "It has no holder, and the next `allocate` may return it. Raise `LedgerError`.",
        wrong(shareable="none"),
    ),
    Mistake(
        "a part of the list is shared before the error is raised.",
        "Check the whole list before you change anything.",
        wrong(shareable="late"),
    ),
    Mistake(
        "`check_integrity` never raises an error.",
        "Compare two things that are updated separately: the free list, and the blocks whose count is 0.",
        wrong(checks="never"),
        is_made_by=lambda answer, found: getattr(found.trial, "note", "") in KINDS and never_complains(answer),
    ),
    Mistake(
        "`check_integrity` does not notice a block that is free and held: numbers of blocks are not enough.",
        "With one block free that is held, and another one lost, the numbers are right. Compare the ids: each block "
        "without a holder is in the free list, and no block with a holder is.",
        wrong(checks="lengths"),
    ),
    Mistake(
        "`check_integrity` does not notice a block that is in the free list twice.",
        "A set drops what comes twice. Compare `sorted(free_list)`, or the lengths as well.",
        wrong(checks="sets"),
    ),
    Mistake(
        "`check_integrity` does not notice a block that is lost.",
        "It looks only at blocks in the free list. A block without a holder that is not in it can never be allocated.",
        wrong(checks="listed"),
    ),
    Mistake(
        "`check_integrity` does not raise `IntegrityError`.",
        "It must raise `IntegrityError`, which is imported above. `assert` raises AssertionError, and a value that is "
        "returned is not looked at.",
        is_made_by=lambda answer, found: (
            getattr(found.trial, "note", "") in KINDS and not str(found.got).startswith("no error")
        ),
    ),
    Mistake(
        "`check_integrity` raises an error for a consistent ledger.",
        "It must raise only if the free list and the counts disagree.",
        wrong(checks="always"),
    ),
]
