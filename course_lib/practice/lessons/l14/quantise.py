"""14.quantise: keys and values as whole numbers of 8 or 4 bits, with a scale for each token and head."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, overwritten

from .kv_trials import shown, stays, typed, untouched
from .quantise_mistakes import MISTAKES
from .solutions.quantise import quantise


def quantise_number_by_number(x, bits):
    """Plain Python: one number after the other."""
    largest, (tokens, heads, width) = {8: 127, 4: 7}[bits], x.shape
    scale = torch.zeros(tokens, heads)
    columns = width if bits == 8 else -(-width // 2)
    whole = torch.zeros(tokens, heads, columns, dtype=torch.int8 if bits == 8 else torch.uint8)
    for t in range(tokens):
        for h in range(heads):
            row = x[t, h].float().tolist()
            step = max(map(abs, row)) / largest
            scale[t, h] = step
            for d, number in enumerate(row):
                n = round(number / step) if step else 0
                if bits == 8:
                    whole[t, h, d] = n
                else:
                    whole[t, h, d // 2] += (n % 16) * 16 ** (d % 2)
    return whole, scale


def quantise_in_float64(x, bits):
    """The reciprocal in float64, halves by arithmetic on int32."""
    largest = 2 ** (bits - 1) - 1
    peak = x.double().abs().max(dim=-1, keepdim=True).values
    factor = torch.where(peak > 0, largest / peak.clamp(min=1e-300), 0.0)
    n = torch.floor(x.double() * factor + 0.5).int()
    scale = (peak / largest).float().squeeze(-1)
    if bits == 8:
        return n.to(torch.int8), scale
    if n.shape[-1] % 2:
        n = torch.cat([n, torch.zeros_like(n[..., :1])], -1)
    pairs = (n % 16).unflatten(-1, (-1, 2))
    return (pairs[..., 0] + 16 * pairs[..., 1]).to(torch.uint8), scale


def keys(*steps, dtype=torch.float32, unit=0.01):
    """[num_tokens, num_kv_heads, head_dim] from nested lists of numbers in units; none of them halfway."""
    return (torch.tensor(steps, dtype=torch.float64) * unit).to(dtype)


def made(x, bits, note=""):
    """The Trial of one call."""
    return Trial(
        [f"quantise({typed(x)}, {bits})"],
        lambda answer: answer(x.clone(), bits),
        show=shown,
        note=note,
        explain=explain,
        size=10 * x.numel() + x.shape[1] + bits,
    )


def zeros(x, bits):
    """The Trial of a call in which a scale is 0."""

    def act(answer):
        numbers, scales = answer(x.clone(), bits)
        return numbers, scales == 0

    return Trial(
        [f"numbers, scales = quantise({typed(x)}, {bits})", "numbers, scales == 0"], act, show=shown, size=x.numel()
    )


def explain(expected, got):
    """The first whole number that differs."""
    if not isinstance(got, tuple) or len(got) != 2 or not all(isinstance(one, torch.Tensor) for one in got):
        return "Two tensors are asked for: (numbers, scales)."
    for name, want, mine in zip(("numbers", "scales"), expected, got):
        if want.shape != mine.shape:
            return f"`{name}` has shape {list(mine.shape)}; {list(want.shape)} is asked for."
        if want.dtype != mine.dtype:
            return f"`{name}` is {mine.dtype}; {want.dtype} is asked for."
    wrong = (expected[0] != got[0]).nonzero()
    if not len(wrong):
        return ""
    at = tuple(wrong[0].tolist())
    place, want, mine = list(at), int(expected[0][at]), int(got[0][at])
    if expected[0].dtype == torch.uint8:
        halves = [f"low half {byte & 15}, high half {byte >> 4}" for byte in (want, mine)]
        return f"First different: byte {place}. Expected: {halves[0]}. Yours: {halves[1]}."
    return f"First different: number {place}, {want} is expected and yours is {mine}."


ONE = [
    made(keys([[127.0, 10.3]]), 8),
    made(keys([[127.0, 63.7, 9.8, 40.2]]), 8),
    made(keys([[12.7, 127.0, 99.6, 5.3, 80.7]]), 8),
    made(keys([[254.0, 41.4, 100.6]], unit=0.005), 8),
    made(keys([[127.0, 20.7, 31.2]], unit=2.0), 8, note="numbers above 1 have scales too"),
    made(keys([[127.0, 120.45, 111.55, 98.45, 90.55, 86.45, 75.55]]), 8),
    made(keys([[127.0, 120.45, 111.55, 98.45, 90.55, 86.45, 75.55]], unit=0.009975), 8),
]
SIGNS = [
    made(keys([[-127.0, 10.3]]), 8, note="the largest number without its sign is 1.27"),
    made(keys([[10.0, -127.0, 64.3]]), 8),
    made(keys([[-30.4, 127.0, -9.7]]), 8),
    made(keys([[-127.0, 126.7, -64.4, -0.7]]), 8),
    made(keys([[-127.0, -20.3, -99.7]]), 8),
    made(keys([[127.0, -127.0, -126.8]]), 8),
]
SEVERAL = [
    made(keys([[127.0, 20.3]], [[254.0, 41.4]]), 8),
    made(keys([[127.0, 20.3], [-12.7, 3.1]]), 8),
    made(keys([[127.0, 20.3], [38.1, 3.1]], [[-63.5, 9.9], [254.0, 101.4]]), 8),
    made(keys([[12.7]], [[-381.0]]), 8, note="a head may have one number"),
    made(
        keys(
            [[127.0, 20.3, -7.2], [38.1, 3.1, 2.0], [-6.35, 1.0, 2.9]],
            [[1.27, 0.2, 1.0], [127, 4, -9], [254, 9.2, 3.4]],
        ),
        8,
    ),
]
FOUR = [
    made(keys([[7.0, 2.3]], unit=0.1), 4, note="0x27: 7 in the low half, 2 in the high half"),
    made(keys([[7.0, 3.2, 1.8, 4.3]], unit=0.1), 4),
    made(keys([[2.2, 14.0]], unit=0.1), 4),
    made(keys([[1.2, 4.3, 2.8, 7.0, 5.2, 5.7]], unit=0.1), 4),
    made(keys([[7.0, 2.3]], [[21.0, 3.2]], unit=0.1), 4),
]
NEGATIVE = [
    made(keys([[7.0, -2.3]], unit=0.1), 4, note="16 - 2 = 14"),
    made(keys([[-2.3, 7.0]], unit=0.1), 4),
    made(keys([[-7.0, 4.2]], unit=0.1), 4),
    made(keys([[-1.2, -4.3, 2.8, -7.0]], unit=0.1), 4),
    made(keys([[-7.0, -7.0, -0.8, 3.3]], unit=0.1), 4),
    made(keys([[7.0, -2.3], [-14.0, -6.3]], [[-0.7, 0.4], [35.0, -34.0]], unit=0.1), 4),
]
ODD = [
    made(keys([[7.0]], unit=0.1), 4),
    made(keys([[2.3, 7.0, 3.2]], unit=0.1), 4),
    made(keys([[-4.0, 2.8, -7.0]], unit=0.1), 4),
    made(keys([[7.0, -4.3, 2.8, -1.0, -5.2]], unit=0.1), 4),
    made(keys([[7.0, -2.3, 1.0], [-14.0, -6.3, 5.7]], unit=0.1), 4),
]
HALF = [
    made(keys([[127.0625, 64.0, -20.25]], dtype=torch.float16, unit=1.0), 8),
    made(keys([[100.0, -37.0, 12.0]], dtype=torch.float16, unit=2.0**-24), 8, note="very small numbers"),
    made(keys([[40.0, -37.0, 12.0]], dtype=torch.float16, unit=2.0**-24), 8),
    made(keys([[100.5, 47.0, -20.25]], dtype=torch.bfloat16, unit=1.0), 8),
    made(keys([[100.0, -33.0]], dtype=torch.bfloat16, unit=1.0), 4),
    made(keys([[50000.0, -33000.0, 60000.0]], dtype=torch.float16, unit=1.0), 4),
]
ZERO = [
    zeros(keys([[0.0, 0.0]]), 8),
    zeros(keys([[0.0, 0.0], [127.0, 3.2]]), 8),
    zeros(keys([[127.0, 3.2]], [[0.0, 0.0]]), 8),
    zeros(keys([[0.0, 0.0]]), 4),
    zeros(keys([[0.0, 0.0, 0.0], [70.0, -20.0, 0.0]]), 4),
]
NO_TOKENS = [made(torch.zeros(0, heads, 3), bits) for heads in (1, 2) for bits in (8, 4)]
UNTOUCHED = [untouched("quantise", keys([[127.0, -10.3]], [[0.0, 3.1]]), bits) for bits in (8, 4)]
UNTOUCHED += [untouched("quantise", keys([[254.0, -10.3, 9.0]]), bits) for bits in (8, 4)]
STAYS = [stays("quantise", keys([[127.0, -10.3]]), bits) for bits in (8, 4)]
STAYS += [stays("quantise", keys([[-127.0, 64.2], [12.7, 3.1]]), bits) for bits in (8, 4)]

QUANTISE = Exercise(
    id="14.quantise",
    title="Numbers of 8 bits and of 4",
    name="quantise",
    properties=[
        Property(
            "The scale is the largest number divided by 127, and the others are rounded to whole numbers of scales",
            "So the largest number becomes 127, and every number comes back within half a scale.",
            ONE,
        ),
        Property(
            "Signs are kept, and the largest number may be a negative one: 127 and -127 are the ends",
            "int8 has a number more below zero than above. -128 is not used, so that both signs have the same steps.",
            SIGNS,
        ),
        Property(
            "Every token and head has a scale of its own",
            "A new token must not change what is stored of an old one.",
            SEVERAL,
        ),
        Property(
            "With 4 bits the largest number becomes 7, and two numbers share a byte",
            "Number 0 is in the low half of byte 0, number 1 in its high half, number 2 in the low half of byte 1.",
            FOUR,
        ),
        Property(
            "With 4 bits a negative number n is stored as 16 + n",
            "These are the low four bits of n as an int8 has it.",
            NEGATIVE,
        ),
        Property("An odd head has a last byte with one number", "Its high half is 0.", ODD),
        Property(
            "16-bit numbers are computed in float32",
            "In float16 a scale has 11 bits or fewer, and a small one becomes 0.",
            HALF,
        ),
        Property("Zeros alone have scale 0, and stay zeros", "0 divided by 0 is nan.", ZERO),
        Property("A step may bring no tokens", "The results then have no tokens either.", NO_TOKENS),
        Property("x is not changed", "Attention of this step still needs the exact numbers.", UNTOUCHED),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "x is changed.",
            "`/=`, `round_` and the like write into the caller's tensor, and so does a result that shares its memory. "
            "Make new tensors.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        overwritten(STAYS),
        Mistake(
            "a step of no tokens raises an error.",
            "It has no largest number over all tokens. Take the maximum over the last dimension, which is never empty.",
            is_made_by=lambda answer, found: found.trial in NO_TOKENS and isinstance(found.outcome, Raised),
        ),
        *MISTAKES,
    ],
    hints=[
        "Three steps: the scale of each token and head, the whole numbers, and with 4 bits the bytes.",
        "`scales = x.float().abs().amax(-1) / largest`, with largest 127 or 7. Divide by `scales[..., None]`, but by 1 "
        "where the scale is 0: `torch.where(scales == 0, 1.0, scales)`.",
        "`.round().to(torch.int8)`; `to` alone cuts the fraction off. With 8 bits that is all.",
        "With 4 bits: `halves = whole.view(torch.uint8) & 15` makes 16 + n of a negative n. If head_dim is odd, add a "
        "column of zeros first. A byte is `halves[..., 0::2] | halves[..., 1::2] << 4`.",
    ],
    rights=[quantise, quantise_number_by_number, quantise_in_float64],
    why="`course_lib/attention/reference/quantise.py` does the same, and fp8 beside it; the kernel that stores "
    "tokens on "
    "a GPU does it in registers. There int4 asks for an even head_dim, which every model has that is in use.",
)
