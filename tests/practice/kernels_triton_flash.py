"""A right kernel without tiles. Tests import it after they have decided how Triton runs."""

import torch
import triton
import triton.language as tl


@triton.jit
def whole_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, heads, scale, D: tl.constexpr, N: tl.constexpr, M: tl.constexpr):
    head, rows, columns, dims = tl.program_id(0), tl.arange(0, N), tl.arange(0, M), tl.arange(0, D)
    mine, theirs = (
        (rows[:, None] * heads + head) * D + dims[None, :],
        (columns[:, None] * heads + head) * D + dims[None, :],
    )
    q = tl.load(q_ptr + mine, mask=(rows < n)[:, None], other=0.0)
    k = tl.load(k_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
    v = tl.load(v_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
    scores = tl.where((columns < m)[None, :], tl.dot(q, tl.trans(k), input_precision="ieee") * scale, -float("inf"))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    out = tl.dot(weights.to(v.dtype), v, input_precision="ieee") / tl.sum(weights, 1)[:, None]
    tl.store(out_ptr + mine, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])


def flash(q, k, v, tile):
    n, heads, head_dim = q.shape
    out = torch.empty_like(q)
    lanes = [triton.next_power_of_2(max(16, number)) for number in (n, len(k))]
    whole_kernel[(heads,)](q, k, v, out, n, len(k), heads, head_dim**-0.5, D=head_dim, N=lanes[0], M=lanes[1])
    return out
