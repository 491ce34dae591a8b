"""The backward pass without the matrix: the weights are computed again from q, k and the saved log-sum-exp.

With weights P = exp(S - lse) and S = scale q k^T, the chain rule gives, for a gradient dO of the output:

    dV = P^T dO        dP = dO V^T        dS = P * (dP - delta)        dQ = scale dS K        dK = scale dS^T Q

delta is the sum of P * dP over a row, which equals the sum of dO * O over it, so it is known before the first tile
(arXiv 2205.14135, appendix B; arXiv 2307.08691, algorithm 2). Kept from the forward pass: q, k, v, out and lse (one
number for each row and head).
"""

import torch

from .forward import finite, flash_attention_v2, heads, masked, prepare, tiles, wide


def flash_attention_backward(
    q, k, v, out, lse, grad_out, *, causal=True, window=None, cu_seqlens=None, scale=None, tile=(64, 64), meter=None
):
    """(dq, dk, dv), shaped as q, k and v. out, lse: of the forward pass; grad_out: [num_queries, num_heads, head_dim].

    The gradients of a KV head are summed over the query heads that share it. Raises ParameterError as the forward pass.
    """
    mask, scale, meter, _, _ = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    dq, dk, dv = (torch.zeros_like(wide(x)) for x in (q, k, v))
    delta = meter.store("delta", (wide(meter.load("grad_out", grad_out)) * wide(meter.load("out", out))).sum(2))
    for head, kv_head in heads(q, k, meter):
        for cols in tiles(len(k), tile[1]):
            j = slice(*cols)
            k_j, v_j = wide(meter.load("k", k[j, kv_head])), wide(meter.load("v", v[j, kv_head]))
            dk_j, dv_j = meter.load("dk", dk[j, kv_head]), meter.load("dv", dv[j, kv_head])  # from the heads before
            for rows in tiles(len(q), tile[0]):
                reach = mask.tile(rows, cols)
                if not meter.visit(rows, cols, reach):
                    continue
                i = slice(*rows)
                q_i, grad_i = wide(meter.load("q", q[i, head])), wide(meter.load("grad_out", grad_out[i, head]))
                lse_i, delta_i = meter.load("lse", lse[i, head]), meter.load("delta", delta[i, head])

                scores = masked(q_i @ k_j.T * scale, mask, rows, cols, reach)
                weights = torch.exp(scores - finite(lse_i)[:, None])
                grad_scores = weights * (grad_i @ v_j.T - delta_i[:, None])
                dv_j += weights.T @ grad_i
                dk_j += grad_scores.T @ q_i * scale
                dq_i = meter.load("dq", dq[i, head])
                dq_i += grad_scores @ k_j * scale
                meter.store("dq", dq_i)
                meter.matmul(*scores.shape, 5 * q.shape[2])
            meter.store("dk", dk_j), meter.store("dv", dv_j)
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, options):
        out, lse = flash_attention_v2(q, k, v, return_lse=True, **options)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.options = options
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_out):
        return *flash_attention_backward(*ctx.saved_tensors, grad_out, **ctx.options), None


def recomputed_attention(q, k, v, **options):
    """flash_attention_v2 with the backward pass above. options: its keywords, without `return_lse`."""
    return _Recomputed.apply(q, k, v, options)
