"""Choosing the next token of every row on a GPU, without sorting: `choosing.choose` as two Triton kernels. Imports
Triton.

    scan_kernel     a program for each row and part of the vocabulary: the largest logit, the sum of exponentials, and
                    the token with the largest probability / waiting time
    pick_kernel     a program a row: puts the parts together. If the row has a filter, reads the row once to see whether
                    the best token may be drawn; if not, only its part is scanned again, for a likelier one

The filters keep the likeliest tokens, up to some edge. So when a candidate may not be drawn, neither may anything
less likely, and the best of what is left gives the same token as sorting. The best of another part stands as it is, or
is refused in its turn. Most rows are read twice, and few a third time.
Source of the idea: FlashInfer's sorting-free sampling (flashinfer.ai/2025/03/10/sampling.html), here with noise that
stays the same.
"""

from course_lib.machine import triton_start  # noqa: F401, I001  (before Triton)
import torch
import triton
import triton.language as tl

from .counter_rng import FIRST, SECOND, THIRD

PART = 8192  # tokens of one program of scan_kernel
SOME = 1024  # of them at a time
PIECE = 4096  # tokens at a time in pick_kernel
AHEAD = tl.constexpr(4)  # pieces that are loaded at the same time
A, B, C = tl.constexpr(FIRST), tl.constexpr(SECOND), tl.constexpr(THIRD)
FAR, TINY = tl.constexpr(-3.0e38), tl.constexpr(1.1754944e-38)
LOG2_E, LN_2 = tl.constexpr(1.4426950408889634), tl.constexpr(0.6931471805599453)
NOBODY = tl.constexpr(2147483647)


@triton.jit
def _mix(x):
    x = (x ^ (x >> 16)) * A
    x = (x ^ (x >> 15)) * B
    return x ^ (x >> 16)


@triton.jit
def _keys(seed, position):
    low, high = (seed & 0xFFFFFFFF).to(tl.uint32), ((seed >> 32) & 0xFFFFFFFF).to(tl.uint32)
    a = _mix(_mix(_mix(low ^ C) ^ high) ^ position.to(tl.uint32))
    return a, _mix(a + C)


@triton.jit
def _waiting(tokens, a, b):
    """As counter_rng.exponential."""
    bits = _mix(_mix(tokens.to(tl.uint32) ^ a) + b)
    share = (bits.to(tl.float32) + 0.5) * 2.3283064365386963e-10
    near = share * (1 + share * (0.5 + share * 0.3333333333333333))
    far = -LN_2 * tl.log2(1 - tl.minimum(share, 0.99999994))  # GPUs have an instruction for log2, and none for log
    return tl.where(share < 0.01, near, far)


@triton.jit
def _best(values, tokens):
    """(largest value, its token; the lowest token among equals)."""
    largest = tl.max(values, 0)
    return largest, tl.min(tl.where(values == largest, tokens, NOBODY), 0)


@triton.jit
def scan_kernel(
    logits_ptr, temperature_ptr, seed_ptr, position_ptr, largest_ptr, total_ptr, score_ptr, token_ptr, vocab_size,
    row_stride, PART: tl.constexpr, SOME: tl.constexpr,
):  # fmt: skip
    """Reads its part twice, the second time from the cache: to keep it would take most registers."""
    row, part, parts = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    tokens = part * PART + tl.arange(0, PART)
    logits_ptr += row * row_stride
    x = tl.load(logits_ptr + tokens, mask=tokens < vocab_size, other=float("-inf")).to(tl.float32)
    temperature = tl.load(temperature_ptr + row)
    largest = tl.max(x, 0)
    if temperature > 0:
        per_degree, top = LOG2_E / tl.maximum(temperature, TINY), tl.maximum(largest, FAR)
        a, b = _keys(tl.load(seed_ptr + row), tl.load(position_ptr + row))
        best, best_tokens = tl.full([SOME], -1.0, tl.float32), tl.full([SOME], NOBODY, tl.int32)
        weights = tl.zeros([SOME], tl.float32)
        for start in range(part * PART, part * PART + PART, SOME):
            some = start + tl.arange(0, SOME)
            logit = tl.load(logits_ptr + some, mask=some < vocab_size, other=float("-inf")).to(tl.float32)
            weight = tl.exp2((logit - top) * per_degree)
            score = weight / _waiting(some, a, b)
            better = score > best
            best, best_tokens = tl.where(better, score, best), tl.where(better, some, best_tokens)
            weights += weight
        score, token = _best(best, best_tokens)
        total = tl.sum(weights, 0)
    else:
        score, token = _best(x, tokens)
        total = largest
    at = row * parts + part
    tl.store(largest_ptr + at, largest)
    tl.store(total_ptr + at, total)
    tl.store(score_ptr + at, score)
    tl.store(token_ptr + at, token)


@triton.jit
def _scaled(logits_ptr, start, vocab_size, largest, per_degree, PIECE: tl.constexpr):
    """(tokens, their logits less the largest, divided by the temperature) of one piece of a row."""
    tokens = start + tl.arange(0, PIECE)
    x = tl.load(logits_ptr + tokens, mask=tokens < vocab_size, other=float("-inf")).to(tl.float32)
    return tokens, (x - largest) * per_degree


@triton.jit
def _edge_of_top_k(logits_ptr, vocab_size, largest, per_degree, k, lowest, PIECE: tl.constexpr):
    """The k-th largest scaled logit of those at or above `lowest`, by halving: 32 steps over the bits of a float32
    from 0 down.
    """
    low, high = k * 0, k * 0 + 2139095040  # scaled logits are at most 0: the bits of -x order them
    while low < high:
        middle = low + (high - low) // 2
        count = k * 0
        for start in tl.range(0, vocab_size, PIECE, num_stages=AHEAD):
            tokens, scaled = _scaled(logits_ptr, start, vocab_size, largest, per_degree, PIECE)
            bits = tl.maximum(-scaled, 0.0).to(tl.int32, bitcast=True)
            count += tl.sum(((bits <= middle) & (scaled >= lowest)).to(tl.int32), 0)
        if count >= k:
            high = middle
        else:
            low = middle + 1
    return -(low.to(tl.float32, bitcast=True))


@triton.jit
def pick_kernel(
    logits_ptr, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr, seed_ptr, position_ptr, largest_ptr, total_ptr,
    score_ptr, token_ptr, out_ptr, vocab_size, row_stride, parts, PADDED_PARTS: tl.constexpr, PART: tl.constexpr, PIECE:
    tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, PADDED_PARTS)
    here = at < parts
    largest_of = tl.load(largest_ptr + row * parts + at, mask=here, other=float("-inf"))
    score_of = tl.load(score_ptr + row * parts + at, mask=here, other=float("-inf"))
    token_of = tl.load(token_ptr + row * parts + at, mask=here, other=NOBODY)
    temperature = tl.load(temperature_ptr + row)
    largest = tl.max(largest_of, 0)
    per_degree = 1 / tl.maximum(temperature, TINY)
    if temperature > 0:
        score_of *= tl.exp((tl.maximum(largest_of, FAR) - largest) * per_degree)
    _, candidate = _best(score_of, token_of)
    top_k, top_p, min_p = tl.load(top_k_ptr + row).to(tl.int32), tl.load(top_p_ptr + row), tl.load(min_p_ptr + row)
    filtered = (top_k > 0) | (top_p < 1) | (min_p > 0)
    if (temperature > 0) & filtered:
        logits_ptr += row * row_stride
        a, b = _keys(tl.load(seed_ptr + row), tl.load(position_ptr + row))
        lowest = tl.where(min_p > 0, tl.log(min_p), FAR)
        total_of = tl.load(total_ptr + row * parts + at, mask=here, other=0.0)
        total = tl.sum(total_of * tl.exp((tl.maximum(largest_of, FAR) - largest) * per_degree), 0)
        edge = lowest
        if (top_p < 1) & ((top_k > 0) | (min_p > 0)):
            total = 0.0
            if top_k > 0:
                edge = tl.maximum(
                    lowest, _edge_of_top_k(logits_ptr, vocab_size, largest, per_degree, top_k, lowest, PIECE)
                )
            above, equal = 0, 0
            for start in tl.range(0, vocab_size, PIECE, num_stages=AHEAD):
                tokens, scaled = _scaled(logits_ptr, start, vocab_size, largest, per_degree, PIECE)
                total += tl.sum(tl.where(scaled >= edge, tl.exp(scaled), 0.0), 0)
                above += tl.sum((scaled > edge).to(tl.int32), 0)
                equal += tl.sum((scaled == edge).to(tl.int32), 0)
            if top_k > 0:  # of several at the edge only so many stay that there are k
                total -= tl.maximum(above + equal - tl.maximum(top_k, above), 0).to(tl.float32) * tl.exp(edge)
        # The likeliest token that may not be drawn, so far none. What is not likelier is refused like it.
        refused, refused_at, searching = candidate * 0 + NOBODY, largest * 0 + float("-inf"), candidate < vocab_size
        while searching:
            mine = (tl.load(logits_ptr + candidate).to(tl.float32) - largest) * per_degree
            if (mine > refused_at) | ((mine == refused_at) & (candidate < refused)):
                before_of, mass_of = tl.zeros([PIECE], tl.int32), tl.zeros([PIECE], tl.float32)
                for start in tl.range(0, vocab_size, PIECE, num_stages=AHEAD):
                    tokens, scaled = _scaled(logits_ptr, start, vocab_size, largest, per_degree, PIECE)
                    likelier = (scaled > mine) | ((scaled == mine) & (tokens < candidate))
                    before_of += likelier.to(tl.int32)
                    mass_of += tl.where(likelier, tl.exp2(scaled * LOG2_E), 0.0)
                before, mass = tl.sum(before_of, 0), tl.sum(mass_of, 0)
                allowed = (mine >= lowest) & ((top_k == 0) | (before < top_k))
                allowed = allowed & ((top_p >= 1) | (mass < top_p * total))
                searching = (not allowed) & (before > 0)
                refused, refused_at = candidate, mine
            if searching:  # the best of its part that is likelier
                part = candidate // PART
                best, token = largest * 0 - 1.0, candidate * 0 + NOBODY
                for start in range(part * PART, part * PART + PART, PIECE):
                    tokens, scaled = _scaled(logits_ptr, start, vocab_size, largest, per_degree, PIECE)
                    likelier = (scaled > refused_at) | ((scaled == refused_at) & (tokens < refused))
                    weight = tl.exp2(scaled * LOG2_E)
                    score, one = _best(tl.where(likelier, weight / _waiting(tokens, a, b), -1.0), tokens)
                    token, best = tl.where(score > best, one, token), tl.maximum(score, best)
                score_of, token_of = tl.where(at == part, best, score_of), tl.where(at == part, token, token_of)
                best, candidate = _best(score_of, token_of)
                searching = best >= 0  # always, but for logits that are not numbers
    tl.store(out_ptr + row, candidate.to(tl.int64))


def choose(logits, rows, out=None):
    """As choosing.choose. logits: [rows, vocab_size], the last dimension contiguous. rows: ChoiceRows on the same
    device.

    out: int64 [rows] to write to, or None. Every row is chosen by its own parameters, whatever `is_greedy` and
    `is_filtered` say.
    """
    num_rows, vocab_size = logits.shape
    parts = triton.cdiv(vocab_size, PART)
    floats, device = torch.empty((3, num_rows, parts), dtype=torch.float32, device=logits.device), logits.device
    tokens = torch.empty((num_rows, parts), dtype=torch.int32, device=device)
    out = torch.empty(num_rows, dtype=torch.int64, device=device) if out is None else out
    scan_kernel[(num_rows, parts)](
        logits, rows.temperature, rows.seed, rows.position, *floats, tokens, vocab_size, logits.stride(0), PART=PART,
        SOME=min(SOME, PART), num_warps=4,
    )  # fmt: skip
    pick_kernel[(num_rows,)](
        logits, rows.temperature, rows.top_k, rows.top_p, rows.min_p, rows.seed, rows.position, *floats, tokens, out,
        vocab_size, logits.stride(0), parts, PADDED_PARTS=triton.next_power_of_2(parts), PART=PART, PIECE=PIECE,
        num_warps=16,
    )  # fmt: skip
    return out
