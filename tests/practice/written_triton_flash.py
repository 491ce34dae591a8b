"""Wrong answers for lesson 07 as people write them, in torch and as kernels; see written_otherwise.py."""

import math
from importlib.util import find_spec

import torch
import torch.nn.functional as F

from course_lib.practice.judge import registry
from course_lib.source.extract import revive

INF = math.inf


def slip(kernel, launcher, *changes, lesson="07"):
    """The solution with some of its text replaced, as a kernel of its own: [] where there is no Triton."""

    def answer(*args):
        if not made:
            exercises = registry.exercises().values()
            [exercise] = [one for one in exercises if one.lesson == lesson and one.name == launcher]
            source = "import torch\nimport triton\nimport triton.language as tl\n\n\n" + registry.solution_of(exercise)
            for old, new in changes:
                assert source.count(old) >= 1, f"{old!r} is not in the solution any more"
                source = source.replace(old, new)
            made.append(revive(source, launcher, f"{launcher} {changes}"))
        return made[0](*args)

    made = []
    answer.__name__ = f"{launcher}_with_{'_'.join(new or 'nothing' for _, new in changes)}"[:60]
    return answer


def softmax_plain(x):
    e = x.float().exp()
    return (e / e.sum(dim=-1, keepdim=True)).to(x.dtype)


def softmax_torch(x):
    return F.softmax(x.float(), dim=-1).to(x.dtype)


def softmax_columns(x):
    return torch.stack([c.float().softmax(0).nan_to_num() for c in x.unbind(1)], 1).to(x.dtype)


def softmax_float(x):
    return torch.softmax(x.float(), -1).nan_to_num()


def softmax_buffer(x):
    x -= x.amax(1, keepdim=True).nan_to_num(neginf=0.0)
    e = x.float().exp()
    return (e / e.sum(1, keepdim=True).clamp(min=1e-20)).to(x.dtype)


def softmax_shows(x):
    print(x.softmax(1))


def softmax_log(x):
    return torch.log_softmax(x.float(), 1).to(x.dtype)


def sdpa(q, k, v, tile):
    q, k, v = (x.transpose(0, 1).float() for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(0, 1).contiguous()


def einsum(q, k, v, tile):
    s = torch.einsum("ihd,jhd->hij", q.float(), k.float()) / math.sqrt(q.size(-1))
    return torch.einsum("hij,jhd->ihd", s.softmax(-1), v.float()).to(q.dtype)


def running(q, k, v, tile, *, causal=False, behind=True, shrinks=True, root=True, heads=lambda h, group: (h, h)):
    """One key after the other, for all queries at once: tiles of one."""
    out = torch.zeros(q.shape)
    position = torch.arange(len(q)) + (len(k) - len(q)) * behind
    queries, keys, values = (x.cpu().float() for x in (q, k, v))
    for h in range(q.shape[1]):
        kh, vh = heads(h, q.shape[1] // k.shape[1])
        high, total = torch.full((len(q),), -1e30), torch.zeros(len(q))
        for j in range(len(k)):
            scores = queries[:, h] @ keys[j, kh] / (math.sqrt(q.shape[2]) if root else 1)
            scores = scores.masked_fill(position < j, -INF) if causal else scores
            new = torch.maximum(high, scores)
            shrink, weights, high = torch.exp(high - new), torch.exp(scores - new), new
            total = total * shrink + weights
            out[:, h] = out[:, h] * (shrink[:, None] if shrinks else 1.0) + weights[:, None] * values[j, vh]
        out[:, h] /= torch.where(total > 0, total, 1.0)[:, None]
    return out.to(q.dtype)


def plain_unscaled(q, k, v, tile):
    return running(q, k, v, tile, root=False)


def plain_forgets(q, k, v, tile):
    return running(q, k, v, tile, shrinks=False)


def causal_first_key(q, k, v, tile):
    return running(q, k, v, tile, causal=True, behind=False)


def causal_none(q, k, v, tile):
    return running(q, k, v, tile)


def grouped_modulo(q, k, v, tile):
    return running(q, k, v, tile, causal=True, heads=lambda h, group: (h % k.shape[1], h % k.shape[1]))


def grouped_values(q, k, v, tile):
    return running(q, k, v, tile, causal=True, heads=lambda h, group: (h // group, 0))


def grouped_own(q, k, v, tile):
    return running(q, k, v, tile, causal=True, heads=lambda h, group: (h, h))


def grouped_repeats(q, k, v, tile):
    g = q.shape[1] // k.shape[1]
    return running(q, k.repeat_interleave(g, dim=1), v.repeat_interleave(g, dim=1), tile, causal=True)


def softmax_of_all(x):
    e = (x.float() - x.float().max()).exp()
    return (e / e.sum()).to(x.dtype)


def softmax_half(x):
    """All in half, one number after the other."""
    out = torch.empty_like(x)
    for i, row in enumerate(x):
        high, total = row.max().nan_to_num(neginf=0.0), torch.zeros((), dtype=x.dtype)
        weights = (row - high).exp()
        for weight in weights:
            total = total + weight
        out[i] = weights / (total if total > 0 else 1)
    return out


def softmax_not_quite_masked(x):
    return x.float().masked_fill(x == -INF, -1e9).softmax(1).to(x.dtype)


def tiled_queries(causal):
    """Queries in tiles, each against all keys at once."""

    def answer(q, k, v, tile):
        out, m = torch.empty_like(q), len(k)
        for first in range(0, len(q), tile):
            for head in range(q.shape[1]):
                scores = q[first : first + tile, head].float() @ k[:, head].float().T / q.shape[2] ** 0.5
                later = torch.arange(m) > m - len(q) + first + torch.arange(len(scores))[:, None]
                scores = scores.masked_fill(later, -INF) if causal else scores
                out[first : first + tile, head] = (scores.softmax(1).nan_to_num() @ v[:, head].float()).to(q.dtype)
        return out

    answer.__name__ = "tiled_queries"
    return answer


def flash_half(q, k, v, tile):
    """In tiles, and nothing is made float32."""
    out = torch.empty_like(q)
    for head in range(q.shape[1]):
        rows = q[:, head]
        high, total, acc = (
            torch.full((len(q), 1), -INF, dtype=q.dtype),
            torch.zeros(len(q), 1, dtype=q.dtype),
            torch.zeros_like(rows),
        )
        for start in range(0, len(k), tile):
            scores = rows @ k[start : start + tile, head].T * q.shape[2] ** -0.5
            new = torch.maximum(high, scores.amax(1, keepdim=True))
            shrink, weights, high = (high - new).exp(), (scores - new).exp(), new
            total, acc = (
                total * shrink + weights.sum(1, keepdim=True),
                acc * shrink + weights @ v[start : start + tile, head],
            )
        out[:, head] = acc / total
    return out


def heads_by_sdpa(q, k, v, tile):
    return F.scaled_dot_product_attention(q, k, v)


def causal_heads_by_sdpa(q, k, v, tile):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def whole_causal(hidden, fill=-INF):
    """The whole matrix, hidden(n, m) being what is masked, as a diagonal of ones that goes up or down."""

    def answer(q, k, v, tile):
        scores = torch.einsum("nhd,mhd->hnm", q.float(), k.float()) / math.sqrt(q.shape[2])
        return torch.einsum("hnm,mhd->nhd", scores.masked_fill(hidden(len(q), len(k)), fill).softmax(2), v.float()).to(
            q.dtype
        )

    return answer


def ones(n, m):
    return torch.ones(n, m, dtype=torch.bool)


def grouped_contiguous(q, k, v, tile):
    from course_lib.practice.lessons.l07.grouped_query import grouped_in_programs

    return grouped_in_programs(q.contiguous(), k.contiguous(), v.contiguous(), tile)


CASES = {
    "07.row_softmax": [
        ("maximum is not subtracted", softmax_plain),
        ("masked as a whole is nan", softmax_torch),
        ("down the columns", softmax_columns),
        ("in float32", softmax_float),
        ("x is changed", softmax_buffer),
        ("printed, not returned", softmax_shows),
        (None, softmax_log),
        ("over all rows", softmax_of_all),
        ("sums are in float16", softmax_half),
        ("large number below 0", softmax_not_quite_masked),
    ],
    "07.flash_kernel": [
        ("held at once", einsum),
        ("in float32", sdpa),
        ("scaled wrongly", plain_unscaled),
        (None, plain_forgets),
        ("held at once", tiled_queries(False)),
        ("sums are in float16", flash_half),
        ("over the heads", heads_by_sdpa),
    ],
    "07.causal_skip": [
        ("counted from the first key", causal_first_key),
        ("no causal mask", causal_none),
        ("held at once", tiled_queries(True)),
        ("over the heads", causal_heads_by_sdpa),
        ("wrong way round", whole_causal(lambda n, m: ones(n, m).tril(m - n))),
        ("n and m exchanged", whole_causal(lambda n, m: ones(n, m).triu(n - m + 1))),
        ("0, not -inf", whole_causal(lambda n, m: ones(n, m).triu(m - n + 1), 0.0)),
        ("large number below 0", whole_causal(lambda n, m: ones(n, m).triu(m - n + 1), -1e9)),
        ("sees the next one", whole_causal(lambda n, m: ones(n, m).triu(m - n + 2))),
    ],
    "07.grouped_query": [
        ("wrong head", grouped_modulo),
        ("values of another", grouped_values),
        ("wrong head", grouped_own),
        ("copied for each", grouped_repeats),
        ("into one piece", grouped_contiguous),
    ],
}
KERNELS = {
    "07.row_softmax": [
        ("past the end take a share", slip("softmax_kernel", "row_softmax", ('other=-float("inf")', "other=0.0"))),
        ("outside of its tensor", slip("softmax_kernel", "row_softmax", (', mask=inside, other=-float("inf")', ""))),
        ("side by side", slip("softmax_kernel", "row_softmax", ("x.stride(0), x.stride(1)", "columns, 1"))),
        (
            "block ends before",
            slip("softmax_kernel", "row_softmax", ("BLOCK=triton.next_power_of_2(columns)", "BLOCK=8")),
        ),
        (
            "no power of two",
            slip("softmax_kernel", "row_softmax", ("BLOCK=triton.next_power_of_2(columns)", "BLOCK=columns")),
        ),
        ("takes the first row", slip("softmax_kernel", "row_softmax", ("tl.program_id(0)", "tl.program_id(1)"))),
    ],
    "07.flash_kernel": [
        ("accumulator is not rescaled", slip("flash_kernel", "flash", ("acc * shrink[:, None] +", "acc +"))),
        (
            "filled up and not masked",
            slip("flash_kernel", "flash", ('scores = tl.where((columns < m)[None, :], scores, -float("inf"))', "pass")),
        ),
        (
            None,
            slip(
                "flash_kernel",
                "flash",
                ('high = tl.full([TILE], -float("inf"), tl.float32)', "high = tl.zeros([TILE], tl.float32)"),
            ),
        ),
        ("one number after the other", slip("flash_kernel", "flash", ("head * HEAD_DIM + tl", "head + tl"))),
        ("taken for that of keys", slip("flash_kernel", "flash", ("range(0, m, TILE)", "range(0, n, TILE)"))),
        ("taken for that of keys", slip("flash_kernel", "flash", ("(columns < m)", "(columns < n)"))),
        ("last tile of keys counts", slip("flash_kernel", "flash", ("        high = new_high\n", ""))),
        ("scaled wrongly", slip("flash_kernel", "flash", ('"ieee") * scale', '"ieee") / scale'))),
        (
            "first head is written",
            slip("flash_kernel", "flash", ("heads, triton.cdiv(n, tile)", "triton.cdiv(n, tile), heads")),
        ),
    ],
    "07.causal_skip": [
        (
            "beyond the diagonal are loaded",
            slip("causal_kernel", "flash_causal", ("end = tl.minimum(m, m - n + first + TILE)", "end = m")),
        ),
        (
            "ends too early",
            slip("causal_kernel", "flash_causal", ("tl.minimum(m, m - n + first + TILE)", "first + TILE")),
        ),
        ("n and m exchanged", slip("causal_kernel", "flash_causal", ("positions = m - n", "positions = n - m"))),
        (
            "sees the next one",
            slip("causal_kernel", "flash_causal", ("<= positions[:, None]", "<= positions[:, None] + 1")),
        ),
        ("wrong way round", slip("causal_kernel", "flash_causal", ("<= positions[:, None]", ">= positions[:, None]"))),
        (
            "0, not -inf",
            slip(
                "causal_kernel",
                "flash_causal",
                ('tl.where(seen, scores, -float("inf"))', "tl.where(seen, scores, 0.0)"),
            ),
        ),
        (
            "large number below 0",
            slip(
                "causal_kernel",
                "flash_causal",
                ('tl.where(seen, scores, -float("inf"))', "tl.where(seen, scores, -1e9)"),
            ),
        ),
        (
            "inside the tile",
            slip(
                "causal_kernel", "flash_causal", ("positions = m - n + rows", "positions = m - n + tl.arange(0, TILE)")
            ),
        ),
        (
            "first head is written",
            slip("causal_kernel", "flash_causal", ("heads, triton.cdiv(n, tile)", "triton.cdiv(n, tile), heads")),
        ),
    ],
    "07.grouped_query": [
        (
            "wrong head",
            slip(
                "grouped_kernel",
                "flash_grouped",
                ("head // GROUP * k_head", "head * k_head"),
                ("head // GROUP * v_head", "head * v_head"),
            ),
        ),
        (
            "strides of another",
            slip("grouped_kernel", "flash_grouped", ("v.stride(0), v.stride(1)", "q.stride(0), q.stride(1)")),
        ),
        (
            "strides of another",
            slip("grouped_kernel", "flash_grouped", ("v.stride(0), v.stride(1)", "k.stride(0), k.stride(1)")),
        ),
        (
            "wrong head",
            slip(
                "grouped_kernel",
                "flash_grouped",
                ("head // GROUP * k_head", "head % GROUP * k_head"),
                ("head // GROUP * v_head", "head % GROUP * v_head"),
            ),
        ),
        ("wrong head", slip("grouped_kernel", "flash_grouped", ("GROUP=heads // k.shape[1]", "GROUP=k.shape[1]"))),
        (
            "first head is written",
            slip("grouped_kernel", "flash_grouped", ("heads, triton.cdiv(n, tile)", "triton.cdiv(n, tile), heads")),
        ),
        (
            "ends too early",
            slip(
                "grouped_kernel",
                "flash_grouped",
                ("tl.minimum(m, m - n + first + TILE)", "tl.minimum(m, first + TILE)"),
            ),
        ),
    ],
}
if find_spec("triton"):
    CASES = {key: cases + KERNELS[key] for key, cases in CASES.items()}
