"""The mistakes in 14.quantise. Each is the right answer with one part replaced."""

import torch
import torch.nn.functional as F

from course_lib.practice.judge.exercise import Mistake


def packed(n, low=0, high=1):
    """Two neighbouring numbers a byte. n: int32, even."""
    pairs = (n & 15).unflatten(-1, (-1, 2))
    return (pairs[..., low] | pairs[..., high] << 4).to(torch.uint8)


def padded(n):
    return F.pad(n, (0, n.shape[-1] % 2))


def wrong(
    *,
    largest=lambda bits: 127 if bits == 8 else 7,
    computed=lambda x: x.float(),
    size=lambda x: x.abs().amax(-1),
    divided=lambda x, scale: x / torch.where(scale == 0, 1.0, scale)[..., None],
    rounded=torch.round,
    kept=lambda n, bits: n,
    even=padded,
    pack=packed,
    scale_of=lambda scale: scale,
    gives=lambda numbers, scale: (numbers, scale),
):
    """A wrong answer: the right one with one part replaced."""

    def answer(x, bits):
        x = computed(x)
        scale = size(x) / largest(bits)
        scale = scale.expand(x.shape[:2]).contiguous()
        n = kept(rounded(divided(x, scale)).to(torch.int32), bits)
        numbers = n.to(torch.int8) if bits == 8 else pack(even(n))
        return gives(numbers, scale_of(scale))

    return answer


def shifted(x, bits):
    """From the smallest number to the largest, in 255 or 15 steps, with a zero point that is thrown away."""
    x, steps = x.float(), 2**bits - 1
    low, high = (x.amin(-1), x.amax(-1)) if len(x) else (x.sum(-1), x.sum(-1))
    scale = (high - low) / steps
    n = ((x - low[..., None]) / torch.where(scale == 0, 1.0, scale)[..., None]).round().to(torch.int32)
    n = n - 2 ** (bits - 1)
    return n.to(torch.int8) if bits == 8 else packed(padded(n)), scale


MISTAKES = [
    Mistake(
        "the fraction is cut off, not rounded.",
        "`.to(torch.int8)` takes 9.8 to 9. Round first.",
        (wrong(rounded=torch.trunc), wrong(rounded=torch.floor), wrong(rounded=torch.ceil)),
    ),
    Mistake(
        "the largest number becomes 128, or 8.",
        "int8 ends at 127, and four bits end at 7: 128 comes out as -128. Divide by 127 or 7.",
        (
            wrong(largest=lambda bits: 2 ** (bits - 1)),
            wrong(largest=lambda bits: 2 ** (bits - 1), kept=lambda n, bits: n.clamp(max=2 ** (bits - 1) - 1)),
        ),
    ),
    Mistake(
        "the whole range is divided into 255 or 15 steps.",
        "Then 0 lies between two steps, and a zero point is needed. Here the scale is the largest absolute number by "
        "127 or 7.",
        (
            shifted,
            wrong(largest=lambda bits: 2**bits - 1),
            wrong(largest=lambda bits: 2**bits),
            wrong(largest=lambda bits: 2 ** (bits - 1) - 0.5),
        ),
    ),
    Mistake(
        "4 bits get the scale of 8 bits.",
        "Four bits hold -7 to 7: divide the largest number by 7.",
        (
            wrong(largest=lambda bits: 127),
            wrong(largest=lambda bits: 127, kept=lambda n, bits: n if bits == 8 else n.clamp(-7, 7)),
            wrong(largest=lambda bits: 127, kept=lambda n, bits: n if bits == 8 else n.clamp(-8, 7)),
        ),
    ),
    Mistake(
        "the sign is not taken off before the maximum is taken.",
        "The number that is farthest from 0 may be a negative one: `x.abs().amax(-1)`.",
        (
            wrong(size=lambda x: x.amax(-1)),
            wrong(size=lambda x: x.amax(-1), kept=lambda n, bits: n.clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)),
            wrong(size=lambda x: x.amax(-1), kept=lambda n, bits: n.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)),
            wrong(size=lambda x: x.amax(-1).abs()),
            wrong(
                size=lambda x: x.amax(-1).abs(), kept=lambda n, bits: n.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            ),
        ),
    ),
    Mistake(
        "the signs are lost.",
        "Only the scale is made of absolute numbers. The whole numbers have signs.",
        wrong(divided=lambda x, scale: x.abs() / torch.where(scale == 0, 1.0, scale)[..., None]),
    ),
    Mistake(
        "all tokens and heads share one scale.",
        "Every token and head has its own: take the maximum over the last dimension alone.",
        wrong(size=lambda x: x.abs().amax().expand(x.shape[:2]) if len(x) else x.sum(-1)),
    ),
    Mistake(
        "the heads of a token share a scale.",
        "Every head has its own: take the maximum over the last dimension alone.",
        wrong(size=lambda x: x.abs().amax((1, 2))[:, None].expand(x.shape[:2])),
    ),
    Mistake(
        "the tokens of a head share a scale.",
        "Every token has its own: take the maximum over the last dimension alone.",
        wrong(size=lambda x: x.abs().amax((0, 2)).expand(x.shape[:2]) if len(x) else x.sum(-1)),
    ),
    Mistake(
        "the reciprocal of the scale is returned.",
        "A number is its whole number times its scale.",
        (
            wrong(scale_of=lambda scale: 1 / scale),
            wrong(scale_of=lambda scale: torch.where(scale == 0, 0.0, 1 / scale)),
        ),
    ),
    Mistake(
        "the largest number is returned as the scale.",
        "The scale is that number divided by 127 or 7.",
        (lambda x, bits: (wrong()(x, bits)[0], x.float().abs().amax(-1)),),
    ),
    Mistake(
        "the scales come with a dimension too many.",
        "Their shape is [num_tokens, num_kv_heads].",
        (wrong(scale_of=lambda scale: scale[..., None]), wrong(scale_of=lambda scale: scale[:, :, None])),
    ),
    Mistake(
        "the numbers are not stored as whole numbers of one byte.",
        "int8 for 8 bits and uint8 for 4: otherwise nothing is saved.",
        (
            lambda x, bits: (wrong()(x, bits)[0].float() if bits == 8 else wrong()(x, bits)[0], wrong()(x, bits)[1]),
            lambda x, bits: (wrong()(x, bits)[0].int() if bits == 8 else wrong()(x, bits)[0], wrong()(x, bits)[1]),
        ),
    ),
    Mistake(
        "the scales come first.", "Return `(numbers, scales)`.", wrong(gives=lambda numbers, scale: (scale, numbers))
    ),
    Mistake(
        "the two halves of a byte are exchanged.",
        "Number 2j goes into the low half, number 2j + 1 into the high half.",
        wrong(pack=lambda n: packed(n, 1, 0)),
    ),
    Mistake(
        "a byte holds numbers that are half a head apart.",
        "Neighbours share a byte: numbers 0 and 1, then 2 and 3.",
        wrong(pack=lambda n: packed(torch.stack(n.chunk(2, -1), -1).flatten(-2))),
    ),
    Mistake(
        "4 bits are stored one a byte.",
        "Two numbers share a byte: the tensor is half as wide as the head, rounded up.",
        (
            wrong(even=lambda n: n, pack=lambda n: n.to(torch.int8)),
            wrong(even=lambda n: n, pack=lambda n: (n & 15).to(torch.uint8)),
        ),
    ),
    Mistake(
        "a negative number spoils the other half of its byte.",
        "-2 has ones in all its high bits. Keep four of them: `& 15`.",
        (
            wrong(pack=lambda n: (n[..., 0::2] | n[..., 1::2] << 4).to(torch.uint8)),
            wrong(pack=lambda n: (n[..., 0::2] + n[..., 1::2] * 16).to(torch.uint8)),
        ),
    ),
    Mistake(
        "8 is added to the numbers.",
        "A negative n is stored as 16 + n, and the others as they are: the low four bits of n.",
        (wrong(pack=lambda n: packed(n + 8)), wrong(even=lambda n: padded(n + 8))),
    ),
    Mistake(
        "a negative number is stored as a sign and a size.",
        "A negative n is stored as 16 + n: the low four bits of n.",
        wrong(pack=lambda n: packed(torch.where(n < 0, 8 - n, n))),
    ),
    Mistake(
        "the last number of an odd head is lost.",
        "An odd head needs a byte more, whose high half is 0: (head_dim + 1) // 2 bytes.",
        wrong(even=lambda n: n[..., : n.shape[-1] // 2 * 2]),
    ),
    Mistake(
        "a half that holds no number is not 0.",
        "The high half of an odd head's last byte is 0.",
        (
            wrong(even=lambda n: torch.cat([n, n[..., -1:]], -1) if n.shape[-1] % 2 else n),
            wrong(even=lambda n: F.pad(n, (0, n.shape[-1] % 2), value=-1)),
            wrong(even=lambda n: F.pad(n, (0, n.shape[-1] % 2), value=8)),
        ),
    ),
    Mistake(
        "an odd head raises an error.",
        "Here head_dim may be odd. The last byte then has one number.",
        (
            wrong(even=lambda n: n),
            wrong(even=lambda n: n, pack=lambda n: (n[..., 0::2] & 15 | (n[..., 1::2] & 15) << 4).to(torch.uint8)),
        ),
    ),
    Mistake(
        "16-bit numbers are not computed in float32.",
        "A scale in float16 or bfloat16 is rounded itself, and a small one becomes 0. Begin with `x.float()`.",
        (
            wrong(computed=lambda x: x),
            wrong(computed=lambda x: x, scale_of=lambda scale: scale.float()),
            wrong(
                computed=lambda x: x,
                size=lambda x: x.abs().amax(-1).float(),
                divided=lambda x, s: x / torch.where(s == 0, 1.0, s).to(x.dtype)[..., None],
            ),
        ),
    ),
    Mistake(
        "zeros get a scale that is not 0.",
        "Only the division needs another number there. The scale that is returned is 0.",
        (
            wrong(size=lambda x: x.abs().amax(-1).clamp(min=1e-12)),
            wrong(scale_of=lambda scale: torch.where(scale == 0, 1.0, scale)),
        ),
    ),
]
