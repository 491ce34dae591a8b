# %% [markdown]
# # Exercises 06 · FlashAttention
#
# Six pieces: a softmax that sees its row once, attention in tiles, two partial results into one, what a mask leaves of
# a tile, the bytes that are moved, and the gradient. Plain torch on a CPU: lesson 07 turns the same lines into a
# kernel. A tensor that your function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
from bisect import bisect_right

import torch

from course_lib import check, hint, load_model, progress, setup
from course_lib.attention import flash_attention_v2, standard_attention

_ = setup(quiet=True)

# %% [markdown]
# ## 06.online_softmax · A row, a chunk at a time
#
# One row of attention. `chunks` gives pairs `(scores, values)` of float32 tensors, one after the other and only once:
# scores `[c]`, already scaled, -inf where a key is masked; values `[c, d]`. There is at least one chunk, each of one
# score or more.
#
# Return a tuple `(out, lse)` for the whole row, in float32: `out` `[d]` is softmax(all scores) @ all values, and `lse`
# is the log of the sum of exp(score), a tensor of one number or a `float`. If all scores are -inf, `out` is zeros and
# `lse` is -inf. Keep no chunk after you have used it, nor a view of it. The chunks stay as they are.

# %% nbgrader={"grade_id": "online_softmax", "solution": true} course={"exercise": "06.online_softmax"}
def online_softmax(chunks):
    """(out, lse) of one row of attention. chunks: iterable of (scores [c], values [c, d]), seen once."""
    ### BEGIN SOLUTION
    m_i, l_i, out = torch.tensor(-float("inf")), torch.tensor(0.0), 0.0
    for scores, values in chunks:
        new_m = torch.maximum(m_i, scores.max())
        subtract = new_m if new_m > -float("inf") else torch.tensor(0.0)  # nothing seen yet
        weights = torch.exp(scores - subtract)
        alpha = torch.exp(m_i - subtract)  # what was summed under the old maximum
        l_i = alpha * l_i + weights.sum()
        out = alpha * out + weights @ values
        m_i = new_m
    return (out / l_i, m_i + l_i.log()) if l_i > 0 else (out, m_i)
    ### END SOLUTION

# %% nbgrader={"grade_id": "online_softmax-check", "grade": true, "points": 2}
check("06.online_softmax", online_softmax)

# %% [markdown]
# Your function on a row of 1,000 scores, in ten chunks, beside torch:

# %% tags=["raises-exception"]
draw = torch.Generator().manual_seed(0)
scores, values = torch.randn(1000, generator=draw) * 5, torch.randn(1000, 3, generator=draw)
out, lse = online_softmax(zip(scores.split(100), values.split(100)))
for name, row, total in (("yours", out, lse), ("torch", scores.softmax(0) @ values, scores.logsumexp(0))):
    print(name, [f"{x:.3f}" for x in row.tolist()], f"{float(total):.3f}")

# %% [markdown]
# ## 06.flash_forward · Attention in tiles
#
# `q` is `[n, heads, d]`, `k` and `v` are `[m, kv_heads, d]`, and `heads` is a multiple of `kv_heads`. The queries are
# the last of the tokens: row i has position m - n + i. `tile` is a tuple of two `int`, (rows, columns), and `causal` is
# a `bool`. Scores are divided by √d. With `causal`, a row sees only keys at its own position and before it; without, it
# sees all keys.
#
# Return a tuple `(out, lse)`, `[n, heads, d]` and `[n, heads]`, both float32 as the inputs. A row that sees no key
# gives zeros and -inf; n and m may be 0. Never hold more scores than those of one tile of one head, and skip the tiles
# of which the causal mask hides every pair. The inputs stay as they are.

# %% nbgrader={"grade_id": "flash_forward", "solution": true} course={"exercise": "06.flash_forward"}
def flash_forward(q, k, v, tile, causal):
    """(out, lse) of attention. q: [n, heads, d]; k, v: [m, kv_heads, d]; tile: (rows, columns). The queries are the last of the tokens."""
    ### BEGIN SOLUTION
    n, heads, d = q.shape
    m, kv_heads, _ = k.shape
    start = m - n  # row i has position start + i
    out, lse = torch.zeros_like(q), torch.full((n, heads), -float("inf"))
    for head in range(heads):
        kv_head = head // (heads // kv_heads)
        for r0 in range(0, n, tile[0]):
            q_i = q[r0:r0 + tile[0], head]
            acc, l_i = torch.zeros_like(q_i), torch.zeros(len(q_i))
            m_i = torch.full((len(q_i),), -float("inf"))
            for c0 in range(0, m, tile[1]):
                if causal and c0 > start + r0 + len(q_i) - 1:
                    break  # from here on, all keys come after all queries of the tile
                k_j, v_j = k[c0:c0 + tile[1], kv_head], v[c0:c0 + tile[1], kv_head]
                scores = q_i @ k_j.T / d ** 0.5
                if causal:
                    row = start + r0 + torch.arange(len(q_i))[:, None]
                    scores = scores.masked_fill(c0 + torch.arange(len(k_j)) > row, -float("inf"))
                new_m = torch.maximum(m_i, scores.amax(1))
                subtract = torch.where(new_m == -float("inf"), 0.0, new_m)
                weights, alpha = torch.exp(scores - subtract[:, None]), torch.exp(m_i - subtract)
                l_i = alpha * l_i + weights.sum(1)
                acc = alpha[:, None] * acc + weights @ v_j
                m_i = new_m
            out[r0:r0 + tile[0], head] = acc / torch.where(l_i == 0, 1.0, l_i)[:, None]
            lse[r0:r0 + tile[0], head] = m_i + l_i.log()
    return out, lse
    ### END SOLUTION

# %% nbgrader={"grade_id": "flash_forward-check", "grade": true, "points": 3}
check("06.flash_forward", flash_forward)

# %% [markdown]
# Your attention in the bundled model, in the place of `Recompute`:

# %% tags=["raises-exception"]
from course_lib.kvcache import Recompute


class Tiled(Recompute):
    def attend(self, layer, q, k, v):
        return flash_forward(q, k, v, tile=(16, 16), causal=True)[0]


model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
logits = [model(torch.tensor(ids), torch.arange(len(ids)), cache)[-1] for cache in (Tiled(), Recompute())]
print("the same next token:", int(logits[0].argmax()) == int(logits[1].argmax()))
print("largest difference of a logit below 0.001:", bool((logits[0] - logits[1]).abs().max() < 1e-3))

# %% [markdown]
# ## 06.merge_partials · Two into one
#
# Attention over some keys gave `out_a` and `lse_a`, over other keys `out_b` and `lse_b`. Return `(out, lse)` as if all
# keys had been there at once. `out` is `[..., d]` with one dimension or more in front, `lse` has one number for each
# row of it, -inf where that side saw no key; its `out` is zeros there. A row for which neither side saw a key gives
# zeros and -inf. The inputs are float32, and so are both results. The inputs stay as they are.

# %% nbgrader={"grade_id": "merge_partials", "solution": true} course={"exercise": "06.merge_partials"}
def merge_partials(out_a, lse_a, out_b, lse_b):
    """(out, lse) over the keys of both. out: [..., head_dim]; lse: [...], -inf where a side saw nothing."""
    ### BEGIN SOLUTION
    m_i = torch.maximum(lse_a, lse_b)
    m_i = torch.where(m_i == -float("inf"), 0.0, m_i)
    sum_a, sum_b = torch.exp(lse_a - m_i), torch.exp(lse_b - m_i)
    l_i = sum_a + sum_b
    divide = torch.where(l_i == 0, 1.0, l_i)
    out = (out_a * sum_a[..., None] + out_b * sum_b[..., None]) / divide[..., None]
    return out, m_i + l_i.log()
    ### END SOLUTION

# %% nbgrader={"grade_id": "merge_partials-check", "grade": true, "points": 2}
check("06.merge_partials", merge_partials)

# %% [markdown]
# 96 keys in one piece, and in three that are merged:

# %% tags=["raises-exception"]
draw = torch.Generator().manual_seed(1)
q, k, v = (torch.randn(n, 2, 8, generator=draw) for n in (4, 96, 96))
parts = [standard_attention(q, k[s], v[s], causal=False, return_lse=True) for s in (slice(0, 10), slice(10, 50), slice(50, 96))]
merged, _ = merge_partials(*merge_partials(*parts[0], *parts[1]), *parts[2])
print("the same:", torch.allclose(merged, standard_attention(q, k, v, causal=False), atol=1e-5))

# %% [markdown]
# ## 06.tile_mask · What a mask leaves of a tile
#
# `rows` and `cols` are half-open ranges of positions of any size, `(start, end)`, neither empty. Return a `str`:
# `"all"` where every pair of the tile may be seen, `"none"` where no pair may, and `"some"` for anything else.
#
# - `causal`: a `bool`. If it is true, a query sees keys at its own position and before.
# - `window`: None, or a number w of tokens, 1 or more. A causal query sees itself and the w - 1 before it; without
#   `causal`, a pair is seen where the distance is less than w in either direction.
# - `documents`: None, or a list of where each packed document begins, and the end: `[0, 3, 8]`. Documents do not see
#   each other. Two equal numbers are an empty document.
#
# A kernel asks this for every tile, so a few comparisons must be enough, whatever the size of the tile and however many
# documents there are. `bisect_right(documents, position)` finds a position in a sorted list by halving it.

# %% nbgrader={"grade_id": "tile_mask", "solution": true} course={"exercise": "06.tile_mask"}
def tile_mask(rows, cols, causal, window, documents):
    """"none", "some" or "all": the pairs of a tile that may be seen. rows, cols: half-open (start, end)."""
    ### BEGIN SOLUTION
    smallest, largest = rows[0] - (cols[1] - 1), (rows[1] - 1) - cols[0]  # distances top right and bottom left
    high = float("inf") if window is None else window - 1
    low = 0 if causal else -high
    if smallest > high or largest < low:
        return "none"
    whole = low <= smallest and largest <= high
    if documents is not None:  # the number of a token's document, by halving the list
        first_row, last_row, first_col, last_col = (
            bisect_right(documents, at) for at in (rows[0], rows[1] - 1, cols[0], cols[1] - 1))
        if last_row < first_col or last_col < first_row:
            return "none"
        whole = whole and first_row == last_row == first_col == last_col
    return "all" if whole else "some"
    ### END SOLUTION

# %% nbgrader={"grade_id": "tile_mask-check", "grade": true, "points": 2}
check("06.tile_mask", tile_mask)

# %% [markdown]
# Your answers for 12 × 12 tokens in tiles of 2: a full square is seen as a whole, a small one in part, and a dot not at
# all.

# %% tags=["raises-exception"]
marks = {"all": "■", "some": "▪", "none": "·"}
for name, options in (("causal", (True, None, None)), ("window of 4", (True, 4, None)), ("two documents", (False, None, [0, 5, 12]))):
    print(name)
    for r in range(0, 12, 2):
        print("  ", *(marks[tile_mask((r, r + 2), (c, c + 2), *options)] for c in range(0, 12, 2)))

# %% [markdown]
# ## 06.count_io · Bytes moved
#
# One head over `n` tokens; queries and keys have the same number. Return a tuple of two `int`: the bytes read from slow
# memory and the bytes written to it. A number has `itemsize` bytes, `tile` is a tuple of two `int`, (rows, columns),
# and `causal` is a `bool`. Count q, k, v and the output, and for `"standard"` the scores and the weights. Do not count
# the one or two numbers that are kept for each row.
#
# - `"standard"`: q and k are read and the scores are written; the scores are read and the weights are written; the
#   weights and v are read and the output is written. `tile` and `causal` change nothing.
# - `"flash 1"` (FlashAttention): the outer loop is over keys and values. Each tile of k and v is read once. For each
#   tile of rows with which it has a pair, q and the unfinished output are read and the output is written. The output
#   begins as zeros: writing these zeros is not counted, reading them is.
# - `"flash 2"` (FlashAttention-2): the outer loop is over queries. Each tile of q is read once, with k and v of every
#   tile with which it has a pair. The output is written once.
#
# With `causal`, a tile above the diagonal has no pair that is seen, and is skipped. The last tile may be shorter.

# %% nbgrader={"grade_id": "count_io", "solution": true} course={"exercise": "06.count_io"}
def count_io(algorithm, n, head_dim, tile, itemsize, causal):
    """(bytes read, bytes written) by one head of "standard", "flash 1" or "flash 2". tile: (rows, columns)."""
    ### BEGIN SOLUTION
    piece = n * head_dim  # numbers of q, k, v or the output
    if algorithm == "standard":
        return (3 * piece + 2 * n * n) * itemsize, (2 * n * n + piece) * itemsize
    read = written = 0
    if algorithm == "flash 1":
        read += 2 * piece  # each tile of k and v once
        for c0 in range(0, n, tile[1]):
            for r0 in range(0, n, tile[0]):
                r1 = min(r0 + tile[0], n)
                if not causal or c0 < r1:
                    read += 2 * (r1 - r0) * head_dim  # q, and the output so far
                    written += (r1 - r0) * head_dim
    else:
        read, written = piece, piece  # each tile of q and of the output once
        for r0 in range(0, n, tile[0]):
            for c0 in range(0, n, tile[1]):
                c1 = min(c0 + tile[1], n)
                if not causal or c0 < min(r0 + tile[0], n):
                    read += 2 * (c1 - c0) * head_dim  # k and v
    return read * itemsize, written * itemsize
    ### END SOLUTION

# %% nbgrader={"grade_id": "count_io-check", "grade": true, "points": 2}
check("06.count_io", count_io)

# %% [markdown]
# 4,096 tokens, heads of 128 numbers in bfloat16, by the size of the tile:

# %% tags=["raises-exception"]
print("standard", f"{sum(count_io('standard', 4096, 128, (1, 1), 2, True)) / 1e6:8.1f} MB")
for side in (16, 64, 128):
    both = [sum(count_io(name, 4096, 128, (side, side), 2, True)) / 1e6 for name in ("flash 1", "flash 2")]
    print(f"tiles of {side:>3}: flash 1 {both[0]:8.1f} MB, flash 2 {both[1]:8.1f} MB")

# %% [markdown]
# ## 06.recompute_backward · The gradient
#
# One head, causal, scores divided by √d. From the forward pass there are `q`, `k`, `v`, `out` `[n, d]` and `lse` `[n]`;
# from the layer above comes `grad_out` `[n, d]`, the gradient of `out`. Return a tuple `(dq, dk, dv)` in float32.
# `tile` is one `int` here: work in tiles of `tile` rows and `tile` columns, and compute the weights of a tile again:
# exp(score - lse). No tensor that you make has more numbers than the larger of q and a tile. The inputs stay as they
# are.
#
#     dV = Pᵀ dO        dP = dO Vᵀ        dS = P * (dP - delta)        dQ = dS K / √d        dK = dSᵀ Q / √d
#
# P are the weights, dO is `grad_out`, and delta is the sum of `grad_out * out` over each row.

# %% nbgrader={"grade_id": "recompute_backward", "solution": true} course={"exercise": "06.recompute_backward"}
def recompute_backward(q, k, v, out, lse, grad_out, tile):
    """(dq, dk, dv) of causal attention of one head. q, k, v, out, grad_out: [n, d]; lse: [n]; tile: rows and columns of a tile."""
    ### BEGIN SOLUTION
    n, d = q.shape
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    delta = (grad_out * out).sum(1)
    for c0 in range(0, n, tile):
        j = slice(c0, min(c0 + tile, n))
        for r0 in range(c0, n, tile):  # the tiles of rows before c0 see nothing of these columns
            i = slice(r0, min(r0 + tile, n))
            scores = q[i] @ k[j].T / d ** 0.5
            hidden = torch.arange(j.start, j.stop) > torch.arange(i.start, i.stop)[:, None]
            weights = torch.exp(scores - lse[i, None]).masked_fill(hidden, 0.0)
            grad_weights = grad_out[i] @ v[j].T
            grad_scores = weights * (grad_weights - delta[i, None])
            dv[j] += weights.T @ grad_out[i]
            dk[j] += grad_scores.T @ q[i] / d ** 0.5
            dq[i] += grad_scores @ k[j] / d ** 0.5
    return dq, dk, dv
    ### END SOLUTION

# %% nbgrader={"grade_id": "recompute_backward-check", "grade": true, "points": 3}
check("06.recompute_backward", recompute_backward)

# %% [markdown]
# Your gradient beside the one that torch finds through the whole matrix:

# %% tags=["raises-exception"]
draw = torch.Generator().manual_seed(2)
q, k, v, grad_out = (torch.randn(40, 1, 8, generator=draw).requires_grad_() for _ in range(4))
out, lse = flash_attention_v2(q, k, v, return_lse=True)
theirs = torch.autograd.grad(standard_attention(q, k, v), (q, k, v), grad_out)
with torch.no_grad():
    mine = recompute_backward(q[:, 0], k[:, 0], v[:, 0], out[:, 0], lse[:, 0], grad_out[:, 0], 16)
for name, a, b in zip(("dq", "dk", "dv"), mine, theirs):
    print(name, "the same:", torch.allclose(a, b[:, 0], atol=1e-5))

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [07 · Triton](../notebooks/07_triton_flash.ipynb).
