"""Which implementation runs for a device, dtype and shape, and why. Triton is imported when a kernel first runs, not
before.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

import torch

from course_lib.errors import ParameterError
from course_lib.machine.device import default_device, default_dtype, inspect_machine

from .checks import KERNEL_DTYPES, MAX_HEAD_DIM
from .reference import twins
from .tiles import HOPPER_HEAD_DIMS, chip, decode_tile, flash_tile, has_matrix_instructions

HALF_DTYPES = (torch.float16, torch.bfloat16)
KERNELS = {"flash_attention": "flash", "paged_decode": "paged", "paged_attention": "paged", "store_kv": "store"}


@dataclass(frozen=True)
class Choice:
    """What runs for one function, and the reason in words."""

    function: str
    runs: str  # gluon | triton | torch
    why: str

    def __str__(self):
        return f"{self.function:<16}{self.runs:<8}{self.why}"


def choose(function, *, device=None, dtype=None, head_dim=128, causal=True, window=None):
    """The Choice for one of flash_attention, paged_decode, paged_attention, store_kv.

    device, dtype: of the tensors; default: what a model takes on this machine. causal, window: as in flash_attention.
    Raises ParameterError for another name.
    """
    if function not in KERNELS:
        raise ParameterError(f"There is no {function!r} to choose for; there are {', '.join(KERNELS)}.")
    device = torch.device(device or default_device())
    return _choose(function, device, dtype or default_dtype(device), head_dim, _is_plain(causal, window))


@lru_cache(maxsize=256)
def _choose(function, device, dtype, head_dim, plain):
    """plain: causal, and without a window."""
    torch_, triton_ = (lambda why: Choice(function, "torch", why)), (lambda why: Choice(function, "triton", why))
    if device.type != "cuda":
        return torch_(
            "on a CPU a kernel can only be interpreted, which is right but many times slower than torch; to see that, "
            f"call course_lib.attention.{KERNELS[function]}.{function}"
        )
    state, why = _triton()
    if state != "compiled":
        return torch_(f"Triton is {state} here: {why}")
    if dtype not in KERNEL_DTYPES:
        return torch_(f"the kernels take float32, float16 and bfloat16, and this is {_short(dtype)}")
    if head_dim > MAX_HEAD_DIM:
        return torch_(f"a head of {head_dim} numbers is more than the {MAX_HEAD_DIM} that a kernel's registers hold")
    name = chip(device)
    if dtype == torch.bfloat16 and name == "sm_75":
        return torch_("sm_75 has no bfloat16 in hardware; float16 would run as a kernel")
    if function == "store_kv":
        return triton_("one program a token writes K and V to their slot; padding slots are passed over")
    if function == "paged_decode":
        how = (
            "with tl.dot"
            if has_matrix_instructions(name)
            else "by multiply-and-sum, as Triton makes no matrix instruction there"
        )
        tile = decode_tile(name, head_dim, dtype.itemsize, 1)
        return triton_(f"the block table is followed in the kernel, {tile.block_n} tokens at a time on {name}, {how}")
    if not has_matrix_instructions(name):
        return torch_(
            f"on {name} Triton makes no matrix instruction of tl.dot, so torch's scaled_dot_product_attention is faster"
        )
    tile = flash_tile(name, head_dim, dtype.itemsize)
    numbers = (
        "without matrix instructions, because float32 is kept exact"
        if dtype == torch.float32
        else "on matrix instructions"
    )
    told = f"tiles of {tile.block_m} queries by {tile.block_n} keys on {name}, {numbers}"
    if function == "flash_attention" and name == "sm_90" and plain and dtype in HALF_DTYPES:
        if head_dim in HOPPER_HEAD_DIMS:
            why = _why_no_gluon()
            if why is None:
                return Choice(
                    function, "gluon", f"the kernel for {name} alone: one warp loads while the others compute"
                )
            told += f"; not the kernel for {name} alone: {why}"
    return triton_(told)


def explain(*, device=None, dtype=None, head_dim=128):
    """What runs for tensors on `device` in `dtype` with heads of `head_dim` numbers, a line for each function, as
    text.
    """
    return "\n".join(str(choose(function, device=device, dtype=dtype, head_dim=head_dim)) for function in KERNELS)


@lru_cache(maxsize=1)
def _triton():
    machine = inspect_machine()
    return machine.triton, machine.triton_why


@lru_cache(maxsize=1)
def _why_no_gluon():
    """None where the kernel in Gluon can be imported, else the reason why not."""
    try:
        import_module(f"{__package__}.kernels.hopper")
    except ImportError as error:
        return str(error)


def _is_plain(causal, window):
    return causal is True and window is None


def _short(dtype):
    return str(dtype).removeprefix("torch.")


def _run(function, q, *args, **options):
    """The chosen implementation checks the arguments; here only what decides is looked at."""
    chosen = "torch"
    if isinstance(q, torch.Tensor) and q.is_cuda and q.ndim:
        plain = _is_plain(options.get("causal"), options.get("window"))
        chosen = _choose(function, q.device, q.dtype, q.shape[-1], plain).runs
    if chosen == "gluon":
        return import_module(f"{__package__}.kernels.hopper").flash_attention(q, *args, scale=options["scale"])
    home = twins if chosen == "torch" else import_module(f"{__package__}.kernels.{KERNELS[function]}")
    return getattr(home, function)(q, *args, **options)


def flash_attention(q, k, v, cu_seqlens, *, causal=True, window=None, scale=None):
    """Attention of packed sequences, each over itself.

    q: [num_tokens, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim]. cu_seqlens: int32 or int64
    [num_seqs + 1], the running sum of the lengths, from 0. causal: a token sees itself and what is before it.
    window: only tokens less than `window` away, itself included. scale: of the scores, default head_dim ** -0.5.
    Returns as q. Raises ParameterError before anything runs. Source: FlashAttention-2 (arXiv 2307.08691);
    `explain()` says what runs here.
    """
    return _run("flash_attention", q, k, v, cu_seqlens, causal=causal, window=window, scale=scale)


def paged_decode(
    q, k_cache, v_cache, block_tables, seq_lens, *, k_scale=None, v_scale=None, window=None, sinks=0, scale=None
):
    """One new token of each sequence over all of its tokens, read through the block table.

    q: [num_seqs, num_heads, head_dim]. k_cache, v_cache: [num_blocks, block_size, num_kv_heads, head_dim], one layer
    of a KVPool. block_tables: int32 or int64 [num_seqs, max_blocks]; what stands behind a sequence's length is never
    read. seq_lens: int32 or int64 [num_seqs], the new token counted; 0 gives an output of 0. k_scale, v_scale: float32
    [num_blocks, num_kv_heads, block_size], of caches in int8, fp8 or int4 (packed, so half as wide). window: only the
    last so many tokens, the new one included, and the first `sinks`; blocks without any of these are never read.
    scale: of the scores, default head_dim ** -0.5. Returns as q. Raises ParameterError, and LedgerError for block ids
    that do not exist, where they are checked: on a CPU, and on a GPU after `checks.debug()`. Sources: PagedAttention
    (arXiv 2309.06180), Flash-Decoding, StreamingLLM (arXiv 2309.17453).
    """
    how = dict(k_scale=k_scale, v_scale=v_scale, window=window, sinks=sinks, scale=scale)
    return _run("paged_decode", q, k_cache, v_cache, block_tables, seq_lens, **how)


def paged_attention(
    q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q, *, k_scale=None, v_scale=None, causal=True, window=None,
    sinks=0, scale=None,
):  # fmt: skip
    """The last tokens of each sequence, any number of them, over all of its tokens, read through the block table.

    q: [num_tokens, num_heads, head_dim], packed by cu_seqlens_q: int32 or int64 [num_seqs + 1]. causal: a token
    sees itself and what is before it. The rest, and what is raised, as in paged_decode. Returns as q.
    """
    how = dict(k_scale=k_scale, v_scale=v_scale, causal=causal, window=window, sinks=sinks, scale=scale)
    return _run("paged_attention", q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q, **how)


def store_kv(k, v, k_cache, v_cache, slot_mapping, *, k_scale=None, v_scale=None):
    """Writes the key and value of token i to slot `slot_mapping[i]` of the cache, in place; -1 stands for padding.

    k, v: [num_tokens, num_kv_heads, head_dim]; k_cache, v_cache: [num_blocks, block_size, num_kv_heads, head_dim];
    slot_mapping: int32 or int64 [num_tokens], block_id * block_size + offset. k_scale, v_scale: of a quantised cache
    (see paged_decode); k and v are quantised on the way. Raises ParameterError, and LedgerError for slots that do not
    exist or come twice, where ids are checked (see paged_decode).
    """
    return _run("store_kv", k, v, k_cache, v_cache, slot_mapping, k_scale=k_scale, v_scale=v_scale)
