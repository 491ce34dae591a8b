"""14.paged_decode_int8: attention of one new token of each sequence over an int8 cache, as floats block by block."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, STORES, overwritten
from course_lib.practice.lessons.l08.paged_mistakes import MISTAKES as OVER_BLOCKS
from course_lib.practice.lessons.l08.paged_mistakes import changes_inputs, empty_is_nan, leaves_out_the_new_token
from course_lib.practice.lessons.l08.paged_trials import has_nan, takes_rows_for_short

from .int8_answers import Int8Wrong, decode_token_by_token, gathers, paged_decode_int8, scales_q_in_place
from .int8_mistakes import SCALE_MISTAKES
from .int8_trials import (
    BATCH,
    EMPTY,
    HEADS,
    LARGE,
    PADDED,
    SEVERAL,
    SIMPLE,
    STALE,
    STAYS,
    TAILS,
    UNTOUCHED,
    WHOLE,
    WIDE,
    ZEROS,
    decodes,
)


def over_int8(mistake):
    """A mistake of lesson 08, made over a quantised cache."""
    return Mistake(mistake.name, mistake.why, tuple(map(Int8Wrong, mistake.variants)) or None, mistake.is_made_by)


RARE = "blocks are averaged", "nothing is rescaled", "scores are multiplied"
"""Mistakes of lesson 08 that nobody makes again whose 08.paged_decode has passed."""

PAGED_DECODE_INT8 = Exercise(
    id="14.paged_decode_int8",
    title="A decode step over a quantised cache",
    name="paged_decode_int8",
    cases="steps",
    properties=[
        Property(
            "One full block: keys and values are whole numbers times their scales",
            "Each slot and KV head has a scale for its key and one for its value.",
            SIMPLE,
        ),
        Property("Several blocks make one softmax", "The online softmax of lesson 06, over scaled scores.", SEVERAL),
        Property(
            "A token with scales of 0 is a token", "Its key is zeros, so its score is 0, and it has a weight.", ZEROS
        ),
        Property(
            "Of the last block, only the filled slots count",
            "The slots after the last token hold tokens of another sequence.",
            TAILS,
        ),
        Property("Each sequence uses its own row of the block table", "Others are other users' tokens.", BATCH),
        Property(
            "A row of the block table may be wider than the longest sequence needs",
            "The next row begins at `block_tables.stride(0)`.",
            WIDE,
        ),
        Property(
            "Query heads of a group use their KV head, and its scales",
            "The scales are [num_blocks, num_kv_heads, block_size]: those of a head and block lie side by side.",
            HEADS,
        ),
        Property(
            "An entry of -1 in the block table is padding, not a block",
            "In torch, index -1 is the last block, of another sequence. In a kernel it is outside of the cache.",
            PADDED,
        ),
        Property(
            "Slots that hold no token of the sequence may hold anything, and their scales may be nan",
            "An int8 is never nan, but a scale can be. 0 times nan is nan.",
            STALE,
        ),
        Property("A sequence of no tokens gives zeros", "A captured CUDA graph is padded with such sequences.", EMPTY),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "The keys of a sequence never become one tensor",
            "As floats they would take four times the memory of the cache, in every layer of every step.",
            WHOLE,
        ),
        Property("The inputs are not changed", "The caches hold the tokens of all requests.", UNTOUCHED),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs(decodes([1]), decodes([3, 2], heads=2), orders=[decodes([2, 0], heads=6, kv_heads=2)]),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        changes_inputs(scales_q_in_place, UNTOUCHED),
        takes_rows_for_short(WIDE),
        OUTSIDE,
        overwritten(STAYS),
        Mistake(
            "scales of slots without a token are used.",
            "They may be nan, and 0 times nan is nan. Mask the loads of the scales too, with `other=0.0`; in "
            "torch, end "
            "the slices of the scales where the sequence ends.",
            is_made_by=lambda answer, found: (
                found.trial in STALE and not isinstance(found.outcome, Raised) and has_nan(found.outcome)
            ),
        ),
        Mistake(
            "the block of an entry of -1 is read.",
            "End the loop after the last block of the sequence, at (length + block_size - 1) // block_size.",
            is_made_by=lambda answer, found: (
                found.trial in PADDED and isinstance(found.outcome, torch.Tensor) and bool(found.outcome.isnan().any())
            ),
        ),
        rounded(paged_decode_int8, [*SEVERAL, *BATCH, *HEADS]),
        *SCALE_MISTAKES,
        *(over_int8(mistake) for mistake in OVER_BLOCKS if not mistake.name.startswith(RARE)),
        empty_is_nan(Int8Wrong(guards=False)),
        leaves_out_the_new_token(Int8Wrong(length=lambda n: n - 1)),
        Mistake(
            "only the last block counts.",
            "Loop over all blocks of the row, and end each iteration with `m_i = new_m`.",
            Int8Wrong(last_block_only=True),
        ),
        Mistake(
            "the keys of a sequence become one tensor.",
            "The output is right. But then the keys and values are copied in every layer of every step, and as "
            "floats they "
            "are four times as large. Loop over the blocks, and turn each into floats by itself.",
            gathers,
            is_made_by=lambda answer, found: found.trial in WHOLE and not isinstance(found.outcome, Raised),
        ),
        *STORES,
    ],
    hints=[
        "Begin with your `08.paged_decode`. New are four lines: two loads become float32, and two scales come in.",
        "The key of a slot is `k_cache[block, offset, kv_head].float()` times one number, so its score is q · k "
        "of the whole "
        "numbers, times `k_scale[block, kv_head, offset]`.",
        "The weights are those of the scaled scores. `l_i` sums them as they are. Only for the values they are "
        "multiplied "
        "with `v_scale[block, kv_head, offset]`.",
        "In a kernel: `at = (block * NUM_KV_HEADS + kv_head) * BLOCK_SIZE + offsets` and `k_scale = "
        "tl.load(k_scale_ptr + "
        "at, mask=filled, other=0.0)`. Then `scores = tl.sum(q[:, None, :] * k[None, :, :], 2) * k_scale[None, "
        ":]`, and "
        "after the sum of the weights `weights = weights * v_scale[None, :]`.",
    ],
    rights=[
        paged_decode_int8,
        decode_token_by_token,
        *in_triton("l14.solutions.paged_decode_int8", "paged_decode_int8"),
        *in_triton("l14.int8_kernel_answers", "decode_by_rows"),
    ],
    budget_s=BUDGET_S,
    why="A scale is multiplied once for a key, and not once for each of its numbers. The kernels of course_lib "
    "do the same, "
    "and int4 and fp8 beside it, in `course_lib/attention/kernels/quantise.py`.",
)
