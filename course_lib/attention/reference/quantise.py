"""Keys and values in 8 or 4 bits, and back: the torch twin of kernels/quantise.py. Lesson 14.

    x          the numbers of one token and head            0.10 -1.27  0.64      float32, float16, bfloat16
    scale      the largest of them / LARGEST                1.27 / 127 = 0.01     float32, one for each token and head
    numbers    x / scale, rounded to what the kind has        10  -127    64      int8

    kind    LARGEST   a number              bits   in the cache
    int8    127       whole, -127 to 127    8      torch.int8
    fp8     448       e4m3: 4 + 3 bits      8      torch.float8_e4m3fn
    int4    7         whole, -7 to 7        4      torch.uint8: channel 2j in the low half, 2j + 1 above

Sources: KIVI (arXiv 2402.02750), KVQuant (2401.18079), FP8 formats (2209.05433); vLLM's per-token-head scales.
"""

import torch

from course_lib.errors import ParameterError

LARGEST = {"int8": 127, "fp8": 448, "int4": 7}
STORED_AS = {"int8": torch.int8, "fp8": torch.float8_e4m3fn, "int4": torch.uint8}


def kind_of(dtype):
    """ "int8", "fp8" or "int4" for the dtype of a cache; None for a cache that is not quantised."""
    return next((kind for kind, stored in STORED_AS.items() if stored == dtype), None)


def stored_width(head_dim, kind):
    """Elements of the cache that hold a head of `head_dim` numbers. Raises ParameterError for an odd head in int4."""
    if kind != "int4":
        return head_dim
    if head_dim % 2:
        raise ParameterError(
            f"int4 keeps two numbers a byte, and a head of this model has {head_dim}, an odd number. Take int8 or fp8."
        )
    return head_dim // 2


def quantise(x, kind):
    """Numbers of `kind` and their scales. x: [..., head_dim], of any floating dtype.

    Returns (numbers [..., head_dim], or [..., head_dim / 2] for int4; scales, float32 [...]). What comes back from
    `dequantise` differs from x by at most half a step: scale / 2 for int8 and int4, and for fp8 one sixteenth of the
    number itself, or scale / 1024 near 0. Raises ParameterError for another kind.
    """
    if kind not in LARGEST:
        raise ParameterError(f"There is no kind {kind!r} of quantised cache; there are {', '.join(LARGEST)}.")
    x, scale = scaled(x, LARGEST[kind])
    scale = scale[..., 0]
    if kind == "fp8":
        return x.to(torch.float8_e4m3fn), scale
    whole = x.round().to(torch.int8)
    return (pack(whole) if kind == "int4" else whole), scale


def scaled(x, largest, together=-1):
    """(x / scale, from -largest to largest; scale), float32, not rounded yet. together: the dimensions of x whose
    numbers share a scale; in scale they have length 1.
    """
    x = x.float()
    scale = x.abs().amax(together, keepdim=True) / x.new_full((), largest)  # a GPU divides by a number inexactly
    return (x / torch.where(scale == 0, 1.0, scale)).clamp(-largest, largest), scale


def dequantise(numbers, scale, dtype=torch.float32):
    """What the numbers stand for: [..., head_dim] in `dtype`. numbers, scale: as `quantise` returns them."""
    whole = unpack(numbers) if numbers.dtype == torch.uint8 else numbers
    return (whole.float() * scale[..., None]).to(dtype)


def pack(whole):
    """Two numbers a byte. whole: int8 [..., even], -8 to 7. Returns uint8 [..., even / 2]."""
    halves = whole.view(torch.uint8) & 15
    return halves[..., 0::2] | halves[..., 1::2] << 4


def unpack(packed):
    """The numbers of `pack` again, int8. A half of 8 to 15 stands for -8 to -1."""
    halves = torch.stack([packed & 15, packed >> 4], -1).flatten(-2)
    return (halves ^ 8).view(torch.int8) - 8


def put(cache, scales, slots, x):
    """Writes x, [num_tokens, num_kv_heads, head_dim], to these slots of one layer of a cache, quantised.

    cache: [num_blocks, block_size, num_kv_heads, stored width]. scales: float32 [num_blocks, num_kv_heads, block_size],
    or None for a cache that is not quantised. slots: int64 [num_tokens].
    """
    if scales is None:
        cache.flatten(0, 1)[slots] = x.to(cache.dtype)
        return
    numbers, scale = quantise(x, kind_of(cache.dtype))
    cache.flatten(0, 1)[slots] = numbers
    size = cache.shape[1]
    scales[slots // size, :, slots % size] = scale


def take(cache, scales, slots, dtype):
    """What stands in these slots, [*slots.shape, num_kv_heads, head_dim] in `dtype`. cache, scales: as in `put`."""
    kept = cache.flatten(0, 1).index_select(0, slots.flatten()).unflatten(0, slots.shape)  # faster than [slots]
    if scales is None:
        return kept.to(dtype)
    size = cache.shape[1]
    return dequantise(kept, scales[slots // size, :, slots % size], dtype)
