"""Trials of 14.paged_decode_int8."""

import torch

from course_lib.practice.fixtures.int8_pages import dequantised, int8_pages
from course_lib.practice.fixtures.tiny_attention import Watch, size
from course_lib.practice.fixtures.tiny_pages import plain
from course_lib.practice.judge.agreement import rounding_of_exp
from course_lib.practice.judge.rungs import trial
from course_lib.practice.lessons.l08.paged_trials import explain_on, shown, weight, written

NAMES = ["q", "k_cache", "v_cache", "k_scale", "v_scale", "block_tables", "seq_lens"]
CALL = f"paged_decode_int8({', '.join(NAMES)})"


def step(seq_lens, **options):
    """(lines, given) of a step. given(): its tensors, on the CPU."""
    call = ", ".join([str(seq_lens), *(f"{key}={value}" for key, value in options.items())])
    lines = ["from course_lib.practice.play import int8_step", f"{', '.join(NAMES)} = int8_step({call})"]
    return lines, lambda: int8_pages(seq_lens, **options)


def explained(given):
    """explain(expected, got) for the tensors of a step: on what keys the first row that differs is."""

    def as_floats():
        q, k, v, k_scale, v_scale, tables, lens = given()
        return q, *dequantised(k, v, k_scale, v_scale), tables, lens

    return explain_on(as_floats)


def decodes(seq_lens, note="", **options):
    """The Trial of one decode step."""
    lines, given = step(seq_lens, **options)
    told = {key: value for key, value in options.items() if key in ("heads", "head_dim", "block_size")}
    return trial(
        [*lines, CALL],
        given,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        note=note,
        explain=explained(given),
        size=weight(seq_lens, len(seq_lens), **told),
        rounding=rounding_of_exp(10 * options.get("times", 1.0) ** 2),
    )


def padded(seq_lens, tables):
    """The Trial of a step in which the scales of the last block, which is in no block table, are nan."""
    lines, given = step(seq_lens, tables=tables)

    def with_nan():
        tensors = given()
        tensors[3][-1], tensors[4][-1] = torch.nan, torch.nan
        return tensors

    last_block = 'k_scale[-1] = v_scale[-1] = float("nan")  # a block that is in no block table'
    return trial(
        [*lines, last_block, CALL],
        with_nan,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        explain=explained(with_nan),
        size=weight(seq_lens, len(seq_lens)),
    )


def untouched(seq_lens, **options):
    """The Trial of which of the caller's tensors a call changes."""
    lines, given = step(seq_lens, **options)

    def call(answer, *given):
        before = [x.clone() for x in given]
        answer(*given)
        return [name for name, a, b in zip(NAMES, before, given) if not torch.equal(a, b)]

    story = ["# which of these tensors are changed by the call?", *lines, CALL]
    return trial(story, given, call, show=written, size=sum(seq_lens))


def stays(seq_lens):
    """The Trial of the first result, after a second call with other queries."""
    lines, given = step(seq_lens)

    def call(answer, q, *rest):
        first = answer(q, *rest)
        answer(q + 1, *rest)
        return plain(first)

    again = CALL.replace("(q", "(q + 1")
    story = [*lines, f"first = {CALL}", again, "first  # as it was before the second call"]
    return trial(story, given, call, show=shown, size=sum(seq_lens))


def block_by_block(length, block_size, head_dim):
    """The Trial of whether no tensor is as large as the keys of the whole sequence."""
    lines, given = step([length], head_dim=head_dim, block_size=block_size)

    def call(answer, *given):
        with Watch(but=given) as watch:
            answer(*given)
        small = size(watch.largest) < length * head_dim
        return "no tensor as large as the keys of the sequence" if small else f"a tensor of {watch.largest}"

    story = [
        *lines,
        "from course_lib.practice.play import Watch",
        "with Watch(but=(k_cache, v_cache, k_scale, v_scale)) as watch:",
        f"    {CALL}",
        "watch.largest  # the shape of the largest tensor made",
    ]
    note = f"{length} keys of {head_dim} numbers are {length * head_dim}"
    return trial(story, given, call, show=str, size=length, note=note)


SIMPLE = [decodes([2]), decodes([1], block_size=1), decodes([2], head_dim=4), decodes([4], block_size=4, head_dim=8)]
ZEROS = [decodes([2], zeros=True), decodes([4], zeros=True), decodes([3, 2], zeros=True, head_dim=4)]
SEVERAL = [decodes([4]), decodes([6], head_dim=4), decodes([3], block_size=1), decodes([8], block_size=4)]
TAILS = [decodes([1]), decodes([3]), decodes([1], block_size=4), decodes([5], block_size=4), decodes([5])]
BATCH = [
    decodes([2, 2]),
    decodes([3, 1]),
    decodes([1, 6, 2]),
    decodes([2, 4, 2], tables=[[3, -1], [3, 1], [3, -1]]),
    decodes([4, 3], tables=[[0, 4], [0, 2]]),
]
WIDE = [decodes([2, 1], spare=1), decodes([3, 5], spare=2), decodes([4, 1, 2], spare=5)]
HEADS = [
    decodes([2], heads=2),
    decodes([2], heads=2, kv_heads=2),
    decodes([3], heads=4, kv_heads=2),
    decodes([2, 3], heads=4, kv_heads=2),
    decodes([3], heads=3, kv_heads=1),
    decodes([4], heads=8, kv_heads=4, block_size=4),
]
PADDED = [
    padded([2, 4], [[3, -1], [0, 2]]),
    padded([3, 1], [[1, 0], [2, -1]]),
    padded([1, 6], [[2, -1, -1], [4, 0, 1]]),
]
STALE = [decodes([1], stale=True), decodes([3, 2], stale=True), decodes([5, 1], block_size=4, spare=2, stale=True)]
EMPTY = [decodes([0]), decodes([2, 0]), decodes([0, 3]), decodes([0, 0], heads=2)]
LARGE = [decodes([2], times=20.0), decodes([3], times=20.0), decodes([6, 3], times=20.0)]
UNTOUCHED = [untouched([2]), untouched([3, 1]), untouched([3], heads=2)]
STAYS = [stays([2]), stays([3, 1])]
WHOLE = [block_by_block(16, 2, 4), block_by_block(32, 4, 4), block_by_block(24, 2, 8)]
