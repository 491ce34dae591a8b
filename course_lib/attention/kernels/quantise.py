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


def from_halves(kind, large, one, less):
    """Four bytes of int4 in $4 as eight numbers in $0 to $3, two in each: x = (large + n + 8) * one + less."""
    return tl.constexpr(f"""{{
        .reg .b32 w, a, b, c, d, one, less;
        xor.b32 w, $4, 0x88888888;
        prmt.b32 a, w, 0, 0x4140;
        prmt.b32 b, w, 0, 0x4342;
        shr.b32 c, a, 4;
        shr.b32 d, b, 4;
        lop3.b32 a, a, 0x000F000F, {large}, 0xEA;
        lop3.b32 b, b, 0x000F000F, {large}, 0xEA;
        lop3.b32 c, c, 0x000F000F, {large}, 0xEA;
        lop3.b32 d, d, 0x000F000F, {large}, 0xEA;
        mov.b32 one, {one};
        mov.b32 less, {less};
        fma.rn.{kind} $0, a, one, less;
        fma.rn.{kind} $1, b, one, less;
        fma.rn.{kind} $2, c, one, less;
        fma.rn.{kind} $3, d, one, less;
    }}""")


INT4_TO_BFLOAT16 = from_halves("bf16x2", "0x43004300", "0x3F803F80", "0xC308C308")  # 128, 1, -(128 + 8)
INT4_TO_FLOAT16 = from_halves("f16x2", "0x64006400", "0x3C003C00", "0xE408E408")  # 1024, 1, -(1024 + 8)


@triton.jit
def load_numbers(
    ptr, rows, is_read, dtype: tl.constexpr, KIND: tl.constexpr, BY_BITS: tl.constexpr, MASKED: tl.constexpr,
    HEAD_DIM: tl.constexpr, PADDED_DIM: tl.constexpr,
):  # fmt: skip
    """[rows, PADDED_DIM] numbers in `dtype`, not multiplied by their scales. rows: where each row begins. MASKED: only
    the rows of `is_read` are loaded, the others are 0. BY_BITS: whether the chip has instructions of its own for KIND
    in this dtype; see tiles.has_conversion."""
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
        return from_int4(stored, dtype, BY_BITS)
    elif KIND == "fp8":
        return from_e4m3(stored, dtype, BY_BITS)
    else:
        return stored.to(dtype)


@triton.jit
def from_int4(stored, dtype: tl.constexpr, BY_BITS: tl.constexpr):
    """The numbers that bytes hold, two each. BY_BITS: eight at a time in NVIDIA's instructions, for half precision.

    There a half n of a byte becomes a number by its bits alone: 0x4300 | n is 128 + n in bfloat16, and 0x6400 | n is
    1024 + n in float16. With n + 8 in place of n, and 8 more to take off again, this is right for negative numbers.
    """
    if BY_BITS:
        if dtype == tl.bfloat16:
            low, high = tl.inline_asm_elementwise(
                INT4_TO_BFLOAT16, "=r,=r,=r,=r,r", [stored], (tl.bfloat16, tl.bfloat16), is_pure=True, pack=4
            )
        else:
            low, high = tl.inline_asm_elementwise(
                INT4_TO_FLOAT16, "=r,=r,=r,=r,r", [stored], (tl.float16, tl.float16), is_pure=True, pack=4
            )
        return tl.interleave(low, high)
    low = (stored << 4).to(tl.int8, bitcast=True) >> 4  # the sign goes along when an int8 is shifted to the right
    high = stored.to(tl.int8, bitcast=True) >> 4
    return tl.interleave(low.to(dtype), high.to(dtype))


@triton.jit
def from_e4m3(stored, dtype: tl.constexpr, BY_BITS: tl.constexpr):
    """The numbers that bytes of fp8 stand for. BY_BITS: by the chip's own instruction."""
    if BY_BITS:
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
