"""Exercise 04.slot_mapping: the slot of each token of a flat batch."""

import torch

from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.report.tensors import outcome

from .slot_mapping_answers import answer_with, slots_by_loop, slots_by_sequence, slots_flat
from .solutions.slot_mapping import slot_mapping


def arguments(tables, seq_ids, positions):
    return torch.tensor(tables), torch.tensor(seq_ids, dtype=torch.int64), torch.tensor(positions, dtype=torch.int64)


def mapped(tables, seq_ids, positions, block_size, note=""):
    """The Trial for these tables (rows padded with -1) and tokens."""
    lines = [
        f"block_tables = torch.tensor({tables})",
        f"seq_ids, positions = torch.tensor({seq_ids}), torch.tensor({positions})",
        f"slot_mapping(block_tables, seq_ids, positions, {block_size})",
    ]
    return Trial(
        lines,
        lambda answer: answer(*arguments(tables, seq_ids, positions), block_size),
        show=outcome,
        note=note,
        explain=explain,
        size=100 * len(positions) + sum(positions) + 10 * len(tables) + block_size,
    )


def untouched(tables, seq_ids, positions, block_size):
    """The Trial that compares the caller's tensors after the call."""

    def act(answer):
        given = arguments(tables, seq_ids, positions)
        answer(*given, block_size)
        return [t.tolist() for t in given]

    base = mapped(tables, seq_ids, positions, block_size)
    return Trial([*base.story, "[t.tolist() for t in (block_tables, seq_ids, positions)]"], act, size=base.size)


def explain(expected, got):
    """What is wrong with the tensor's type, dtype or shape, in words; "" where these are right."""
    if not isinstance(got, torch.Tensor):
        return f"Return a tensor, not {type(got).__name__}."
    if got.dtype != expected.dtype:
        return f"The dtype is {got.dtype}; slots are indices, so it must be torch.int64."
    if got.shape != expected.shape:
        return f"The shape is {list(got.shape)}; with one slot for each token it is {list(expected.shape)}."
    return ""


def longer(seq_ids, positions, block_size, width, seed):
    """The Trial with a table of `width` blocks for each sequence; no block is in two tables."""
    draw = torch.Generator().manual_seed(seed)
    count = max(seq_ids) + 1
    return mapped(
        torch.randperm(2 * count * width, generator=draw)[: count * width].view(count, width).tolist(),
        seq_ids,
        positions,
        block_size,
    )


PLAIN = [
    ([[2]], [0], [0], 4),
    ([[3]], [0], [2], 4),
    ([[1]], [0, 0], [0, 1], 2),
    ([[5]], [0, 0, 0], [0, 1, 2], 3),
    ([[0]], [0], [1], 8),
]
EDGES = [
    ([[2, 0]], [0], [4], 4),
    ([[2, 0]], [0, 0], [3, 4], 4),
    ([[3, 1]], [0, 0], [1, 2], 2),
    ([[4, 2, 7]], [0, 0, 0], [2, 3, 6], 3),
    ([[1, 0]], [0], [1], 1),
    ([[5, 3, 0, 1]], [0, 0, 0, 0], [7, 8, 15, 16], 5),
]
MANY = [
    ([[2, 0], [1, 3]], [0, 1], [0, 0], 2),
    ([[2, 0], [1, 3]], [1, 0], [3, 2], 2),
    ([[4], [1], [0]], [0, 1, 2, 2], [1, 0, 0, 1], 4),
    ([[2, -1], [1, 3]], [0, 1, 1], [1, 1, 2], 2),
    ([[2, -1, -1], [1, 3, 0]], [1, 1, 0, 1], [4, 5, 0, 0], 2),
]
MANY += [
    ([[4, 1], [3, 0]], [1, 1], [0, 2], 2),
    ([[4], [3], [2]], [2], [1], 2),
    ([[1, -1], [2, 3]], [1, 1, 1], [2, 0, 3], 2),
]
PADDED = [([[4, -1], [3, 0]], [0, 1], [1, 3], 2), ([[1, -1, -1]], [0, 0], [0, 1], 2), ([[2, -1]], [0], [0], 4)]
FAR = [mapped([[7, 3, 5, 0, 2, 4]], [0], [20_971_519], 4_194_304, note="the last slot of block 2")]
FAR += [mapped([[16_777_217, 3]], [0], [1], 2), mapped([[5], [2**31 + 1]], [1, 0], [2, 1], 4)]
UNTOUCHED = [untouched(*case) for case in (PLAIN[2], EDGES[1], EDGES[3], MANY[1], *PADDED)]

SLOT_MAPPING = Exercise(
    id="04.slot_mapping",
    title="From positions to slots",
    name="slot_mapping",
    cases="batches",
    properties=[
        Property(
            "In the first block, a token's slot is block_id * block_size + position",
            "The pool is one long row of slots; block b starts at b * block_size.",
            [mapped(*case) for case in PLAIN],
        ),
        Property(
            "At position block_size, the next block of the table starts",
            "With a block_size of 16, positions 0 to 15 are in the first block, and position 16 is at offset 0 of the "
            "second.",
            [mapped(*case) for case in EDGES]
            + [longer([0] * n, list(range(n)), size, -(-n // size), n) for n, size in ((5, 2), (9, 4), (12, 5))],
        ),
        Property(
            "Each token uses the block table of its own sequence",
            "A step holds the tokens of many requests in one flat row, in any order.",
            [mapped(*case) for case in MANY]
            + [
                longer(ids, pos, size, 3, seed)
                for seed, (ids, pos, size) in enumerate(
                    [([0, 1, 2], [5, 0, 3], 2), ([2, 0, 2, 1, 0], [8, 11, 9, 4, 0], 4), ([1, 1, 0, 1], [6, 7, 3, 8], 3)]
                )
            ],
        ),
        Property(
            "The slots are an int64 tensor with one slot for each token",
            "They are used as indices.",
            [
                mapped([[1, 2]], [0], [5], 4),
                mapped([[1, 2], [0, 3]], [1, 0], [6, 7], 4),
                mapped([[70_000]], [0], [3], 65_536, note="large pools have more slots than 2 ** 31"),
            ],
        ),
        Property(
            "It is exact at large positions too",
            "float32 has 24 bits: a position just before the end of a block is rounded up to its end.",
            FAR,
        ),
        Property("The caller's tensors are not changed", "The next layer and the next step use them again.", UNTOUCHED),
    ],
    mistakes=[
        PRINTED,
        NOTHING_RETURNED,
        Mistake(
            "the caller's tensors are changed.",
            "Functions whose names end in `_`, such as `mul_` and `remainder_`, write into the tensor itself.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "the offset is not added.",
            "The tokens of one block are in consecutive slots: add `positions % block_size`.",
            answer_with(offset=lambda p, size: 0),
        ),
        Mistake(
            "the position is added, not its offset in the block.",
            "The table already gives the block: add `positions % block_size`.",
            answer_with(offset=lambda p, size: p),
        ),
        Mistake(
            "the position is returned as the slot.",
            "This is right only for a contiguous sequence at slot 0. Look the block up: "
            "`block_tables[seq_ids, positions // block_size]`.",
            (
                lambda tables, ids, positions, size: positions.clone(),
                lambda tables, ids, positions, size: ids * tables.shape[1] * size + positions,
            ),
        ),
        Mistake(
            "block ids are returned, not slots.",
            "A block holds `block_size` tokens. Multiply by it and add the offset.",
            answer_with(offset=lambda p, size: 0, scale=lambda size, tables: 1),
        ),
        Mistake(
            "block ids are not multiplied by block_size.",
            "Block b starts at slot b * block_size.",
            answer_with(scale=lambda size, tables: 1),
        ),
        Mistake(
            "block_size is confused with the number of blocks.",
            "A block has `block_size` slots; the number of entries in a table does not matter here.",
            (
                answer_with(scale=lambda size, tables: tables.shape[1]),
                answer_with(block=lambda p, size, blocks: p // blocks),
            ),
        ),
        Mistake(
            "division and remainder are swapped.",
            "`positions // block_size` is the entry of the table, `positions % block_size` the offset in the block.",
            answer_with(block=lambda p, size, blocks: p % size, offset=lambda p, size: p // size),
        ),
        Mistake(
            "positions are one off at the end of a block.",
            "Positions count from 0: position block_size is the first in the second block, and position block_size - "
            "1 the last in the first block.",
            (
                answer_with(block=lambda p, size, blocks: (p + 1) // size),
                answer_with(block=lambda p, size, blocks: (p - 1).clamp(min=0) // size),
                answer_with(block=lambda p, size, blocks: (p + 1) // size, offset=lambda p, size: (p + 1) % size),
            ),
        ),
        Mistake(
            "the place in the table goes through a float.",
            "`/` gives a float, which is rounded: a position just before the end of a block comes out at its end. `//` "
            "divides whole numbers exactly.",
            is_made_by=lambda answer, found: found.trial in FAR,
        ),
        Mistake(
            "every token uses the first table.",
            "`seq_ids` is the sequence of each token: the first index into `block_tables`.",
            answer_with(row=lambda ids: 0),
        ),
        Mistake(
            "token i uses table i.",
            "Several tokens may belong to one sequence, in any order. Use `seq_ids`, not the token's index in the "
            "batch.",
            lambda tables, ids, positions, size: answer_with()(
                tables, torch.arange(len(ids)).clamp(max=len(tables) - 1), positions, size
            ),
        ),
        Mistake(
            "the order of the blocks is lost.",
            "The table is in the order of the sequence. Do not sort it.",
            answer_with(order=lambda tables: tables.sort(1).values),
        ),
        Mistake(
            "the slots are not an int64 tensor.",
            "`//` gives whole numbers, `/` gives floats. 32 bits are too few for a large pool, and a list is not a "
            "tensor of indices for the batch.",
            (
                answer_with(done=lambda slots: slots.float()),
                answer_with(done=lambda slots: slots.int()),
                answer_with(done=lambda slots: slots.tolist()),
            ),
        ),
    ],
    hints=[
        "For one token: which entry of its table (`position // block_size`), and which offset in the block "
        "(`position % block_size`)?",
        "`block_tables[seq_ids, columns]`, with two tensors of the same length, returns one entry for each pair: row "
        "seq_ids[i], column columns[i]. No loop is needed.",
        "The columns are `positions // block_size`, and the entries are block ids. `* block_size` gives the first "
        "slot of each block, `+ positions % block_size` the slots.",
    ],
    rights=[slot_mapping, slots_by_loop, slots_by_sequence, slots_flat],
    why="One lookup serves all tokens of the step, of all sequences: a request in prefill has many tokens, a request "
    "in decode has one. vLLM computes its `slot_mapping` in the same way. Entries of -1 are padding: no position "
    "refers to them.",
)
