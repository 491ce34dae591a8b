"""What the trials of 08.paged_decode, 08.split_kv and 08.paged_prefill share."""

import torch

from course_lib.practice.fixtures.tiny_attention import Watch, size
from course_lib.practice.fixtures.tiny_pages import pages, plain
from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.rungs import trial
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.instead import instead
from course_lib.practice.report.tensors import numbers

NAN = "never written, or 0 divided by 0, or infinity minus infinity"
"""What makes nan, for `explain`."""
NAMES = ["q", "k_cache", "v_cache", "block_tables", "seq_lens", "cu_seqlens_q"]


def step(name, *positional, **options):
    """(lines, given) of a step. name: decode_step or chunk_step, with its arguments. given(): its tensors, on CPU."""
    count = 5 if name == "decode_step" else 6
    call = ", ".join([*map(str, positional), *(f"{key}={value}" for key, value in options.items())])
    lines = [f"from course_lib.practice.play import {name}", f"{', '.join(NAMES[:count])} = {name}({call})"]
    new = [[1] * len(positional[0])] if count == 5 else []
    return lines, lambda: pages(*positional, *new, **options)[:count]


def called(function, count, *more):
    """`paged_decode(q, k_cache, …)`."""
    return f"{function}({', '.join([*NAMES[:count], *map(str, more)])})"


def weight(seq_lens, rows, heads=1, head_dim=2, block_size=2, **options):
    """How much there is to read in a trial: above all the numbers of the output, then the tokens."""
    return 20 * rows * heads * head_dim + 2 * sum(seq_lens) + block_size


def untouched(function, lines, given, how_large, *more):
    """The Trial of which of the caller's tensors a call changes. more: arguments that follow the tensors."""

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


def stays(function, lines, given, how_large, *more):
    """The Trial of the first result, after a second call with other numbers. more: arguments after the tensors."""
    count = len(NAMES[: len(given())])

    def call(answer, *given):
        first = answer(*given, *more)
        answer(given[0] + 1, *given[1:], *more)
        return plain(first)

    return trial(
        [
            *lines,
            f"first = {called(function, count, *more)}",
            called(function, count, *more).replace("(q", "(q + 1"),
            "first  # as it was before the second call",
        ],
        given,
        call,
        show=shown,
        size=how_large,
    )


STALE_TITLE = "Slots that hold no token of the sequence may hold anything, also nan"
STALE_MEANING = (
    "Memory of a cache is used again and again, and at first it was never written. A weight of 0 is not enough: 0 "
    "times nan is nan."
)


def reads_stale(trials):
    """The Mistake of an answer that reads what lies after the last token. trials: steps with `stale`."""
    return Mistake(
        "what lies after the last token is read.",
        "Its weight is 0, but 0 times nan is nan. Mask the loads of k and v too, with `other=0.0`; in torch, end the "
        "slice with the sequence.",
        is_made_by=lambda answer, found: (
            found.trial in trials and not isinstance(found.outcome, Raised) and has_nan(found.outcome)
        ),
    )


def takes_rows_for_short(trials):
    """The Mistake of a wrong stride between the rows of the block table. trials: steps with `spare` columns.

    Where the rows are as wide as the longest sequence needs, such an answer is right, so only these trials fail.
    """
    return Mistake(
        "the rows of the block table are taken to be as long as the longest sequence needs.",
        "They may be wider. The row of sequence i begins at `i * block_tables.stride(0)`; in torch, take "
        "`block_tables[i]`. Only seq_lens says how many of its entries count.",
        is_made_by=lambda answer, found: found.trial in trials,
    )


def has_nan(result):
    if isinstance(result, tuple):
        return any(map(has_nan, result))
    return isinstance(result, torch.Tensor) and bool(result.isnan().any())


def written(changed):
    return " and ".join(changed) or "none" if isinstance(changed, list) else repr(changed)


def block_by_block(function, name, length, *more, block_size, head_dim):
    """The Trial of whether no tensor is as large as the keys of the whole sequence."""
    lines, given = step(name, [length], *more, head_dim=head_dim, block_size=block_size)

    def call(answer, *given):
        with Watch(but=given) as watch:
            answer(*given)
        return (
            "no tensor as large as the keys of the sequence"
            if size(watch.largest) < length * head_dim
            else f"a tensor of {watch.largest}"
        )

    return trial(
        [
            *lines,
            "from course_lib.practice.play import Watch",
            "with Watch(but=(k_cache, v_cache)) as watch:",
            f"    {called(function, len(given()))}",
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
    """The first row and head that differ, how many rows do, and by how much."""
    if not isinstance(got, torch.Tensor):
        return f"The result must be one tensor of the shape of q: {list(expected.shape)}."
    if got.shape != expected.shape:
        return f"The output has shape {list(got.shape)}; q has {list(expected.shape)}."
    wrong = differing(expected, got).any(-1)
    if not wrong.any():
        return ""
    row, head = wrong.nonzero()[0].tolist()
    if got[row, head].isnan().any():
        return f"Row {row}, head {head} is nan: {NAN}."
    count = f"First different: row {row}, head {head}. {int(wrong.sum())} of {wrong.numel()} rows of numbers differ"
    if got.isnan().any():
        row, head = got.isnan().any(-1).nonzero()[0].tolist()
        return f"{count}. There is nan in it, first in row {row}, head {head}: {NAN}."
    return f"{count}, by {(got - expected).abs().max():.2g} at most."


def explain_on(given):
    """The same, with a sentence on what the first row that differs is. given(): the tensors of the step."""

    def explain_here(expected, got):
        said, tensors = explain(expected, got), given()
        if not isinstance(got, torch.Tensor) or got.shape != expected.shape or not said:
            return said
        row, head = differing(expected, got).any(-1).nonzero()[0].tolist()
        seq_lens = tensors[4]
        ends = tensors[5][1:] if len(tensors) > 5 else torch.arange(1, len(seq_lens) + 1)
        sequence = int((ends <= row).sum())
        seen = int(seq_lens[sequence] - (ends[sequence] - 1 - row))
        k, v = keys_of(tensors, sequence)
        called = (lambda at: f"row {at}") if len(tensors) > 5 else (lambda at: f"sequence {at}")
        return f"{said} {instead(expected, got, row, head, tensors[0][row, head], k, v, (0, seen), called)}".rstrip()

    return explain_here


def keys_of(tensors, sequence):
    """The keys and the values of all slots of a sequence's blocks, in its order: [slots, kv_heads, head_dim] each."""
    _, k_cache, v_cache, block_tables, seq_lens = tensors[:5]
    used = block_tables[sequence, : -(-int(seq_lens[sequence]) // k_cache.shape[1])]
    return k_cache[used].flatten(0, 1), v_cache[used].flatten(0, 1)
