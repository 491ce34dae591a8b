"""Trials of 07.grouped_query."""

import torch

from course_lib.practice.fixtures.tiny_attention import Watch, qkv, size
from course_lib.practice.judge import rungs

from .attention import attends, close_scores, large_first, many_small, scaled_first, small, smalls, stays, untouched

BY_HEAD = "k, v = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in (k, v))"


def on(n, m, heads=1, kv_heads=1, **options):
    return attends("flash_grouped", n, m, heads=heads, kv_heads=kv_heads, **options)


def packed(n, heads, kv_heads):
    """The Trial with q, k and v as slices of one tensor, as the projection of a model makes them."""

    def make(q, k, v):
        return torch.cat([q, k, v], 1).split([heads, kv_heads, kv_heads], 1)

    return on(
        n,
        n,
        heads,
        kv_heads,
        make=make,
        made=f"q, k, v = torch.cat([q, k, v], 1).split([{heads}, {kv_heads}, {kv_heads}], 1)",
    )


def kv_by_head(n, m, heads, kv_heads):
    """The Trial with k and v laid out by head: transposed views of [kv_heads, m, head_dim]."""
    return on(n, m, heads, kv_heads, make=lambda q, k, v: (q, *by_head(k, v)), made=BY_HEAD)


def v_by_head(n, m, heads, kv_heads):
    """The Trial with only v laid out by head."""
    return on(
        n,
        m,
        heads,
        kv_heads,
        make=lambda q, k, v: (q, k, v.transpose(0, 1).contiguous().transpose(0, 1)),
        made="v = v.transpose(0, 1).contiguous().transpose(0, 1)",
    )


def q_by_head(n, m, heads, kv_heads):
    """The Trial with only q laid out by head."""
    return on(
        n,
        m,
        heads,
        kv_heads,
        make=lambda q, k, v: (*by_head(q, q)[:1], k, v),
        made="q = q.transpose(0, 1).contiguous().transpose(0, 1)",
    )


def hidden_nan(n, first, heads, kv_heads):
    """The Trial with values of nan from key `first` on, where the second tile begins; the rows before it count."""

    def make(q, k, v):
        v[first:] = torch.nan
        return q, k, v

    made = f'v[{first}:] = float("nan")'
    return on(n, n, heads, kv_heads, make=make, made=made, rows=first, note=f"the first {first} rows see none of them")


def by_head(k, v):
    """k and v as transposed views of [kv_heads, m, head_dim]."""
    return tuple(x.transpose(0, 1).contiguous().transpose(0, 1) for x in (k, v))


def in_place(n, m, heads, kv_heads, laid=True, half=False):
    """The Trial of whether k and v are read without a copy, also of one head. One tile of all heads may be copied.

    laid: out by head, so that they are not contiguous. half: in float16, so that `.float()` copies.
    """

    def inputs():
        q, k, v = (x.half() if half else x for x in qkv(n, m, heads, kv_heads, 16))
        return (q, *by_head(k, v)) if laid else (q, k, v)

    def call(answer, q, k, v):
        with Watch(but=(q, k, v)) as watch:
            answer(q, k, v, 16)
        small = size(watch.largest) < k[:, 0].numel()
        return "no tensor as large as a head of k" if small else f"a tensor of {watch.largest}"

    return rungs.trial(
        [
            "from course_lib.practice.play import Watch, here, qkv",
            f"q, k, v = here(*qkv({n}, {m}, heads={heads}, kv_heads={kv_heads}, head_dim=16))",
            *["q, k, v = q.half(), k.half(), v.half()"] * half,
            *[f"{BY_HEAD}  # laid out by head"] * laid,
            "with Watch(but=(q, k, v)) as watch:",
            "    flash_grouped(q, k, v, tile=16)",
            "watch.largest  # the shape of the largest tensor made, without views of q, k and v",
        ],
        inputs,
        call,
        show=str,
        size=10 * (n + m),
        note=f"a head of k has {m * 16:,} numbers",
    )


EQUAL = [on(2, 2), on(3, 5), on(2, 2, 2, 2), on(3, 20), on(17, 17, 2, 2)]
GROUPED = [
    on(1, 2, 2, 1),
    on(2, 2, 2, 1),
    on(3, 3, 4, 2),
    on(2, 4, 6, 2),
    on(16, 20, 3, 1),
    on(17, 17, 4, 2),
    on(16, 17, 2, 1),
    on(5, 20, 6, 3),
    packed(4, 4, 2),
    kv_by_head(5, 20, 2, 1),
]
VIEWS = [
    packed(2, 1, 1),
    packed(3, 2, 2),
    kv_by_head(2, 3, 2, 2),
    packed(17, 1, 1),
    kv_by_head(3, 6, 4, 4),
    v_by_head(2, 3, 2, 2),
    q_by_head(2, 3, 2, 2),
    q_by_head(3, 20, 4, 4),
]
TAILS = [on(1, 1, 2, 1), on(1, 17, 4, 2), on(20, 33, 2, 1)]
WITH_ENOUGH_HEADS = [on(17, 17, 2, 2), packed(3, 2, 2), on(17, 17, 4, 2)]
"""Cases that have all the KV heads that the mistakes below reach."""
FULLY_MASKED = [on(2, 1, 2, 1), on(3, 1, 2, 1), on(5, 3, 4, 2)]
LARGE = [on(16, 16, 2, 1, times=4.0), on(16, 32, 2, 2, times=4.0), on(5, 20, 4, 2, times=4.0)]
SCALED = [scaled_first("flash_grouped")]
MANY_SMALL = [many_small("flash_grouped"), large_first("flash_grouped"), close_scores("flash_grouped")]
HALF = [on(2, 2, 2, 1, half=True), on(5, 20, 4, 2, half=True), on(17, 17, 2, 2, half=True), *MANY_SMALL, *SCALED]
SMALL = smalls("flash_grouped")
SKIPS = [hidden_nan(32, 16, 2, 1), hidden_nan(48, 16, 2, 2)]
COPIES = [
    small("flash_grouped", 3, 40, heads=3),
    small("flash_grouped", 2, 48, heads=4),
    small("flash_grouped", 2, 48, heads=4, kv_heads=2),
]
IN_PLACE = [in_place(n, 80, heads, 2, laid) for n, heads in ((2, 4), (1, 2)) for laid in (True, False)]
IN_PLACE += [in_place(2, 80, 4, 2, laid, half=True) for laid in (True, False)]
STAYS = [stays("flash_grouped", 2, 2), stays("flash_grouped", 17, 20)]
UNTOUCHED = [untouched("flash_grouped", 1, 1), untouched("flash_grouped", 17, 20, 2, 1)]
