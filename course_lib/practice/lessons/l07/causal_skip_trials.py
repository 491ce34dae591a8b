"""Trials of 07.causal_skip."""

import torch

from course_lib.practice.fixtures.tiny_attention import Watch, qkv
from course_lib.practice.judge import rungs

from .attention import (
    NEGATIVE,
    D,
    attends,
    close_scores,
    large_first,
    many_small,
    scaled_first,
    smalls,
    stays,
    untouched,
)


def on(n, m, *args, **options):
    return attends("flash_causal", n, m, *args, **options)


def computes(n, tile=16):
    """The Trial of how many tiles are multiplied in torch. A kernel multiplies none there: nan tells what it loads."""
    tiles = n // tile
    needed = tiles * (tiles + 1) // 2

    def call(answer, q, k, v):
        with Watch() as watch:
            answer(q, k, v, tile)
        return f"at most {needed} of {tiles**2} tiles" if watch.products <= needed * 2 * tile * tile * D else "more"

    return rungs.trial(
        [
            "from course_lib.practice.play import Watch, here, qkv",
            f"q, k, v = here(*qkv({n}, {n}, head_dim={D}))",
            "with Watch() as watch:",
            f"    flash_causal(q, k, v, tile={tile})",
            f"watch.products / {2 * tile * tile * D}  # multiply-adds in torch, in tiles",
        ],
        lambda: qkv(n, n, head_dim=D),
        call,
        show=str,
        size=2000 + n,
        note="tiles multiplied",
    )


def with_nan(n, m, first, rows, tile=16, heads=1):
    """The Trial with values of nan from key `first` on. The first `rows` rows are in tiles that need none of them."""

    def make(q, k, v):
        v[first:] = torch.nan
        return q, k, v

    return on(
        n,
        m,
        tile,
        heads,
        make=make,
        made=f'v[{first}:] = float("nan")',
        rows=rows,
        note=f"the first {rows} rows do not see key {first}",
    )


ONE = [on(2, 2), on(3, 3), on(16, 16, heads=2)]
SEVERAL = [on(32, 32), on(48, 48), on(17, 17, heads=2), on(64, 64, 32)]
WITH_CACHED = [on(1, 2), on(1, 20), on(3, 5), on(16, 32), on(32, 40), on(3, 20, heads=2), on(16, 17), on(20, 21)]
TAILS = [on(1, 1), on(17, 17), on(20, 20), on(33, 40, 32)]
FULLY_MASKED = [on(2, 1), on(3, 1), on(16, 4), on(5, 3, heads=2), on(20, 2)]
LARGE = [on(16, 16, times=4.0), on(20, 20, times=4.0), on(5, 48, times=4.0), on(5, 20, **NEGATIVE)]
SCALED = [scaled_first("flash_causal")]
MANY_SMALL = [many_small("flash_causal"), large_first("flash_causal"), close_scores("flash_causal")]
HALF = [on(2, 2, half=True), on(16, 20, half=True), on(5, 20, half=True, heads=2), *MANY_SMALL, *SCALED]
SKIPS = [
    with_nan(32, 32, 16, 16),
    with_nan(48, 48, 32, 32),
    with_nan(32, 32, 16, 16, heads=2),
    with_nan(32, 40, 32, 16),
    with_nan(64, 64, 32, 32, 32),
    computes(64),
    computes(96),
]
SMALL = smalls("flash_causal")
STAYS = [stays("flash_causal", 2, 2), stays("flash_causal", 17, 20)]
UNTOUCHED = [
    untouched("flash_causal", 1, 1),
    untouched("flash_causal", 17, 20),
    untouched("flash_causal", 32, 32, nan_from=16),
]
