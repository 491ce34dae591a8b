"""Keys and values of new tokens into the slots of a paged cache, as a Triton kernel: lesson 08. Imports Triton."""

from . import online  # noqa: F401  (before Triton: it decides how that runs here)

# isort: split
import torch
import triton
import triton.language as tl

from course_lib.attention.checks import check_kernel_inputs
from course_lib.attention.paged_checks import check_store
from course_lib.attention.reference.quantise import LARGEST, kind_of

from .quantise import quantise


@triton.jit
def store_kernel(
    k_ptr,
    v_ptr,
    k_cache_ptr,
    v_cache_ptr,
    slot_mapping_ptr,
    k_stride,
    v_stride,
    NUMBERS: tl.constexpr,
    PADDED: tl.constexpr,
):
    """One program a token: its NUMBERS = num_kv_heads * head_dim lie side by side, here and in the cache."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slot_mapping_ptr + token).to(tl.int64)
    if slot < 0:  # padding: a token that nobody will ask for
        return
    offsets = tl.arange(0, PADDED)
    inside = offsets < NUMBERS
    k = tl.load(k_ptr + token * k_stride + offsets, mask=inside)
    v = tl.load(v_ptr + token * v_stride + offsets, mask=inside)
    tl.store(k_cache_ptr + slot * NUMBERS + offsets, k, mask=inside)
    tl.store(v_cache_ptr + slot * NUMBERS + offsets, v, mask=inside)


@triton.jit
def store_quantised_kernel(
    k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, k_scale_ptr, v_scale_ptr, slot_mapping_ptr, k_stride, v_stride,
    KIND: tl.constexpr, LARGEST: tl.constexpr, HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, ROWS: tl.constexpr,
    PADDED_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr,
):  # fmt: skip
    """One program a token: a row of numbers and a scale for each of its heads, of K and of V."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slot_mapping_ptr + token).to(tl.int64)
    if slot < 0:
        return
    PARTS: tl.constexpr = 2 if KIND == "int4" else 1  # channels that share a byte
    heads, columns = tl.arange(0, ROWS), tl.arange(0, PADDED_DIM // PARTS)
    inside = (heads < HEADS)[:, None] & (columns < HEAD_DIM // PARTS)[None, :]
    place = heads[:, None] * (HEAD_DIM // PARTS) + columns[None, :]
    scale_at = (slot // BLOCK_SIZE * HEADS + heads) * BLOCK_SIZE + slot % BLOCK_SIZE
    for which in tl.static_range(2):
        if which == 0:
            x_ptr, cache_ptr, scale_ptr = k_ptr + token * k_stride, k_cache_ptr, k_scale_ptr
        else:
            x_ptr, cache_ptr, scale_ptr = v_ptr + token * v_stride, v_cache_ptr, v_scale_ptr
        first = tl.load(x_ptr + place * PARTS, mask=inside, other=0.0).to(tl.float32)
        largest = tl.max(tl.abs(first), 1)
        if PARTS == 2:
            second = tl.load(x_ptr + place * PARTS + 1, mask=inside, other=0.0).to(tl.float32)
            largest = tl.maximum(largest, tl.max(tl.abs(second), 1))
        scale = tl.math.div_rn(largest, tl.zeros_like(largest) + LARGEST)
        stored = quantise(first, scale, KIND, LARGEST)
        if PARTS == 2:
            stored = (stored & 15) | ((quantise(second, scale, KIND, LARGEST) & 15) << 4)
        kept = stored.to(cache_ptr.dtype.element_ty)
        tl.store(cache_ptr + slot * (HEADS * HEAD_DIM // PARTS) + place, kept, mask=inside)
        tl.store(scale_ptr + scale_at, scale, mask=heads < HEADS)


def store_kv(k, v, k_cache, v_cache, slot_mapping, *, k_scale=None, v_scale=None):
    """Writes token i to slot `slot_mapping[i]`, in place; -1 stands for padding, and nothing is written for it.

    k, v: [num_tokens, num_kv_heads, head_dim]. k_cache, v_cache: [num_blocks, block_size, num_kv_heads, head_dim],
    contiguous. slot_mapping: int32 or int64 [num_tokens], slot = block_id * block_size + offset. k_scale, v_scale:
    for quantised caches, float32 [num_blocks, num_kv_heads, block_size], contiguous. Raises ParameterError for shapes,
    dtypes and devices that do not fit, and where ids are checked LedgerError for slots that do not exist or come twice.
    """
    check_store(k, v, k_cache, v_cache, slot_mapping, k_scale, v_scale)
    check_kernel_inputs(store_kernel, k, v)
    k, v = (x if x[:1].is_contiguous() else x.contiguous() for x in (k, v))
    if len(k) == 0:
        return
    heads, head_dim = k.shape[1:]
    if k_scale is not None:
        kind = kind_of(k_cache.dtype)
        if kind == "fp8":
            k_cache, v_cache = k_cache.view(torch.uint8), v_cache.view(torch.uint8)
        store_quantised_kernel[(len(k),)](
            k, v, k_cache, v_cache, k_scale, v_scale, slot_mapping, k.stride(0), v.stride(0), KIND=kind,
            LARGEST=float(LARGEST[kind]), HEADS=heads, HEAD_DIM=head_dim, ROWS=triton.next_power_of_2(heads),
            PADDED_DIM=max(2, triton.next_power_of_2(head_dim)), BLOCK_SIZE=k_cache.shape[1], num_warps=4,
        )  # fmt: skip
        return
    numbers = heads * head_dim
    store_kernel[(len(k),)](
        k,
        v,
        k_cache,
        v_cache,
        slot_mapping,
        k.stride(0),
        v.stride(0),
        NUMBERS=numbers,
        PADDED=triton.next_power_of_2(numbers),
        num_warps=4,
    )
