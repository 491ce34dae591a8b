"""Checks before a kernel is launched: shapes, dtypes, devices, and in debug mode block ids and slots. No Triton."""

import math

import torch

from course_lib.errors import LedgerError, ParameterError

KERNEL_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_HEAD_DIM = 256
_debug = False


def debug(on=True):
    """Switches debug mode: whether ids and lengths on a GPU are copied to the CPU and checked at every call.

    This is slow, since the CPU waits for the GPU each time. Without it, a kernel with a wrong block id reads other
    data. Ids and lengths on a CPU are always checked.
    """
    global _debug
    _debug = bool(on)


def _contents_checked(tensor):
    return _debug or tensor.device.type == "cpu"


def check_scale(scale, head_dim):
    """The scale of the scores; default head_dim ** -0.5."""
    if scale is None:
        return head_dim**-0.5
    if not (type(scale) in (int, float) and math.isfinite(scale) and scale > 0):
        raise ParameterError(
            f"scale is {scale!r}; scores are multiplied by it, so it must be a finite number above 0. Leave "
            f"it out for the usual head_dim ** -0.5 = {head_dim**-0.5:.4f}."
        )
    return float(scale)


def check_heads(q, k, v, where="k"):
    """That q fits k and v: [..., num_kv_heads, head_dim]. where: the name of k in the caller's arguments."""
    for name, x in (("q", q), (where, k), ("v of " + where, v)):
        if not isinstance(x, torch.Tensor) or x.ndim < 3:
            raise ParameterError(f"{name} is {_kind(x)}; it must be a tensor [..., num_heads, head_dim].")
    if q.ndim != 3:
        raise ParameterError(
            f"q has shape {list(q.shape)}; it must be [num_tokens, num_heads, head_dim], all sequences one "
            "after the other, without a batch dimension."
        )
    if k.shape != v.shape:
        raise ParameterError(
            f"{where} has shape {list(k.shape)} and its v {list(v.shape)}; each key has one value, so the shapes "
            "must be equal."
        )
    heads, kv_heads = q.shape[1], k.shape[-2]
    if q.shape[2] != k.shape[-1] or q.shape[2] == 0:
        raise ParameterError(
            f"q has head_dim {q.shape[2]} and {where} {k.shape[-1]}; a score is their dot product, so both must be "
            "equal and above 0."
        )
    if kv_heads == 0 or heads % max(kv_heads, 1) != 0 or heads == 0:
        raise ParameterError(
            f"{heads} query heads cannot share {kv_heads} key/value heads evenly; the first must be a "
            "multiple of the second."
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ParameterError(f"q is {q.dtype}, {where} {k.dtype} and its v {v.dtype}; convert them to one dtype.")
    if not q.device == k.device == v.device:
        raise ParameterError(
            f"q is on {q.device}, {where} on {k.device} and its v on {v.device}; move them to one device."
        )


def check_integers(name, tensor, ndim, device):
    if not isinstance(tensor, torch.Tensor) or tensor.dtype not in (torch.int32, torch.int64) or tensor.ndim != ndim:
        raise ParameterError(
            f"{name} is {_kind(tensor)}; it must be an int32 or int64 tensor with {ndim} dimension{'s' * (ndim > 1)}."
        )
    if tensor.device != device:
        raise ParameterError(f"{name} is on {tensor.device} and q on {device}; move it there.")


def _kind(value):
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def check_mask(causal, window):
    if type(causal) is not bool:
        raise ParameterError(
            f"causal is {causal!r}; give True, where a token sees itself and the tokens before it, or False, where "
            "it sees all of its sequence."
        )
    if window is not None and (type(window) is not int or window < 1):
        raise ParameterError(
            f"window is {window!r}; it is the number of tokens that a token sees, itself included: 1 or more, or "
            "None for all."
        )


def check_cu_seqlens(name, cu_seqlens, num_tokens, device):
    check_integers(name, cu_seqlens, 1, device)
    if len(cu_seqlens) == 0:
        raise ParameterError(f"{name} is empty; it begins with 0 and has one more number for each sequence.")
    if _contents_checked(cu_seqlens):
        ends = cu_seqlens.tolist()
        if ends[0] != 0 or ends[-1] != num_tokens or any(a > b for a, b in zip(ends, ends[1:])):
            raise ParameterError(
                f"{name} is {ends[:8]}{' ...' if len(ends) > 8 else ''}; it is the running sum of the lengths, so it "
                f"must begin with 0, never decrease, and end with the {num_tokens} tokens of q."
            )


def check_packed(q, k, v, cu_seqlens, causal, window, scale):
    """The arguments of flash_attention. Returns the scale."""
    check_heads(q, k, v)
    if k.ndim != 3 or len(k) != len(q):
        raise ParameterError(
            f"q has shape {list(q.shape)} and k {list(k.shape)}; here every token has a query and a key. For "
            "keys of earlier steps use paged_attention."
        )
    check_cu_seqlens("cu_seqlens", cu_seqlens, len(q), q.device)
    check_mask(causal, window)
    return check_scale(scale, q.shape[2])


def check_paged(q, k_cache, v_cache, block_tables, seq_lens, scale, cu_seqlens_q=None, causal=True, window=None):
    """The arguments of paged_decode, and with cu_seqlens_q those of paged_attention. Returns the scale."""
    check_heads(q, k_cache, v_cache, "k_cache")
    if k_cache.ndim != 4:
        raise ParameterError(
            f"k_cache has shape {list(k_cache.shape)}; it must be [num_blocks, block_size, num_kv_heads, "
            "head_dim], one layer of a KVPool."
        )
    check_in_one_piece(k_cache, v_cache)
    check_integers("block_tables", block_tables, 2, q.device)
    check_integers("seq_lens", seq_lens, 1, q.device)
    if len(block_tables) != len(seq_lens):
        raise ParameterError(
            f"block_tables has {len(block_tables)} rows and seq_lens {len(seq_lens)} numbers; each sequence "
            "has one of both."
        )
    if cu_seqlens_q is None:
        if len(q) != len(seq_lens):
            raise ParameterError(
                f"{len(q)} queries came for {len(seq_lens)} sequences; paged_decode takes one each. For more "
                "use paged_attention."
            )
        new = [min(1, n) for n in seq_lens.tolist()] if _contents_checked(seq_lens) else None
    else:
        check_cu_seqlens("cu_seqlens_q", cu_seqlens_q, len(q), q.device)
        if len(cu_seqlens_q) != len(seq_lens) + 1:
            raise ParameterError(
                f"cu_seqlens_q has {len(cu_seqlens_q)} numbers for {len(seq_lens)} sequences; it has one more "
                "than there are sequences."
            )
        new = cu_seqlens_q.diff().tolist() if _contents_checked(seq_lens) else None
    check_mask(causal, window)
    if new is not None:
        _check_blocks(block_tables, seq_lens.tolist(), new, k_cache.shape[0], k_cache.shape[1])
    return check_scale(scale, q.shape[2])


def _check_blocks(block_tables, seq_lens, new, num_blocks, block_size):
    """That every block a sequence reads exists. Entries of its row after its length are never read.

    new: the number of queries of each sequence.
    """
    room = block_tables.shape[1] * block_size
    for row, (length, n) in enumerate(zip(seq_lens, new)):
        if length < 0:
            raise ParameterError(f"Sequence {row} has {length} tokens by seq_lens; a sequence has 0 or more.")
        if length < n:
            raise ParameterError(
                f"Sequence {row} has {n} queries, but seq_lens says {length} tokens; the new tokens are counted too."
            )
        if length > room:
            raise ParameterError(
                f"Sequence {row} has {length} tokens, but its row of {block_tables.shape[1]} blocks of "
                f"{block_size} has room for {room}. Give block_tables {-(-length // block_size)} columns or "
                "more."
            )
    if block_tables.numel() == 0:
        return
    columns = torch.arange(block_tables.shape[1], device=block_tables.device) * block_size
    used = columns < torch.tensor(seq_lens, device=block_tables.device)[:, None]
    wrong = (used & ((block_tables < 0) | (block_tables >= num_blocks))).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise LedgerError(
            f"Sequence {row} reads block {int(block_tables[row, column])} for its tokens from {column * block_size} "
            f"on, but the cache has blocks 0 to {num_blocks - 1}. A negative id is padding within the length; a larger "
            "one belongs to another pool."
        )


def check_in_one_piece(k_cache, v_cache):
    if not (k_cache.is_contiguous() and v_cache.is_contiguous()):
        raise ParameterError(
            "k_cache and v_cache must be contiguous, because a slot number is an index into them. Pass one layer of a "
            "KVPool unchanged."
        )


def check_splits(splits):
    if splits is not None and (type(splits) is not int or splits < 1):
        raise ParameterError(
            f"splits is {splits!r}; it is the number of parts of each sequence: 1 or more, or None to have it chosen."
        )


def check_store(k, v, k_cache, v_cache, slot_mapping):
    """The arguments of store_kv."""
    for name, x in (("k", k), ("v", v), ("k_cache", k_cache), ("v_cache", v_cache)):
        if not isinstance(x, torch.Tensor):
            raise ParameterError(f"{name} is {_kind(x)}; it must be a tensor.")
    if k.ndim != 3 or k_cache.ndim != 4:
        raise ParameterError(
            f"k has shape {list(k.shape)} and k_cache {list(k_cache.shape)}; they must be [num_tokens, "
            "num_kv_heads, head_dim] and [num_blocks, block_size, num_kv_heads, head_dim]."
        )
    if k.shape != v.shape or k_cache.shape != v_cache.shape or k.shape[1:] != k_cache.shape[2:]:
        raise ParameterError(
            f"k, v, k_cache, v_cache have shapes {list(k.shape)}, {list(v.shape)}, {list(k_cache.shape)}, "
            f"{list(v_cache.shape)}; k must equal v, k_cache equal v_cache, and both have the same heads and head_dim."
        )
    if not k.dtype == v.dtype == k_cache.dtype == v_cache.dtype:
        raise ParameterError(
            f"k is {k.dtype}, v {v.dtype}, the caches {k_cache.dtype} and {v_cache.dtype}; convert them to one dtype."
        )
    if not k.device == v.device == k_cache.device == v_cache.device:
        raise ParameterError(
            f"k is on {k.device}, v on {v.device}, the caches on {k_cache.device} and {v_cache.device}; move "
            "them to one device."
        )
    check_in_one_piece(k_cache, v_cache)
    check_integers("slot_mapping", slot_mapping, 1, k.device)
    if len(slot_mapping) != len(k):
        raise ParameterError(
            f"{len(k)} tokens came with {len(slot_mapping)} slots; each token needs one, -1 for padding."
        )
    if _contents_checked(slot_mapping) and len(slot_mapping):
        slots = k_cache.shape[0] * k_cache.shape[1]
        low, high = int(slot_mapping.min()), int(slot_mapping.max())
        if low < -1 or high >= slots:
            raise LedgerError(
                f"Slot {low if low < -1 else high} does not exist; the cache has 0 to {slots - 1}, and -1 stands "
                "for a token that is not stored."
            )
        real = slot_mapping[slot_mapping >= 0]
        if len(real.unique()) < len(real):
            raise LedgerError(
                "Two tokens go to one slot, and either of them may be overwritten. Look for a block that two tables "
                "write to."
            )


def check_kernel_inputs(kernel, *tensors):
    """Raises ParameterError for what the kernels cannot do. kernel: a jitted function; tensors: q, k, v."""
    q = tensors[0]
    interpreted = type(kernel).__name__ == "InterpretedFunction"
    if q.dtype not in KERNEL_DTYPES:
        raise ParameterError(
            f"The kernels take float32, float16 and bfloat16, not {q.dtype}. The torch twins take it: "
            "course_lib.attention.reference.twins."
        )
    if q.shape[-1] > MAX_HEAD_DIM:
        raise ParameterError(
            f"The kernels take a head_dim of up to {MAX_HEAD_DIM}, not {q.shape[-1]}: a row of the output would not "
            "fit the registers. The torch twins take it: course_lib.attention.reference.twins."
        )
    if interpreted and q.dtype == torch.bfloat16:
        raise ParameterError(
            "Triton's interpreter computes bfloat16 wrongly and reports no error. Use float32 here, or a GPU."
        )
    if not interpreted and q.device.type != "cuda":
        raise ParameterError(
            f"q is on {q.device}, and this Triton compiles for a GPU. Move the tensors to 'cuda', or set "
            "TRITON_INTERPRET=1 before Python starts, to interpret the kernels."
        )
    if q.device.type == "cuda" and q.device.index != torch.cuda.current_device():
        raise ParameterError(
            f"q is on {q.device}, but kernels are launched on cuda:{torch.cuda.current_device()}, the current device. "
            f"Call torch.cuda.set_device({q.device.index}) first."
        )
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        raise ParameterError(
            "The kernels have no backward pass, and one of the tensors requires a gradient. Call under "
            "torch.no_grad(), or use the torch twins: course_lib.attention.reference.twins."
        )
