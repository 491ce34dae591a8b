"""Cases of 08.paged_decode: one new token of each sequence, read through the block table."""

import torch

from course_lib.errors import OutOfBounds
from course_lib.practice.fixtures.tiny_attention import Watch, size
from course_lib.practice.fixtures.tiny_pages import pages, plain
from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs, trial
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import power_of_two
from course_lib.practice.report.tensors import numbers

from .paged_answers import Wrong, decode_column_by_column, decode_token_by_token


def paged_decode(q, k_cache, v_cache, block_tables, seq_lens):
    """Attention of one new token a sequence. q: [num_seqs, num_heads, head_dim]; returns as q."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group = num_heads // num_kv_heads
    out = torch.zeros_like(q)
    for sequence in range(num_seqs):
        length = int(seq_lens[sequence])
        for kv_head in range(num_kv_heads):
            heads = slice(
                kv_head * group, (kv_head + 1) * group
            )  # they share this KV head: its keys are read once for all
            rows = q[sequence, heads] / head_dim**0.5
            top, total, acc = rows.new_full((group,), -float("inf")), rows.new_zeros(group), torch.zeros_like(rows)
            for first in range(0, length, block_size):
                block = block_tables[sequence, first // block_size]
                filled = min(block_size, length - first)  # behind the last token stands another text
                k, v = k_cache[block, :filled, kv_head], v_cache[block, :filled, kv_head]
                scores = rows @ k.T
                new_top = torch.maximum(top, scores.amax(1))
                shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top[:, None])
                total = shrink * total + weights.sum(1)
                acc = shrink[:, None] * acc + weights @ v
                top = new_top
            if length > 0:
                out[sequence, heads] = acc / total[:, None]
    return out


def gathers(q, k_cache, v_cache, block_tables, seq_lens):
    """Right, but every sequence is made one piece first."""
    out, group = torch.zeros_like(q), q.shape[1] // k_cache.shape[2]
    for s, length in enumerate(seq_lens.tolist()):
        k, v = (
            cache[block_tables[s].clamp(min=0)].flatten(0, 1)[:length].repeat_interleave(group, 1)
            for cache in (k_cache, v_cache)
        )
        weights = torch.einsum("hd,thd->ht", q[s], k).div(q.shape[2] ** 0.5).softmax(1)
        out[s] = torch.einsum("ht,thd->hd", weights, v)
    return out


NAMES = ["q", "k_cache", "v_cache", "block_tables", "seq_lens", "cu_seqlens_q"]


def step(name, *positional, **options):
    """(lines, given) of one case's step: name decode_step or chunk_step, with its arguments. given() makes the tensors, on the CPU."""
    count = 5 if name == "decode_step" else 6
    call = ", ".join([*map(str, positional), *(f"{key}={value}" for key, value in options.items())])
    lines = [f"from course_lib.practice.play import {name}", f"{', '.join(NAMES[:count])} = {name}({call})"]
    new = [[1] * len(positional[0])] if count == 5 else []
    return lines, lambda: pages(*positional, *new, **options)[:count]


def called(function, count, *more):
    """`paged_decode(q, k_cache, …)`."""
    return f"{function}({', '.join([*NAMES[:count], *map(str, more)])})"


def decodes(seq_lens, note="", **options):
    """The Trial of one decode step."""
    lines, given = step("decode_step", seq_lens, **options)
    return trial(
        [*lines, called("paged_decode", 5)],
        given,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        note=note,
        explain=explain,
        size=weight(seq_lens, len(seq_lens), **options),
    )


def padded(seq_lens, tables):
    """The Trial of a step in which the last block of the caches is nobody's, and nan: an entry of -1 would lead there."""
    lines, given = step("decode_step", seq_lens, tables=tables)
    nobody = 'k_cache[-1] = v_cache[-1] = float("nan")  # in no table: nobody\'s'

    def spoiled():
        q, k_cache, v_cache, *rest = given()
        k_cache[-1] = v_cache[-1] = torch.nan
        return q, k_cache, v_cache, *rest

    return trial(
        [*lines, nobody, called("paged_decode", 5)],
        spoiled,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        explain=explain,
        size=weight(seq_lens, len(seq_lens)),
    )


def weight(seq_lens, rows, heads=1, head_dim=2, block_size=2, **options):
    """How much there is to read: the numbers of the output before all, then tokens."""
    return 20 * rows * heads * head_dim + 2 * sum(seq_lens) + block_size


def untouched(function, lines, given, how_large, *more):
    """The Trial that looks at the caller's tensors after a call; more: arguments that follow them."""

    def call(answer, *given):
        before = [x.clone() for x in given]
        answer(*given, *more)
        return [name for name, a, b in zip(NAMES, before, given) if not torch.equal(a, b)]

    return trial(
        ["# which of these tensors are changed by the call?", *lines, called(function, len(given()), *more)],
        given,
        call,
        show=written,
        size=how_large,
    )


def written(changed):
    return " and ".join(changed) or "none" if isinstance(changed, list) else repr(changed)


def block_by_block(length, block_size, head_dim):
    """Whether no tensor is made that has room for the keys of the whole sequence."""
    lines, given = step("decode_step", [length], head_dim=head_dim, block_size=block_size)

    def call(answer, *given):
        with Watch(but=given) as watch:
            answer(*given)
        return (
            "nothing as large as the keys of the sequence"
            if size(watch.largest) < length * head_dim
            else f"a tensor of {watch.largest}"
        )

    return trial(
        [
            *lines,
            "from course_lib.practice.play import Watch",
            "with Watch(but=(k_cache, v_cache)) as watch:",
            f"    {called('paged_decode', 5)}",
            "watch.largest  # the shape of the largest tensor made",
        ],
        given,
        call,
        show=str,
        size=length,
        note=f"{length} keys of {head_dim} numbers are {length * head_dim}",
    )


def shown(result):
    if isinstance(result, tuple):
        return "(" + ", ".join(map(shown, result)) + ")"
    if isinstance(result, torch.Tensor):
        return (
            numbers(result, 5)
            if result.numel() <= 12
            else f"a tensor {list(result.shape)}, first numbers {numbers(result.flatten()[:4], 5)}"
        )
    return repr(result)


def explain(expected, got):
    """Which sequence and head differ first."""
    if not isinstance(got, torch.Tensor):
        return f"One tensor is asked for, of the shape of q: {list(expected.shape)}."
    if got.shape != expected.shape:
        return f"The output has shape {list(got.shape)}; q has {list(expected.shape)}."
    wrong = differing(expected, got).any(-1)
    if not wrong.any():
        return ""
    row, head = wrong.nonzero()[0].tolist()
    if got[row, head].isnan().any():
        return f"Row {row}, head {head} is nan: never written, or 0 divided by 0, or infinity taken from infinity."
    count = f"First different: row {row}, head {head}. {int(wrong.sum())} of {wrong.numel()} rows of numbers differ"
    if got.isnan().any():
        row, head = got.isnan().any(-1).nonzero()[0].tolist()
        return f"{count}. There is nan in it, first in row {row}, head {head}: never written, or 0 divided by 0, or infinity taken from infinity."
    return f"{count}, by {(got - expected).abs().max():.2g} at most."


SIMPLE = [
    decodes([2]),
    decodes([1], block_size=1),
    decodes([4], block_size=4),
    decodes([2], head_dim=4),
    decodes([4], block_size=4, head_dim=8),
]
SEVERAL = [
    decodes([4]),
    decodes([6]),
    decodes([2], block_size=1),
    decodes([8], head_dim=4),
    decodes([3], block_size=1),
    decodes([16], block_size=4),
]
TAILS = [
    decodes([1]),
    decodes([3]),
    decodes([1], block_size=4),
    decodes([5], block_size=4),
    decodes([7], block_size=4, head_dim=4),
    decodes([5]),
]
BATCH = [
    decodes([2, 2]),
    decodes([2, 4]),
    decodes([3, 1]),
    decodes([1, 6, 2]),
    decodes([2, 4, 2], tables=[[3, -1], [3, 1], [3, -1]]),
    decodes([5, 2, 8], block_size=4),
    decodes([4, 3], tables=[[0, 4], [0, 2]]),
]
HEADS = [
    decodes([2], heads=2),
    decodes([2], heads=2, kv_heads=2),
    decodes([3], heads=4, kv_heads=2),
    decodes([2, 3], heads=4, kv_heads=2),
    decodes([3], heads=3, kv_heads=1),
    decodes([4], heads=6, kv_heads=2, head_dim=4),
    decodes([2], heads=8, kv_heads=4),
]
PADDED = [
    padded([2, 4], [[3, -1], [0, 2]]),
    padded([3, 1], [[1, 0], [2, -1]]),
    padded([1, 6], [[2, -1, -1], [4, 0, 1]]),
]
EMPTY = [
    decodes([0]),
    decodes([2, 0]),
    decodes([0, 3]),
    decodes([0, 0], heads=2),
    decodes([0, 5, 0], heads=2, kv_heads=2),
]
LARGE = [
    decodes([2], times=20.0),
    decodes([3], times=20.0),
    decodes([4], times=30.0, head_dim=4),
    decodes([6, 3], times=20.0),
]
UNTOUCHED = [
    untouched("paged_decode", *step("decode_step", lens, heads=heads), sum(lens))
    for lens, heads in (([2], 1), ([3, 1], 1), ([3], 2))
]
WHOLE = [block_by_block(16, 2, 4), block_by_block(32, 4, 4), block_by_block(24, 2, 8)]

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

PAGED_DECODE = Exercise(
    id="08.paged_decode",
    title="Decode through the block table",
    name="paged_decode",
    cases="steps",
    properties=[
        Property(
            "One full block: ordinary attention of one query, scaled by the root of head_dim",
            "softmax(q · k / √d) over the tokens of the block that the table names.",
            SIMPLE,
        ),
        Property(
            "Several blocks make one softmax",
            "Walk through the row of the table with the online softmax: a maximum, a sum and an accumulator.",
            SEVERAL,
        ),
        Property(
            "Of the last block only what is filled counts",
            "Behind the last token stands what another text left.",
            TAILS,
        ),
        Property(
            "Each sequence follows its own row of the table",
            "A step holds texts of many users; the row of another shows another's text.",
            BATCH,
        ),
        Property(
            "Query heads that share a KV head use that one",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            HEADS,
        ),
        Property(
            "An entry of -1 in the table names no block",
            "A row is as long as the longest; behind a shorter sequence stands -1. In torch that is the last block, of another text, in a kernel "
            "it is outside.",
            PADDED,
        ),
        Property(
            "A sequence of no tokens gives zeros",
            "A captured graph is filled up with empty rows; a nan in one of them spreads.",
            EMPTY,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "The keys of a sequence are never gathered in one piece",
            "To gather copies everything once more in every layer of every step. Read the blocks where they are.",
            WHOLE,
        ),
        Property(
            "What is handed in stays as it is",
            "The caches hold everybody's text, and the next layer reads the same table.",
            UNTOUCHED,
        ),
        *rungs(decodes([1]), decodes([3, 2], heads=2)),
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
        rounded(paged_decode, [*SEVERAL, *BATCH, *HEADS]),
        *ATTENDS,
        Mistake(
            "an empty sequence gives nan.",
            "Its sum is 0. Divide by 1 there, or leave the row at zeros.",
            Wrong(guards=False),
        ),
        Mistake(
            "the new token is left out.",
            "`seq_lens` counts the new token too: its key and value are in the cache already, and it sees itself.",
            Wrong(length=lambda n: n - 1),
        ),
        Mistake(
            "only the last block counts.",
            "All blocks of the row hold tokens of the sequence: loop over them, and end each turn with `top = new_top`. With the -inf it began "
            "with, exp(top - new_top) is 0, and all before is lost.",
            Wrong(last_block_only=True),
        ),
        Mistake(
            "the block of an entry of -1 is read.",
            "Masked or not: 0 times nan is nan. End the loop with the sequence's own last block, (length + block_size - 1) // block_size, or take another "
            "block there: `block_tables.clamp(min=0)`.",
            is_made_by=lambda answer, found: (
                found.trial in PADDED and isinstance(found.outcome, torch.Tensor) and bool(found.outcome.isnan().any())
            ),
        ),
        Mistake(
            "the sequence is gathered in one piece.",
            "The output is right, but all keys and values are copied first. Loop over the blocks, and read each where "
            "it is.",
            gathers,
            is_made_by=lambda answer, found: found.trial in WHOLE and not isinstance(found.outcome, Raised),
        ),
    ],
    hints=[
        "Three loops, or a program for each turn of the first two: sequences, KV heads, blocks. In the innermost, the online softmax of lesson 06.",
        "Block number j of sequence s is block_tables[s, j]; its keys for one KV head are k_cache[block, :, kv_head], [block_size, head_dim].",
        "It holds min(block_size, length - j * block_size) tokens of the sequence. In a kernel: load all, with a mask, and set the other scores to -inf.",
        "The query heads of KV head g are g * group to (g + 1) * group - 1, group = num_heads // num_kv_heads: take them as the rows of one small matrix, so "
        "that a key is loaded once for all of them. In a kernel: ROWS = triton.next_power_of_2(group) rows, those from GROUP on masked.",
        "In a kernel, the address of number d of a token: (slot * num_kv_heads + kv_head) * head_dim + d, with slot = block * block_size + offset. Products without a "
        "matrix unit: scores = tl.sum(q[:, None, :] * k[None, :, :], 2), and tl.sum(v[None, :, :] * weights[:, :, None], 1), v first.",
    ],
    rights=[
        paged_decode,
        decode_column_by_column,
        decode_token_by_token,
        *in_triton("l08.solutions.paged_decode", "paged_decode"),
        *in_triton("l08.kernel_answers", "decode_by_rows"),
    ],
    budget_s=BUDGET_S,
    why="A program of the kernel is one turn of the two outer loops. Because the query heads of a group are rows of one matrix, each key and value is loaded once for "
    "all of them; because the blocks are read where they are, nothing is copied. vLLM's and FlashInfer's decode kernels do the same.",
)
