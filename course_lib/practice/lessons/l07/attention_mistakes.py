"""Mistakes that all three attention exercises of lesson 07 know, each with wrong answers that make it."""

import math

import torch

from course_lib.practice.fixtures.attention_variants import Wrong
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import alike
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import half_sums, power_of_two

from .attention import INF, row_by_row
from .attention_answers import Program


def bent(causal, *, reads=lambda q, k, v: (q, k, v), writes=lambda out, tile: out, dtype=None, **faults):
    """A wrong answer: 06.flash_forward with a piece replaced, or with other inputs or another output than it should have."""
    wrong = Wrong(**faults)

    def answer(q, k, v, tile):
        theirs = [x.cpu() if x.dtype == torch.float32 else x.cpu().float() for x in (q, k, v)]
        out, _ = wrong(*reads(*theirs), (tile, tile), causal)
        q.copy_(theirs[0])  # what was done in place there; no kernel of ours writes into k and v
        return writes(out.to(dtype or q.dtype), tile)

    return answer


def tf32(x):
    """float32 with the last 13 bits of its fraction rounded away, as matrix units take it."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def first_tile(out, tile):
    return torch.cat([out[:tile], torch.full_like(out[tile:], math.nan)])


def first_head(out, tile):
    return torch.cat([out[:, :1], torch.full_like(out[:, 1:], math.nan)], 1)


def same_tile(x, tile=16):
    """What is read when the pointer never moves on: the first tile again and again."""
    return x[torch.arange(len(x)) % tile]


def over_heads(causal):
    """A wrong answer: the heads of a token look at each other."""

    def answer(q, k, v, tile):
        scores = q.float() @ k.float().transpose(1, 2) / q.shape[2] ** 0.5
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -INF)
        return (torch.softmax(scores, 2) @ v.float()).to(q.dtype)

    return answer


def writes_one_head(causal):
    """is_made_by of an answer that is right for head 0, and has written no other."""

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


EARLY = Mistake(
    "the loop over keys ends too early.",
    "Row i stands at position m - n + i, in the bound of the loop as in the mask: it ends at `tl.minimum(m, m - n + first + TILE)`.",
    Program(True, end=lambda n, m, first, tile: min(m, first + tile)),
)


def common(causal, whole, ordinary, small_trials, untouched_trials, fine_trials):
    """The mistakes that attention invites in each of the three. whole: an answer that makes the whole matrix. Then four kinds of trials."""
    return [
        Mistake(
            "the inputs are changed.",
            "`*=` and the like write into the caller's tensors, and here they are the cache.",
            bent(causal, scales_q_in_place=True),
            is_made_by=lambda answer, found: found.trial in untouched_trials and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "the accumulator is not rescaled.",
            "`acc` was summed under the old maximum: multiply it by exp(old - new) first.",
            bent(causal, acc_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "`total` shrinks by the same factor as the accumulator.",
            bent(causal, total_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums under different maxima cannot be added.",
            bent(causal, acc_shrinks=False, total_shrinks=False),
        ),
        Mistake(
            "the sum is never divided by.",
            "At the end: `acc / total[:, None]`, each row by its own sum.",
            bent(causal, divides=False),
        ),
        Mistake(
            "the maximum is not subtracted.",
            "exp(89) is the last that fits in a float32.",
            bent(causal, subtracts=False),
        ),
        Mistake(
            "scores are scaled wrongly.",
            "A score is q · k divided by the square root of head_dim.",
            (
                bent(causal, scale=lambda d: 1.0),
                bent(causal, scale=lambda d: 1 / d),
                bent(causal, scale=lambda d: d**0.5),
            ),
        ),
        Mistake(
            "only the last tile of keys counts.",
            "End each turn with `high = new_high`. With the -inf that it began with, exp(high - new_high) is 0, and all before is lost.",
            Program(causal, keeps_high=False),
        ),
        Mistake(
            "exp2 stands for exp.",
            "exp(x) is exp2(x * log2(e)): multiply the scale by 1.4427 when you use `tl.exp2`.",
            bent(causal, scale=lambda d: math.log(2) * d**-0.5),
        ),
        Mistake(
            "only the first tile of queries is written.",
            "A program's rows begin at `tl.program_id(1) * TILE`, and the grid has a program for each tile.",
            bent(causal, writes=first_tile),
        ),
        Mistake(
            "only the first head is written.",
            "The grid has a program for each head and each tile. In a grid of (heads, tiles), `tl.program_id(0)` is the head and `tl.program_id(1)` the tile; in one of "
            "(tiles, heads) it is the other way round.",
            bent(causal, writes=first_head),
            is_made_by=writes_one_head(causal),
        ),
        Mistake(
            "the same tile of keys comes again and again.",
            "Columns are `start + tl.arange(0, TILE)`, and `start` moves on with the loop.",
            (
                bent(causal, reads=lambda q, k, v: (q, same_tile(k), same_tile(v))),
                bent(causal, reads=lambda q, k, v: (q, same_tile(k), v)),
                bent(causal, reads=lambda q, k, v: (q, k, same_tile(v))),
            ),
        ),
        Mistake(
            "the result is in float32.",
            "Sum in float32, and store as q has it: `.to(out_ptr.dtype.element_ty)`.",
            bent(causal, dtype=torch.float32),
        ),
        rungs.rounded(
            lambda q, k, v, tile: row_by_row(q, k, v, causal),
            ordinary,
            bent(causal, reads=lambda q, k, v: tuple(map(tf32, (q, k, v)))),
        ),
        Mistake(
            "scores of all keys are held at once.",
            "The output is right, but each query has its scores of all m keys at the same time, be it the whole matrix or a tile of queries against "
            "all keys. Loop over tiles of keys, with a running maximum and sum.",
            whole,
            is_made_by=lambda answer, found: found.trial in small_trials and not isinstance(found.outcome, Raised),
        ),
        power_of_two(
            "`tl.arange` wants 16, 32, 64, …: take `tile` and `head_dim` for it, which are, and mask what is not there."
        ),
        half_sums(
            fine_trials,
            "A float16 has 11 bits: 1 + 1/4096 is 1 again. `total` and `acc` are tl.float32, or `.float()` in torch; only the result becomes float16.",
        ),
    ]


def on_contiguous(causal):
    """The mistakes where q, k and v are contiguous, and addresses are computed from that."""
    return [
        Mistake(
            "heads begin one number after the other.",
            "Head h begins at h * HEAD_DIM of its token: `head * HEAD_DIM + tl.arange(0, HEAD_DIM)`.",
            (Program(causal, head_step=1), Program(causal, head_step=1, stores_right=True)),
        ),
        Mistake(
            "the number of queries is taken for that of keys.",
            "q has n rows, k and v have m: the loop ends at m, and a column below m is a key.",
            (Program(causal, keys=lambda n, m: n), Program(causal, end=lambda n, m, first, tile: min(n, m))),
        ),
        Mistake(
            "attention runs over the heads of a token.",
            "The products of `q @ k.transpose(1, 2)` compare the heads of one token with each other. Tokens are to look at tokens: take one head, "
            "`q[:, h] @ k[:, h].T`, or put the heads first, with `transpose(0, 1)`.",
            over_heads(causal),
        ),
    ]
