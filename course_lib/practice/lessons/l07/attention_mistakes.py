"""Mistakes that all three attention exercises of lesson 07 know, each with wrong answers that make it."""

import math

import torch

from course_lib.practice.fixtures.attention_variants import Wrong
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import alike
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STORES, half_sums, overwritten, power_of_two

from .attention import row_by_row
from .attention_answers import Program, last_seen


def altered(causal, *, reads=lambda q, k, v: (q, k, v), writes=lambda out, tile: out, dtype=None, **faults):
    """A wrong answer: 06.flash_forward with a part replaced, or with its inputs or its output changed."""
    wrong = Wrong(**faults)

    def answer(q, k, v, tile):
        theirs = [x.cpu() if x.dtype == torch.float32 else x.cpu().float() for x in (q, k, v)]
        out, _ = wrong(*reads(*theirs), (tile, tile), causal)
        q.copy_(theirs[0])  # for scales_q_in_place; no wrong answer here writes into k or v
        return writes(out.to(dtype or q.dtype), tile)

    return answer


def scales_first(trials):
    return Mistake(
        "q is scaled in float16, before the product.",
        "Its 11 bits make scores of hundreds wrong by some tenths. Multiply the scores, which are float32.",
        is_made_by=lambda answer, found: found.trial in trials and not isinstance(found.outcome, Raised),
    )


def tf32(x):
    """float32 with the last 13 bits of its fraction rounded off, as matrix units take it (TF32)."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def first_tile(out, tile):
    return torch.cat([out[:tile], torch.full_like(out[tile:], math.nan)])


def first_head(out, tile):
    return torch.cat([out[:, :1], torch.full_like(out[:, 1:], math.nan)], 1)


def same_tile(x, tile=16):
    """What is read when the pointer does not move: the first tile again and again."""
    return x[torch.arange(len(x)) % tile]


def writes_one_head(causal):
    """is_made_by of an answer that is right for head 0 and has written no other head."""

    def is_made_by(answer, found):
        mine = getattr(found.outcome, "tensor", found.outcome)
        want = found.trial.outcome(lambda q, k, v, tile: row_by_row(q, k, v, causal))[0]
        want = getattr(want, "tensor", want)
        return (
            mine.shape == want.shape
            and want.shape[1] > 1
            and alike(want[:, 0].float(), mine[:, 0].float())
            and bool((mine[:, 1:].isnan() | (mine[:, 1:] == 0)).all())
        )

    return is_made_by


ENDS_EARLY = Mistake(
    "the loop over keys ends too early.",
    "Row i has position m - n + i, in the end of the loop as in the mask. The *last* row of the tile decides: the loop "
    "ends at `tl.minimum(m, m - n + first + TILE)`.",
    (
        Program(True, end=lambda n, m, first, tile: min(m, first + tile)),
        Program(True, end=lambda n, m, first, tile: min(m, m - n + first + 1)),
        Program(True, end=lambda n, m, first, tile: min(m, m - n + first + 1), guards=False),
    ),
)


def drops_tail(causal):
    """The Mistake of a loop over whole tiles of keys only."""
    ends = (lambda n, m, first, tile: m // tile * tile,)
    if causal:
        ends = (
            lambda n, m, first, tile: min(m // tile * tile, m - n + first + tile),
            lambda n, m, first, tile: last_seen(n, m, first, tile) // tile * tile,
        )
    return Mistake(
        "the last, shorter tile of keys is left out.",
        "`range(0, m, TILE)` includes it. `m // TILE` tiles do not: the loop runs up to the last key that is seen, and "
        "the rest of its last tile is masked.",
        tuple(Program(causal, end=end, guards=guards) for end in ends for guards in (True, False)),
    )


def common(causal, whole, ordinary, small_trials, untouched_trials, half_trials, stays_trials):
    """Mistakes of all three exercises. whole: an answer that makes the whole score matrix.

    The other arguments are trials: of ordinary sizes, of `smalls`, of `untouched`, of `many_small`, of `stays`.
    """
    return [
        overwritten(stays_trials),
        Mistake(
            "the inputs are changed.",
            "`*=` and other in-place operations write into the caller's tensors, and k and v are the KV cache.",
            altered(causal, scales_q_in_place=True),
            is_made_by=lambda answer, found: found.trial in untouched_trials and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "the accumulator is not rescaled.",
            "`acc` was summed relative to the old maximum: multiply it by exp(old - new) first.",
            altered(causal, acc_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "Multiply `l_i` by the same factor as the accumulator.",
            altered(causal, total_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums relative to different maxima cannot be added.",
            altered(causal, acc_shrinks=False, total_shrinks=False),
        ),
        Mistake(
            "the output is not divided by the sum.",
            "At the end, divide each row by its own sum: `acc / l_i[:, None]`.",
            altered(causal, divides=False),
        ),
        Mistake(
            "the output is divided in every turn of the loop.",
            "Then `acc` is an average, and no longer a sum when the next tile is added to it. Divide once, after the "
            "loop.",
            (Program(causal, divides="each"), Program(causal, divides="both")),
        ),
        Mistake("the maximum is not subtracted.", "In float32, exp(89) is infinite.", altered(causal, subtracts=False)),
        Mistake(
            "scores are scaled wrongly.",
            "A score is q · k divided by the square root of head_dim.",
            (
                altered(causal, scale=lambda d: 1.0),
                altered(causal, scale=lambda d: 1 / d),
                altered(causal, scale=lambda d: d**0.5),
            ),
        ),
        Mistake(
            "only the last tile of keys counts.",
            "End each iteration with `m_i = new_m`. If `m_i` stays at its initial -inf, exp(m_i - new_m) is "
            "0, and the sums so far are lost.",
            Program(causal, keeps_maximum=False),
        ),
        Mistake(
            "exp2 is used in place of exp.",
            "exp(x) is exp2(x * log2(e)): multiply the scale by 1.4427 when you use `tl.exp2`.",
            altered(causal, scale=lambda d: math.log(2) * d**-0.5),
        ),
        Mistake(
            "only the first tile of queries is written.",
            "The rows of a program begin at `tl.program_id(1) * TILE`, and the grid needs a program for each tile.",
            altered(causal, writes=first_tile),
        ),
        Mistake(
            "only the first head is written.",
            "The grid needs a program for each head and each tile. In a grid of (heads, tiles), `tl.program_id(0)` is "
            "the head and `tl.program_id(1)` the tile. In a grid of (tiles, heads), they are exchanged.",
            altered(causal, writes=first_head),
            is_made_by=writes_one_head(causal),
        ),
        Mistake(
            "the same tile of keys is read again and again.",
            "The columns are `start + tl.arange(0, TILE)`, where `start` grows with the loop.",
            (
                altered(causal, reads=lambda q, k, v: (q, same_tile(k), same_tile(v))),
                altered(causal, reads=lambda q, k, v: (q, same_tile(k), v)),
                altered(causal, reads=lambda q, k, v: (q, k, same_tile(v))),
            ),
        ),
        Mistake(
            "the result is in float32.",
            "Sum in float32, and store in the dtype of q: `.to(out_ptr.dtype.element_ty)`.",
            altered(causal, dtype=torch.float32),
        ),
        rungs.rounded(
            lambda q, k, v, tile: row_by_row(q, k, v, causal),
            ordinary,
            altered(causal, reads=lambda q, k, v: tuple(map(tf32, (q, k, v)))),
        ),
        Mistake(
            "the scores of all keys exist at once.",
            "The output is right, but the scores of all m keys exist at the same time, for all queries or for a tile "
            "of them. Loop over tiles of keys, with a running maximum and sum.",
            whole,
            is_made_by=lambda answer, found: found.trial in small_trials and str(found.outcome).startswith("a "),
        ),
        power_of_two(
            "`tl.arange` takes only powers of two: 16, 32, 64, … Use `tile` and `head_dim`, which are powers of two, "
            "and mask the lanes after the end."
        ),
        Mistake(
            "the scores are in float16.",
            "Above 512 a float16 keeps halves only, and the softmax takes exp of what is lost. Keep the scores in "
            "float32; `tl.dot` and `.float()` give them so.",
            is_made_by=lambda answer, found: found.trial is half_trials[2] and not isinstance(found.outcome, Raised),
        ),
        half_sums(
            half_trials[:2],
            "A float16 has 11 bits: 1 + 1/4096 gives 1. Keep `l_i` and `acc` in tl.float32, or `.float()` in torch, "
            "and convert only the result to float16.",
        ),
        *STORES,
    ]
