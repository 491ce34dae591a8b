"""Short kernels for the recorder, right and wrong. Imported inside tests, after it is decided how Triton runs."""

import triton
import triton.language as tl


@triton.jit
def row_sum(x_ptr, out_ptr, stride, columns, WIDTH: tl.constexpr):
    """One program a row of x."""
    row, at = tl.program_id(0), tl.arange(0, WIDTH)
    x = tl.load(x_ptr + row * stride + at, mask=at < columns, other=0.0)
    tl.store(out_ptr + row, tl.sum(x, 0))


@triton.jit
def copy(x_ptr, out_ptr, n, shift, WIDTH: tl.constexpr, LOAD_ALL: tl.constexpr = False):
    """WIDTH numbers a program; with LOAD_ALL the mask of the load is forgotten."""
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    if LOAD_ALL:
        x = tl.load(x_ptr + at + shift)
    else:
        x = tl.load(x_ptr + at + shift, mask=at < n, other=-1.0)
    tl.store(out_ptr + at, x, mask=at < n)


@triton.jit
def gather(x_ptr, index_ptr, out_ptr, WIDTH: tl.constexpr):
    at = tl.arange(0, WIDTH)
    tl.store(out_ptr + at, tl.load(x_ptr + tl.load(index_ptr + at)))


@triton.jit
def by_descriptor(x_ptr, out_ptr, rows, columns, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    x = tl.make_tensor_descriptor(x_ptr, [rows, columns], [columns, 1], [BLOCK_M, BLOCK_N])
    out = tl.make_tensor_descriptor(out_ptr, [rows, columns], [columns, 1], [BLOCK_M, BLOCK_N])
    out.store([tl.program_id(0) * BLOCK_M, 0], x.load([tl.program_id(0) * BLOCK_M, 0]))


@triton.jit
def sum_of_two(pair, out_ptr, n, WIDTH: tl.constexpr):
    at = tl.arange(0, WIDTH)
    tl.store(out_ptr + at, tl.load(pair[0] + at, mask=at < n) + tl.load(pair[1] + at, mask=at < n), mask=at < n)


@triton.jit
def count_up(out_ptr):
    tl.atomic_add(out_ptr + tl.program_id(0) % 2, 1)


@triton.jit
def take_lock(lock_ptr, at):
    tl.atomic_cas(lock_ptr + at, 0, 1)


@triton.jit
def _half_of(x_ptr, at):
    return tl.load(x_ptr + at * 2)


@triton.jit
def every_second(x_ptr, out_ptr, WIDTH: tl.constexpr):
    at = tl.arange(0, WIDTH)
    tl.store(out_ptr + at, _half_of(x_ptr, at))


@triton.jit
def fails(x_ptr):
    tl.static_assert(False, "on purpose")
    tl.store(x_ptr, 0.0)


@triton.jit
def astray(x_ptr, WIDTH: tl.constexpr):
    address = x_ptr.to(tl.int64) - x_ptr.to(tl.int64)
    tl.store((address + tl.arange(0, WIDTH)).to(tl.pointer_type(tl.float32)), 1.0)


@triton.jit
def far_and_masked(x_ptr, WIDTH: tl.constexpr):
    """Loads nothing from very far away."""
    at = tl.arange(0, WIDTH).to(tl.int64)
    tl.store(x_ptr + at, tl.load(x_ptr + (at + 1) * (1 << 56), mask=at < 0, other=5.0))


@triton.jit
def read_blocks(
    k_cache_ptr,
    out_ptr,
    tables_ptr,
    lens_ptr,
    table_stride,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    """The sum of all keys of one sequence and KV head, GROUP times over; a block at a time."""
    sequence, head = tl.program_id(0), tl.program_id(1)
    length, dims, offsets = tl.load(lens_ptr + sequence), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    total = 0.0
    for start in range(0, length, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + start // BLOCK_SIZE)
        rows = (block * BLOCK_SIZE + offsets) * KV_HEADS + head // GROUP
        k = tl.load(
            k_cache_ptr + rows[:, None] * HEAD_DIM + dims[None, :], mask=(start + offsets < length)[:, None], other=0.0
        )
        total += tl.sum(tl.sum(k, 1), 0)
    tl.store(out_ptr + sequence * KV_HEADS * GROUP + head, total)
