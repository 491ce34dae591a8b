"""Mistakes that 08.paged_decode, 08.split_kv and 08.paged_prefill share, each with wrong answers that make it."""

import torch

from course_lib.errors import OutOfBounds
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.lessons.kernel_mistakes import power_of_two

from .paged_answers import Wrong

ATTENDS = [
    power_of_two(
        "`tl.arange` wants 1, 2, 4, 8, …, and a group of query heads may be 3. Take `ROWS = triton.next_power_of_2(group)` rows, and mask those from GROUP on when q is "
        "loaded and when the result is stored."
    ),
    Mistake(
        "the scale is missing.", "A score is q · k divided by the square root of head_dim.", Wrong(scale=lambda d: 1.0)
    ),
    Mistake(
        "scores are divided by head_dim, not by its root.", "`head_dim ** 0.5`: the root.", Wrong(scale=lambda d: 1 / d)
    ),
    Mistake(
        "scores are multiplied by the root, not divided.",
        "`head_dim ** -0.5` as a factor, or divided by `head_dim ** 0.5`.",
        Wrong(scale=lambda d: d**0.5),
    ),
    Mistake(
        "the mask on the tail is missing.",
        "The last block may be partly filled. What stands behind the last token is another text's: set its "
        "scores to -inf, or do not load it.",
        Wrong(tail="read"),
    ),
    Mistake(
        "the mask on the tail is on the loads alone.",
        "`other=0.0` makes keys of 0 there, and a score of 0 has a weight, exp(0 - maximum). Set these scores to -inf: "
        '`tl.where(filled[None, :], scores, float("-inf"))`.',
        Wrong(tail="zeros"),
    ),
    Mistake(
        "the last block is left out where it is not full.",
        "Round up: 5 tokens are in two blocks of 4.",
        (Wrong(tail="dropped"), Wrong(tail="dropped", guards="length"), Wrong(tail="dropped", guards=False)),
    ),
    Mistake(
        "the offset within the block is forgotten.",
        "The tokens of a block stand side by side: slot = block_id * block_size + offset.",
        (
            Wrong(slots=lambda block, size: torch.full((size,), block * size)),
            Wrong(slots=lambda block, size: torch.full((size,), block)),
        ),
    ),
    Mistake(
        "block ids are taken for slots.",
        "Block b begins at slot b * block_size.",
        Wrong(slots=lambda block, size: block + torch.arange(size)),
    ),
    Mistake(
        "the table's row of another sequence is read.",
        "Sequence i follows row i: with another row it sees another one's text.",
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
        "the block table is not followed.",
        "Block number j of sequence s is `block_tables[s, j]`, and that may be any block of the pool.",
        (
            Wrong(row=lambda tables, s: torch.arange(tables.shape[1])),
            Wrong(row=lambda tables, s: torch.arange(tables.numel()).view_as(tables)[s]),
        ),
    ),
    Mistake(
        "the address forgets that a slot has several KV heads.",
        "A slot is num_kv_heads * head_dim numbers: those of a head begin at (slot * num_kv_heads + kv_head) * "
        "head_dim.",
        (Wrong(line=lambda slots, heads, head: slots), Wrong(line=lambda slots, heads, head: slots + head)),
    ),
    Mistake(
        "keys and values of the wrong head.",
        "Heads of a group stand beside each other: query head h reads KV head h // (num_heads // num_kv_heads).",
        (Wrong(kv_head=lambda head, group, kv_heads: head % kv_heads), Wrong(kv_head=lambda head, group, kv_heads: 0)),
    ),
    Mistake(
        "the accumulator is not rescaled.",
        "`acc` was summed under the old maximum: multiply it by exp(old - new) first.",
        Wrong(acc_shrinks=False),
    ),
    Mistake(
        "the sum is not rescaled.", "`total` shrinks by the same factor as the accumulator.", Wrong(total_shrinks=False)
    ),
    Mistake(
        "nothing is rescaled when the maximum grows.",
        "Sums under different maxima cannot be added.",
        Wrong(acc_shrinks=False, total_shrinks=False),
    ),
    Mistake(
        "blocks are averaged without weights.",
        "Each block's average is over other scores. Let the sums of exponentials weigh them.",
        Wrong(weighs=False),
    ),
    Mistake(
        "the maximum is not subtracted.",
        "exp(89) is the last that fits in a float32.",
        (Wrong(subtracts=False), Wrong(subtracts=False, guards="length")),
    ),
    Mistake(
        "the sum is never divided by.", "At the end: `acc / total`, each row by its own sum.", Wrong(divides=False)
    ),
    Mistake(
        "the accumulator is divided in every turn.",
        "`acc` belongs to `total` as it grows: divide once, after the last block.",
        Wrong(divides="each"),
    ),
    Mistake(
        "the values are taken from the keys.",
        "Scores come from `k_cache`, what is averaged from `v_cache`, both at the same slots.",
        Wrong(values="k"),
    ),
]
"""What goes wrong in attention over blocks, in a decode step and in a chunk alike."""
