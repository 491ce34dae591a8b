"""Trials of 08.paged_prefill."""

from course_lib.practice.fixtures.tiny_pages import plain
from course_lib.practice.judge.agreement import rounding_of_exp
from course_lib.practice.judge.rungs import trial

from .paged_trials import block_by_block, called, explain_on, shown, stays, step, untouched, weight


def chunks(seq_lens, new, note="", **options):
    """The Trial of one step: new[i] new tokens of sequence i."""
    lines, given = step("chunk_step", seq_lens, new, **options)
    return trial(
        [*lines, called("paged_prefill", 6)],
        given,
        lambda answer, *given: plain(answer(*given)),
        show=shown,
        note=note,
        explain=explain_on(given),
        size=weight(seq_lens, sum(new), **options),
        rounding=rounding_of_exp(10 * options.get("times", 1.0) ** 2),
    )


DECODE = [
    chunks([2], [1]),
    chunks([1], [1]),
    chunks([3], [1]),
    chunks([5], [1], head_dim=4),
    chunks([4], [1], block_size=4),
]


PROMPT = [
    chunks([2], [2]),
    chunks([3], [3]),
    chunks([4], [4]),
    chunks([5], [5], block_size=4),
    chunks([4], [4], head_dim=4),
    chunks([7], [7]),
]


WITH_CACHED = [
    chunks([4], [2]),
    chunks([3], [2]),
    chunks([5], [2]),
    chunks([6], [3]),
    chunks([9], [4], block_size=4),
    chunks([8], [2], block_size=4),
]


PACKED = [
    chunks([2, 2], [2, 2]),
    chunks([3, 2], [1, 2]),
    chunks([2, 5], [2, 1]),
    chunks([4, 3], [2, 3]),
    chunks([1, 6, 3], [1, 4, 1]),
    chunks([3, 5, 2], [2, 3, 2], block_size=4),
]


NONE_NEW = [chunks([2, 2], [0, 1]), chunks([3, 4], [2, 0]), chunks([2, 4, 3], [1, 0, 2])]


MANY = [
    chunks([20], [17], block_size=16),
    chunks([40], [35], block_size=16),
    chunks([70], [66], block_size=16),
    chunks([24], [20], heads=2, block_size=8),
    chunks([3, 40], [2, 35], block_size=16),
    chunks([19], [18], block_size=1),  # from here on, the last token of a tile is the first of a block
    chunks([34], [33], block_size=16),
    chunks([25], [24], heads=2, block_size=8),
]


HEADS = [
    chunks([2], [2], heads=2),
    chunks([3], [2], heads=2, kv_heads=2),
    chunks([3], [3], heads=4, kv_heads=2),
    chunks([4, 2], [2, 1], heads=4, kv_heads=2),
    chunks([3], [2], heads=3),
    chunks([4], [3], heads=6, kv_heads=2),
]


LARGE = [
    chunks([2], [2], times=20.0),
    chunks([4], [2], times=20.0),
    chunks([5], [3], times=30.0),
    chunks([6, 3], [2, 3], times=20.0),
]


WHOLE = [
    block_by_block("paged_prefill", "chunk_step", length, [new], block_size=block_size, head_dim=head_dim)
    for length, new, block_size, head_dim in ((16, 2, 2, 4), (32, 4, 4, 8), (24, 3, 2, 8))
]


UNTOUCHED = [
    untouched("paged_prefill", *step("chunk_step", lens, new, heads=heads), sum(lens))
    for lens, new, heads in (([2], [1], 1), ([3, 2], [2, 1], 1), ([4], [2], 2))
]


WIDE = [chunks([2, 1], [1, 1], spare=1), chunks([3, 5], [2, 1], spare=2), chunks([4, 1, 2], [3, 1, 2], spare=4)]


STALE = [
    chunks([1], [1], stale=True),
    chunks([3, 2], [2, 1], stale=True),
    chunks([5, 1], [5, 1], block_size=4, stale=True),
]


STAYS = [
    stays("paged_prefill", *step("chunk_step", lens, new), sum(lens)) for lens, new in (([2], [1]), ([3, 2], [2, 1]))
]
