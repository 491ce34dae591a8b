"""Mistakes that 08.paged_decode, 08.split_kv and 08.paged_prefill share, each with wrong answers that make it."""

import torch

from course_lib.errors import OutOfBounds
from course_lib.practice.judge.common_mistakes import writes_into
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.lessons.kernel_mistakes import power_of_two

from .paged_answers import Wrong

MISTAKES = [
    power_of_two(
        "`tl.arange` takes only powers of two: 1, 2, 4, 8, …, and a group may have 3 query heads. Use `ROWS = "
        "triton.next_power_of_2(group)` rows, and mask those from GROUP on when q is loaded and when the result is "
        "stored."
    ),
    Mistake(
        "the scale is missing.", "A score is q · k divided by the square root of head_dim.", Wrong(scale=lambda d: 1.0)
    ),
    Mistake(
        "scores are divided by head_dim, not by its square root.",
        "Divide by the square root: `head_dim ** 0.5`.",
        Wrong(scale=lambda d: 1 / d),
    ),
    Mistake(
        "scores are multiplied by the square root, not divided.",
        "Multiply by `head_dim ** -0.5`, or divide by `head_dim ** 0.5`.",
        Wrong(scale=lambda d: d**0.5),
    ),
    Mistake(
        "the mask on the tail is missing.",
        "The last block may be partly filled. The slots after the last token hold tokens of another sequence: set "
        "their scores to -inf, or do not load them.",
        Wrong(tail="read"),
    ),
    Mistake(
        "the mask on the tail is applied only to the loads.",
        "`other=0.0` gives keys of 0, and a score of 0 has the weight exp(0 - maximum). Set these scores to -inf: "
        '`tl.where(filled[None, :], scores, float("-inf"))`.',
        Wrong(tail="zeros"),
    ),
    Mistake(
        "the last block is left out when it is not full.",
        "Round up: 5 tokens are in two blocks of 4.",
        (Wrong(tail="dropped"), Wrong(tail="dropped", guards="length"), Wrong(tail="dropped", guards=False)),
    ),
    Mistake(
        "the offset within the block is forgotten.",
        "Each token of a block has its own slot: slot = block_id * block_size + offset.",
        (
            Wrong(slots=lambda block, size: torch.full((size,), block * size)),
            Wrong(slots=lambda block, size: torch.full((size,), block)),
        ),
    ),
    Mistake(
        "block ids are used as slots.",
        "Block b begins at slot b * block_size.",
        Wrong(slots=lambda block, size: block + torch.arange(size)),
    ),
    Mistake(
        "the block table row of another sequence is read.",
        "Sequence i uses row i. With another row it reads the tokens of another sequence.",
        (
            Wrong(row=lambda tables, s: tables[0]),
            Wrong(row=lambda tables, s: tables[-1 - s]),
            Wrong(row=lambda tables, s: tables[(s + 1) % len(tables)]),
            Wrong(row=lambda tables, s: tables.flatten()[s:]),
            Wrong(row=lambda tables, s: tables.flatten(), outside=OutOfBounds),
            Wrong(row=lambda tables, s: tables.flatten()[s:], outside=OutOfBounds),
        ),
    ),
    Mistake(
        "the block table is not used.",
        "Block number j of sequence s is `block_tables[s, j]`, which can be any block of the cache.",
        (
            Wrong(row=lambda tables, s: torch.arange(tables.shape[1])),
            Wrong(row=lambda tables, s: torch.arange(tables.numel()).view_as(tables)[s]),
        ),
    ),
    Mistake(
        "the blocks of a sequence are taken for neighbours.",
        "Only the table says where block j of a sequence is: `block_tables[s, j]`, and not `block_tables[s, 0] + j`.",
        Wrong(row=lambda tables, s: tables[s, :1] + torch.arange(tables.shape[1])),
    ),
    Mistake(
        "the address does not count the KV heads of a slot.",
        "A slot has num_kv_heads * head_dim numbers. Those of a head begin at (slot * num_kv_heads + kv_head) * "
        "head_dim.",
        (Wrong(line=lambda slots, heads, head, *_: slots), Wrong(line=lambda slots, heads, head, *_: slots + head)),
    ),
    Mistake(
        "the caches are read in another layout.",
        "They are [num_blocks, block_size, num_kv_heads, head_dim]: the heads of a slot lie side by side. The numbers "
        "of a head begin at ((block * block_size + offset) * num_kv_heads + kv_head) * head_dim. Other servers put "
        "the heads before the slots of a block, or before the blocks.",
        (
            Wrong(line=lambda slots, heads, head, size, blocks: (slots // size * heads + head) * size + slots % size),
            Wrong(line=lambda slots, heads, head, size, blocks: head * size * blocks + slots),
        ),
    ),
    Mistake(
        "keys and values of the wrong KV head are used.",
        "The query heads of a group are adjacent: query head h reads KV head h // (num_heads // num_kv_heads).",
        (Wrong(kv_head=lambda head, group, kv_heads: head % kv_heads), Wrong(kv_head=lambda head, group, kv_heads: 0)),
    ),
    Mistake(
        "the accumulator is not rescaled.",
        "`acc` was summed relative to the old maximum: multiply it by exp(old - new) first.",
        Wrong(acc_shrinks=False),
    ),
    Mistake(
        "the sum is not rescaled.", "Multiply `l_i` by the same factor as the accumulator.", Wrong(sum_shrinks=False)
    ),
    Mistake(
        "nothing is rescaled when the maximum grows.",
        "Sums relative to different maxima cannot be added.",
        Wrong(acc_shrinks=False, sum_shrinks=False),
    ),
    Mistake(
        "blocks are averaged without weights.",
        "The averages of the blocks are over different scores. Weight each by its sum of exponentials.",
        Wrong(weighs=False),
    ),
    Mistake(
        "the maximum is not subtracted.",
        "In float32, exp(89) is infinite.",
        (Wrong(subtracts=False), Wrong(subtracts=False, guards="length")),
    ),
    Mistake(
        "the output is not divided by the sum.",
        "At the end, divide each row by its own sum: `acc / l_i`.",
        Wrong(divides=False),
    ),
    Mistake(
        "the accumulator is divided in every iteration.",
        "`acc` must stay a sum while `l_i` grows: divide once, after the last block.",
        Wrong(divides="each"),
    ),
    Mistake(
        "the weights of each block are divided by their own sum.",
        "Then every block counts as much as any other. Divide once, at the end, by the sum over all blocks.",
        Wrong(divides="block"),
    ),
    Mistake(
        "the values come from another block than the keys.",
        "Keys and values of a token have the same slot: `block_tables[s, j]` is the block of both.",
        Wrong(values="column"),
    ),
    Mistake(
        "the values are read from the key cache.",
        "Read the keys from `k_cache` and the values from `v_cache`, at the same slots.",
        Wrong(values="k"),
    ),
]
"""Mistakes of attention over blocks, the same for a decode step and for a chunk."""


def changes_inputs(wrong, trials):
    """The Mistake of writing into the caller's tensors. trials: those whose outcome is the inputs."""
    return Mistake(
        "the inputs are changed.",
        "`*=` and other in-place operations write into the caller's tensors. Make new tensors.",
        wrong,
        is_made_by=writes_into(trials),
    )


def empty_is_nan(wrong):
    """The Mistake of dividing by the sum of no weights."""
    return Mistake(
        "an empty sequence gives nan.", "Its sum is 0. Divide by 1 instead, or leave the row at zeros.", wrong
    )


def leaves_out_the_new_token(wrong):
    """The Mistake of one token too few."""
    return Mistake(
        "the new token is left out.",
        "`seq_lens` includes the new token: its key and value are in the cache already, and it sees itself.",
        wrong,
    )
