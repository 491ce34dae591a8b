"""Wrong answers for lesson 06 as people write them; see written_otherwise.py."""

import math

import torch

from course_lib.practice.lesson06_backward import recompute_backward
from course_lib.practice.lesson06_forward import flash_forward
from course_lib.practice.lesson06_io import count_io
from course_lib.practice.lesson06_merge import merge_partials
from course_lib.practice.lesson06_tiles import tile_mask

INF = math.inf


def soft_keeps_lists(chunks):
    scores, values = [], []
    for s, v in chunks:
        scores += s.tolist()
        values += list(v)
    scores = torch.tensor(scores)
    lse = scores.logsumexp(0)
    weights = torch.exp(scores - lse) if lse > -INF else torch.zeros(len(scores))
    return weights @ torch.stack(values), float(lse)


def soft_forgets_out(chunks):
    m, l, o = -INF, 0.0, None
    for s, v in chunks:
        m2 = max([m, *s.tolist()])
        if o is None:
            o = v[0] * 0
        if m2 == -INF:
            continue
        p = (s - m2).exp()
        l = l * math.exp(m - m2) + p.sum().item()
        o = o + p @ v
        m = m2
    return (o / l, m + math.log(l)) if l else (o, -INF)


def soft_forgets_sum(chunks):
    m, l, o = -INF, 0.0, None
    for s, v in chunks:
        m2 = max([m, *s.tolist()])
        o = v[0] * 0 if o is None else o
        if m2 == -INF:
            continue
        p = (s - m2).exp()
        l += p.sum().item()
        o = o * math.exp(m - m2) + p @ v
        m = m2
    return (o / l, m + math.log(l)) if l else (o, -INF)


def soft_plain_exp(chunks):
    l, o = 0.0, 0.0
    for s, v in chunks:
        l, o = l + s.exp().sum(), o + (s.exp()[:, None] * v).sum(0)
    return (o / l, l.log()) if l > 0 else (o, torch.tensor(-INF))


def soft_means(chunks):
    outs, total = [], None
    for s, v in chunks:
        outs.append(s.softmax(0).nan_to_num() @ v)
        total = s.logsumexp(0) if total is None else torch.logaddexp(total, s.logsumexp(0))
    return sum(outs) / len(outs), total


def soft_first_chunk(chunks):
    for s, v in chunks:
        return s.softmax(0).nan_to_num() @ v, s.logsumexp(0)


def soft_shows(chunks):
    for s, v in chunks:
        print(s.softmax(0) @ v)


def merge_average(out_a, lse_a, out_b, lse_b):
    return torch.stack([out_a, out_b]).mean(0), torch.stack([lse_a, lse_b]).logsumexp(0)


def merge_raw(out_a, lse_a, out_b, lse_b):
    a, b = lse_a.exp().unsqueeze(-1), lse_b.exp().unsqueeze(-1)
    total = a + b
    return torch.where(total > 0, (a * out_a + b * out_b) / total, 0 * total), total.squeeze(-1).log()


def merge_other_way(out_a, lse_a, out_b, lse_b):
    return merge_partials(out_b, lse_a, out_a, lse_b)


def merge_max(out_a, lse_a, out_b, lse_b):
    return merge_partials(out_a, lse_a, out_b, lse_b)[0], torch.where(lse_a > lse_b, lse_a, lse_b)


def merge_nan(out_a, lse_a, out_b, lse_b):
    w = torch.stack([lse_a, lse_b]).softmax(0)
    return (w.unsqueeze(-1) * torch.stack([out_a, out_b])).sum(0), torch.logaddexp(lse_a, lse_b)


def merge_adds(out_a, lse_a, out_b, lse_b):
    return out_a + out_b, torch.logaddexp(lse_a, lse_b)


def merge_writes(out_a, lse_a, out_b, lse_b):
    out, lse = merge_partials(out_a, lse_a, out_b, lse_b)
    out_a.copy_(out)
    return out, lse


def flash_sdpa(q, k, v, tile, causal):
    """The whole thing in one."""
    heads, group = q.shape[1], q.shape[1] // k.shape[1]
    outs, lses = [], []
    for h in range(heads):
        s = (q[:, h] @ k[:, h // group].T) * q.shape[2] ** -0.5
        if causal:
            s = s.masked_fill(torch.arange(len(k)) > torch.arange(len(q))[:, None] + len(k) - len(q), -INF)
        outs.append(s.softmax(1).nan_to_num() @ v[:, h // group])
        lses.append(s.logsumexp(1))
    return torch.stack(outs, 1), torch.stack(lses, 1)


def flash_unmasked(q, k, v, tile, causal):
    return flash_forward(q, k, v, tile, False)


def flash_first_key(q, k, v, tile, causal):
    """Masks as if the first query were the first token."""
    if not causal or len(q) == 0 or len(k) == 0:
        return flash_forward(q, k, v, tile, causal)
    parts = [flash_forward(q[i:i + 1], k[:i + 1], v[:i + 1], tile, False) for i in range(len(q))]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def flash_head_zero(q, k, v, tile, causal):
    return flash_forward(q, k[:, :1], v[:, :1], tile, causal)


def flash_repeats(q, k, v, tile, causal):
    group = q.shape[1] // k.shape[1]
    return flash_forward(q, k.repeat(1, group, 1), v.repeat(1, group, 1), tile, causal)


def flash_unscaled(q, k, v, tile, causal):
    return flash_forward(q * q.shape[2] ** 0.5, k, v, tile, causal)


def flash_whole_tiles(q, k, v, tile, causal):
    """Forgets keys that do not fill a tile, and keeps the positions."""
    m = len(k) // tile[1] * tile[1]
    far = k.clone()
    if m == len(k):
        return flash_forward(q, k, v, tile, causal)
    out, lse = torch.zeros_like(q), torch.full(q.shape[:2], -INF)
    for i in range(len(q)):
        end = min(m, len(k) - len(q) + i + 1) if causal else m
        if end > 0:
            out[i:i + 1], lse[i:i + 1] = flash_forward(q[i:i + 1], far[:end], v[:end], tile, False)
    return out, lse


def flash_log_of_sum(q, k, v, tile, causal):
    out, lse = flash_forward(q, k, v, tile, causal)
    return out, lse.exp()


def flash_writes(q, k, v, tile, causal):
    answer = flash_forward(q, k, v, tile, causal)
    q.div_(q.shape[-1] ** 0.5)
    return answer


def flash_out_only(q, k, v, tile, causal):
    return flash_forward(q, k, v, tile, causal)[0]


def tile_without_window(rows, cols, causal, window, documents):
    return tile_mask(rows, cols, causal, 10**9, documents)


def tile_wide(rows, cols, causal, window, documents):
    return tile_mask(rows, cols, causal, window and window + 1, documents)


def tile_open_ends(rows, cols, causal, window, documents):
    return tile_mask((rows[0], rows[1] + 1), (cols[0], cols[1] + 1), causal, window, documents)


def tile_packed(rows, cols, causal, window, documents):
    return tile_mask(rows, cols, causal, window, None)


def tile_turned(rows, cols, causal, window, documents):
    return tile_mask(rows=cols, cols=rows, causal=causal, window=window, documents=documents)


def tile_never_all(rows, cols, causal, window, documents):
    return "none" if tile_mask(rows, cols, causal, window, documents) == "none" else "some"


def tile_bool(rows, cols, causal, window, documents):
    return tile_mask(rows, cols, causal, window, documents) != "none"


def io_turned(algorithm, n, head_dim, tile, itemsize, causal):
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    return written, read


def io_float32(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(algorithm, n, head_dim, tile, 1, causal)


def io_bidirectional(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(algorithm, n, head_dim, tile, itemsize, False)


def io_other(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io({"flash 1": "flash 2", "flash 2": "flash 1"}.get(algorithm, algorithm), n, head_dim, tile, itemsize, causal)


def io_flops(algorithm, n, head_dim, tile, itemsize, causal):
    return 4 * n * n * head_dim, 0


def io_no_division(algorithm, n, head_dim, tile, itemsize, causal):
    """Counts tiles by rounding up, and each as a whole one."""
    read, written = 0, 0
    if algorithm == "standard":
        return count_io(algorithm, n, head_dim, tile, itemsize, causal)
    rows, columns = math.ceil(n / tile[0]), math.ceil(n / tile[1])
    met = sum(not causal or j * tile[1] < min(n, (i + 1) * tile[0]) for i in range(rows) for j in range(columns))
    if algorithm == "flash 1":
        read, written = 2 * n + 2 * met * tile[0], met * tile[0]
    else:
        read, written = n + 2 * met * tile[1], n
    return read * head_dim * itemsize, written * head_dim * itemsize


def back_without_delta(q, k, v, out, lse, grad_out, tile):
    return recompute_backward(q, k, v, 0 * out, lse, grad_out, tile)


def back_matrix(q, k, v, out, lse, grad_out, tile):
    p = torch.exp(q @ k.T * q.shape[1] ** -0.5 - lse[:, None]).tril()
    ds = p * (grad_out @ v.T - (grad_out * out).sum(1, keepdim=True))
    return ds @ k * q.shape[1] ** -0.5, ds.T @ q * q.shape[1] ** -0.5, p.T @ grad_out


def back_unscaled(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = recompute_backward(q, k, v, out, lse, grad_out, tile)
    return dq * q.shape[1] ** 0.5, dk * q.shape[1] ** 0.5, dv


def back_order(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = recompute_backward(q, k, v, out, lse, grad_out, tile)
    return dv, dk, dq


def back_bidirectional(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    for i in range(0, len(q), tile):
        for j in range(0, len(k), tile):
            a, b, root = slice(i, i + tile), slice(j, j + tile), q.shape[1] ** 0.5
            p = (q[a] @ k[b].T / root - lse[a, None]).exp()
            ds = p * (grad_out[a] @ v[b].T - (grad_out[a] * out[a]).sum(1, keepdim=True))
            dq[a] += ds @ k[b] / root
            dk[b] += ds.T @ q[a] / root
            dv[b] += p.T @ grad_out[a]
    return dq, dk, dv


def back_last_tile(q, k, v, out, lse, grad_out, tile):
    """Each column's gradient is that of its last tile of rows."""
    dq, _, _ = recompute_backward(q, k, v, out, lse, grad_out, tile)
    dk, dv, root = torch.zeros_like(k), torch.zeros_like(v), q.shape[1] ** 0.5
    for i in range(0, len(q), tile):
        for j in range(0, i + tile, tile):
            a, b = slice(i, i + tile), slice(j, j + tile)
            p = (q[a] @ k[b].T / root - lse[a, None]).exp().tril(i - j)
            ds = p * (grad_out[a] @ v[b].T - (grad_out[a] * out[a]).sum(1, keepdim=True))
            dk[b], dv[b] = ds.T @ q[a] / root, p.T @ grad_out[a]
    return dq, dk, dv


def back_shows(q, k, v, out, lse, grad_out, tile):
    print(recompute_backward(q, k, v, out, lse, grad_out, tile))


CASES = {
    "06.online_softmax": [
        ("all chunks are kept", soft_keeps_lists), ("accumulator is not rescaled", soft_forgets_out), ("sum is not rescaled", soft_forgets_sum),
        ("maximum is not subtracted", soft_plain_exp), ("every chunk weighs the same", soft_means), (None, soft_first_chunk), ("printed, not returned", soft_shows),
    ],
    "06.flash_forward": [
        ("whole matrix", flash_sdpa), ("no causal mask", flash_unmasked), ("counted from the first key", flash_first_key), ("wrong head", flash_head_zero),
        ("wrong head", flash_repeats), ("scaled wrongly", flash_unscaled), ("shorter tile is left out", flash_whole_tiles), ("not what it says", flash_log_of_sum),
        ("inputs are changed", flash_writes), (None, flash_out_only),
    ],
    "06.merge_partials": [
        ("without weights", merge_average), ("overflow", merge_raw), ("weights are swapped", merge_other_way), ("new log-sum-exp is wrong", merge_max),
        ("nan", merge_nan), (None, merge_adds), ("inputs are changed", merge_writes),
    ],
    "06.tile_mask": [
        ("window is ignored", tile_without_window), ("too wide", tile_wide), ("half-open", tile_open_ends),
        ("documents are ignored", tile_packed), ("exchanged", tile_turned), ("as a whole is called", tile_never_all), (None, tile_bool),
    ],
    "06.count_io": [
        ("read and written are exchanged", io_turned), ("numbers are counted", io_float32), ("above the diagonal are moved", io_bidirectional),
        ("two algorithms are exchanged", io_other), ("counted whole", io_no_division), (None, io_flops),
    ],
    "06.recompute_backward": [
        ("delta is left out", back_without_delta), ("whole matrix", back_matrix), ("forgotten on the way back", back_unscaled), ("another order", back_order),
        ("no causal mask", back_bidirectional), ("overwritten", back_last_tile), ("printed, not returned", back_shows),
    ],
}
