"""The shapes and implementations that attention.py compares and tune_attention.py tunes for.

`prefill`, `decode` and `chunk` each return {implementation: call}, a function for the exact output of one row and head,
the number of rows and heads, and (unit, amount of work) of one call.
"""

import math
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_lib.attention import flash_attention, paged_attention, paged_decode

# batch, query heads, KV heads, tokens, head_dim
PREFILL = [
    (4, 32, 8, 2048, 128),
    (1, 32, 8, 8192, 128),
    (1, 32, 8, 16384, 128),
    (4, 32, 8, 4096, 64),
    (2, 16, 16, 8192, 64),
]
DECODE = [
    (1, 32, 8, 2048, 128),
    (1, 32, 8, 65536, 128),
    (16, 32, 8, 4096, 128),
    (64, 32, 8, 4096, 128),
    (256, 32, 8, 1024, 128),
    (256, 16, 8, 600, 128),
    (128, 32, 8, 2048, 64),
    (64, 32, 32, 2048, 128),
]
CHUNK = (32, 8, 8192, 2048, 128)  # query heads, KV heads, cached, new, head_dim
BLOCK_SIZE, DTYPE = 16, torch.bfloat16


def draw(*shape):
    return torch.randn(shape, device="cuda", dtype=DTYPE)


def heads_first(x, batch):
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def sdpa(backend, q, k, v, causal=True):
    """torch's attention by one backend. q, k, v and the result: [batch, heads, tokens, head_dim]."""
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])


def where_installed(calls, name, package, make):
    """Adds the call that `make` returns to `calls`, if the package is installed and can be set up here."""
    if find_spec(package) is None:
        return
    try:
        calls[name] = make()
    except Exception as error:
        print(f"  {name} cannot be set up here: {type(error).__name__}: {str(error).splitlines()[0][:120]}")


def flash_attn_3(*args, **options):
    """A call of vLLM's build of FlashAttention 3 with these arguments."""
    from vllm.vllm_flash_attn import flash_attn_varlen_func

    return lambda: flash_attn_varlen_func(*args, **options, causal=True, fa_version=3)


def prefill(batch, heads, kv_heads, tokens, head_dim):
    """Causal attention of `batch` sequences of `tokens` tokens."""
    q, k, v = (draw(batch * tokens, n, head_dim) for n in (heads, kv_heads, kv_heads))
    cu = torch.arange(0, batch * tokens + 1, tokens, device="cuda", dtype=torch.int32)
    apart = [heads_first(x, batch) for x in (q, k, v)]

    def flat(out):
        return out.transpose(1, 2).flatten(0, 1)

    calls = {
        "course": lambda: flash_attention(q, k, v, cu),
        "SDPA FA2": lambda: flat(sdpa(SDPBackend.FLASH_ATTENTION, *apart)),
        "SDPA cuDNN": lambda: flat(sdpa(SDPBackend.CUDNN_ATTENTION, *apart)),
    }

    def flashinfer():
        from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

        wrapper = BatchPrefillWithRaggedKVCacheWrapper(torch.empty(256 << 20, dtype=torch.uint8, device="cuda"), "NHD")
        wrapper.plan(cu, cu, heads, kv_heads, head_dim, causal=True, q_data_type=DTYPE)
        return lambda: wrapper.run(q, k, v)

    where_installed(calls, "flashinfer", "flashinfer", flashinfer)
    where_installed(
        calls,
        "FA3 (vLLM)",
        "vllm",
        lambda: flash_attn_3(q, k, v, max_seqlen_q=tokens, cu_seqlens_q=cu, max_seqlen_k=tokens, cu_seqlens_k=cu),
    )

    def exact(row, head):
        start = row // tokens * tokens
        return attend(
            q[row, head], k[start : row + 1, head * kv_heads // heads], v[start : row + 1, head * kv_heads // heads]
        )

    flops = 4 * batch * heads * head_dim * tokens * tokens / 2
    return calls, exact, (batch * tokens, heads), ("TFLOP/s", flops / 1e12)


def paged(batch, kv_heads, context, head_dim):
    """A cache in shuffled blocks with `batch` sequences of `context` tokens: k, v, tables, lens."""
    width = -(-context // BLOCK_SIZE)
    k, v = (draw(batch * width, BLOCK_SIZE, kv_heads, head_dim) for _ in "kv")
    tables = torch.randperm(batch * width, device="cuda").int().view(batch, width)
    return k, v, tables, torch.full((batch,), context, device="cuda", dtype=torch.int32)


def decode(batch, heads, kv_heads, context, head_dim):
    """One decode step of `batch` sequences of `context` tokens in a paged cache."""
    q, (k, v, tables, lens) = draw(batch, heads, head_dim), paged(batch, kv_heads, context, head_dim)

    def gather_then_sdpa():
        kept = (x[tables].flatten(1, 2)[:, :context].transpose(1, 2) for x in (k, v))
        either = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
        return sdpa(either, q[:, :, None], *kept, causal=False)[:, :, 0]

    calls = {"course": lambda: paged_decode(q, k, v, tables, lens), "gather, SDPA": gather_then_sdpa}

    def flashinfer():
        from flashinfer import BatchDecodeWithPagedKVCacheWrapper

        wrapper = BatchDecodeWithPagedKVCacheWrapper(
            torch.empty(256 << 20, dtype=torch.uint8, device="cuda"), "NHD", use_tensor_cores=heads > kv_heads
        )
        width = tables.shape[1]
        in_last_block = torch.full((batch,), context - (width - 1) * BLOCK_SIZE, device="cuda", dtype=torch.int32)
        wrapper.plan(
            torch.arange(batch + 1, device="cuda", dtype=torch.int32) * width,
            tables.flatten(),
            in_last_block,
            heads,
            kv_heads,
            head_dim,
            BLOCK_SIZE,
            q_data_type=DTYPE,
            kv_data_type=DTYPE,
        )
        return lambda: wrapper.run(q, (k, v))

    cu = torch.arange(batch + 1, device="cuda", dtype=torch.int32)
    where_installed(calls, "flashinfer", "flashinfer", flashinfer)
    where_installed(
        calls,
        "FA3 (vLLM)",
        "vllm",
        lambda: flash_attn_3(
            q, k, v, max_seqlen_q=1, cu_seqlens_q=cu, max_seqlen_k=context, seqused_k=lens, block_table=tables
        ),
    )

    def exact(row, head):
        kept = (x[tables[row]].flatten(0, 1)[:context, head * kv_heads // heads] for x in (k, v))
        return attend(q[row, head], *kept)

    num_bytes = 2 * batch * context * kv_heads * head_dim * q.element_size()
    return calls, exact, (batch, heads), ("GB/s", num_bytes / 1e9)


def chunk(heads, kv_heads, cached, new, head_dim):
    """A chunk of `new` tokens of a prompt, after `cached` tokens in a paged cache."""
    total = cached + new
    q, (k, v, tables, lens) = draw(new, heads, head_dim), paged(1, kv_heads, total, head_dim)
    cu = torch.tensor([0, new], device="cuda", dtype=torch.int32)
    kept = [x[tables[0]].flatten(0, 1)[:total].contiguous() for x in (k, v)]

    def exact(row, head):
        return attend(q[row, head], *(x[: cached + row + 1, head * kv_heads // heads] for x in kept))

    calls = {"course": lambda: paged_attention(q, k, v, tables, lens, cu)}
    where_installed(
        calls,
        "FA3 (vLLM)",
        "vllm",
        lambda: flash_attn_3(
            q, k, v, max_seqlen_q=new, cu_seqlens_q=cu, max_seqlen_k=total, seqused_k=lens, block_table=tables
        ),
    )
    flops = 4 * heads * head_dim * (new * cached + new * new / 2)
    return calls, exact, (new, heads), ("TFLOP/s", flops / 1e12)


def attend(q, k, v):
    q, k, v = q.double(), k.double(), v.double()
    return (k @ q / math.sqrt(len(q))).softmax(0) @ v
