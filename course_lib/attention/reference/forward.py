"""Four algorithms for attention, in plain torch: the same output, with different memory use and different bytes moved.

All take q: [num_queries, num_heads, head_dim] and k, v: [num_keys, num_kv_heads, head_dim]. Query heads share KV heads
in groups (arXiv 2305.13245). The queries are the last tokens: row i is at position num_keys - num_queries + i.
A row that sees no key gives zeros. Each head is computed by itself, as a program on a GPU does, and everything that
moves between slow and fast memory goes through `meter.load` and `meter.store`; see meter.py.

Keywords of all: `causal`, `window`, `cu_seqlens` (see masks.Mask), `scale` (default head_dim ** -0.5), `meter`, and
`return_lse` for (out, lse). lse: [num_queries, num_heads] is the log of the sum of exponentials of a row's scores, and
-inf for a row that sees no key. `tile` is (rows, columns). Raises ParameterError for shapes that do not fit together.

Names as in the papers, for each row: m_i the running maximum of its scores, l_i the running sum of exp(score - m_i),
acc the running sum of exp(score - m_i) times the value.
"""

import torch

from course_lib.attention.checks import check_scale
from course_lib.errors import ParameterError

from .masks import ALL, SOME, Mask
from .meter import Meter

INF = float("inf")


def standard_attention(q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, meter=None, return_lse=False):
    """softmax(q k^T) v in three steps, with the whole matrix in slow memory between them: O(N^2) memory.

    q: [num_queries, num_heads, head_dim]; k, v: [num_keys, num_kv_heads, head_dim]. causal, window, cu_seqlens: who
    sees whom, see masks.Mask. scale: of the scores, default head_dim ** -0.5. meter: a Meter that counts what moves.
    Returns out, as q; with return_lse (out, lse), lse: [num_queries, num_heads]. Raises ParameterError for shapes that
    do not fit together.
    """
    mask, scale, meter, out, lse = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    rows, cols = (0, len(q)), (0, len(k))
    for head, kv_head in heads(q, k, meter):
        scores = wide(meter.load("q", q[:, head])) @ wide(meter.load("k", k[:, kv_head])).T * scale
        scores = meter.store("scores", scores.to(q.dtype))
        meter.take(scores.nbytes)
        meter.event("scores", rows, cols)

        scores = wide(meter.load("scores", scores)).masked_fill(~mask.sees(rows, cols, q.device), -INF)
        lse[:, head] = scores.logsumexp(1)
        weights = meter.store("weights", torch.exp(scores - finite(lse[:, head, None])).to(q.dtype))
        meter.take(weights.nbytes)
        meter.event("softmax", rows, cols)

        out[:, head] = wide(meter.load("weights", weights)) @ wide(meter.load("v", v[:, kv_head]))
        meter.store("out", out[:, head])
        meter.matmul(*scores.shape, 2 * q.shape[2])
        meter.visit(rows, cols, ALL if mask.tile(rows, cols) == ALL else SOME)
        meter.event("product", rows, cols, lambda: (*max_and_sum(scores), out[:, head]))
        meter.give_back()
    return (out, lse) if return_lse else out


def chunked_attention(
    q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, tile=(64, 64), meter=None, return_lse=False
):
    """The same three steps on one chunk of the matrix at a time: O(N) memory, and no fewer bytes moved.

    Each chunk of keys gives a partial result with its log-sum-exp. The partial results of one chunk of queries are
    merged (Rabe and Staats, "Self-attention does not need O(n^2) memory", arXiv 2112.05682). Arguments as of
    standard_attention; tile: (queries, keys) of a chunk.
    """
    mask, scale, meter, out, lse = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    for head, kv_head in heads(q, k, meter):
        for rows in tiles(len(q), tile[0]):
            partials = []
            for cols in tiles(len(k), tile[1]):
                reach = mask.tile(rows, cols)
                if not meter.visit(rows, cols, reach):
                    continue
                q_i, k_j = meter.load("q", q[slice(*rows), head]), meter.load("k", k[slice(*cols), kv_head])
                scores = meter.store("scores", (wide(q_i) @ wide(k_j).T * scale).to(q.dtype))
                scores = masked(wide(meter.load("scores", scores)), mask, rows, cols, reach)
                part_lse = scores.logsumexp(1)
                weights = meter.store("weights", torch.exp(scores - finite(part_lse[:, None])).to(q.dtype))
                part = wide(meter.load("weights", weights)) @ wide(meter.load("v", v[slice(*cols), kv_head]))
                partials.append((meter.store("partials", part), meter.store("partials", part_lse)))
                if len(partials) == 1:
                    meter.take(2 * weights.nbytes)  # a chunk of scores and one of weights; later ones reuse the memory
                meter.take(part.nbytes + part_lse.nbytes)
                meter.matmul(*scores.shape, 2 * q.shape[2])
                meter.event("chunk", rows, cols, lambda: (*max_and_sum(scores), part))
            if partials:
                out[slice(*rows), head], lse[slice(*rows), head] = merge_all(partials, meter)
            meter.store("out", out[slice(*rows), head])
            meter.event("merge", rows, (0, len(k)))
            meter.give_back()
    return (out, lse) if return_lse else out


def merge_all(partials, meter):
    """(out, lse) of a list of partial results, loaded from slow memory and merged one after the other."""
    out = lse = None
    for part, part_lse in partials:
        part, part_lse = meter.load("partials", part), meter.load("partials", part_lse)
        if out is None:
            out, lse = part, part_lse
        else:
            out, lse = merge_partials(out, lse, part, part_lse)
            meter.scalings += 2 * part.numel()
    return out, lse


def merge_partials(out_a, lse_a, out_b, lse_b):
    """Merges two results over different keys into the result over all of them: (out, lse).

    out_a, out_b: [..., head_dim], the softmax average over their own keys. lse_a, lse_b: [...], the log of the sum of
    exponentials of their scores, -inf where there was no key. The weight of each side is its share of the whole sum.
    Split-KV decoding uses this (FlashInfer, arXiv 2501.01005, section 2.2). Raises ParameterError for unequal shapes.
    """
    if out_a.shape != out_b.shape or lse_a.shape != lse_b.shape or lse_a.shape != out_a.shape[:-1]:
        raise ParameterError(
            f"Outputs of shapes {list(out_a.shape)} and {list(out_b.shape)} with log-sum-exps {list(lse_a.shape)} and "
            f"{list(lse_b.shape)} cannot be merged. Both sides need the same rows, and lse one number for each."
        )
    lse = torch.logaddexp(lse_a, lse_b)
    weight_a, weight_b = torch.exp(lse_a - finite(lse)), torch.exp(lse_b - finite(lse))
    return out_a * weight_a[..., None] + out_b * weight_b[..., None], lse


def flash_attention_v1(
    q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, tile=(64, 64), meter=None, return_lse=False
):
    """FlashAttention: each tile of K and V is read once and used for all queries (arXiv 2205.14135, algorithm 1).

    The scores stay in fast memory. The running maximum, sum and output of every row do not: they are read and written
    again for every tile of K and V. Arguments as of standard_attention; tile: (rows, columns).
    """
    mask, scale, meter, out, lse = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    for head, kv_head in heads(q, k, meter):
        all_m = meter.store("statistics", torch.full_like(lse[:, head], -INF))  # in slow memory, as `out` is
        all_l = meter.store("statistics", torch.zeros_like(all_m))
        meter.store("out", out[:, head])
        meter.take(all_m.nbytes + all_l.nbytes)
        for cols in tiles(len(k), tile[1]):
            k_j = v_j = None
            for rows in tiles(len(q), tile[0]):
                reach = mask.tile(rows, cols)
                if not meter.visit(rows, cols, reach):
                    continue
                if k_j is None:
                    k_j, v_j = load_kv(k, v, cols, kv_head, meter)
                i = slice(*rows)
                q_i, out_i = wide(meter.load("q", q[i, head])), wide(meter.load("out", out[i, head]))
                m_i, l_i = meter.load("statistics", all_m[i]), meter.load("statistics", all_l[i])

                scores = masked(q_i @ k_j.T * scale, mask, rows, cols, reach)
                m_new = torch.maximum(m_i, row_max(scores))
                weights = torch.exp(scores - finite(m_new)[:, None])
                alpha = torch.exp(m_i - finite(m_new))  # what was summed under the old maximum
                l_new = alpha * l_i + weights.sum(1)
                out_new = ((alpha * l_i)[:, None] * out_i + weights @ v_j) / positive(l_new)[:, None]

                out[i, head], all_m[i], all_l[i] = out_new.to(q.dtype), m_new, l_new
                (
                    meter.store("out", out[i, head]),
                    meter.store("statistics", all_m[i]),
                    meter.store("statistics", all_l[i]),
                )
                meter.matmul(*scores.shape, 2 * q.shape[2])
                meter.scalings += 2 * out_new.numel()
                meter.event("tile", rows, cols, lambda: (m_new, l_new, out_new))
        lse[:, head] = all_m + all_l.log()
        meter.give_back()
    return (out, lse) if return_lse else out


def flash_attention_v2(
    q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, tile=(64, 64), meter=None, return_lse=False
):
    """FlashAttention-2: a tile of queries stays in fast memory until it is done (arXiv 2307.08691, algorithm 1).

    Its m_i, l_i and acc stay there too, so the output is written once. It is divided by the sum once, after the loop;
    inside the loop acc is only multiplied by `alpha`, which is below 1 where the maximum has grown. Arguments as of
    standard_attention; tile: (rows, columns).
    """
    mask, scale, meter, out, lse = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    for head, kv_head in heads(q, k, meter):
        for rows in tiles(len(q), tile[0]):
            i = slice(*rows)
            q_i = wide(meter.load("q", q[i, head]))
            acc = torch.zeros_like(q_i)
            m_i, l_i = torch.full_like(lse[i, head], -INF), torch.zeros_like(lse[i, head])
            for cols in tiles(len(k), tile[1]):
                reach = mask.tile(rows, cols)
                if not meter.visit(rows, cols, reach):
                    continue
                k_j, v_j = load_kv(k, v, cols, kv_head, meter)

                scores = masked(q_i @ k_j.T * scale, mask, rows, cols, reach)
                m_new = torch.maximum(m_i, row_max(scores))
                weights = torch.exp(scores - finite(m_new)[:, None])
                alpha = torch.exp(m_i - finite(m_new))
                l_i = alpha * l_i + weights.sum(1)
                acc = alpha[:, None] * acc + weights @ v_j
                m_i = m_new

                meter.matmul(*scores.shape, 2 * q.shape[2])
                meter.scalings += acc.numel()
                meter.event("tile", rows, cols, lambda: (m_i, l_i, acc))
            out[i, head] = (acc / positive(l_i)[:, None]).to(q.dtype)
            lse[i, head] = m_i + l_i.log()
            meter.store("out", out[i, head]), meter.store("lse", lse[i, head])
            meter.scalings += acc.numel()
            meter.event("store", rows, (0, len(k)), lambda: (m_i, l_i, out[i, head]))
        meter.take(lse[:, head].nbytes)
        meter.give_back()
    return (out, lse) if return_lse else out


def prepare(q, k, v, causal, window, cu_seqlens, scale, meter):
    """(mask, scale, meter, out, lse) for one call; out and lse begin as for rows that see no key."""
    shapes = f"q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)}"
    if q.ndim != 3 or k.ndim != 3 or k.shape != v.shape or q.shape[2] != k.shape[2]:
        raise ParameterError(
            f"Shapes {shapes} do not fit. They are [tokens, heads, head_dim]; k and v must have one shape, and all "
            "three one head_dim."
        )
    if k.shape[1] == 0 or q.shape[1] % k.shape[1]:
        raise ParameterError(
            f"{q.shape[1]} query heads cannot share {k.shape[1]} KV heads evenly ({shapes}). "
            "The number of query heads is a multiple of that of KV heads."
        )
    if q.dtype != k.dtype or k.dtype != v.dtype or not q.is_floating_point():
        raise ParameterError(
            f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}. Give all three in one floating-point dtype."
        )
    if cu_seqlens is not None:
        cu_seqlens = tuple(int(edge) for edge in cu_seqlens)
        if len(q) != len(k) or cu_seqlens[-1:] != (len(k),):
            raise ParameterError(
                f"cu_seqlens = {list(cu_seqlens)} with {len(q)} queries and {len(k)} keys: packed documents attend to "
                "themselves, so both numbers are the last of cu_seqlens."
            )
    mask = Mask(causal, window, cu_seqlens, len(k) - len(q))
    lse = torch.full(q.shape[:2], -INF, dtype=torch.promote_types(q.dtype, torch.float32), device=q.device)
    return mask, check_scale(scale, q.shape[2]), meter or Meter(), torch.zeros_like(q), lse


def heads(q, k, meter):
    """Yields each query head with its KV head: (0, 0), (1, 0), (2, 1), (3, 1), ... where two share one."""
    for head in range(q.shape[1]):
        meter.head = head
        yield head, head * k.shape[1] // q.shape[1]


def tiles(length, size):
    """[0, length) cut into half-open (start, end) ranges of `size`; the last may be shorter."""
    if type(size) is not int or size < 1:
        raise ParameterError(
            f"A tile has {size!r} rows or columns. Give whole numbers of 1 or more, such as tile=(64, 64)."
        )
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def masked(scores, mask, rows, cols, reach):
    """The scores with -inf where the mask hides a pair. A tile without hidden pairs is returned as it is."""
    return scores if reach == ALL else scores.masked_fill(~mask.sees(rows, cols, scores.device), -INF)


def wide(x):
    """The tensor in the dtype of the computation: float16 and bfloat16 become float32, others stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def load_kv(k, v, cols, kv_head, meter):
    """One tile of keys and values of a head, loaded from slow memory: each [columns, head_dim]."""
    return wide(meter.load("k", k[slice(*cols), kv_head])), wide(meter.load("v", v[slice(*cols), kv_head]))


def row_max(scores):
    """The largest score of each row; -inf where there is none."""
    return scores.amax(1) if scores.shape[1] else scores.new_full((len(scores),), -INF)


def max_and_sum(scores):
    """(m_i, l_i) of each row: its largest score, and the sum of exp(score - largest)."""
    m_i = row_max(scores)
    return m_i, torch.exp(scores - finite(m_i)[:, None]).sum(1)


def finite(m_i):
    """A maximum to subtract: 0 for a row that sees no key, since -inf minus -inf is NaN."""
    return m_i.masked_fill(m_i == -INF, 0.0)


def positive(l_i):
    """A sum to divide by: 1 for a row that sees no key."""
    return l_i.masked_fill(l_i == 0, 1.0)
