"""Wrong answers for lesson 06 as people write them; see written_otherwise.py."""

import math
from bisect import bisect_left, bisect_right

import torch

from course_lib.practice.lessons.l06.count_io import count_io
from course_lib.practice.lessons.l06.flash_forward import flash_forward
from course_lib.practice.lessons.l06.merge_partials import merge_partials
from course_lib.practice.lessons.l06.recompute_backward import recompute_backward
from course_lib.practice.lessons.l06.tile_mask import tile_mask

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


def soft_from_zero(chunks):
    m, l, o = 0.0, 0.0, 0
    for s, v in chunks:
        new = max(m, s.max().item())
        p = torch.exp(s - new)
        l, o, m = l * math.exp(m - new) + p.sum(), o * math.exp(m - new) + p @ v, new
    return (o, -INF) if l == 0 else (o / l, m + torch.log(l))


def soft_own_maxima(chunks):
    l, o = 0.0, 0
    for s, v in chunks:
        m = s.max()
        p = torch.exp(s - m)
        l, o = l + p.sum(), o + p @ v
    return o / l, m + torch.log(l)


def soft_means_and_sum(chunks):
    outs, l = [], 0
    for s, v in chunks:
        outs.append(torch.softmax(s, 0) @ v)
        l = l + s.exp().sum()
    return sum(outs) / len(outs), torch.log(l)


def soft_divides_always(chunks):
    m, l, o = torch.tensor(-INF), torch.tensor(0.0), 0
    for s, v in chunks:
        new = torch.maximum(m, s.max())
        if new == -INF:
            o = torch.zeros(v.shape[1])
            continue
        p = torch.exp(s - new)
        l = l * torch.exp(m - new) + p.sum()
        o, m = (o * torch.exp(m - new) + p @ v) / l, new
    return o, m + torch.log(l)


def merge_one_maximum(out_a, lse_a, out_b, lse_b):
    m = max(lse_a.max(), lse_b.max())
    m = m if m > -INF else torch.tensor(0.0)
    a, b = torch.exp(lse_a - m), torch.exp(lse_b - m)
    out = (a[..., None] * out_a + b[..., None] * out_b) / (a + b).clamp(min=1e-20)[..., None]
    return out, m + (a + b).log()


def merge_double(out_a, lse_a, out_b, lse_b):
    return merge_partials(*(x.double() for x in (out_a, lse_a, out_b, lse_b)))


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


def flash_with(
    masked=-INF, tile_of=lambda tile: tile, maximum=lambda scores: scores.amax(1), always=False, dtype=torch.float32
):
    """Written anew, with places for mistakes."""

    def answer(q, k, v, tile, causal):
        (n, heads, d), m, (rows, columns) = q.shape, len(k), tile_of(tile)
        out, lse = torch.zeros(n, heads, d, dtype=dtype), torch.full((n, heads), -INF, dtype=dtype)
        causal = causal or always
        for h in range(heads):
            g = h // (heads // k.shape[1])
            for r in range(0, n, rows):
                qi = q[r : r + rows, h] / math.sqrt(d)
                at = m - n + r + torch.arange(len(qi))
                top, total, acc = torch.full((len(qi),), -INF), torch.zeros(len(qi)), torch.zeros(len(qi), d)
                for c in range(0, min(m, int(at[-1]) + 1) if causal else m, columns):
                    s = qi @ k[c : c + columns, g].T
                    if causal:
                        s = torch.where(torch.arange(c, c + s.shape[1]) <= at[:, None], s, masked)
                    new = torch.maximum(top, maximum(s))
                    safe = new.nan_to_num(neginf=0.0)
                    p, a = torch.exp(s - safe[:, None]), torch.exp(top - safe)
                    total, acc, top = a * total + p.sum(1), a[:, None] * acc + p @ v[c : c + columns, g], new
                out[r : r + rows, h] = (acc / total.where(total > 0, torch.ones(()))[:, None]).to(dtype)
                lse[r : r + rows, h] = (top + total.log()).to(dtype)
        return out, lse

    return answer


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
    parts = [flash_forward(q[i : i + 1], k[: i + 1], v[: i + 1], tile, False) for i in range(len(q))]
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
            out[i : i + 1], lse[i : i + 1] = flash_forward(q[i : i + 1], far[:end], v[:end], tile, False)
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


def tile_with(
    number=bisect_right,
    window_of=lambda window, documents: window,
    skipped=lambda r0, r1, c0: c0 > r1,
    whole=lambda r0, r1, c1: c1 <= r0,
    ends=False,
):
    """Written anew, with places for mistakes."""

    def answer(rows, cols, causal, window, documents):
        r0, r1, c0, c1 = rows[0], rows[1] - 1, cols[0], cols[1] - 1
        none, every = causal and skipped(r0, r1, c0), not causal or whole(r0, r1, c1)
        window = window_of(window, documents)
        if window is not None:
            none, every = none or r0 - c1 >= window, every and r1 - c0 < window
            if not causal:
                none, every = none or c0 - r1 >= window, every and c1 - r0 < window
        if documents is not None:
            a, b, c, d = (number(documents, at) for at in (r0, r1, c0, c1))
            none, every = none or b < c or d < a, every and ((a, b) == (c, d) if ends else a == b == c == d)
        return "none" if none else "all" if every else "some"

    return answer


def io_turned(algorithm, n, head_dim, tile, itemsize, causal):
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    return written, read


def io_float32(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(algorithm, n, head_dim, tile, 1, causal)


def io_bidirectional(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(algorithm, n, head_dim, tile, itemsize, False)


def io_with_zeros(algorithm, n, head_dim, tile, itemsize, causal):
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    return read, written + (algorithm == "flash 1") * n * head_dim * itemsize


def io_one_pair(algorithm, n, head_dim, tile, itemsize, causal):
    """Leaves out tiles of which only the last row sees the first column."""
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    pairs = [
        (r, c) for r in range(0, n, tile[0]) for c in range(0, n, tile[1]) if causal and c == min(r + tile[0], n) - 1
    ]
    rows, columns = (
        sum(min(tile[0], n - r) for r, _ in pairs) * head_dim * itemsize,
        sum(min(tile[1], n - c) for _, c in pairs) * head_dim * itemsize,
    )
    return {
        "standard": (read, written),
        "flash 1": (read - 2 * rows, written - rows),
        "flash 2": (read - 2 * columns, written),
    }[algorithm]


def io_other(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(
        {"flash 1": "flash 2", "flash 2": "flash 1"}.get(algorithm, algorithm), n, head_dim, tile, itemsize, causal
    )


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


def back_scaled_twice(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = recompute_backward(q, k, v, out, lse, grad_out, tile)
    return dq / q.shape[1] ** 0.5, dk / q.shape[1] ** 0.5, dv


def back_with(
    weigh=lambda s, lse: torch.exp(s - lse),
    hides=True,
    turned=lambda ds: ds.T,
    delta=lambda p, dp, whole: whole,
    wide=False,
):
    """Written anew, with places for mistakes. A q that is scaled first gives dK its scale."""

    def answer(q, k, v, out, lse, grad_out, tile):
        root, (dq, dk, dv) = q.shape[1] ** 0.5, (torch.zeros_like(x) for x in (q, k, v))
        scaled = q / root
        for i in range(0, len(q), tile):
            for j in range(0, i + 1, len(q) if wide else tile):
                a, b = slice(i, i + tile), slice(j, len(q) if wide else j + tile)
                p = weigh(scaled[a] @ k[b].T, lse[a, None])
                p = p.tril(i - j) if hides else p
                dp = grad_out[a] @ v[b].T
                ds = p * (dp - delta(p, dp, (grad_out[a] * out[a]).sum(1))[:, None])
                dq[a] += ds @ k[b] / root
                dk[b] += turned(ds) @ scaled[a]
                dv[b] += p.T @ grad_out[a]
        return dq, dk, dv

    return answer


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
        ("all chunks are kept", soft_keeps_lists),
        ("accumulator is not rescaled", soft_forgets_out),
        ("sum is not rescaled", soft_forgets_sum),
        ("maximum is not subtracted", soft_plain_exp),
        ("every chunk weighs the same", soft_means),
        (None, soft_first_chunk),
        ("printed, not returned", soft_shows),
        ("starts at 0", soft_from_zero),
        ("its own maximum", soft_own_maxima),
        ("every chunk weighs the same", soft_means_and_sum),
        ("divided in every step", soft_divides_always),
    ],
    "06.flash_forward": [
        ("than a tile has", flash_sdpa),
        ("no causal mask", flash_unmasked),
        ("counted from the first key", flash_first_key),
        ("wrong head", flash_head_zero),
        ("wrong head", flash_repeats),
        ("scaled wrongly", flash_unscaled),
        ("shorter tile is left out", flash_whole_tiles),
        ("not what it says", flash_log_of_sum),
        ("inputs are changed", flash_writes),
        (None, flash_out_only),
        ("large negative number", flash_with(masked=-1e9)),
        ("large negative number", flash_with(masked=-1e4)),
        ("exchanged", flash_with(tile_of=lambda tile: tile[::-1])),
        ("not the one that is asked for", flash_with(tile_of=lambda tile: (2, 2))),
        ("than a tile has", flash_with(tile_of=lambda tile: (64, 64))),
        ("one maximum is taken", flash_with(maximum=lambda s: s.max().repeat(len(s)))),
        ("always there", flash_with(always=True)),
        ("float64", flash_with(dtype=torch.float64)),
    ],
    "06.merge_partials": [
        ("without weights", merge_average),
        ("overflow", merge_raw),
        ("weights are swapped", merge_other_way),
        ("new log-sum-exp is wrong", merge_max),
        ("nan", merge_nan),
        (None, merge_adds),
        ("inputs are changed", merge_writes),
        ("one maximum is taken for all rows", merge_one_maximum),
        ("float64", merge_double),
    ],
    "06.tile_mask": [
        ("window is ignored", tile_without_window),
        ("too wide", tile_wide),
        ("half-open", tile_open_ends),
        ("documents are ignored", tile_packed),
        ("exchanged", tile_turned),
        ("as a whole is called", tile_never_all),
        (None, tile_bool),
        ("first token of a document", tile_with(number=bisect_left)),
        ("is dropped", tile_with(window_of=lambda window, documents: None if documents else window)),
        ("two ends only", tile_with(ends=True)),
        ("by its first row", tile_with(skipped=lambda r0, r1, c0: c0 > r0)),
        ("the diagonal runs through it", tile_with(whole=lambda r0, r1, c1: c1 <= r1)),
    ],
    "06.count_io": [
        ("read and written are exchanged", io_turned),
        ("numbers are counted", io_float32),
        ("above the diagonal are moved", io_bidirectional),
        ("two algorithms are exchanged", io_other),
        ("counted whole", io_no_division),
        (None, io_flops),
        ("zeros that the output begins with", io_with_zeros),
        ("on the diagonal are skipped", io_one_pair),
    ],
    "06.recompute_backward": [
        ("delta is left out", back_without_delta),
        ("than a tile has", back_matrix),
        ("forgotten on the way back", back_unscaled),
        ("another order", back_order),
        ("no causal mask", back_bidirectional),
        ("overwritten", back_last_tile),
        ("printed, not returned", back_shows),
        ("applied twice", back_scaled_twice),
        ("log-sum-exp is not subtracted", back_with(weigh=lambda s, lse: torch.exp(s))),
        ("no causal mask", back_with(hides=False)),
        ("not transposed", back_with(turned=lambda ds: ds)),
        ("inside the tile only", back_with(delta=lambda p, dp, whole: (p * dp).sum(1))),
        ("than a tile has", back_with(wide=True)),
    ],
}
