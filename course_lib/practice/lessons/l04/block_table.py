"""Exercise 04.block_table: the block table of one sequence."""

from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .block_table_answers import (
    CountsNewTokensAlone,
    LeavesOneBlock,
    TableOfSlots,
    TableTokenByToken,
    WithoutRollback,
    WrongTable,
)
from .block_table_game import by_hand, lower_id_last, one_between, played
from .solutions.block_table import BlockTable

SIZES = [(3, 4), (4, 3), (5, 2)]
wrong = WrongTable.variant

BLOCK_TABLE = Exercise(
    id="04.block_table",
    title="The table of one sequence",
    name="BlockTable",
    cases="programs",
    properties=[
        Property(
            "A new table has no tokens and no blocks",
            "A request that waits must not hold blocks.",
            [
                by_hand(n, size, look)
                for n, size in SIZES
                for look in (("num_tokens", "a"), ("block_ids", "a"), ("num_free",))
            ],
        ),
        Property(
            "The first tokens fill each block from its first slot on",
            "slot = block_id * block_size + offset.",
            [
                by_hand(n, size, *before, ("append_none", "a", 0))
                for n, size in SIZES
                for before in ([], [("fits", "a", 1)], [("fits", "a", size)])
            ]
            + [by_hand(n, size, ("fits", "a", k)) for n, size in SIZES for k in (1, 2, size, size + 1, 2 * size)],
        ),
        Property(
            "The next tokens go into the last block, then into a new one",
            "Only the last block of a sequence can be partly empty, so at most block_size - 1 slots are wasted.",
            [
                by_hand(n, size, *[("fits", "a", k) for k in split])
                for n, size in SIZES
                for split in ((1, 1), (2, 2), (1, size), (size, 1), (size - 1, 2))
            ]
            + [lower_id_last(n, size) for n, size in SIZES]
            + [by_hand(2, size, *[("fits", "a", k) for k in (1, size - 1, 1)]) for size in (64, 128)]
            + played(24, 1, "fits", "fits", "fits", "free"),
        ),
        Property(
            "A block is allocated when its first token needs it, not before",
            "A block that is held for later tokens is reserved memory again.",
            [
                by_hand(n, size, ("fits", "a", k), ("num_free",))
                for n, size in SIZES
                for k in (1, size - 1, size, size + 1, 2 * size)
            ]
            + [
                by_hand(n, size, *before, ("append_none", "a", 0), look)
                for n, size in SIZES
                for before in ([], [("fits", "a", size)])
                for look in (("num_free",), ("block_ids", "a"))
            ]
            + played(24, 2, "fits", "num_free", "block_ids", "num_tokens"),
        ),
        Property(
            "`slot(position)` returns the slot of an earlier token",
            "Attention reads all of them, in the order of the sequence.",
            [
                by_hand(n, size, ("fits", "a", 2 * size), ("read", "a", p))
                for n, size in SIZES
                for p in (0, size - 1, size, 2 * size - 1)
            ]
            + [
                by_hand(n, size, ("fits", "a", 1), ("fits", "a", size), ("read", "a", p))
                for n, size in SIZES
                for p in (0, size)
            ]
            + [lower_id_last(n, size, ("read", "a", p)) for n, size in SIZES for p in (0, size)]
            + [one_between(4, size, ("read", "a", p)) for _, size in SIZES for p in (size, 2 * size - 1)]
            + played(20, 3, "fits", "read", "free", lengths=(4, 12)),
        ),
        Property(
            "`slot` raises `ParameterError` for a position without a token",
            "A negative index would count from the end, and read another token.",
            [
                by_hand(n, size, ("fits", "a", k), ("slot", "a", p))
                for n, size in SIZES
                for k in (1, size)
                for p in (k, k + size - 1, -1, -k, k + 2 * size, 10**9, -(10**9))
            ],
        ),
        Property(
            "If too few blocks are free, it returns None and changes nothing",
            "The request waits and tries again, or another request is preempted.",
            [by_hand(n, size, ("append", "a", n * size + k)) for n, size in SIZES for k in (1, 3)]
            + [
                by_hand(n, size, ("append", "a", n * size + 1), look)
                for n, size in SIZES
                for look in (("num_free",), ("num_tokens", "a"), ("block_ids", "a"))
            ]
            + [by_hand(n, size, ("fits", "a", 1), ("append", "a", n * size), ("fits", "a", 1)) for n, size in SIZES]
            + played(24, 4, "append", "append", "num_free", "num_tokens", "block_ids"),
        ),
        Property(
            "`free()` frees every block, and the table is empty",
            "A block that is not freed is lost.",
            [by_hand(n, size, ("free_empty", "a"), *more) for n, size in SIZES for more in ([], [("fits", "a", 1)])]
            + [
                by_hand(n, size, ("fits", "a", k), ("free", "a"), look)
                for n, size in SIZES
                for k in (1, size + 1, n * size)
                for look in (("num_free",), ("num_tokens", "a"), ("block_ids", "a"))
            ]
            + played(24, 5, "append", "append", "free", "num_free", "slot"),
        ),
    ],
    mistakes=[
        Mistake(
            "`free()` of a table without blocks raises an error.",
            "A request can be aborted while it still waits. Its table has no blocks, and `free()` has nothing to do.",
            is_made_by=lambda answer, found: (
                found.raised and found.story[-1].endswith(".free()") and len(found.story) == 4
            ),
        ),
        Mistake(
            "`append_slots(0)` returns None.",
            "It needs no block, and returns the empty list. `allocate(0)` returns one too, which is false in Python as "
            "None is. Ask `if fresh is None`, and return the empty list for n = 0.",
            (wrong(empty="fresh"), wrong(empty="n")),
        ),
        Mistake(
            "an exception is raised where None must be returned.",
            "If `allocate` returns None, `append_slots` returns None too. Check the result of `allocate` before you "
            "use it.",
            is_made_by=lambda answer, found: (
                str(found.expected).startswith("None") and "Error" in str(found.got) or "CacheFull" in str(found.got)
            ),
        ),
        Mistake(
            "a method is missing.",
            "The cache and the manager call `append_slots`, `slot` and `free`.",
            is_made_by=lambda answer, found: (
                not all(callable(getattr(answer, name, None)) for name in ("append_slots", "slot", "free"))
            ),
        ),
        Mistake(
            "nothing is returned.",
            "`append_slots` must return the list of the new slots, `slot` a number.",
            is_made_by=lambda answer, found: (
                "None" in str(found.got) and not str(found.expected).startswith("None") and all_none(answer)
            ),
        ),
        Mistake(
            "one block too many is allocated when the last block is full.",
            "4 tokens fit into one block of 4: the number of blocks is tokens / block_size, rounded up. "
            "`tokens // size + 1` is one too many if the remainder is 0.",
            wrong(need=lambda tokens, size: tokens // size + 1),
        ),
        Mistake(
            "the last tokens get no block.",
            "Round up, not down: 5 tokens need two blocks of 4. `-(-tokens // size)` rounds up.",
            (wrong(need=lambda tokens, size: tokens // size), wrong(need=lambda tokens, size: max(1, tokens // size))),
        ),
        Mistake(
            "the number of blocks is computed with a fixed block size.",
            "Ask the allocator that the table was given: `self.allocator.block_size`.",
            tuple(wrong(need=lambda tokens, size, fixed=fixed: -(-tokens // fixed)) for fixed in (4, 8, 16)),
        ),
        Mistake(
            "the blocks of the new tokens alone are counted.",
            "The last block may have free slots, and then fewer are needed: the blocks for all tokens, less those "
            "that the table has.",
            CountsNewTokensAlone,
        ),
        Mistake(
            "the last free block is never taken.",
            "Only where more blocks are needed than are free, there are too few.",
            LeavesOneBlock,
        ),
        Mistake(
            "every token gets a block.",
            "A block holds `block_size` tokens. Allocate a new one only when the last is full.",
            wrong(need=lambda tokens, size: tokens),
        ),
        Mistake(
            "the free slots of the last block are not used.",
            "The next token goes into the last block if it is not full. Compute the blocks for all tokens, and "
            "subtract those that the table has.",
            wrong(own=True),
        ),
        Mistake(
            "block_size and num_blocks are confused.",
            "A block has `block_size` slots, so block b starts at slot b * block_size. The number of blocks does not "
            "matter here.",
            (
                wrong(slot_of=lambda block, p, size, blocks: block * blocks + p % size),
                wrong(slot_of=lambda block, p, size, blocks: (p % size) * blocks + block),
            ),
        ),
        Mistake(
            "the offset is not added.",
            "The tokens of one block are in consecutive slots: add `position % block_size`.",
            wrong(slot_of=lambda block, p, size, blocks: block * size),
        ),
        Mistake(
            "the position is added, not its offset in the block.",
            "`block_id * block_size` is the first slot of the block: add `position % block_size`.",
            wrong(slot_of=lambda block, p, size, blocks: block * size + p),
        ),
        Mistake(
            "the position is returned as the slot.",
            "A sequence's blocks can be anywhere. Look the block up: `block_ids[position // block_size]`.",
            wrong(slot_of=lambda block, p, size, blocks: p),
        ),
        Mistake(
            "block ids are returned, not slots.",
            "The pool writes each token into its slot: it needs block_id * block_size + offset of each token.",
            wrong(returns="blocks"),
        ),
        Mistake("one slot is returned without a list.", "Return a list, also for one token.", wrong(returns="one")),
        Mistake(
            "positions are one off.",
            "The first new token is at position `num_tokens`, counted from 0.",
            (wrong(shift=-1), wrong(shift=1, need=lambda t, s: -(-(t + 1) // s))),
        ),
        Mistake(
            "the order of the blocks is lost.",
            "The table is in the order of the sequence: add new blocks at its end, whatever their ids are.",
            (
                wrong(joins=lambda old, new: new + old),
                wrong(joins=lambda old, new: sorted(old + new)),
                wrong(joins=lambda old, new: sorted(old + new, reverse=True)),
            ),
        ),
        Mistake(
            "`num_tokens` never grows.",
            "Then each step starts at position 0 again and overwrites the earlier tokens.",
            wrong(grows=False),
        ),
        Mistake(
            "`num_tokens` grows although there was no block.",
            "Allocate the blocks first; change `num_tokens` and `block_ids` only after that.",
            wrong(early=True),
        ),
        Mistake(
            "a call that returns None keeps the blocks that it took.",
            "Allocate all missing blocks in one call, which returns all or None; or free those that you got.",
            (wrong(keeps=True), WithoutRollback),
        ),
        Mistake(
            "`slot` accepts negative positions, or positions after the end.",
            "Compare the position with 0 and with `num_tokens` first. In Python, `block_ids[-1]` is the last block, "
            "not an error.",
            (wrong(bounds="none"), wrong(bounds="upper"), wrong(bounds="blocks")),
        ),
        Mistake(
            "`free` does not free the blocks.",
            "To clear the ids is not enough. Call `allocator.free(self.block_ids)`, or the blocks are lost.",
            wrong(gives="none"),
        ),
        Mistake(
            "`free` does not free all blocks.",
            "The last block, which may be partly filled, belongs to this table too.",
            (wrong(gives="but last"), wrong(gives="first")),
        ),
        Mistake(
            "`free` does not clear the table.",
            "Another sequence may get the blocks next. Set `block_ids` to [] and `num_tokens` to 0.",
            (wrong(forgets=False), wrong(forgets="blocks"), wrong(forgets="tokens")),
        ),
    ],
    hints=[
        "Keep three things: the allocator, the list `block_ids` in the order of the sequence, and `num_tokens`.",
        "Position p is in entry `p // block_size` of the table, at offset `p % block_size`. So its slot is "
        "`block_ids[p // block_size] * block_size + p % block_size`.",
        "`append_slots(n)`: for `num_tokens + n` tokens the table needs tokens / block_size blocks, rounded up: "
        "`-(-tokens // size)`. Subtract the blocks that it has, and allocate the rest in one call.",
        "If `allocate` returns None, return None before you change anything. Otherwise add the blocks at the end of "
        "`block_ids`, add n to `num_tokens`, and return the slots of positions `start` to `start + n - 1`.",
    ],
    rights=[BlockTable, TableOfSlots, TableTokenByToken],
    why="All missing blocks are allocated in one call, which returns all or None, so there is nothing to undo. Only "
    "the table holds the order of the sequence: the ids say nothing about it.",
)


def all_none(answer):
    """Whether append_slots returns None although blocks are free."""
    table = answer(BlockAllocator(4, 4))
    return table.append_slots(1) is None
