"""Trials of 06.flash_forward."""

import torch

from course_lib.practice.fixtures.tiny_attention import Products, Watch, count, qkv, size
from course_lib.practice.judge.agreement import differing, rounding_of_exp
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.lessons.instead import instead

from .tensors_shown import FIRST_WATCH_S, beside, shown


def story(n, m, heads, kv_heads, d, times=1.0):
    more = f", heads={heads}, kv_heads={kv_heads}" if heads > 1 else ""
    more += f", head_dim={d}" if d != 2 else ""
    more += f", times={times:g}" if times != 1 else ""
    return [
        "from course_lib.practice.play import qkv",
        f"q, k, v = qkv({n}, {m}{more})  # {count(n, 'query', 'queries')}, {count(m, 'key', 'keys')}",
    ]


def attends(n, m, tile=(2, 2), causal=True, heads=1, kv_heads=1, d=2, times=1.0):
    return Trial(
        [*story(n, m, heads, kv_heads, d, times), f"flash_forward(q, k, v, tile={tile}, causal={causal})"],
        lambda answer: answer(*qkv(n, m, heads, kv_heads, d, times), tile, causal),
        show=shown,
        note="(out, lse)",
        explain=lambda expected, got: explain(expected, got, qkv(n, m, heads, kv_heads, d, times), causal),
        both=beside,
        size=(n + m) * heads * d + tile[0] + tile[1],
        rounding=rounding_of_exp(10 * times**2),
    )


def small(n, tile, causal, heads=1):
    """The Trial of whether no tensor is larger than q, or than a tile of scores."""

    def act(answer):
        with Watch() as watch:
            answer(*qkv(n, n, heads, heads), tile, causal)
        allowed = max(2 * n * heads, 2 * tile[0] * tile[1])
        return "no tensor larger than q or a tile" if size(watch.largest) <= allowed else f"a tensor of {watch.largest}"

    return Trial(
        [
            *story(n, n, heads, heads, 2),
            "from course_lib.practice.play import Watch",
            "with Watch() as watch:",
            f"    flash_forward(q, k, v, tile={tile}, causal={causal})",
            "watch.largest  # the shape of the largest tensor made",
        ],
        act,
        show=str,
        size=n * heads + sum(tile),
        limit_s=FIRST_WATCH_S,
    )


def all_together(n, tile, heads):
    """The Trial of how many numbers exist at one time. The scores of all tiles and heads would be too many."""
    q = 2 * n * heads
    allowed = 8 * q + 32 * tile[0] * tile[1]

    def act(answer):
        given = qkv(n, n, heads, heads)
        with Watch(but=given) as watch:
            answer(*given, tile, True)
        return f"at most {allowed:,}" if watch.peak <= allowed else f"{watch.peak:,}"

    return Trial(
        [
            *story(n, n, heads, heads, 2),
            "from course_lib.practice.play import Watch",
            "with Watch(but=(q, k, v)) as watch:",
            f"    flash_forward(q, k, v, tile={tile}, causal=True)",
            "watch.peak  # the most numbers that the tensors made held at one time",
        ],
        act,
        show=str,
        size=n * heads + sum(tile),
        limit_s=FIRST_WATCH_S,
        note=f"q has {q:,} numbers, a tile {tile[0] * tile[1]}, all scores {n * n * heads:,}",
    )


def stays(n, m):
    """The Trial of the first result, after a second call with other numbers."""

    def act(answer):
        q, k, v = qkv(n, m)
        first = answer(q, k, v, (2, 2), True)
        answer(q + 1, k, v, (2, 2), True)
        return first

    return Trial(
        [
            *story(n, m, 1, 1, 2),
            "first = flash_forward(q, k, v, tile=(2, 2), causal=True)",
            "flash_forward(q + 1, k, v, tile=(2, 2), causal=True)",
            "first  # as it was before the second call",
        ],
        act,
        show=shown,
        both=beside,
        explain=explain,
        size=n + m,
    )


def steps(n, m, tile):
    """The Trial of whether tiles have the columns asked for: at most two matrix products a row and tile of columns."""
    columns = -(-m // tile[1])
    allowed = 2 * n * columns

    def act(answer):
        with Products() as products:
            answer(*qkv(n, m), tile, False)
        return f"at most {allowed}" if products.number <= allowed else f"{products.number}"

    return Trial(
        [
            *story(n, m, 1, 1, 2),
            "from course_lib.practice.play import Products",
            "with Products() as products:",
            f"    flash_forward(q, k, v, tile={tile}, causal=False)",
            "products.number  # matrix products",
        ],
        act,
        show=str,
        size=n + m + sum(tile),
        limit_s=FIRST_WATCH_S,
        note=f"two for each of {n} rows, in each of {columns} tiles of columns",
    )


def skips(n, tile):
    """The Trial of whether tiles above the diagonal are skipped, measured in multiply-adds of matrix products."""
    tiles = [(r, c) for r in range(0, n, tile[0]) for c in range(0, n, tile[1])]
    needed = sum(c <= min(n, r + tile[0]) - 1 for r, c in tiles)

    def act(answer):
        with Watch() as watch:
            answer(*qkv(n, n), tile, True)
        return f"at most {needed} of {len(tiles)} tiles" if watch.products <= needed * tile[0] * tile[1] * 4 else "more"

    return Trial(
        [
            *story(n, n, 1, 1, 2),
            "from course_lib.practice.play import Watch",
            "with Watch() as watch:",
            f"    flash_forward(q, k, v, tile={tile}, causal=True)",
            f"watch.products / {tile[0] * tile[1] * 4}  # multiply-adds, in tiles",
        ],
        act,
        show=str,
        size=n,
        limit_s=FIRST_WATCH_S,
        note="tiles computed",
    )


def untouched(n, m):
    def act(answer):
        given = qkv(n, m)
        answer(*given, (2, 2), True)
        return given

    return Trial(
        [*story(n, m, 1, 1, 2), "flash_forward(q, k, v, tile=(2, 2), causal=True)", "q, k, v"],
        act,
        show=shown,
        both=beside,
        size=n + m,
        note="unchanged",
    )


def explain(expected, got, given=None, causal=True):
    """The first row and head that differ, and the tensor in which they do. given: q, k and v, to say what it is."""
    if not isinstance(got, tuple) or len(got) != 2:
        return "The exercise asks for two tensors: the output, and the log-sum-exp of every row and head."
    for name, want, mine in zip(("output", "lse"), expected, got):
        if not isinstance(mine, torch.Tensor) or mine.shape != want.shape:
            return f"The {name} has shape {list(getattr(mine, 'shape', []))}; it should be {list(want.shape)}."
        if mine.isnan().any():
            return 'The result is nan ("not a number") for a row that sees no key: inf minus inf, or 0 divided by 0.'
        wrong = differing(want, mine)
        wrong = wrong.any(-1) if wrong.ndim == 3 else wrong
        if wrong.any():
            row, head = wrong.nonzero()[0].tolist()
            count = f"{int(wrong.sum())} of {wrong.numel()} rows differ."
            said = f"First different: {name} of row {row}, head {head}. {count}"
            if name == "lse" or given is None:
                return said
            q, k, v = given
            seen = max(0, len(k) - len(q) + row + 1) if causal else len(k)
            return f"{said} {instead(want, mine, row, head, q[row, head], k, v, (0, seen))}".rstrip()
    return ""


SIMPLE = [
    attends(1, 1),
    attends(1, 1, d=4),
    attends(2, 2, causal=False),
    attends(2, 2, causal=False, d=4),
    attends(3, 3, (3, 4), causal=False),
]


SEVERAL = [
    attends(1, 4, causal=False),
    attends(1, 6, causal=False),
    attends(4, 4, causal=False),
    attends(2, 4, causal=False),
    attends(4, 6, (2, 3), causal=False),
    attends(6, 8, (4, 2), causal=False, d=4),
]


CAUSAL = [
    attends(2, 2),
    attends(4, 4),
    attends(4, 4, (2, 4)),
    attends(6, 6, (2, 3)),
    attends(8, 8, (4, 2), d=4),
    attends(6, 6, (3, 2)),
    attends(4, 4, (4, 2)),
]


WITH_CACHED = [attends(2, 4), attends(2, 5), attends(3, 8, (2, 3)), attends(4, 9, (3, 2)), attends(2, 3, (1, 1))]


TAILS = [
    attends(n, m, tile, causal)
    for n, m, tile in [(1, 3, (2, 2)), (3, 3, (2, 2)), (5, 5, (2, 3)), (5, 7, (4, 4)), (1, 1, (4, 4))]
    for causal in (False, True)
]


HEADS = [
    attends(2, 2, heads=2, kv_heads=2),
    attends(2, 2, heads=2, kv_heads=1),
    attends(3, 3, heads=4, kv_heads=2),
    attends(2, 4, heads=6, kv_heads=2, d=4),
    attends(3, 3, heads=3, kv_heads=3, causal=False),
    attends(1, 2, heads=4, kv_heads=2),
]


FULLY_MASKED = [
    attends(2, 0),
    attends(1, 0, causal=False),
    attends(2, 1),
    attends(4, 2),
    attends(3, 2),
    attends(4, 2, (4, 2)),
    attends(5, 3, (1, 2)),
    attends(5, 2, (4, 2)),
    attends(0, 0),
]


SMALL = [
    small(12, (3, 2), False),
    small(16, (4, 4), True),
    small(16, (4, 2), False),
    small(16, (8, 2), True),
    small(16, (2, 8), False),
    small(16, (8, 8), False, heads=8),
    all_together(48, (4, 4), 4),
    all_together(64, (4, 8), 4),
]


STAYS = [stays(1, 1), stays(3, 3), stays(2, 5)]


STEPS = [steps(2, 16, (2, 8)), steps(2, 24, (2, 12)), steps(3, 24, (3, 12)), steps(3, 36, (3, 12))]


UNTOUCHED = [untouched(1, 1), untouched(2, 2), untouched(3, 5)]
