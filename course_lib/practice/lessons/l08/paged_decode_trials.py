"""Trials of 08.paged_decode."""

import torch

from course_lib.practice.fixtures.tiny_pages import plain
from course_lib.practice.judge.agreement import rounding_of_exp
from course_lib.practice.judge.rungs import trial

from .paged_trials import block_by_block, called, explain_on, shown, stays, step, untouched, weight


def decodes(seq_lens, note="", **options):
    """The Trial of one decode step."""
    lines, given = step("decode_step", seq_lens, **options)
    return trial(
        [*lines, called("paged_decode", 5)],
        given,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        note=note,
        explain=explain_on(given),
        size=weight(seq_lens, len(seq_lens), **options),
        rounding=rounding_of_exp(10 * options.get("times", 1.0) ** 2),
    )


def padded(seq_lens, tables):
    """The Trial of a step whose last block is nan and in no block table. In torch, an entry of -1 reads that block."""
    lines, given = step("decode_step", seq_lens, tables=tables)
    last_block = 'k_cache[-1] = v_cache[-1] = float("nan")  # a block that is in no block table'

    def with_nan():
        q, k_cache, v_cache, *rest = given()
        k_cache[-1] = v_cache[-1] = torch.nan
        return q, k_cache, v_cache, *rest

    return trial(
        [*lines, last_block, called("paged_decode", 5)],
        with_nan,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        explain=explain_on(with_nan),
        size=weight(seq_lens, len(seq_lens)),
    )


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
WIDE = [decodes([2, 1], spare=1), decodes([3, 5], spare=2), decodes([4, 1, 2], spare=5), decodes([4], spare=3)]
STALE = [decodes([1], stale=True), decodes([3, 2], stale=True), decodes([5, 1], block_size=4, spare=2, stale=True)]
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
STAYS = [stays("paged_decode", *step("decode_step", lens), sum(lens)) for lens in ([2], [3, 1])]
WHOLE = [
    block_by_block("paged_decode", "decode_step", length, block_size=block_size, head_dim=head_dim)
    for length, block_size, head_dim in ((16, 2, 4), (32, 4, 4), (24, 2, 8))
]
