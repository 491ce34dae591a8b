"""Checks before a kernel over a paged cache is launched: shapes, dtypes, scales, and in debug mode block ids and slots.
No Triton.
"""

import torch

from course_lib.errors import LedgerError, ParameterError

from . import checks
from .checks import check_cu_seqlens, check_heads, check_integers, check_mask, check_scale, kind_in_words
from .reference.quantise import STORED_AS, kind_of, stored_width

NARROW = (torch.float16, torch.bfloat16, *STORED_AS.values())
"""What a cache may be beside the dtype of the queries."""


def check_paged(
    q, k_cache, v_cache, block_tables, seq_lens, scale, cu_seqlens_q=None, causal=True, window=None, sinks=0,
    k_scale=None, v_scale=None,
):  # fmt: skip
    """The arguments of paged_decode, and with cu_seqlens_q those of paged_attention. Returns the scale."""
    kind = kind_of(getattr(k_cache, "dtype", None))
    head_dim = 2 * k_cache.shape[-1] if kind == "int4" and k_cache.ndim else None
    check_heads(q, k_cache, v_cache, "k_cache", head_dim=head_dim, same_dtype=False)
    check_dtypes(q, k_cache, v_cache)
    if k_cache.ndim != 4:
        raise ParameterError(
            f"k_cache has shape {list(k_cache.shape)}; it must be [num_blocks, block_size, num_kv_heads, "
            "head_dim], one layer of a KVPool."
        )
    check_in_one_piece(k_cache, v_cache)
    check_scales(k_cache, k_scale, v_scale)
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
        new = [min(1, n) for n in seq_lens.tolist()] if checks._contents_checked(seq_lens) else None
    else:
        check_cu_seqlens("cu_seqlens_q", cu_seqlens_q, len(q), q.device)
        if len(cu_seqlens_q) != len(seq_lens) + 1:
            raise ParameterError(
                f"cu_seqlens_q has {len(cu_seqlens_q)} numbers for {len(seq_lens)} sequences; it has one more "
                "than there are sequences."
            )
        new = cu_seqlens_q.diff().tolist() if checks._contents_checked(seq_lens) else None
    check_mask(causal, window)
    check_sinks(sinks, window)
    if new is not None:
        _check_blocks(block_tables, seq_lens.tolist(), new, *k_cache.shape[:2], window, sinks)
    return check_scale(scale, q.shape[2])


def _check_blocks(block_tables, seq_lens, new, num_blocks, block_size, window, sinks):
    """That every block a sequence reads exists. Entries of its row after its length are never read, nor those of which
    no query sees a token.

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
    lens = torch.tensor(seq_lens, device=block_tables.device)[:, None]
    used = columns < lens
    if window is not None:
        first = lens - torch.tensor(new, device=block_tables.device)[:, None] + 1 - window
        used &= (columns + block_size > first) | (columns < sinks)
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


def check_store(k, v, k_cache, v_cache, slot_mapping, k_scale=None, v_scale=None):
    """The arguments of store_kv."""
    for name, x in (("k", k), ("v", v), ("k_cache", k_cache), ("v_cache", v_cache)):
        if not isinstance(x, torch.Tensor):
            raise ParameterError(f"{name} is {kind_in_words(x)}; it must be a tensor.")
    if k.ndim != 3 or k_cache.ndim != 4:
        raise ParameterError(
            f"k has shape {list(k.shape)} and k_cache {list(k_cache.shape)}; they must be [num_tokens, "
            "num_kv_heads, head_dim] and [num_blocks, block_size, num_kv_heads, head_dim]."
        )
    width = stored_width(k.shape[2], kind_of(k_cache.dtype))
    fits = (k.shape[1], width) == k_cache.shape[2:]
    if k.shape != v.shape or k_cache.shape != v_cache.shape or not fits:
        raise ParameterError(
            f"k, v, k_cache, v_cache have shapes {list(k.shape)}, {list(v.shape)}, {list(k_cache.shape)}, "
            f"{list(v_cache.shape)}; k must equal v, k_cache equal v_cache, and both have the same heads and head_dim."
        )
    if k.dtype != v.dtype:
        raise ParameterError(f"k is {k.dtype} and v {v.dtype}; convert them to one dtype.")
    check_dtypes(k, k_cache, v_cache)
    if not k.device == v.device == k_cache.device == v_cache.device:
        raise ParameterError(
            f"k is on {k.device}, v on {v.device}, the caches on {k_cache.device} and {v_cache.device}; move "
            "them to one device."
        )
    check_in_one_piece(k_cache, v_cache)
    check_scales(k_cache, k_scale, v_scale)
    check_integers("slot_mapping", slot_mapping, 1, k.device)
    if len(slot_mapping) != len(k):
        raise ParameterError(
            f"{len(k)} tokens came with {len(slot_mapping)} slots; each token needs one, -1 for padding."
        )
    if checks._contents_checked(slot_mapping) and len(slot_mapping):
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


def check_dtypes(q, k_cache, v_cache):
    """That the caches have the dtype of q, or a narrower one."""
    if k_cache.dtype != v_cache.dtype or k_cache.dtype not in (q.dtype, *NARROW):
        raise ParameterError(
            f"The queries and keys are {q.dtype}, the caches {k_cache.dtype} and {v_cache.dtype}; convert them to one "
            f"dtype, or quantise both caches."
        )


def check_scales(k_cache, k_scale, v_scale):
    """That a quantised cache comes with its scales, and another without."""
    kind, (num_blocks, block_size, num_kv_heads, _) = kind_of(k_cache.dtype), k_cache.shape
    for name, scale in (("k_scale", k_scale), ("v_scale", v_scale)):
        if kind is None and scale is not None:
            raise ParameterError(f"{name} came with a cache in {k_cache.dtype}, which is not quantised. Leave it out.")
        shape = (num_blocks, num_kv_heads, block_size)
        if kind is not None and not (
            isinstance(scale, torch.Tensor)
            and scale.shape == shape
            and scale.dtype == torch.float32
            and scale.device == k_cache.device
            and scale.is_contiguous()
        ):
            raise ParameterError(
                f"{name} is {kind_in_words(scale)}; a cache in {kind} needs a contiguous float32 tensor of shape "
                f"{list(shape)} on {k_cache.device}: [num_blocks, num_kv_heads, block_size]."
            )


def check_sinks(sinks, window):
    """That sinks is a count of tokens, and comes with a window."""
    if type(sinks) is not int or sinks < 0:
        raise ParameterError(
            f"sinks is {sinks!r}; it is the number of tokens at the beginning that every token sees: 0 or more."
        )
    if sinks and window is None:
        raise ParameterError(
            f"sinks is {sinks}, but without a window a token sees all tokens before it anyway. Give a window too."
        )
