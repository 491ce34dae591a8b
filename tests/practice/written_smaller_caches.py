"""Wrong answers to lesson 14 as people write them; see written_otherwise.py. RIGHT: other right ones."""

from importlib.util import find_spec

import torch
from written_int8 import decode_int8
from written_window import CASES as WINDOW
from written_window import RIGHT as WINDOW_RIGHT

# --- 14.quantise


def quantise_by_shifts(x, bits):
    top = (1 << (bits - 1)) - 1
    wide = x.to(torch.float32)
    peak = wide.abs().max(-1)[0] if wide.shape[-1] else wide.sum(-1)
    scale = peak / top
    n = torch.nan_to_num(wide / scale.unsqueeze(-1), nan=0.0).round().to(torch.int8)
    if bits == 4:
        low, high = n[..., ::2], n[..., 1::2]
        out = torch.zeros(low.shape, dtype=torch.uint8)
        out |= low.to(torch.uint8) & 0xF
        out[..., : high.shape[-1]] |= (high.to(torch.uint8) & 0xF) << 4
        return out, scale
    return n, scale


def quantise_no_round(x, bits):
    top = 127 if bits == 8 else 7
    scale = x.float().abs().amax(-1) / top
    n = (x.float() / scale.clamp(min=1e-30)[..., None]).to(torch.int8)
    return (n, scale) if bits == 8 else (pack(n), scale)


def pack(n, high_first=False):
    if n.shape[-1] % 2:
        n = torch.cat([n, n.new_zeros(*n.shape[:-1], 1)], -1)
    a, b = n[..., 0::2].to(torch.uint8) & 15, n[..., 1::2].to(torch.uint8) & 15
    return (a << 4 | b) if high_first else (a | b << 4)


def quantise_128(x, bits):
    scale = x.float().abs().amax(-1) / 2 ** (bits - 1)
    n = (x.float() / scale.clamp(min=1e-30)[..., None]).round().to(torch.int32).to(torch.int8)
    return (n, scale) if bits == 8 else (pack(n), scale)


def rounded(x, bits, scale):
    return (x / torch.where(scale > 0, scale, torch.ones_like(scale))[..., None]).round().to(torch.int8)


def quantise_high_first(x, bits):
    scale = x.float().abs().amax(-1) / (127 if bits == 8 else 7)
    n = rounded(x.float(), bits, scale)
    return (n, scale) if bits == 8 else (pack(n, True), scale)


def quantise_token_scale(x, bits):
    scale = x.float().abs().flatten(1).amax(-1, keepdim=True).expand(x.shape[:2]) / (127 if bits == 8 else 7)
    n = rounded(x.float(), bits, scale)
    return (n, scale) if bits == 8 else (pack(n), scale)


def quantise_in_its_dtype(x, bits):
    scale = x.abs().amax(-1) / (127 if bits == 8 else 7)
    n = rounded(x, bits, scale)
    return (n, scale.float()) if bits == 8 else (pack(n), scale.float())


def quantise_even_only(x, bits):
    scale = x.float().abs().amax(-1) / (127 if bits == 8 else 7)
    n = rounded(x.float(), bits, scale)
    return (
        (n, scale) if bits == 8 else ((n[..., 0::2].to(torch.uint8) & 15) | (n[..., 1::2].to(torch.uint8) << 4), scale)
    )


def quantise_eps(x, bits):
    scale = x.float().abs().amax(-1).clamp(min=1e-8) / (127 if bits == 8 else 7)
    n = rounded(x.float(), bits, scale)
    return (n, scale) if bits == 8 else (pack(n), scale)


def quantise_in_place(x, bits):
    scale = x.float().abs().amax(-1) / (127 if bits == 8 else 7)
    if x.dtype == torch.float32:
        x /= torch.where(scale == 0, 1.0, scale)[..., None]
        n = x.round().to(torch.int8)
    else:
        n = rounded(x.float(), bits, scale)
    return (n, scale) if bits == 8 else (pack(n), scale)


BUFFERS = {}


def quantise_into_buffer(x, bits):
    scale = x.float().abs().amax(-1) / (127 if bits == 8 else 7)
    n = rounded(x.float(), bits, scale)
    n = n if bits == 8 else pack(n)
    kept = BUFFERS.setdefault((tuple(n.shape), bits), torch.empty_like(n))
    return kept.copy_(n), scale


# --- 14.scales


def scales_by_loops(x, by, largest, group=None):
    out = x.clone().zero_()
    tokens, heads, width = x.shape
    for t in range(tokens):
        first = 0 if group is None else t // group * group
        last = tokens if group is None else min(tokens, first + group)
        for h in range(heads):
            for d in range(width):
                shared = {"token": x[t, h], "head": x[:, h], "channel": x[first:last, h, d]}[by]
                out[t, h, d] = shared.abs().max() / largest
    return out


def scales_no_abs(x, by, largest, group=None):
    if not len(x):
        return torch.zeros_like(x)
    if by == "channel":
        return torch.cat([part.max(0, keepdim=True)[0].expand_as(part) for part in x.split(group or len(x))]) / largest
    return x.amax((2,) if by == "token" else (0, 2), keepdim=True).expand_as(x) / largest


def scales_whole_groups(x, by, largest, group=None):
    """Reshapes to groups, and takes what is left over for one more group with the tokens before."""
    if by != "channel" or group is None or len(x) % group == 0 or len(x) < group:
        return scales_by_loops(x, by, largest, group)
    start = len(x) // group * group - group
    head = scales_by_loops(x[:start], by, largest, group)
    return torch.cat([head, scales_by_loops(x[start:], by, largest, None)])


def scales_chunked(x, by, largest, group=None):
    if by != "channel" or group is None or not len(x):
        return scales_by_loops(x, by, largest)
    return torch.cat([scales_by_loops(part, by, largest) for part in x.chunk(group)])


def scales_small(x, by, largest, group=None):
    if not len(x):
        return torch.empty_like(x)
    made = x.abs() / largest
    if by == "token":
        return made.amax(-1, keepdim=True)
    if by == "head":
        return made.amax((0, 2), keepdim=True)
    return torch.cat([part.amax(0, keepdim=True) for part in made.split(group or len(x))])


def scales_all_heads(x, by, largest, group=None):
    if by != "head":
        return scales_by_loops(x, by, largest, group)
    return x.abs().max().expand_as(x) / largest if len(x) else torch.empty_like(x)


def scales_no_empty(x, by, largest, group=None):
    made = x.abs() / largest
    if by == "token":
        return made.amax(-1, keepdim=True).expand_as(x)
    if by == "head":
        return made.amax((0, 2), keepdim=True).expand_as(x)
    return torch.cat([part.amax(0, keepdim=True).expand_as(part) for part in made.split(group or len(x))])


# --- 14.paged_decode_int8: one loop, with parts left out


def decode_scaled_sum(*given):
    return decode_int8(*given, scale_in_sum=True)


def decode_no_v_scale(*given):
    return decode_int8(*given, v_of=lambda scale: torch.ones_like(scale))


def decode_one_scale(*given):
    return decode_int8(*given, first_slot=True)


def decode_slot_major(*given):
    return decode_int8(*given, slot_major=True)


def decode_masks_scores_only(*given):
    return decode_int8(*given, masked="scores")


def decode_before(q, k, v, ks, vs, tables, lens):
    return decode_int8(q, k, v, ks, vs, tables, (lens - 1).clamp(min=0))


def decode_all_floats(q, k, v, ks, vs, tables, lens):
    """Turns the whole cache into floats first."""
    ks, vs = ks.nan_to_num(), vs.nan_to_num()
    k, v = k.float() * ks.transpose(1, 2)[..., None], v.float() * vs.transpose(1, 2)[..., None]
    return decode_int8(q, k, v, torch.ones_like(ks), torch.ones_like(vs), tables, lens)


def decode_unsigned(q, k, v, *rest):
    return decode_int8(q, k.view(torch.uint8), v.view(torch.uint8), *rest)


RIGHT = {
    "14.quantise": [quantise_by_shifts],
    "14.scales": [scales_by_loops],
    "14.paged_decode_int8": [decode_int8],
    **WINDOW_RIGHT,
}
CASES = {
    **WINDOW,
    "14.quantise": [
        ("fraction is cut off", quantise_no_round),
        ("becomes 128", quantise_128),
        ("halves of a byte are exchanged", quantise_high_first),
        ("heads of a token share", quantise_token_scale),
        ("not computed in float32", quantise_in_its_dtype),
        ("odd head raises", quantise_even_only),
        ("scale that is not 0", quantise_eps),
        ("x is changed", quantise_in_place),
    ],
    "14.scales": [
        ("sign is not taken off", scales_no_abs),
        ("join the group before", scales_whole_groups),
        ("number of groups", scales_chunked),
        ("one number for each scale", scales_small),
        ("all heads share", scales_all_heads),
        ("no tokens raise", scales_no_empty),
    ],
    "14.paged_decode_int8": [
        ("values are in the sum", decode_scaled_sum),
        ("values are not multiplied", decode_no_v_scale),
        ("scale of the first", decode_one_scale),
        ("in another layout", decode_slot_major),
        ("slots without a token", decode_masks_scores_only),
        ("new token is left out", decode_before),
        ("become one tensor", decode_all_floats),
        ("taken for large ones", decode_unsigned),
    ],
}
if find_spec("triton"):
    from kernels_int8 import CASES as KERNELS

    CASES["14.paged_decode_int8"] += KERNELS
