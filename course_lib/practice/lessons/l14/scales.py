"""14.scales: which numbers of keys or values share a scale."""

import torch

from course_lib.practice.judge.agreement import ALSO_IN_FLOAT32
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, overwritten

from .kv_trials import shown, stays, typed, untouched
from .scales_mistakes import MISTAKES
from .solutions.scales import scales


def scales_by_groups(x, by, largest, group=None):
    """A name for the group of each number; a group's scale goes to all of its places."""
    tokens, heads, width = x.shape
    t, h, d = torch.meshgrid(torch.arange(tokens), torch.arange(heads), torch.arange(width), indexing="ij")
    names = {"token": t * heads + h, "head": h}.get(by)
    if names is None:
        names = ((t // (group or max(1, tokens))) * heads + h) * width + d
    peaks = torch.zeros(int(names.max()) + 1 if x.numel() else 1)
    peaks = peaks.scatter_reduce(0, names.flatten(), x.abs().flatten(), "amax")
    return peaks[names] / largest


def scales_in_place(x, by, largest, group=None):
    """Fills the result, slice by slice."""
    out = torch.empty_like(x)
    if by == "token":
        out[:] = x.abs().max(2, keepdim=True).values
    elif by == "head":
        for h in range(x.shape[1]):
            out[:, h] = x[:, h].abs().max() if len(x) else 0.0
    else:
        for first in range(0, len(x), group or len(x) or 1):
            rows = slice(first, first + group) if group else slice(None)
            out[rows] = torch.linalg.vector_norm(x[rows], float("inf"), dim=0)
    return out / largest


def keys(num_tokens, heads=1, width=2, seed=0):
    """Small numbers, no two of one size: [num_tokens, heads, width]."""
    draw = torch.Generator().manual_seed(1000 * seed + 100 * num_tokens + 10 * heads + width)
    count = num_tokens * heads * width
    sizes = torch.randperm(3 * count, generator=draw)[:count] + 1
    signs = 2 * torch.randint(2, (count,), generator=draw) - 1
    return (sizes * signs * 0.5).reshape(num_tokens, heads, width)


def asked(by, num_tokens, heads=1, width=2, largest=1, group=None, note="", x=None, rounding=1.0):
    """The Trial of one call."""
    x = keys(num_tokens, heads, width) if x is None else torch.tensor(x)
    rest = f", {by!r}, {largest}" + ("" if group is None else f", {group}")
    return Trial(
        [f"scales({typed(x)}{rest})"],
        lambda answer: answer(x.clone(), by, largest, *([] if group is None else [group])),
        show=shown,
        note=note,
        explain=explain,
        rounding=rounding,
        size=10 * x.numel() + largest // 7,
    )


def exactly_zero(by):
    """The Trial of where a scale is 0, and not a little more."""
    x = torch.tensor([[[0.0]], [[1.5]]])
    story = [f"scales({typed(x)}, {by!r}, 1) == 0"]
    return Trial(story, lambda answer: answer(x.clone(), by, 1) == 0, show=shown, size=20)


def explain(expected, got):
    """The first scale that differs."""
    if not isinstance(got, torch.Tensor):
        return "One tensor is asked for."
    if got.shape != expected.shape:
        return f"Yours has shape {list(got.shape)}; the shape of x is asked for: {list(expected.shape)}."
    wrong = ((expected - got).abs() > 1e-4).nonzero()
    if not len(wrong):
        return ""
    token, head, channel = wrong[0].tolist()
    return f"First different: token {token}, head {head}, channel {channel}."


TOKEN = [
    asked("token", 1),
    asked("token", 2),
    asked("token", 2, width=3),
    asked("token", 2, heads=2),
    asked("token", 3, heads=2, width=4),
    asked("token", 1, heads=3, width=1),
]
HEAD = [
    asked("head", 1),
    asked("head", 2),
    asked("head", 3, heads=2),
    asked("head", 2, heads=2, width=3),
    asked("head", 4, heads=3),
    asked("head", 3, heads=2, width=1),
]
CHANNEL = [
    asked("channel", 2),
    asked("channel", 3),
    asked("channel", 2, heads=2),
    asked("channel", 3, heads=2, width=3),
    asked("channel", 1, width=4),
    asked("channel", 4, heads=2, width=1),
]
GROUPS = [
    asked("channel", 4, group=2),
    asked("channel", 2, group=1, note="a group of one token: each number has its own scale"),
    asked("channel", 6, group=3),
    asked("channel", 6, group=2),
    asked("channel", 4, heads=2, width=1, group=2),
    asked("channel", 6, heads=2, group=2),
]
SHORT = [
    asked("channel", 3, group=2, note="the last group has one token"),
    asked("channel", 5, group=2),
    asked("channel", 5, group=3),
    asked("channel", 2, group=4, note="fewer tokens than a group"),
    asked("channel", 7, heads=2, width=1, group=3),
    asked("channel", 3, group=3),
]
CHANNEL += [asked("channel", 68, width=1)]
SHORT += [asked("channel", 68, width=1, group=66)]
TOKEN += [asked("token", 3, group=2, note="a group is for channels")]
HEAD += [asked("head", n, heads, group=2, note="a group is for channels") for n, heads in ((3, 1), (4, 1), (5, 2))]
LARGEST = [
    asked(by, 2, largest=largest, x=[[[254.0, -63.5]], [[-12.7, 7.0]]])
    for by in ("token", "head", "channel")
    for largest in (127, 7)
]
PRECISE = [
    asked(by, 1, largest=largest, x=[[[largest * 0.2503657]]], note="half precision is too coarse")
    for by in ("token", "head", "channel")
    for largest in (7, 127)
]
LARGEST += PRECISE
ZEROS = [asked(by, 2, x=[[[0.0, 0.0]], [[3.0, 0.0]]], note="a scale of zeros is 0") for by in ("token", "channel")] + [
    asked("head", 1, x=[[[0.0, 0.0], [2.0, 1.0]]]),
    asked("channel", 2, group=1, x=[[[0.0]], [[1.5]]]),
]
ZEROS += [
    trial
    for by in ("token", "head", "channel")
    for trial in (
        exactly_zero(by),
        asked(by, 1, x=[[[2e-6]]], note="a small scale is a scale", rounding=ALSO_IN_FLOAT32),
    )
]
NO_TOKENS = [asked(by, 0, heads=2) for by in ("token", "head", "channel")] + [asked("channel", 0, group=2)]
UNTOUCHED = [
    untouched("scales", keys(3), by, 7, *group) for by, group in (("token", ()), ("head", ()), ("channel", (2,)))
]
STAYS = [stays("scales", keys(3), by, 7, *group) for by, group in (("token", ()), ("head", ()), ("channel", (2,)))]

SCALES = Exercise(
    id="14.scales",
    title="Which numbers share a scale",
    name="scales",
    properties=[
        Property(
            'By "token", the numbers of one token and head share a scale',
            "This is what an engine does that stores one token after the other.",
            TOKEN,
        ),
        Property(
            'By "head", all numbers of a head share a scale, over all tokens',
            "One number for each head and layer. Servers measure it beforehand.",
            HEAD,
        ),
        Property(
            'By "channel", each channel of each head has a scale',
            "In keys some channels are large for every token. They should not decide about the others.",
            CHANNEL,
        ),
        Property(
            "With a group, a channel has a scale for each `group` tokens",
            "KIVI quantises keys so, a group of tokens at a time.",
            GROUPS,
        ),
        Property(
            "The last group may have fewer tokens",
            "The tokens of a sequence are seldom a multiple of the group.",
            SHORT,
        ),
        Property("The largest absolute number is divided by `largest`", "It becomes that whole number.", LARGEST),
        Property("The scale of zeros is 0, and a small one stays", "The caller takes care of the division.", ZEROS),
        Property("There may be no tokens", "The result then has the shape of x too.", NO_TOKENS),
        Property("x is not changed", "It is quantised afterwards.", UNTOUCHED),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "x is changed.",
            "`abs_` and the like write into the caller's tensor, and so does a result that shares its memory.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        overwritten(STAYS),
        Mistake(
            "the scales are rounded to 16 bits.",
            "A float16 has 11 bits, and a bfloat16 8. Compute in float32, and return that.",
            is_made_by=lambda answer, found: found.trial in PRECISE and abs(float(found.outcome) - 0.25) < 0.01,
        ),
        Mistake(
            "no tokens raise an error.",
            "There is no largest of no numbers. Return `torch.empty_like(x)` before you look for one.",
            is_made_by=lambda answer, found: found.trial in NO_TOKENS and isinstance(found.outcome, Raised),
        ),
        *MISTAKES,
    ],
    hints=[
        "In each case the largest is taken over other dimensions: the last one, the first and the last, the first.",
        "`x.abs().amax(dims, keepdim=True).expand_as(x)` brings it to the shape of x.",
        "For groups: `x.split(group)` gives parts of `group` tokens, the last one shorter. Treat each as if it "
        "were all "
        "tokens, and put them together with `torch.cat`.",
        "`torch.amax` refuses an empty dimension: return `torch.empty_like(x)` if `len(x)` is 0.",
    ],
    rights=[scales, scales_by_groups, scales_in_place],
    why="`Rounding` in `course_lib/decoding/damage.py` rounds by these scales. The engine's cache keeps one for "
    "each token "
    "and head, and can divide keys by the sizes of their channels first, which were measured beforehand.",
)
