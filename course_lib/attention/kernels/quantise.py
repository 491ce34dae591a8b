"""Keys and values in 8 or 4 bits inside a Triton kernel: the functions that the paged kernels share. Imports Triton.

KIND: "plain" (as many bits as the queries, or 16), "int8", "fp8" or "int4"; what each stores is in
attention/reference/quantise.py, whose functions are the twins of these.

fp8 is stored as bytes, and a chip without instructions for it converts them with whole numbers, so every chip has it:

    e4m3       s eeee mmm                    value 2 ** (e - 7) * 1.m
    float16    s 0eeee mmm0000000            value 2 ** (e - 15) * 1.m, so 256 times too small, below 1 too
"""

from .online import LOWEST  # noqa: F401  (before Triton: it decides how that runs here)

# isort: split
import triton
import triton.language as tl


@triton.jit
def load_numbers(
    ptr, rows, is_read, dtype: tl.constexpr, KIND: tl.constexpr, NATIVE_FP8: tl.constexpr, MASKED: tl.constexpr,
    HEAD_DIM: tl.constexpr, PADDED_DIM: tl.constexpr,
):  # fmt: skip
    """[rows, PADDED_DIM] numbers in `dtype`, not multiplied by their scales. rows: where each row begins. MASKED: only
    the rows of `is_read` are loaded, the others are 0."""
    PER_ELEMENT: tl.constexpr = 2 if KIND == "int4" else 1
    WIDTH: tl.constexpr = HEAD_DIM // PER_ELEMENT
    dims = tl.arange(0, PADDED_DIM // PER_ELEMENT)
    tile = ptr + rows[:, None] + dims[None, :]
    if MASKED:
        stored = tl.load(tile, mask=is_read[:, None] & (dims < WIDTH)[None, :], other=0)
    elif HEAD_DIM != PADDED_DIM:
        stored = tl.load(tile, mask=(dims < WIDTH)[None, :], other=0)
    else:
        stored = tl.load(tile)
    if KIND == "int4":
        low = (stored << 4).to(tl.int8, bitcast=True) >> 4  # the sign goes along when an int8 is shifted to the right
        high = stored.to(tl.int8, bitcast=True) >> 4
        return tl.interleave(low.to(dtype), high.to(dtype))
    elif KIND == "fp8":
        return from_e4m3(stored, dtype, NATIVE_FP8)
    else:
        return stored.to(dtype)


@triton.jit
def from_e4m3(stored, dtype: tl.constexpr, NATIVE_FP8: tl.constexpr):
    """The numbers that bytes of fp8 stand for."""
    if NATIVE_FP8:
        return stored.to(tl.float8e4nv, bitcast=True).to(dtype)
    bits = stored.to(tl.int16)
    half = (((bits & 0x80) << 8) | ((bits & 0x7F) << 7)).to(tl.float16, bitcast=True)
    return (half.to(tl.float32) * 256.0).to(dtype)


@triton.jit
def to_whole(x):
    """x, float32 of less than 2 ** 22, rounded to the nearest whole number, half to even: int32.

    1.5 * 2 ** 23 is so large that float32 has no digits after the point there; its own last bits are the number.
    """
    return (x + 12582912.0).to(tl.int32, bitcast=True) - 0x4B400000


@triton.jit
def to_e4m3(x):
    """x, float32 of at most 448, rounded to the nearest number of e4m3, half to even: its byte, as int32.

    Below 2 ** -6 the numbers of e4m3 are 2 ** -9 apart; from there on a number keeps three bits after the first.
    """
    bits = x.to(tl.int32, bitcast=True)
    sign, bits = (bits >> 24) & 0x80, bits & 0x7FFFFFFF
    size = bits.to(tl.float32, bitcast=True)
    near_zero = (size + 16384.0).to(tl.int32, bitcast=True) - 0x46800000
    rounded = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - ((127 - 7) << 3)
    return sign | tl.where(size < 0.015625, near_zero, rounded)


@triton.jit
def quantise(x, scale, KIND: tl.constexpr, LARGEST: tl.constexpr):
    """The numbers of each row of x, float32 [rows, columns], as int32: whole numbers, or bytes of fp8."""
    x = tl.math.div_rn(x, tl.broadcast_to(tl.where(scale == 0, 1.0, scale)[:, None], x.shape))
    x = tl.minimum(tl.maximum(x, -LARGEST), LARGEST)
    if KIND == "fp8":
        return to_e4m3(x)
    else:
        return to_whole(x)


@triton.jit
def fold_scaled(scores, v, v_scale, m_i, l_i, acc, to_base_2, DOT: tl.constexpr):
    """As online.fold, where row j of v stands for v[j] * v_scale[j]: the scale goes to the weights, of which there are
    fewer than numbers in v."""
    m_new = tl.maximum(m_i, tl.max(scores, 1) * to_base_2)
    weights = tl.exp2(scores * to_base_2 - m_new[:, None])
    alpha = tl.exp2(m_i - m_new)
    l_i = l_i * alpha + tl.sum(weights, 1)
    weights, acc = weights * v_scale[None, :], acc * alpha[:, None]
    if DOT:
        acc = tl.dot(weights.to(v.dtype), v, acc, input_precision="ieee")
    else:
        acc += tl.sum(v[None, :, :].to(tl.float32) * weights[:, :, None], 1)
    return m_new, l_i, acc
