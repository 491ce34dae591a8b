"""Attention four times, in plain torch: the same output, other memory, other bytes moved.

All take q: [num_queries, num_heads, head_dim] and k, v: [num_keys, num_kv_heads, head_dim]; query heads share KV heads
in groups (arXiv 2305.13245). The queries are the last of the tokens: row i stands at position num_keys - num_queries + i.
A row that sees no key gives zeros. Each head is done by itself, as a program on a GPU does it, and every piece that
crosses between slow and fast memory goes through `meter.load` and `meter.store`; see meter.py.

Keywords of all: `causal`, `window`, `cu_seqlens` (see masks.Mask), `scale` (default head_dim ** -0.5), `meter`, and
`return_lse` for (out, lse), lse: [num_queries, num_heads] being the log of the sum of exponentials of a row's scores,
-inf where it sees nothing. Tiles are (rows, columns). Raises ParameterError for shapes that do not fit together.
"""

import torch

from course_lib.attention.checks import check_scale
from course_lib.errors import ParameterError

from .masks import ALL, SOME, Mask
from .meter import Meter

INF = float("inf")


def standard_attention(q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, meter=None, return_lse=False):
    """softmax(q k^T) v in three steps, with the whole matrix in slow memory between them: O(N^2) memory."""
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
        meter.event("product", rows, cols, lambda: (*top_and_sum(scores), out[:, head]))
        meter.give_back()
    return (out, lse) if return_lse else out


def chunked_attention(
    q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, tile=(64, 64), meter=None, return_lse=False
):
    """The same three steps, one chunk of the matrix at a time: O(N) memory, and no fewer bytes moved.

    A chunk of keys gives a partial result with its log-sum-exp; those of one chunk of queries are merged (Rabe and
    Staats, "Self-attention does not need O(n^2) memory", arXiv 2112.05682).
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
                    meter.take(
                        2 * weights.nbytes
                    )  # one chunk of scores and one of weights; the next goes to the same place
                meter.take(part.nbytes + part_lse.nbytes)
                meter.matmul(*scores.shape, 2 * q.shape[2])
                meter.event("chunk", rows, cols, lambda: (*top_and_sum(scores), part))
            for number, (part, part_lse) in enumerate(partials):
                part, part_lse = meter.load("partials", part), meter.load("partials", part_lse)
                done = (part, part_lse) if number == 0 else merge_partials(*done, part, part_lse)
                meter.scalings += 2 * part.numel() * (number > 0)
            if partials:
                out[slice(*rows), head], lse[slice(*rows), head] = done
            meter.store("out", out[slice(*rows), head])
            meter.event("merge", rows, (0, len(k)))
            meter.give_back()
    return (out, lse) if return_lse else out


def merge_partials(out_a, lse_a, out_b, lse_b):
    """Two results over different keys, put together as if they had been one: (out, lse).

    out: [..., head_dim], each the softmax average of its own keys; lse: [...], the log of the sum of exponentials of
    its scores, -inf where it saw no key. Each side weighs as much as its share of the whole sum. Split-KV decoding
    and prefix caching rest on this (FlashInfer, arXiv 2501.01005, section 2.2).
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
    """FlashAttention: each tile of K and V is read once, and meets all queries (arXiv 2205.14135, algorithm 1).

    The scores never leave fast memory. The running maximum, sum and finished output of every row do: they are read
    and written again for every tile of K and V.
    """
    mask, scale, meter, out, lse = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    for head, kv_head in heads(q, k, meter):
        top = meter.store("statistics", torch.full_like(lse[:, head], -INF))  # in slow memory, as `out` is
        total = meter.store("statistics", torch.zeros_like(top))
        meter.store("out", out[:, head])
        meter.take(top.nbytes + total.nbytes)
        for cols in tiles(len(k), tile[1]):
            k_j = v_j = None
            for rows in tiles(len(q), tile[0]):
                reach = mask.tile(rows, cols)
                if not meter.visit(rows, cols, reach):
                    continue
                if k_j is None:
                    k_j, v_j = (
                        wide(meter.load("k", k[slice(*cols), kv_head])),
                        wide(meter.load("v", v[slice(*cols), kv_head])),
                    )
                i = slice(*rows)
                q_i, out_i = wide(meter.load("q", q[i, head])), wide(meter.load("out", out[i, head]))
                top_i, total_i = meter.load("statistics", top[i]), meter.load("statistics", total[i])

                scores = masked(q_i @ k_j.T * scale, mask, rows, cols, reach)
                new_top = torch.maximum(top_i, top_of(scores))
                weights = torch.exp(scores - finite(new_top)[:, None])
                shrink = torch.exp(top_i - finite(new_top))  # what was summed under the old maximum
                new_total = shrink * total_i + weights.sum(1)
                new_out = ((shrink * total_i)[:, None] * out_i + weights @ v_j) / positive(new_total)[:, None]

                out[i, head], top[i], total[i] = new_out.to(q.dtype), new_top, new_total
                meter.store("out", out[i, head]), meter.store("statistics", top[i]), meter.store("statistics", total[i])
                meter.matmul(*scores.shape, 2 * q.shape[2])
                meter.scalings += 2 * new_out.numel()
                meter.event("tile", rows, cols, lambda: (new_top, new_total, new_out))
        lse[:, head] = top + total.log()
        meter.give_back()
    return (out, lse) if return_lse else out


def flash_attention_v2(
    q, k, v, *, causal=True, window=None, cu_seqlens=None, scale=None, tile=(64, 64), meter=None, return_lse=False
):
    """FlashAttention-2: a tile of queries stays in fast memory until it is done (arXiv 2307.08691, algorithm 1).

    Its maximum, sum and output stay there too, so the output is written once. The division by the sum comes once, at
    the end; what is left in the loop is one multiplication, where the maximum has grown.
    """
    mask, scale, meter, out, lse = prepare(q, k, v, causal, window, cu_seqlens, scale, meter)
    for head, kv_head in heads(q, k, meter):
        for rows in tiles(len(q), tile[0]):
            i = slice(*rows)
            q_i = wide(meter.load("q", q[i, head]))
            acc = torch.zeros_like(q_i)
            top, total = torch.full_like(lse[i, head], -INF), torch.zeros_like(lse[i, head])
            for cols in tiles(len(k), tile[1]):
                reach = mask.tile(rows, cols)
                if not meter.visit(rows, cols, reach):
                    continue
                k_j, v_j = (
                    wide(meter.load("k", k[slice(*cols), kv_head])),
                    wide(meter.load("v", v[slice(*cols), kv_head])),
                )

                scores = masked(q_i @ k_j.T * scale, mask, rows, cols, reach)
                new_top = torch.maximum(top, top_of(scores))
                weights = torch.exp(scores - finite(new_top)[:, None])
                shrink = torch.exp(top - finite(new_top))
                total = shrink * total + weights.sum(1)
                acc = shrink[:, None] * acc + weights @ v_j
                top = new_top

                meter.matmul(*scores.shape, 2 * q.shape[2])
                meter.scalings += acc.numel()
                meter.event("tile", rows, cols, lambda: (top, total, acc))
            out[i, head] = (acc / positive(total)[:, None]).to(q.dtype)
            lse[i, head] = top + total.log()
            meter.store("out", out[i, head]), meter.store("lse", lse[i, head])
            meter.scalings += acc.numel()
            meter.event("store", rows, (0, len(k)), lambda: (top, total, out[i, head]))
        meter.take(lse[:, head].nbytes)
        meter.give_back()
    return (out, lse) if return_lse else out


def prepare(q, k, v, causal, window, cu_seqlens, scale, meter):
    """(mask, scale, meter, out, lse) of one call; out and lse are as for rows that see nothing."""
    shapes = f"q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)}"
    if q.ndim != 3 or k.ndim != 3 or k.shape != v.shape or q.shape[2] != k.shape[2]:
        raise ParameterError(
            f"Shapes {shapes} do not fit. They are [tokens, heads, head_dim], with k and v alike and one head_dim for all."
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
    """Each query head with the KV head of its group: 0, 0, 1, 1, … where two share one."""
    for head in range(q.shape[1]):
        meter.head = head
        yield head, head * k.shape[1] // q.shape[1]


def tiles(length, size):
    """[0, length) cut into half-open (start, end) of `size`; the last may be shorter."""
    if type(size) is not int or size < 1:
        raise ParameterError(
            f"A tile has {size!r} rows or columns. Give whole numbers of 1 or more, such as tile=(64, 64)."
        )
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def masked(scores, mask, rows, cols, reach):
    """-inf where a pair may not be seen. A tile that is visible as a whole needs no mask."""
    return scores if reach == ALL else scores.masked_fill(~mask.sees(rows, cols, scores.device), -INF)


def wide(x):
    """As it is computed on: float16 and bfloat16 in float32, the others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def top_of(scores):
    """The largest score of each row; -inf where there is none."""
    return scores.amax(1) if scores.shape[1] else scores.new_full((len(scores),), -INF)


def top_and_sum(scores):
    """The largest score of each row, and the sum of exponentials under it."""
    top = top_of(scores)
    return top, torch.exp(scores - finite(top)[:, None]).sum(1)


def finite(top):
    """A maximum to subtract: 0 for a row that has seen nothing, since -inf less -inf is nan."""
    return top.masked_fill(top == -INF, 0.0)


def positive(total):
    """A sum to divide by: 1 for a row that has seen nothing."""
    return total.masked_fill(total == 0, 1.0)
