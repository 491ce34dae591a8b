"""What a wrong row of attention is, where that is simple: over other keys, of another head, twice as large.

An answer that makes no known mistake still gets a sentence that says in what its first wrong row is wrong.
"""

import torch

from course_lib.practice.judge.agreement import share_of

LEAST = 1e-5
"""How far two numbers may always be apart."""
SMALLEST_SHARE = 1e-9
"""A range of keys whose weights sum to less than this share of all weights is not looked at: rounding would decide."""
FEWER_BITS = "Yours is right in its first digits only, as a format with fewer bits rounds it: compute in float32."
MOST_KEYS = 300
"""Of more keys, the ranges are not tried."""


def instead(expected, got, row, head, q, k, v, span, called="row {}".format):
    """A sentence on what the wrong row of `got` is, or "".

    expected, got: [rows, heads, head_dim], right and wrong. q: [head_dim] of this row and head. k, v: [m, kv_heads,
    head_dim], the keys that there are. span: (begin, end) of the keys that the row sees. called(row): its name.
    """
    mine, want = got[row, head].double(), expected[row, head].double()
    sees = called(row)[0].upper() + called(row)[1:] + " sees"
    if not want.isfinite().all():
        return ""
    if not mine.isfinite().all():
        return f"{sees} {keys(*span)}."
    far = LEAST + share_of(got.dtype) * float(mine.abs().max() + want.abs().max())
    if (mine == 0).all():
        return f"{sees} {keys(*span)}. Yours is zeros."
    for kv_head, found in over_keys(mine, q, k, v, head // (expected.shape[1] // k.shape[1]), span, far):
        if found == tuple(span) and not kv_head[1]:
            return FEWER_BITS
        return f"{sees} {keys(*span)}{kv_head[0]}. Yours is the output over {keys(*found)}{kv_head[1]}."
    other = ((expected.double() - mine).abs().amax(-1) <= far).nonzero().tolist()
    if other:
        return f"Yours is what {called(other[0][0])}, head {other[0][1]} should be."
    return times(want, mine)


def times(want, mine):
    """The sentence that every number is so many times what it should be; "" where that is not so, or of one number."""
    want, mine = want.double().flatten(), mine.double().flatten()
    if len(want) < 2 or not want.any() or not (want.isfinite().all() and mine.isfinite().all()):
        return ""
    factor = float((mine * want).sum() / (want * want).sum())
    off = (factor * want - mine).abs().max()
    close = off <= LEAST + 1e-3 * float(mine.abs().max())
    if close and abs(factor - 1) < 5e-3:
        return FEWER_BITS
    return f"Yours is {factor:.3g} times what it should be." if close and factor else ""


def nearly(want, mine):
    """FEWER_BITS where two floats differ in their last digits only; else ""."""
    return FEWER_BITS if want != mine and abs(want - mine) < 5e-3 * abs(want) else ""


def over_keys(mine, q, k, v, own, span, far):
    """((what follows the keys that it sees, what follows those of mine), (begin, end)): keys whose output is this row.

    They are neighbouring keys of one KV head, first of the row's own, with as few others and as few missing as can be.
    """
    for kv_head in sorted(range(k.shape[1]), key=lambda one: one != own):
        scores = k[:MOST_KEYS, kv_head].double() @ q.double() / q.shape[0] ** 0.5
        if not 0 < len(k) <= MOST_KEYS or not scores.isfinite().all():
            continue
        weights = torch.exp(scores - scores.max())[:, None]
        terms = torch.cat([weights, weights * v[:, kv_head].double()], 1)
        sums = torch.cat([terms.new_zeros(1, terms.shape[1]), terms.cumsum(0)])
        parts = sums[None, :] - sums[:, None]  # [begin, end, 1 + head_dim]
        off = (parts[..., 1:] / parts[..., :1] - mine).abs().amax(-1)
        fits = (off <= far) & (parts[..., 0] > SMALLEST_SHARE * weights.sum())
        places = [tuple(at) for at in fits.triu(1).nonzero().tolist()]
        if places:
            found = min(places, key=lambda at: abs(at[0] - span[0]) + abs(at[1] - span[1]))
            yield ("", "") if kv_head == own else (f" of KV head {own}", f" of KV head {kv_head}"), found


def keys(begin, end):
    """ "the keys 0 to 15", for a half-open range of them."""
    return "no key" if end <= begin else f"key {begin} alone" if end - begin == 1 else f"the keys {begin} to {end - 1}"
