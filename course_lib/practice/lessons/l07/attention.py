"""What the three attention exercises of lesson 07 share: the simplest right answer, and their trials."""

import math
from dataclasses import replace

import torch

from course_lib.attention.recording.recorder import recording
from course_lib.practice.fixtures.tiny_attention import Watch, count, qkv, size
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import Near, differing
from course_lib.practice.lessons.instead import instead
from course_lib.practice.report.tensors import numbers

from .attention_answers import Program, shared

INF = math.inf
D = 16
"""head_dim of most trials: the smallest that `tl.dot` takes on a GPU."""


def row_by_row(q, k, v, causal):
    """Attention in float64, one query at a time, over the keys that it sees."""
    (n, heads, head_dim), m, group = q.shape, len(k), q.shape[1] // k.shape[1]
    out = torch.zeros(q.shape, dtype=torch.float64)
    for row in range(n):
        seen = m - n + row + 1 if causal else m
        for head in range(heads if seen > 0 else 0):
            keys, values = (x[:seen, head // group].double().cpu() for x in (k, v))
            scores = keys @ q[row, head].double().cpu() / head_dim**0.5
            out[row, head] = torch.softmax(scores, 0) @ values
    return out.to(q.device, q.dtype)


def in_programs(q, k, v, tile, causal, kv_heads_of=shared):
    """The loop of the kernel in plain torch, one program after the other."""
    return Program(causal, kv_heads_of=kv_heads_of)(q, k, v, tile)


def attends(
    name,
    n,
    m,
    tile=16,
    heads=1,
    kv_heads=None,
    head_dim=D,
    times=1.0,
    half=False,
    make=None,
    made="",
    rows=None,
    **options,
):
    """The Trial of one call.

    make, made: a function that changes q, k and v, and the same as code. rows: only so many rows of the result count.
    """
    kv_heads = kv_heads or heads
    more = f", heads={heads}, kv_heads={kv_heads}" if heads > 1 else ""
    more += f", times={times:g}" if times != 1 else ""
    sizes = f"{count(n, 'query', 'queries')}, {count(m, 'key', 'keys')}"
    lines = [
        "from course_lib.practice.play import here, qkv",
        f"q, k, v = here(*qkv({n}, {m}{more}, head_dim={head_dim}))  # {sizes}",
    ]
    lines += (
        ["q, k, v = q.half(), k.half(), v.half()"] * half
        + [made] * bool(made)
        + [f"{name}(q, k, v, tile={tile}){f'[:{rows}]' if rows else ''}"]
    )

    def inputs():
        given = qkv(n, m, heads, kv_heads, head_dim, times)
        given = tuple(x.half() for x in given) if half else given
        return make(*given) if make else given

    def call(answer, q, k, v):
        out = answer(q, k, v, tile)
        return out[:rows] if rows and isinstance(out, torch.Tensor) else out

    within = 2e-3 if times > 1 else None
    return rungs.trial(
        lines,
        inputs,
        call,
        within=within,
        show=shown,
        explain=explain_on(inputs, causal=name != "flash"),
        size=(n + m) * heads * head_dim + tile + 10 * bool(made),
        **options,
    )


NEGATIVE = {"times": 6.0, "make": lambda q, k, v: (-q.abs(), k.abs(), v), "made": "q, k = -q.abs(), k.abs()"}
"""Options of `attends` that make all scores less than -104, so that exp is 0 on every processor, also on one that keeps
numbers below 1e-38."""


def small(name, n, m, tile=16, heads=1, kv_heads=1):
    """The Trial of whether no tensor is larger than q, k or a tile of scores, those of a group of heads together.

    With tile > head_dim, the scores of a tile of queries and all keys are larger. Where loads are recorded, no kernel
    may load more than a few tiles at once, or less than a tile.
    """

    def call(answer, q, k, v):
        with Watch() as watch:
            answer(q, k, v, tile)
        if size(watch.largest) > max(q.numel(), k.numel(), 2 * tile * tile * (heads // kv_heads)):
            return f"a tensor of {watch.largest}"
        widest = max((access.mask.size for access in recording() or ()), default=0)
        if 0 < widest < tile * D:
            return f"less than a tile: a kernel that loads {widest:,} numbers at once, and a tile has {tile * D:,}"
        return (
            "no tensor larger than q, k or a tile"
            if widest <= 2 * tile * max(tile, D)
            else f"a kernel that loads {widest:,} numbers at once"
        )

    more = f", heads={heads}, kv_heads={kv_heads}" if heads > 1 else ""
    return rungs.trial(
        [
            "from course_lib.practice.play import Watch, here, qkv",
            f"q, k, v = here(*qkv({n}, {m}{more}, head_dim={D}))",
            "with Watch() as watch:",
            f"    {name}(q, k, v, tile={tile})",
            "watch.largest  # the shape of the largest tensor made",
        ],
        lambda: qkv(n, m, heads, kv_heads, D),
        call,
        show=str,
        size=n + m,
    )


def smalls(name):
    return [
        small(name, 48, 48),
        small(name, 48, 160, tile=32),
        small(name, 100, 200, tile=64),
        small(name, 160, 48, tile=32),
    ]


ONE_TILE = (
    "Only the scores of one tile exist at a time",
    "The scores of a tile of queries and a tile of keys are kept in registers, never in slow memory.",
)
"""Title and meaning of the Property with the trials of `smalls`."""


def many_small(name):
    """The Trial in which float16 sums lose most keys: one key has weight 1, the others have 1 part in 40,000 each."""

    def make(q, k, v):
        for x, first, rest in ((q, 1, 1), (k, 2.65, 0), (v, 0, 1)):
            x[0], x[1:] = first, rest
        return q, k, v

    return attends(name, 1, 800, half=True, make=make, made="q[:], k[:], v[:], k[0], v[0] = 1, 0, 1, 2.65, 0")


def large_first(name):
    """The Trial in which a float16 accumulator loses most values: the first tile sums to 2048, each other to 0.8."""

    def make(q, k, v):
        for x, value in ((q, 0), (k, 0), (v, 0.05)):
            x[:] = value
        v[:16] = 128
        return q, k, v

    made = "q[:], k[:], v[:], v[:16] = 0, 0, 0.05, 128  # all keys have the same weight"
    return attends(name, 1, 801, half=True, make=make, made=made)


def close_scores(name):
    """The Trial of scores from 600 on that are 1/32 apart: a float16 keeps every sixteenth of them."""

    def make(q, k, v):
        q[:], k[:] = 8, 18.75
        k[:, 0, 0] += torch.arange(len(k)).to(k) / 64
        return q, k, v

    made = "q[:], k[:] = 8, 18.75; k[:, 0, 0] += torch.arange(len(k)) / 64  # scores 600, 600.03, …"
    return replace(attends(name, 1, 15, half=True, make=make, made=made), size=10**6)  # after those of sums


def scaled_first(name):
    """The Trial of scores near 600 in which q times the scale, as float16, is off by another share for each key."""

    def make(q, k, v):
        q[:] = (4 + torch.arange(32) / 7).to(q)
        k[:, 0], v[:], v[16:, :, :16] = torch.diag(600 * 32**0.5 / q[0, 0]), 1, -1
        return q, k, v

    made = "q[:] = 4 + torch.arange(32) / 7; k[:, 0], v[:], v[16:, :, :16] = torch.diag(600 * 32**0.5 / q[0, 0]), 1, -1"
    one = attends(name, 1, 32, head_dim=32, half=True, make=make, made=made, note="all scores are near 600")
    return replace(one, size=2 * 10**6)


def untouched(name, n, m, heads=1, kv_heads=1, nan_from=None):
    """The Trial of the inputs after a call. nan_from: the first of the values that are nan."""

    def inputs():
        q, k, v = qkv(n, m, heads, kv_heads, D)
        v[m if nan_from is None else nan_from :] = torch.nan
        return q, k, v

    def call(answer, q, k, v):
        answer(q, k, v, 16)
        return [q, k, v]

    more = f", heads={heads}, kv_heads={kv_heads}" if heads > 1 else ""
    return rungs.trial(
        [
            "from course_lib.practice.play import here, qkv",
            f"q, k, v = here(*qkv({n}, {m}{more}, head_dim={D}))",
            *([] if nan_from is None else [f'v[{nan_from}:] = float("nan")']),
            f"{name}(q, k, v, tile=16)",
            "q, k, v",
        ],
        inputs,
        call,
        show=shown,
        size=n + m,
        note="unchanged",
    )


def stays(name, n, m):
    """The Trial of the first result, after a second call with other numbers."""

    def call(answer, q, k, v):
        first = answer(q, k, v, 16)
        answer(q + 1, k, v, 16)
        return first

    return rungs.trial(
        [
            "from course_lib.practice.play import here, qkv",
            f"q, k, v = here(*qkv({n}, {m}, head_dim={D}))",
            f"first = {name}(q, k, v, tile=16)",
            f"{name}(q + 1, k, v, tile=16)",
            "first  # as it was before the second call",
        ],
        lambda: qkv(n, m, head_dim=D),
        call,
        show=shown,
        explain=explain,
        size=n + m,
    )


def shown(result):
    if isinstance(result, Near):
        half = result.tensor.dtype != torch.float32
        return shown(result.tensor) + f" in {str(result.tensor.dtype).removeprefix('torch.')}" * half
    if isinstance(result, (list, tuple)):
        return ", ".join(map(shown, result)) + f"   (a tuple of {len(result)})" * isinstance(result, tuple)
    if isinstance(result, torch.Tensor):
        return f"{list(result.shape)}, first numbers {numbers(result.flatten()[:4], 4)}"
    return repr(result)


def explain(expected, got):
    """The first row and head that differ, how many rows do, and by how much."""
    want, mine = (x.tensor if isinstance(x, Near) else x for x in (expected, got))
    if not isinstance(mine, torch.Tensor) or mine.shape != want.shape:
        return f"The result must be a tensor of shape {list(want.shape)}."
    if mine.dtype != want.dtype:
        return f"The result is {mine.dtype}, and q is {want.dtype}."
    wrong = differing(expected, got).any(-1)
    row, head = wrong.nonzero()[0].tolist()
    far = (mine - want).abs().max()
    by = (
        "It holds nan: memory that was never written, a masked load without `other`, or infinity minus infinity."
        if mine.isnan().any()
        else f"The largest difference is {far:.2g}."
    )
    return f"First different: row {row}, head {head}. {int(wrong.sum())} of {wrong.numel()} rows differ. {by}"


def explain_on(inputs, causal):
    """The same, with a sentence on what the first row that differs is. inputs(): q, k and v."""

    def explain_here(expected, got):
        said = explain(expected, got)
        want, mine = (x.tensor if isinstance(x, Near) else x for x in (expected, got))
        if not isinstance(mine, torch.Tensor) or (mine.shape, mine.dtype) != (want.shape, want.dtype):
            return said
        q, k, v = inputs()
        row, head = differing(expected, got).any(-1).nonzero()[0].tolist()
        seen = max(0, len(k) - len(q) + row + 1) if causal else len(k)
        return f"{said} {instead(want, mine, row, head, q[row, head], k, v, (0, seen))}".rstrip()

    return explain_here
