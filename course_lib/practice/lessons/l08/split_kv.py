"""Cases of 08.split_kv: a long context in parts, and their merge."""

import torch

from course_lib.errors import OutOfBounds
from course_lib.practice.fixtures.tiny_pages import plain
from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs, trial

from .paged_answers import INF, Wrong, split_as_rows
from .paged_decode import ATTENDS, called, step, untouched, weight
from .paged_decode import shown as shown_alone


def split_kv(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """(out, partial, lse) of decode in parts. partial: [num_seqs, num_heads, num_splits, head_dim]; lse: [num_seqs, num_heads, num_splits]."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group = num_heads // num_kv_heads
    partial, lse = (
        q.new_zeros(num_seqs, num_heads, num_splits, head_dim),
        q.new_full((num_seqs, num_heads, num_splits), -float("inf")),
    )
    for sequence in range(num_seqs):
        length = int(seq_lens[sequence])
        tokens = -(-(-(-length // num_splits)) // block_size) * block_size  # of a part: whole blocks
        for head in range(num_heads):
            for part in range(num_splits):
                top, total, acc = q.new_tensor(-float("inf")), q.new_tensor(0.0), q.new_zeros(head_dim)
                end = min((part + 1) * tokens, length)
                for first in range(part * tokens, end, block_size):
                    block, filled = block_tables[sequence, first // block_size], min(block_size, end - first)
                    k, v = k_cache[block, :filled, head // group], v_cache[block, :filled, head // group]
                    scores = k @ q[sequence, head] / head_dim**0.5
                    new_top = torch.maximum(top, scores.max())
                    shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top)
                    total, acc, top = shrink * total + weights.sum(), shrink * acc + weights @ v, new_top
                if total > 0:
                    partial[sequence, head, part], lse[sequence, head, part] = acc / total, top + total.log()
    top = lse.amax(-1, keepdim=True)
    sums = torch.exp(lse - torch.where(top == -float("inf"), 0.0, top))  # of each part, under one maximum
    shares = sums / sums.sum(-1, keepdim=True).clamp(min=1e-30)
    return (shares[..., None] * partial).sum(-2), partial, lse


def splits(seq_lens, num_splits, note="(out, partial, lse)", **options):
    """The Trial of one step in parts."""
    lines, given = step("decode_step", seq_lens, **options)
    return trial(
        [*lines, called("split_kv", 5, num_splits)],
        given,
        lambda answer, *given: plain(answer(*given, num_splits)),
        show=shown,
        note=note,
        explain=explain,
        size=weight(seq_lens, num_splits * len(seq_lens), **options),
    )


def at_any_count(seq_lens, **options):
    """The output alone, in 1, 2, 3 and 5 parts."""
    lines, given = step("decode_step", seq_lens, **options)

    def call(answer, *given):
        return tuple(plain(answer(*given, n)[0]) for n in (1, 2, 3, 5))

    return trial(
        [*lines, f"[{called('split_kv', 5, 'n')}[0] for n in (1, 2, 3, 5)]"],
        given,
        call,
        show=shown,
        size=10 * weight(seq_lens, len(seq_lens), **options),
        note="the same four times",
    )


def shown(result):
    if isinstance(result, tuple) and len(result) == 3:
        return "\n".join(f"{name:<8}{shown_alone(one)}" for name, one in zip(("out", "partial", "lse"), result))
    return shown_alone(result)


def explain(expected, got):
    """Which of the three differs, and where first."""
    if not isinstance(got, tuple) or len(got) != 3:
        return "Three things are asked for: the output, the partial outputs, and the log-sum-exp of each part."
    for name, want, mine in zip(("partial", "lse", "out"), (*expected[1:], expected[0]), (*got[1:], got[0])):
        if not isinstance(mine, torch.Tensor) or mine.shape != want.shape:
            return f"`{name}` has shape {list(getattr(mine, 'shape', []))}; {list(want.shape)} is asked for."
        wrong = differing(want, mine)
        wrong = wrong if name == "lse" else wrong.any(-1)
        if wrong.any():
            at = wrong.nonzero()[0].tolist()
            where = f"sequence {at[0]}, head {at[1]}" + (f", part {at[2]}" if name != "out" else "")
            before = "; the parts themselves are right" if name == "out" else ""
            return f"First different: `{name}` of {where}{before}."
    return ""


def mean(partial, lse):
    return partial.mean(2)


def mean_of_used(partial, lse):
    used = (lse > -INF).float()[..., None]
    return (partial * used).sum(2) / used.sum(2).clamp(min=1)


def by_lse(partial, lse):
    weights = lse.nan_to_num(neginf=0.0)
    return (weights[..., None] * partial).sum(2) / weights.sum(2)[..., None]


def by_lse_unguarded(partial, lse):
    return ((lse / lse.sum(2, keepdim=True))[..., None] * partial).sum(2)


def overflows(partial, lse):
    sums = torch.exp(lse)
    return (sums[..., None] * partial).sum(2) / sums.sum(2).clamp(min=1e-30)[..., None]


def unguarded(partial, lse):
    return (lse.softmax(2)[..., None] * partial).sum(2)


def added(partial, lse):
    return partial.sum(2)


def undivided(partial, lse):
    top = lse.amax(2, keepdim=True).nan_to_num(neginf=0.0)
    return (torch.exp(lse - top)[..., None] * partial).sum(2)


def by_length(length, num_splits, size):
    """Parts that do not end where a block ends."""
    return -(-length // num_splits)


def rounded_down(length, num_splits, size):
    return max(1, length // num_splits // size) * size


ONE = [splits([2], 1), splits([3], 1), splits([1], 1, head_dim=4), splits([5], 1), splits([4], 1, block_size=4)]
SEVERAL = [
    splits([4], 2),
    splits([6], 3),
    splits([8], 2),
    splits([8], 4),
    splits([16], 2, block_size=4),
    splits([12], 3, head_dim=4),
]
UNEVEN = [splits([3], 2), splits([6], 2), splits([7], 2), splits([5], 3), splits([10], 3), splits([9], 2, block_size=4)]
EMPTY = [
    splits([2], 2),
    splits([1], 3),
    splits([0], 1),
    splits([4], 4),
    splits([0], 2),
    splits([6], 4),
    splits([5], 4, block_size=4),
]
BATCH = [splits([4, 2], 2), splits([3, 8], 2), splits([1, 0, 6], 3), splits([5, 9], 2, block_size=4), splits([4, 4], 2)]
HEADS = [
    splits([4], 2, heads=2),
    splits([4], 2, heads=2, kv_heads=2),
    splits([5], 2, heads=4, kv_heads=2),
    splits([3, 6], 2, heads=3),
    splits([4], 2, heads=6, kv_heads=2),
    splits([4, 2], 2, heads=4, kv_heads=2),
]
LARGE = [
    splits([2], 1, times=20.0),
    splits([4], 2, times=20.0),
    splits([6], 3, times=20.0),
    splits([5, 7], 2, times=30.0),
]
SAME = [at_any_count([7]), at_any_count([16, 3]), at_any_count([9, 12], heads=2)]
UNTOUCHED = [
    untouched("split_kv", *step("decode_step", lens, heads=heads), sum(lens), 2)
    for lens, heads in (([3], 1), ([4, 1], 1), ([3], 2))
]

SPLIT_KV = Exercise(
    id="08.split_kv",
    title="A long context in parts",
    name="split_kv",
    cases="steps",
    properties=[
        Property(
            "One part is the whole: its output, and the log of the sum of exponentials",
            "lse = maximum + log(sum), in natural logarithms, of the scaled scores.",
            ONE,
        ),
        Property(
            "Each part attends to its own whole blocks, and the parts are merged by their sums",
            "Part p takes the tokens from p * tokens on, with tokens = length / "
            "num_splits, rounded up to whole blocks.",
            SEVERAL,
        ),
        Property(
            "The last part that holds anything may be shorter",
            "It ends where the sequence ends, in the middle of a block.",
            UNEVEN,
        ),
        Property(
            "A part of no tokens gives zeros and -inf, and changes nothing",
            "The grid is the same for all; a short sequence leaves parts empty.",
            EMPTY,
        ),
        Property(
            "Every sequence is cut by its own length",
            "A part of a long text is longer than one of a short text.",
            BATCH,
        ),
        Property(
            "Each head has weights of its own",
            "Query heads of a group share keys and values, and not their sums.",
            HEADS,
        ),
        Property(
            "Log-sum-exps of hundreds do not overflow",
            "Only their differences matter: take the largest out first.",
            LARGE,
        ),
        Property(
            "The output is the same for any number of parts",
            "Nothing is approximated: the number is chosen for speed alone.",
            SAME,
        ),
        Property(
            "What is handed in stays as it is",
            "The caches hold everybody's text, and the next layer reads the same table.",
            UNTOUCHED,
        ),
        *rungs(splits([4], 2), splits([3, 8], 2, heads=2)),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`*=` and the like write into the caller's tensors. Make new ones.",
            Wrong(scales_q_in_place=True),
            is_made_by=writes_into(UNTOUCHED),
        ),
        OUTSIDE,
        rounded(split_kv, [*SEVERAL, *BATCH, *HEADS]),
        Mistake(
            "merged without weights.",
            "Each part is an average already, over other keys. Weigh it by its share of the sum: exp(lse) over the sum of all exp(lse).",
            (Wrong(merge=mean), Wrong(merge=mean_of_used)),
        ),
        Mistake(
            "the log-sum-exps themselves are the weights.",
            "lse is a logarithm; the sum is exp(lse).",
            (Wrong(merge=by_lse), Wrong(merge=by_lse_unguarded)),
        ),
        Mistake(
            "a part does not end with the sequence.",
            "The last part that holds anything ends at `min((p + 1) * tokens, length)`; behind that stands another text, and the table has no more blocks.",
            (
                Wrong(cuts=False, outside=IndexError),
                Wrong(cuts=False, row=lambda tables, s: tables[s:].flatten(), outside=OutOfBounds),
            ),
        ),
        Mistake(
            "the parts are added.",
            "Each part is divided by its own sum already: multiply it by its share before you add.",
            Wrong(merge=added),
        ),
        Mistake(
            "the weights do not sum to 1.",
            "Divide by the sum over all parts.",
            (Wrong(merge=undivided), Wrong(merge=lambda partial, lse: (lse.exp()[..., None] * partial).sum(2))),
        ),
        Mistake(
            "the shares are not taken over the parts.",
            "The parts are the last dimension of lse: its softmax goes over that one, for each sequence and head alone.",
            (
                Wrong(merge=lambda partial, lse: (lse.softmax(1).nan_to_num()[..., None] * partial).sum(2)),
                Wrong(merge=lambda partial, lse: (lse.softmax(0).nan_to_num()[..., None] * partial).sum(2)),
            ),
        ),
        Mistake(
            "the merge overflows.",
            "exp(100) is infinite in float32. Subtract the largest lse of all parts first.",
            Wrong(merge=overflows),
        ),
        Mistake(
            "where all parts are empty, the output is nan.",
            "-inf less -inf is nan: where the largest lse is -inf, subtract 0, and divide by no less than a tiny number.",
            Wrong(merge=unguarded),
        ),
        Mistake(
            "an empty part gives nan.",
            "Its sum is 0: divide by 1 there. Its lse is -inf, so it weighs nothing.",
            Wrong(guards_part=False),
        ),
        Mistake(
            "an empty part takes a share.",
            "The sum of no exponentials is 0, and its log is -inf. An lse of 0 would say that the sum is 1.",
            Wrong(lse=lambda top, total: top + total.log() if total > 0 else total),
        ),
        Mistake(
            "the parts are not divided by their sums.",
            "A partial output is attention over its keys: acc / total.",
            Wrong(divides=False),
        ),
        Mistake(
            "the log-sum-exp is not what it says.",
            "lse = maximum + log(sum), for every part and head.",
            (
                Wrong(lse=lambda top, total: total.log()),
                Wrong(lse=lambda top, total: total),
                Wrong(lse=lambda top, total: top),
                Wrong(lse=lambda top, total: total * torch.exp(top)),
                Wrong(reported=torch.exp),
            ),
        ),
        Mistake(
            "the log-sum-exp is in base 2.",
            "Natural logarithms are asked for: multiply by log(2), or use exp and log.",
            (
                Wrong(lse=lambda top, total: (top + total.log()) / 0.6931472),
                Wrong(lse=lambda top, total: top + total.log2()),
                Wrong(reported=lambda lse: lse / 0.6931472),
            ),
        ),
        Mistake(
            "a part reads on to the end of the sequence.",
            "It ends at `min((p + 1) * tokens, length)`: what comes after is the next part's.",
            Wrong(cuts="at the end"),
        ),
        Mistake(
            "every part reads the same tokens.", "Part p begins at token p * tokens.", Wrong(begin=lambda p, part: 0)
        ),
        Mistake(
            "parts end in the middle of a block.",
            "Round the tokens of a part up to whole blocks, so that a block is read by one part alone.",
            Wrong(part=by_length),
        ),
        Mistake(
            "the parts do not reach the end.",
            "Round up: with tokens rounded down the last ones are in no part.",
            (
                Wrong(part=rounded_down),
                Wrong(part=lambda length, n, size: length // n // size * size),
                Wrong(part=lambda length, n, size: -(-(length // n) // size) * size),
            ),
        ),
        *[mistake for mistake in ATTENDS if not mistake.name.startswith(("blocks are averaged", "the sum is never"))],
    ],
    hints=[
        "The loop of 08.paged_decode, from token p * tokens to min((p + 1) * tokens, length), for each part p. In a kernel: a third number in the grid.",
        "tokens = -(-length // num_splits), rounded up to a multiple of block_size. Parts behind the end of the sequence have nothing to do.",
        "Each part ends with acc / total and top + log(total). Where total is 0, zeros and -inf.",
        "The merge, for each head: shares = softmax of lse over the parts, out = sum of share times partial. Where every lse is -inf, zeros.",
        "softmax by hand: top = lse.amax(-1, keepdim=True), with 0 where that is -inf; sums = exp(lse - top); shares = sums / sums.sum(-1, keepdim=True), and "
        "`clamp(min=1e-30)` spares the division by 0.",
    ],
    rights=[split_kv, split_as_rows, *in_triton("l08.solutions.split_kv", "split_kv")],
    budget_s=BUDGET_S,
    why="Without parts, one request on a large GPU keeps as many programs busy as the model has KV heads, and the rest wait. The parts do not know of each other, so "
    "they can run anywhere and finish when they like; what they hand over is one row and one number each. Flash-Decoding is the name of it.",
)
