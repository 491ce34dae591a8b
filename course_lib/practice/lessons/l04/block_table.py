"""Cases of 04.block_table: tables that grow side by side over one allocator."""

from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .block_table_answers import TableOfSlots, TableTokenByToken, WithoutRollback, WrongTable
from .block_table_game import behind, by_hand, played
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
            "A new table holds nothing, and takes nothing",
            "A request that waits must not hold memory.",
            [
                by_hand(n, size, look)
                for n, size in SIZES
                for look in (("num_tokens", "a"), ("block_ids", "a"), ("num_free",))
            ],
        ),
        Property(
            "The first tokens fill blocks from their first slot on",
            "slot = block_id * block_size + offset.",
            [by_hand(n, size, ("fits", "a", k)) for n, size in SIZES for k in (1, 2, size, size + 1, 2 * size)],
        ),
        Property(
            "The next tokens go on in the last block, then in a new one",
            "At most the last block of a text is partly empty: that is all the waste there is.",
            [
                by_hand(n, size, *[("fits", "a", k) for k in split])
                for n, size in SIZES
                for split in ((1, 1), (2, 2), (1, size), (size, 1), (size - 1, 2))
            ]
            + [behind(n, size) for n, size in SIZES]
            + played(24, 1, "fits", "fits", "fits", "free"),
        ),
        Property(
            "A block is taken when the first token needs it, not before",
            "A block held for later is reserved memory again.",
            [
                by_hand(n, size, ("fits", "a", k), ("num_free",))
                for n, size in SIZES
                for k in (1, size - 1, size, size + 1, 2 * size)
            ]
            + played(24, 2, "fits", "num_free", "block_ids", "num_tokens"),
        ),
        Property(
            "`slot(position)` says where an earlier token is",
            "Attention asks for all of them, in the order of the text.",
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
            + [behind(n, size, ("read", "a", p)) for n, size in SIZES for p in (0, size)]
            + played(20, 3, "fits", "read", "free", lengths=(4, 12)),
        ),
        Property(
            "`slot` raises `ParameterError` for a position without a token",
            "A negative number would count from the end, and read another token.",
            [
                by_hand(n, size, ("fits", "a", k), ("slot", "a", p))
                for n, size in SIZES
                for k in (1, size)
                for p in (k, -1, k + 2 * size)
            ],
        ),
        Property(
            "Where memory is short it gives None, and nothing has changed",
            "The request waits and asks again, or another one gives its blocks.",
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
            "`free()` gives every block back, and the table holds nothing",
            "A block that is not given back is lost.",
            [
                by_hand(n, size, ("fits", "a", k), ("free", "a"), look)
                for n, size in SIZES
                for k in (1, size + 1)
                for look in (("num_free",), ("num_tokens", "a"), ("block_ids", "a"))
            ]
            + played(24, 5, "append", "append", "free", "num_free", "slot"),
        ),
    ],
    mistakes=[
        Mistake(
            "out of memory is raised, not answered.",
            "`allocate` says None, and so does `append_slots`. Look at what it gave before you use it.",
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
            "`append_slots` returns the list of the new slots, `slot` a number.",
            is_made_by=lambda answer, found: (
                "None" in str(found.got) and not str(found.expected).startswith("None") and all_none(answer)
            ),
        ),
        Mistake(
            "one block too many is taken at the edge of a block.",
            "4 tokens fit into one block of 4: the number of blocks is tokens / block_size, rounded up. "
            "`tokens // size + 1` is one too many when it goes without rest.",
            wrong(need=lambda tokens, size: tokens // size + 1),
        ),
        Mistake(
            "the last tokens get no block.",
            "Round up, not down: 5 tokens need two blocks of 4. `-(-tokens // size)` rounds up.",
            (wrong(need=lambda tokens, size: tokens // size), wrong(need=lambda tokens, size: max(1, tokens // size))),
        ),
        Mistake(
            "every token gets a block.",
            "A block holds `block_size` tokens. Take a new one only when the last is full.",
            wrong(need=lambda tokens, size: tokens),
        ),
        Mistake(
            "the room that is left in the last block is not used.",
            "The next token goes behind the last one, in the same block if it is not full. Count blocks for all "
            "tokens, and take off those that are there.",
            wrong(own=True),
        ),
        Mistake(
            "block_size and num_blocks are confused.",
            "A block takes `block_size` slots, so block b begins at slot b * block_size. How many blocks there are "
            "does not matter.",
            (
                wrong(place=lambda block, p, size, blocks: block * blocks + p % size),
                wrong(place=lambda block, p, size, blocks: (p % size) * blocks + block),
            ),
        ),
        Mistake(
            "the offset is forgotten.",
            "Tokens of one block stand side by side: add `position % block_size`.",
            wrong(place=lambda block, p, size, blocks: block * size),
        ),
        Mistake(
            "the position is added, not its offset in the block.",
            "The blocks before are counted in `block_id * block_size` already: add `position % block_size`.",
            wrong(place=lambda block, p, size, blocks: block * size + p),
        ),
        Mistake(
            "the position is taken for the slot.",
            "A sequence's blocks stand anywhere. Look the block up: `block_ids[position // block_size]`.",
            wrong(place=lambda block, p, size, blocks: p),
        ),
        Mistake(
            "block ids are returned, not slots.",
            "The pool writes token by token: it needs block_id * block_size + offset of each.",
            wrong(answers="blocks"),
        ),
        Mistake("one slot comes back bare.", "A list is asked for, also for one token.", wrong(answers="one")),
        Mistake(
            "positions are one off.",
            "The first new token stands at position `num_tokens`, counted from 0.",
            (wrong(shift=-1), wrong(shift=1, need=lambda t, s: -(-(t + 1) // s))),
        ),
        Mistake(
            "the order of the blocks is lost.",
            "The table is the order of the text: new blocks join at its end, whatever their ids.",
            (
                wrong(joins=lambda old, new: new + old),
                wrong(joins=lambda old, new: sorted(old + new)),
                wrong(joins=lambda old, new: sorted(old + new, reverse=True)),
            ),
        ),
        Mistake(
            "`num_tokens` never moves on.",
            "Each step then begins at 0 again and overwrites the text.",
            wrong(moves=False),
        ),
        Mistake(
            "tokens are counted that got no room.",
            "Ask for the blocks first; change `num_tokens` and `block_ids` only when you have them.",
            wrong(early=True),
        ),
        Mistake(
            "a request that fails keeps what it took.",
            "Ask for all missing blocks in one call, which gives all or none; or give back those that came.",
            (wrong(keeps=True), WithoutRollback),
        ),
        Mistake(
            "`slot` counts from the end, or reads behind it.",
            "Compare with 0 and with `num_tokens` first. In Python `block_ids[-1]` is the last block, not an error.",
            (wrong(bounds="none"), wrong(bounds="upper")),
        ),
        Mistake(
            "`free` gives nothing back.",
            "Forgetting the ids is not enough: `allocator.free(self.block_ids)`, or they are lost.",
            wrong(gives="none"),
        ),
        Mistake(
            "`free` does not give all blocks back.",
            "Also the last block, which may be partly filled, is this table's.",
            (wrong(gives="but last"), wrong(gives="first")),
        ),
        Mistake(
            "`free` does not forget.",
            "The blocks may belong to others a moment later. Set `block_ids` to [] and `num_tokens` to 0.",
            wrong(forgets=False),
        ),
    ],
    hints=[
        "Three things to keep: the allocator, the list `block_ids` in the order of the text, and `num_tokens`.",
        "Position p stands in block number `p // block_size` of the table, at offset `p % block_size`. So its slot is "
        "`block_ids[p // block_size] * block_size + p % block_size`.",
        "`append_slots(n)`: for `num_tokens + n` tokens the table needs that many tokens / block_size blocks, rounded "
        "up: `-(-tokens // size)`. Take off those that it has, and ask the allocator for the rest in one call.",
        "If `allocate` gives None, return None before you change anything. Else add the blocks at the end of "
        "`block_ids`, move `num_tokens` on, and return the slots of positions `start` to `start + n - 1`.",
    ],
    rights=[BlockTable, TableOfSlots, TableTokenByToken],
    why="All missing blocks are asked for in one call, and the allocator gives all or none, so there is nothing to "
    "undo. The table is the only place where the order of the text is kept: the ids say nothing about it.",
)


def all_none(answer):
    """Whether append_slots gives None where there is room."""
    table = answer(BlockAllocator(4, 4))
    return table.append_slots(1) is None
