"""What the three attention exercises of lesson 07 share: the obviously right answer, their trials, and the mistakes that all of them invite."""

import math

import torch

from course_lib.attention.recording.recorder import recording
from course_lib.practice.fixtures.attention_variants import Wrong
from course_lib.practice.fixtures.tiny_attention import Watch, count, qkv, size
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import Near, alike, differing
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import half_sums, power_of_two
from course_lib.practice.report.tensors import numbers

from .attention_answers import Program, shared

INF = math.inf
D = 16
"""Numbers of a head, where nothing else is said: the least that `tl.dot` takes on a GPU."""


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
    """The kernel's loop in plain torch, one program after the other."""
    return Program(causal, kv_heads_of=kv_heads_of)(q, k, v, tile)


def bent(causal, *, reads=lambda q, k, v: (q, k, v), writes=lambda out, tile: out, dtype=None, **faults):
    """A wrong answer: 06.flash_forward with a piece replaced, or with other inputs or another output than it should have."""
    wrong = Wrong(**faults)

    def answer(q, k, v, tile):
        theirs = [x.cpu() if x.dtype == torch.float32 else x.cpu().float() for x in (q, k, v)]
        out, _ = wrong(*reads(*theirs), (tile, tile), causal)
        q.copy_(theirs[0])  # what was done in place there; no kernel of ours writes into k and v
        return writes(out.to(dtype or q.dtype), tile)

    return answer


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
    """The Trial of one call. make, made: what is done to q, k, v, in fact and as code; rows: so many of the result count."""
    kv_heads = kv_heads or heads
    more = f", heads={heads}, kv_heads={kv_heads}" if heads > 1 else ""
    more += f", times={times:g}" if times != 1 else ""
    lines = [
        "from course_lib.practice.play import here, qkv",
        f"q, k, v = here(*qkv({n}, {m}{more}, head_dim={head_dim}))  # {count(n, 'query', 'queries')}, {count(m, 'key', 'keys')}",
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
        explain=explain,
        size=(n + m) * heads * head_dim + tile + 10 * bool(made),
        **options,
    )


NEGATIVE = {"times": 4.0, "make": lambda q, k, v: (-q.abs(), k.abs(), v), "made": "q, k = -q.abs(), k.abs()"}
"""Options of `attends`: all scores are far below 0."""


def small(name, n, m, tile=16, heads=1, kv_heads=1):
    """Whether no tensor is larger than the largest that has to be there. With tile > head_dim, a tile of queries against all keys is larger.

    And whether no kernel loads more than some tiles at once, where that is recorded.
    """

    def call(answer, q, k, v):
        with Watch() as watch:
            answer(q, k, v, tile)
        if size(watch.largest) > max(q.numel(), k.numel(), 2 * tile * tile):
            return f"a tensor of {watch.largest}"
        widest = max((access.mask.size for access in recording() or ()), default=0)
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
    return [small(name, 48, 48), small(name, 48, 160, tile=32), small(name, 100, 200, tile=64)]


SLIM = (
    "Only the scores of one tile are there at a time",
    "A tile of queries against a tile of keys: these scores live in registers, and are never in slow memory.",
)
"""Title and meaning of the Property of `smalls`."""


def fine(name):
    """A half-precision case in which float16 sums lose most of the keys: one key weighs 1, each of the others 1 part in 40,000."""

    def make(q, k, v):
        for x, first, rest in ((q, 1, 1), (k, 2.65, 0), (v, 0, 1)):
            x[0], x[1:] = first, rest
        return q, k, v

    return attends(name, 1, 800, half=True, make=make, made="q[:], k[:], v[:], k[0], v[0] = 1, 0, 1, 2.65, 0")


def untouched(name, n, m, heads=1, kv_heads=1):
    def call(answer, q, k, v):
        answer(q, k, v, 16)
        return [q, k, v]

    more = f", heads={heads}, kv_heads={kv_heads}" if heads > 1 else ""
    return rungs.trial(
        [
            "from course_lib.practice.play import here, qkv",
            f"q, k, v = here(*qkv({n}, {m}{more}, head_dim={D}))",
            f"{name}(q, k, v, tile=16)",
            "q, k, v",
        ],
        lambda: qkv(n, m, heads, kv_heads, D),
        call,
        show=shown,
        size=n + m,
        note="as they were",
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
    """Which row and head differ first, how many, and by how much."""
    want, mine = (x.tensor if isinstance(x, Near) else x for x in (expected, got))
    if not isinstance(mine, torch.Tensor) or mine.shape != want.shape:
        return f"A tensor of shape {list(want.shape)} is asked for."
    if mine.dtype != want.dtype:
        return f"The result is {mine.dtype}, and q is {want.dtype}."
    wrong = differing(expected, got).any(-1)
    row, head = wrong.nonzero()[0].tolist()
    far = (mine - want).abs().max()
    by = (
        "There is nan in it: memory that nobody wrote, or infinity less infinity."
        if mine.isnan().any()
        else f"The largest difference is {far:.2g}."
    )
    return f"First different: row {row}, head {head}. {int(wrong.sum())} of {wrong.numel()} rows differ. {by}"


def tf32(x):
    """float32 with the last 13 bits of its fraction rounded away, as matrix units take it."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def first_tile(out, tile):
    return torch.cat([out[:tile], torch.full_like(out[tile:], math.nan)])


def first_head(out, tile):
    return torch.cat([out[:, :1], torch.full_like(out[:, 1:], math.nan)], 1)


def same_tile(x, tile=16):
    """What is read when the pointer never moves on: the first tile again and again."""
    return x[torch.arange(len(x)) % tile]


def over_heads(causal):
    """A wrong answer: the heads of a token look at each other."""

    def answer(q, k, v, tile):
        scores = q.float() @ k.float().transpose(1, 2) / q.shape[2] ** 0.5
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -INF)
        return (torch.softmax(scores, 2) @ v.float()).to(q.dtype)

    return answer


def writes_one_head(causal):
    """is_made_by of an answer that is right for head 0, and has written no other."""

    def is_made_by(answer, found):
        mine = getattr(found.outcome, "tensor", found.outcome)
        want = found.trial.outcome(lambda q, k, v, tile: row_by_row(q, k, v, causal))[0]
        want = getattr(want, "tensor", want)
        return (
            mine.shape == want.shape
            and want.shape[1] > 1
            and alike(want[:, 0].float(), mine[:, 0].float())
            and bool((mine[:, 1:].isnan() | (mine[:, 1:] == 0)).all())
        )

    return is_made_by


EARLY = Mistake(
    "the loop over keys ends too early.",
    "Row i stands at position m - n + i, in the bound of the loop as in the mask: it ends at `tl.minimum(m, m - n + first + TILE)`.",
    Program(True, end=lambda n, m, first, tile: min(m, first + tile)),
)


def common(causal, whole, ordinary, small_trials, untouched_trials, fine_trials):
    """The mistakes that attention invites in each of the three. whole: an answer that makes the whole matrix. Then four kinds of trials."""
    return [
        Mistake(
            "the inputs are changed.",
            "`*=` and the like write into the caller's tensors, and here they are the cache.",
            bent(causal, scales_q_in_place=True),
            is_made_by=lambda answer, found: found.trial in untouched_trials and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "the accumulator is not rescaled.",
            "`acc` was summed under the old maximum: multiply it by exp(old - new) first.",
            bent(causal, acc_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "`total` shrinks by the same factor as the accumulator.",
            bent(causal, total_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums under different maxima cannot be added.",
            bent(causal, acc_shrinks=False, total_shrinks=False),
        ),
        Mistake(
            "the sum is never divided by.",
            "At the end: `acc / total[:, None]`, each row by its own sum.",
            bent(causal, divides=False),
        ),
        Mistake(
            "the maximum is not subtracted.",
            "exp(89) is the last that fits in a float32.",
            bent(causal, subtracts=False),
        ),
        Mistake(
            "scores are scaled wrongly.",
            "A score is q · k divided by the square root of head_dim.",
            (
                bent(causal, scale=lambda d: 1.0),
                bent(causal, scale=lambda d: 1 / d),
                bent(causal, scale=lambda d: d**0.5),
            ),
        ),
        Mistake(
            "only the last tile of keys counts.",
            "End each turn with `high = new_high`. With the -inf that it began with, exp(high - new_high) is 0, and all before is lost.",
            Program(causal, keeps_high=False),
        ),
        Mistake(
            "exp2 stands for exp.",
            "exp(x) is exp2(x * log2(e)): multiply the scale by 1.4427 when you use `tl.exp2`.",
            bent(causal, scale=lambda d: math.log(2) * d**-0.5),
        ),
        Mistake(
            "only the first tile of queries is written.",
            "A program's rows begin at `tl.program_id(1) * TILE`, and the grid has a program for each tile.",
            bent(causal, writes=first_tile),
        ),
        Mistake(
            "only the first head is written.",
            "The grid has a program for each head and each tile. In a grid of (heads, tiles), `tl.program_id(0)` is the head and `tl.program_id(1)` the tile; in one of "
            "(tiles, heads) it is the other way round.",
            bent(causal, writes=first_head),
            is_made_by=writes_one_head(causal),
        ),
        Mistake(
            "the same tile of keys comes again and again.",
            "Columns are `start + tl.arange(0, TILE)`, and `start` moves on with the loop.",
            (
                bent(causal, reads=lambda q, k, v: (q, same_tile(k), same_tile(v))),
                bent(causal, reads=lambda q, k, v: (q, same_tile(k), v)),
                bent(causal, reads=lambda q, k, v: (q, k, same_tile(v))),
            ),
        ),
        Mistake(
            "the result is in float32.",
            "Sum in float32, and store as q has it: `.to(out_ptr.dtype.element_ty)`.",
            bent(causal, dtype=torch.float32),
        ),
        rungs.rounded(
            lambda q, k, v, tile: row_by_row(q, k, v, causal),
            ordinary,
            bent(causal, reads=lambda q, k, v: tuple(map(tf32, (q, k, v)))),
        ),
        Mistake(
            "scores of all keys are held at once.",
            "The output is right, but each query has its scores of all m keys at the same time, be it the whole matrix or a tile of queries against "
            "all keys. Loop over tiles of keys, with a running maximum and sum.",
            whole,
            is_made_by=lambda answer, found: found.trial in small_trials and not isinstance(found.outcome, Raised),
        ),
        power_of_two(
            "`tl.arange` wants 16, 32, 64, …: take `tile` and `head_dim` for it, which are, and mask what is not there."
        ),
        half_sums(
            fine_trials,
            "A float16 has 11 bits: 1 + 1/4096 is 1 again. `total` and `acc` are tl.float32, or `.float()` in torch; only the result becomes float16.",
        ),
    ]


def on_contiguous(causal):
    """The mistakes where q, k and v are contiguous, and addresses are computed from that."""
    return [
        Mistake(
            "heads begin one number after the other.",
            "Head h begins at h * HEAD_DIM of its token: `head * HEAD_DIM + tl.arange(0, HEAD_DIM)`.",
            (Program(causal, head_step=1), Program(causal, head_step=1, stores_right=True)),
        ),
        Mistake(
            "the number of queries is taken for that of keys.",
            "q has n rows, k and v have m: the loop ends at m, and a column below m is a key.",
            (Program(causal, keys=lambda n, m: n), Program(causal, end=lambda n, m, first, tile: min(n, m))),
        ),
        Mistake(
            "attention runs over the heads of a token.",
            "The products of `q @ k.transpose(1, 2)` compare the heads of one token with each other. Tokens are to look at tokens: take one head, "
            "`q[:, h] @ k[:, h].T`, or put the heads first, with `transpose(0, 1)`.",
            over_heads(causal),
        ),
    ]
