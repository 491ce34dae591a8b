"""Wrong answers for lesson 07 as people write them, in torch and as kernels; see written_otherwise.py."""

import inspect
import math
from importlib.util import find_spec

import torch
import torch.nn.functional as F

from course_lib.taking import revive

INF = math.inf


def slip(kernel, launcher, *changes):
    """The solution with some of its text replaced, as a kernel of its own: [] where there is no Triton."""
    def answer(*args):
        from course_lib.practice import lesson07_kernels
        if not made:
            source = "import torch\nimport triton\nimport triton.language as tl\n\n\n"
            source += "\n\n\n".join(inspect.getsource(getattr(getattr(lesson07_kernels, name), "fn", getattr(lesson07_kernels, name))) for name in (kernel, launcher))
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


CASES = {
    "07.row_softmax": [
        ("maximum is not subtracted", softmax_plain), ("masked as a whole is nan", softmax_torch), ("down the columns", softmax_columns),
        ("in float32", softmax_float), ("x is changed", softmax_buffer), ("printed, not returned", softmax_shows), (None, softmax_log),
    ],
    "07.flash_kernel": [("whole matrix", einsum), ("in float32", sdpa), ("scaled wrongly", plain_unscaled), (None, plain_forgets)],
    "07.causal_skip": [("counted from the first key", causal_first_key), ("no causal mask", causal_none)],
    "07.grouped_query": [("wrong head", grouped_modulo), ("values of another", grouped_values), ("wrong head", grouped_own), ("copied", grouped_repeats)],
}
KERNELS = {
    "07.row_softmax": [
        ("past the end take a share", slip("softmax_kernel", "row_softmax", ('other=-float("inf")', "other=0.0"))),
        ("outside of its tensor", slip("softmax_kernel", "row_softmax", (', mask=inside, other=-float("inf")', ""))),
        ("side by side", slip("softmax_kernel", "row_softmax", ("x.stride(0), x.stride(1)", "columns, 1"))),
        ("block ends before", slip("softmax_kernel", "row_softmax", ("BLOCK=triton.next_power_of_2(columns)", "BLOCK=8"))),
    ],
    "07.flash_kernel": [
        ("accumulator is not rescaled", slip("flash_kernel", "flash", ("acc * shrink[:, None] +", "acc +"))),
        ("filled up and not masked", slip("flash_kernel", "flash", ("scores = tl.where((columns < m)[None, :], scores, -float(\"inf\"))", "pass"))),
        (None, slip("flash_kernel", "flash", ("high = tl.full([TILE], -float(\"inf\"), tl.float32)", "high = tl.zeros([TILE], tl.float32)"))),
    ],
    "07.causal_skip": [
        ("beyond the diagonal are loaded", slip("causal_kernel", "flash_causal", ("end = tl.minimum(m, m - n + first + TILE)", "end = m"))),
    ],
    "07.grouped_query": [
        ("wrong head", slip("grouped_kernel", "flash_grouped", ("head // GROUP * k_head", "head * k_head"), ("head // GROUP * v_head", "head * v_head"))),
        ("strides of another", slip("grouped_kernel", "flash_grouped", ("v.stride(0), v.stride(1)", "q.stride(0), q.stride(1)"))),
        ("strides of another", slip("grouped_kernel", "flash_grouped", ("v.stride(0), v.stride(1)", "k.stride(0), k.stride(1)"))),
    ],
}
if find_spec("triton"):
    CASES = {key: cases + KERNELS[key] for key, cases in CASES.items()}
