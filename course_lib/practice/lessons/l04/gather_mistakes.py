"""Mistakes of 04.gather, each with wrong answers that make it."""

import torch

from course_lib.practice.judge.exercise import Mistake

from .gather_answers import answer_with, block_ids_as_slots, contiguous_from_first_block

MISTAKES = [
    Mistake(
        "slots after the last token are returned too.",
        "The last block may be partly filled: cut at `[:num_tokens]`. The slots after it hold values of another "
        "sequence.",
        (
            answer_with(cut=lambda x, n, size: x),
            answer_with(table=lambda t, n, size: t[t >= 0], cut=lambda x, n, size: x),
        ),
    ),
    Mistake(
        "padding is gathered.",
        "-1 means no block, but as an index it is the last block of the pool. Use only the first "
        "`ceil(num_tokens / block_size)` entries.",
        answer_with(table=lambda t, n, size: t, cut=lambda x, n, size: x),
    ),
    Mistake(
        "block 0 is taken for padding.",
        "Padding is -1, and 0 is a block like any other: keep the entries `>= 0`, or the first "
        "`ceil(num_tokens / block_size)` of them.",
        answer_with(table=lambda t, n, size: t[t > 0]),
    ),
    Mistake(
        "the last block is left out if it is not full.",
        "Round up: 5 tokens need two blocks of 4.",
        (
            answer_with(table=lambda t, n, size: t[: n // size]),
            answer_with(table=lambda t, n, size: t[: max(1, n // size)]),
        ),
    ),
    Mistake(
        "the order of the blocks is lost.",
        "`k_cache[block_table]` keeps the table's order. A sorted table, or a mask over the blocks, gives the "
        "order of the pool.",
        (
            answer_with(table=lambda t, n, size: t[: -(-n // size)].sort().values),
            answer_with(table=lambda t, n, size: t[: -(-n // size)].flip(0)),
        ),
    ),
    Mistake(
        "the sequence is read as if it were contiguous.",
        "The other blocks do not follow the first one in the pool. Look each block up in the table.",
        contiguous_from_first_block,
    ),
    Mistake(
        "block ids are used as slots.",
        "An entry of the table is a whole block: index the blocks first, then flatten blocks and slots into tokens.",
        block_ids_as_slots,
    ),
    Mistake(
        "v is taken from the keys.",
        "k comes from `k_cache`, v from `v_cache`, through the same table.",
        answer_with(both=lambda k, v: (k, k)),
    ),
    Mistake(
        "the numbers are converted to another dtype.",
        "An index keeps the dtype of the pool. Leave `.float()` and `.half()` out.",
        answer_with(both=lambda k, v: (k.float(), v.float())),
    ),
    Mistake("k and v are swapped.", "Return k first.", answer_with(both=lambda k, v: (v, k))),
    Mistake(
        "k and v are returned as one tensor.",
        "Return two tensors, k and v.",
        answer_with(both=lambda k, v: torch.stack([k, v])),
    ),
    Mistake(
        "blocks and slots are not flattened.",
        "[blocks, slots, heads, head_dim] becomes [tokens, heads, head_dim]: `.flatten(0, 1)`.",
        answer_with(cut=lambda x, n, size: x, join=lambda x: x),
    ),
    Mistake(
        "slots come before blocks.",
        "The tokens of one block must stay together. `.flatten(0, 1)` on [blocks, slots, …] keeps them together; "
        "a transpose before it mixes the blocks.",
        answer_with(join=lambda x: x.transpose(0, 1).flatten(0, 1)),
    ),
    Mistake(
        "the last token is left out.",
        "`[:num_tokens]` keeps num_tokens tokens; the position of the last token is num_tokens - 1.",
        answer_with(cut=lambda x, n, size: x[: n - 1]),
    ),
]
