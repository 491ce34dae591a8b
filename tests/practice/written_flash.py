"""Wrong answers to 06.flash_forward and 06.tile_mask; CASES has those to the rest of lesson 06 too."""

import math
from bisect import bisect_left, bisect_right

import torch
from written_backward import CASES as BACKWARD
from written_count_io import CASES as COUNT_IO
from written_online_softmax import CASES as ONLINE_SOFTMAX

from course_lib.practice.lessons.l06.flash_forward import flash_forward
from course_lib.practice.lessons.l06.tile_mask import tile_mask

INF = math.inf


def flash_with(
    masked=-INF, tile_of=lambda tile: tile, maximum=lambda scores: scores.amax(1), always=False, dtype=torch.float32
):
    """Written again, with parameters for mistakes."""

    def answer(q, k, v, tile, causal):
        (n, heads, d), m, (rows, columns) = q.shape, len(k), tile_of(tile)
        out, lse = torch.zeros(n, heads, d, dtype=dtype), torch.full((n, heads), -INF, dtype=dtype)
        causal = causal or always
        for h in range(heads):
            g = h // (heads // k.shape[1])
            for r in range(0, n, rows):
                qi = q[r : r + rows, h] / math.sqrt(d)
                at = m - n + r + torch.arange(len(qi))
                m_i, l_i, acc = torch.full((len(qi),), -INF), torch.zeros(len(qi)), torch.zeros(len(qi), d)
                for c in range(0, min(m, int(at[-1]) + 1) if causal else m, columns):
                    s = qi @ k[c : c + columns, g].T
                    if causal:
                        s = torch.where(torch.arange(c, c + s.shape[1]) <= at[:, None], s, masked)
                    new = torch.maximum(m_i, maximum(s))
                    safe = new.nan_to_num(neginf=0.0)
                    p, a = torch.exp(s - safe[:, None]), torch.exp(m_i - safe)
                    l_i, acc, m_i = a * l_i + p.sum(1), a[:, None] * acc + p @ v[c : c + columns, g], new
                out[r : r + rows, h] = (acc / l_i.where(l_i > 0, torch.ones(()))[:, None]).to(dtype)
                lse[r : r + rows, h] = (m_i + l_i.log()).to(dtype)
        return out, lse

    return answer


def flash_sdpa(q, k, v, tile, causal):
    """Makes the whole score matrix."""
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
    """Leaves out the last keys that do not fill a tile; positions are right."""
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


def tile_by_counting(rows, cols, causal, window, documents):
    return tile_mask(rows, cols, causal, window, documents and [edge for edge in documents])


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
    """Written again, with parameters for mistakes."""

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


CASES = {
    "06.flash_forward": [
        ("than a tile has", flash_sdpa),
        ("no causal mask", flash_unmasked),
        ("counts query positions from the first key", flash_first_key),
        ("wrong KV head", flash_head_zero),
        ("wrong KV head", flash_repeats),
        ("scaled wrongly", flash_unscaled),
        ("shorter tile is left out", flash_whole_tiles),
        ("log-sum-exp is wrong", flash_log_of_sum),
        ("inputs are changed", flash_writes),
        (None, flash_out_only),
        ("large negative number", flash_with(masked=-1e9)),
        ("large negative number", flash_with(masked=-1e4)),
        ("exchanged", flash_with(tile_of=lambda tile: tile[::-1])),
        ("another size than `tile` gives", flash_with(tile_of=lambda tile: (2, 2))),
        ("than a tile has", flash_with(tile_of=lambda tile: (64, 64))),
        ("one maximum is used", flash_with(maximum=lambda s: s.max().repeat(len(s)))),
        ("always applied", flash_with(always=True)),
        ("float64", flash_with(dtype=torch.float64)),
    ],
    "06.tile_mask": [
        ("window is ignored", tile_without_window),
        ("too wide", tile_wide),
        ("all documents are looked at", tile_by_counting),
        ("half-open", tile_open_ends),
        ("documents are ignored", tile_packed),
        ("exchanged", tile_turned),
        ("without masked pairs is called", tile_never_all),
        (None, tile_bool),
        ("first token of a document", tile_with(number=bisect_left)),
        ("is ignored when another", tile_with(window_of=lambda window, documents: None if documents else window)),
        ("only at their starts and at their ends", tile_with(ends=True)),
        ("by its first row", tile_with(skipped=lambda r0, r1, c0: c0 > r0)),
        ("the diagonal runs through it", tile_with(whole=lambda r0, r1, c1: c1 <= r1)),
    ],
    **ONLINE_SOFTMAX,
    **COUNT_IO,
    **BACKWARD,
}
