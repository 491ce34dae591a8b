"""FlashAttention for Hopper (sm_90) in Gluon, the language below Triton: causal, heads of 64 or 128 numbers, 16 bits.
Imports Triton, and raises ImportError where Gluon cannot run.

In Triton a compiler plans who loads and who computes; in Gluon the kernel says it itself. A program has three parts
that run at the same time, and mbarriers in shared memory tell one part what another has finished:

    producer      1 warp, few registers       lets the TMA unit copy tiles of Q, K and V to shared memory
    consumer 0    4 warps, many registers     query rows   0 ..  63 of the tile
    consumer 1    4 warps, many registers     query rows  64 .. 127 of the tile

    while the tensor cores compute    Q K[j]^T  and  P[j-1] V[j-1]     (wgmma, asynchronous)
    the other units compute           the softmax of the other consumer's scores

Each buffer has two mbarriers: `full` (the copy has arrived) and `empty` (every consumer has read it). An mbarrier
counts phases, and a wait names the parity of the phase that must be over: for the n-th use of a buffer, n from 0, n % 2
for `full` and the opposite for `empty`, as a buffer is empty before its first use. All parts count only tiles that
exist, so that their n agree.

One program runs on each multiprocessor and takes query tiles until none is left ("persistent"): the loads of its next
tile, Q too, begin while it still computes the last one. Which tile is next: hopper_items.py. A tile has 128 queries and
meets tiles of 128 keys, so only the first one that is processed, on the diagonal, needs a mask, and in it each row sees
at least itself.

Sources: FlashAttention-3 (arXiv 2407.08608); Gluon's tutorials. The plain twin is `flash_attention` of
attention/reference/twins.py, the kernel for every other chip and mask is in flash.py.
"""

from functools import lru_cache

import torch

from .hopper_items import PLACE, TILE, hear_next, locate, take_next  # before Gluon: it decides whether Gluon can run

# isort: split
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia import hopper as nv
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from course_lib.attention.checks import check_kernel_inputs, check_packed
from course_lib.attention.tiles import HOPPER_HEAD_DIMS, multiprocessors
from course_lib.errors import ParameterError

LOG2_E = 1.4426950408889634
DTYPES = {torch.bfloat16: gl.bfloat16, torch.float16: gl.float16}

threads_barrier = getattr(gl, "thread_barrier", None) or gl.barrier  # of the part; renamed in Triton 3.7
HALF = gl.constexpr(64)  # queries of a consumer: the rows of one wgmma
CONSUMERS = gl.constexpr(2)
BYTES = gl.constexpr(2)  # of an element
CONSUMER_REGISTERS = gl.constexpr(240)  # per thread; the multiprocessor has 65,536 for 2 x 128 + 128 threads
PRODUCER_REGISTERS = gl.constexpr(24)


@gluon.jit
def _producer(q_desc, k_desc, v_desc, q_tiles, k_tiles, v_tiles, bars, queue, where, group, total):
    q_full, q_empty, k_full, k_empty, v_full, v_empty = bars
    STAGES: gl.constexpr = k_tiles.shape[0]
    HEAD_DIM: gl.constexpr = k_tiles.shape[2]
    count = 0  # tiles of K (and of V) so far
    taken = 0  # query tiles so far
    item, n = gl.program_id(0), 0
    while item < total:
        following = take_next(queue, n)
        start, length, tile, head = locate(item, where)
        if tile * TILE < length:
            for j in range(tile + 1):  # from the diagonal to the beginning of the sequence
                if j == 0:  # Q has two buffers, so it arrives while the tile before is computed
                    for c in gl.static_range(CONSUMERS):
                        own = taken % 2 * CONSUMERS + c
                        nv.mbarrier.wait(q_empty.index(own), (taken // 2) & 1 ^ 1)
                        nv.mbarrier.expect(q_full.index(own), HALF * HEAD_DIM * BYTES)
                        at = [start + tile * TILE + c * HALF, head * HEAD_DIM]
                        nv.tma.async_copy_global_to_shared(q_desc, at, q_full.index(own), q_tiles.index(own))
                buffer = count % STAGES
                free = (count // STAGES) & 1 ^ 1
                row = start + (tile - j) * TILE
                column = head // group * HEAD_DIM
                nv.mbarrier.wait(k_empty.index(buffer), free)
                nv.mbarrier.expect(k_full.index(buffer), TILE * HEAD_DIM * BYTES)
                nv.tma.async_copy_global_to_shared(k_desc, [row, column], k_full.index(buffer), k_tiles.index(buffer))
                nv.mbarrier.wait(v_empty.index(buffer), free)
                nv.mbarrier.expect(v_full.index(buffer), TILE * HEAD_DIM * BYTES)
                nv.tma.async_copy_global_to_shared(v_desc, [row, column], v_full.index(buffer), v_tiles.index(buffer))
                count += 1
            taken += 1
        item, n = following, n + 1


@gluon.jit
def _row_sums(p):
    """[rows, 4]: four threads share a row of p, and each adds its own columns. The four are added once, at the end."""
    return gl.sum(gl.sum(p.reshape([p.shape[0], p.shape[1] // 8, 4, 2]), axis=3), axis=1)


@gluon.jit
def _clear_rows(tile, end):
    """Sets the rows from `end` on of a tile in shared memory to 0.

    Both consumers do this, each before its own product, so they need not wait for each other: no byte that a consumer
    has cleared or left as it is gets another value from the other one.
    """
    HEAD_DIM: gl.constexpr = tile.shape[1]
    L: gl.constexpr = gl.BlockedLayout([1, 8], [256 // HEAD_DIM, HEAD_DIM // 8], [4, 1], [1, 0])
    rows = gl.arange(0, TILE, layout=gl.SliceLayout(1, L))
    kept = tile.load(L)
    tile.store(gl.where((rows < end)[:, None], kept, gl.zeros_like(kept)))
    nv.fence_async_shared()  # wgmma must see what ordinary stores have written
    threads_barrier()  # here, or Triton would put one before every product that reads V


@gluon.jit
def _store_rows(out_ptr, tile, start, end, head, num_heads):
    """Writes the first `end` rows of a tile in shared memory to the tokens from `start` on."""
    HEAD_DIM: gl.constexpr = tile.shape[1]
    L: gl.constexpr = gl.BlockedLayout([1, 8], [256 // HEAD_DIM, HEAD_DIM // 8], [4, 1], [1, 0])
    rows = gl.arange(0, HALF, layout=gl.SliceLayout(1, L))
    dims = gl.arange(0, HEAD_DIM, layout=gl.SliceLayout(0, L))
    first = out_ptr + (start.to(gl.int64) * num_heads + head) * HEAD_DIM
    offsets = rows[:, None] * (num_heads * HEAD_DIM) + dims[None, :]
    gl.store(first + offsets, tile.load(L), mask=(rows < end)[:, None])


@gluon.jit
def _consumer(out_desc, out_ptr, q_tiles, k_tiles, v_tiles, bars, queue, where, total, to_base_2, c: gl.constexpr):
    """The queries HALF * c .. HALF * c + HALF - 1 of each tile. m, l, o are m_i, l_i, acc of online.py."""
    q_full, q_empty, k_full, k_empty, v_full, v_empty = bars
    num_heads = where[3]
    STAGES: gl.constexpr = k_tiles.shape[0]
    HEAD_DIM: gl.constexpr = k_tiles.shape[2]
    S: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, TILE, 16])  # scores
    O: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, HEAD_DIM, 16])  # noqa: E741  output
    P: gl.constexpr = gl.DotOperandLayout(0, O, 2)  # weights, as the left side of P V: they stay in registers
    rows = gl.arange(0, HALF, layout=gl.SliceLayout(1, S)) + c * HALF
    columns = gl.arange(0, TILE, layout=gl.SliceLayout(0, S))
    zeros = gl.zeros([HALF, TILE], gl.float32, S)
    count = 0  # tiles of K (and of V) so far
    taken = 0  # query tiles so far
    item, n = gl.program_id(0), 0
    while item < total:
        start, length, tile, head = locate(item, where)
        if tile * TILE < length:
            own = taken % 2 * CONSUMERS + c
            q = q_tiles.index(own)
            # The diagonal. Columns past the end of the sequence are hidden by it from all rows that are stored.
            buffer = count % STAGES
            ready = (count // STAGES) & 1
            if (tile + 1) * TILE > length:  # V of another sequence may hold NaN, and 0 * NaN is NaN
                nv.mbarrier.wait(v_full.index(buffer), ready)
                _clear_rows(v_tiles.index(buffer), length - tile * TILE)
            nv.mbarrier.wait(q_full.index(own), (taken // 2) & 1)
            nv.mbarrier.wait(k_full.index(buffer), ready)
            s = nv.warpgroup_mma(q, k_tiles.index(buffer).permute((1, 0)), zeros, use_acc=False, is_async=True)
            s = nv.warpgroup_mma_wait(0, [s])
            nv.mbarrier.arrive(k_empty.index(buffer), count=1)
            # `last` is `tile`. The compiler does not know that; where it does, it makes a slower loop of one consumer.
            last = gl.cdiv(gl.minimum((tile + 1) * TILE, length), TILE) - 1
            seen = columns[None, :] <= (rows + (tile - last) * TILE)[:, None]
            s = gl.where(seen, s, float("-inf"))
            m = gl.max(s, axis=1)
            p = gl.exp2(s * to_base_2 - (m * to_base_2)[:, None])
            l = _row_sums(p)  # noqa: E741
            nv.mbarrier.wait(v_full.index(buffer), ready)
            weights = gl.convert_layout(p.to(v_tiles.dtype), P)
            o = gl.zeros([HALF, HEAD_DIM], gl.float32, O)
            for _ in range(tile):
                before = buffer
                count += 1
                buffer = count % STAGES
                ready = (count // STAGES) & 1
                nv.mbarrier.wait(k_full.index(buffer), ready)
                s = nv.warpgroup_mma(q, k_tiles.index(buffer).permute((1, 0)), zeros, use_acc=False, is_async=True)
                product = nv.warpgroup_mma(weights, v_tiles.index(before), o, is_async=True)
                s = nv.warpgroup_mma_wait(1, [s])  # the scores are there; the product of the tile before still runs
                nv.mbarrier.arrive(k_empty.index(buffer), count=1)
                m_new = gl.maximum(m, gl.max(s, axis=1))
                shrink = gl.exp2((m - m_new) * to_base_2)
                p = gl.exp2(s * to_base_2 - (m_new * to_base_2)[:, None])
                m = m_new
                l = l * gl.convert_layout(shrink, gl.SliceLayout(1, l.type.layout))[:, None] + _row_sums(p)  # noqa: E741
                # V of the next product. Waiting here keeps the assembler from moving the softmax below the next line.
                nv.mbarrier.wait(v_full.index(buffer), ready)
                o, weights = nv.warpgroup_mma_wait(0, [product, weights])
                nv.mbarrier.arrive(v_empty.index(before), count=1)
                weights = gl.convert_layout(p.to(v_tiles.dtype), P)
                o = o * gl.convert_layout(shrink, gl.SliceLayout(1, O))[:, None]
            product = nv.warpgroup_mma(weights, v_tiles.index(buffer), o, is_async=True)
            o, weights = nv.warpgroup_mma_wait(0, [product, weights])
            nv.mbarrier.arrive(v_empty.index(buffer), count=1)
            count += 1
            taken += 1
            o = o * gl.convert_layout(1.0 / gl.sum(l, axis=1), gl.SliceLayout(1, O))[:, None]
            q.store(o.to(q.dtype))  # no product reads Q any more: its buffer takes the result
            first = tile * TILE + c * HALF
            if first + HALF <= length:
                nv.fence_async_shared()  # TMA must see what ordinary stores have written
                nv.tma.async_copy_shared_to_global(out_desc, [start + first, head * HEAD_DIM], q)
                nv.tma.store_wait(0)
            else:  # the rows past the end belong to another sequence; there may be no row before it
                _store_rows(out_ptr, q, start + first, length - first, head, num_heads)
            nv.mbarrier.arrive(q_empty.index(own), count=1)
        item, n = hear_next(queue, n), n + 1


@gluon.jit
def _barriers(num_buffers: gl.constexpr, readers: gl.constexpr):
    """The mbarriers `full` and `empty` of a ring of buffers. `empty` is complete when each reader has arrived."""
    full = gl.allocate_shared_memory(gl.int64, [num_buffers, 1], nv.mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [num_buffers, 1], nv.mbarrier.MBarrierLayout())
    for i in gl.static_range(num_buffers):
        nv.mbarrier.init(full.index(i), count=1)
        nv.mbarrier.init(empty.index(i), count=readers)
    return full, empty


@gluon.jit(do_not_specialize=["num_seqs", "num_slots", "num_heads", "group", "total"])
def hopper_kernel(
    q_desc, k_desc, v_desc, out_desc, out_ptr, cu_seqlens_ptr, counter_ptr, num_seqs, num_slots, num_heads, group,
    total, to_base_2, STAGES: gl.constexpr,
):  # fmt: skip
    """`*_desc`: of [num_tokens, heads * head_dim], in tiles [HALF, head_dim] of q and out, [TILE, head_dim] of k, v."""
    HEAD_DIM: gl.constexpr = q_desc.block_type.shape[1]
    q_tiles = gl.allocate_shared_memory(q_desc.dtype, [2 * CONSUMERS, HALF, HEAD_DIM], q_desc.layout)
    k_tiles = gl.allocate_shared_memory(k_desc.dtype, [STAGES, TILE, HEAD_DIM], k_desc.layout)
    v_tiles = gl.allocate_shared_memory(v_desc.dtype, [STAGES, TILE, HEAD_DIM], v_desc.layout)
    q_full, q_empty = _barriers(2 * CONSUMERS, 1)
    k_full, k_empty = _barriers(STAGES, CONSUMERS)
    v_full, v_empty = _barriers(STAGES, CONSUMERS)
    places = gl.allocate_shared_memory(gl.int32, [2, PLACE], gl.SwizzledSharedLayout(1, 1, 1, [0]))
    place_full, place_empty = _barriers(2, CONSUMERS)
    queue = (places, place_full, place_empty, counter_ptr)
    nv.fence_async_shared()
    bars = (q_full, q_empty, k_full, k_empty, v_full, v_empty)
    where = (cu_seqlens_ptr, num_seqs, num_slots, num_heads)
    gl.warp_specialize(
        [
            (_consumer, (out_desc, out_ptr, q_tiles, k_tiles, v_tiles, bars, queue, where, total, to_base_2, 0)),
            (_consumer, (out_desc, out_ptr, q_tiles, k_tiles, v_tiles, bars, queue, where, total, to_base_2, 1)),
            (_producer, (q_desc, k_desc, v_desc, q_tiles, k_tiles, v_tiles, bars, queue, where, group, total)),
        ],
        [4, 1],
        [CONSUMER_REGISTERS, PRODUCER_REGISTERS],
    )


def _descriptor(x, rows):
    """What TMA must know of x, [num_tokens, heads, head_dim], to copy tiles of `rows` tokens and one head."""
    num_tokens, heads, head_dim = x.shape
    stride = x.stride(0)  # of a part of a fused projection: more than heads * head_dim
    in_rows = x.stride()[1:] == (head_dim, 1) and stride >= heads * head_dim
    if not in_rows or stride * BYTES.value % 16 or x.data_ptr() % 16:  # TMA wants multiples of 16 bytes
        x, stride = x.clone(memory_format=torch.contiguous_format), heads * head_dim
    layout = _layout(rows, head_dim, x.dtype)
    return TensorDescriptor(x, [num_tokens, heads * head_dim], [stride, 1], [rows, head_dim], layout)


@lru_cache
def _layout(rows, head_dim, dtype):  # to work out the four of a call takes a sixth of a launch's time on the CPU
    return gl.NVMMASharedLayout.get_default_for([rows, head_dim], DTYPES[dtype])


def flash_attention(q, k, v, cu_seqlens, *, scale=None):
    """Causal attention of packed sequences, each over itself, by the kernel above.

    q: [num_tokens, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim], bfloat16 or float16, head_dim 64
    or 128. cu_seqlens: int32 or int64 [num_seqs + 1] on the GPU, where alone it is read. scale: of the scores, default
    head_dim ** -0.5. Returns as q. NaN in one sequence does not reach another. Raises ParameterError for shapes, dtypes
    and devices that do not fit, before anything is launched.
    """
    scale = check_packed(q, k, v, cu_seqlens, True, None, scale)
    check_kernel_inputs(hopper_kernel, q, k, v)
    num_tokens, num_heads, head_dim = q.shape
    if head_dim not in HOPPER_HEAD_DIMS or q.dtype not in DTYPES:
        raise ParameterError(
            f"The Hopper kernel takes bfloat16 and float16 in heads of 64 or 128 numbers, not {q.dtype} in heads of "
            f"{head_dim}. course_lib.attention.flash_attention chooses a kernel that fits."
        )
    out = torch.empty((num_tokens, num_heads, head_dim), dtype=q.dtype, device=q.device)
    num_seqs = len(cu_seqlens) - 1
    if num_tokens == 0 or num_seqs == 0:
        return out
    num_slots = num_tokens // TILE.value + num_seqs
    total, counter = num_slots * num_heads, torch.zeros(1, dtype=torch.int32, device=q.device)
    hopper_kernel[(min(total, multiprocessors(q.device)),)](
        _descriptor(q, HALF.value), _descriptor(k, TILE.value), _descriptor(v, TILE.value),
        _descriptor(out, HALF.value), out, cu_seqlens, counter, num_seqs, num_slots, num_heads, num_heads // k.shape[1],
        total, scale * LOG2_E, STAGES=HOPPER_HEAD_DIMS[head_dim], num_warps=4,
    )  # fmt: skip
    return out
