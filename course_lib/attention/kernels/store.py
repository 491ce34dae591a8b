"""Keys and values of new tokens into the slots of a paged cache, as a Triton kernel: lesson 08. Imports Triton."""

from . import online  # noqa: F401  (before Triton: it decides how that runs here)

# isort: split
import triton
import triton.language as tl

from course_lib.attention.checks import check_kernel_inputs, check_store


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


def store_kv(k, v, k_cache, v_cache, slot_mapping):
    """Writes token i to slot `slot_mapping[i]`, in place; -1 stands for padding, and nothing is written for it.

    k, v: [num_tokens, num_kv_heads, head_dim]. k_cache, v_cache: [num_blocks, block_size, num_kv_heads, head_dim],
    contiguous. slot_mapping: int32 or int64 [num_tokens], slot = block_id * block_size + offset. Raises
    ParameterError for shapes, dtypes and devices that do not fit, and where ids are checked LedgerError for slots
    that do not exist or come twice.
    """
    check_store(k, v, k_cache, v_cache, slot_mapping)
    check_kernel_inputs(store_kernel, k, v)
    k, v = (x if x[:1].is_contiguous() else x.contiguous() for x in (k, v))
    if len(k) == 0:
        return
    numbers = k.shape[1] * k.shape[2]
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
