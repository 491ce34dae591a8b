"""A decode step over an int8 cache as most people write it, with parts that can be wrong."""

import torch

INF = float("inf")


def decode_int8(
    q,
    k_cache,
    v_cache,
    k_scale,
    v_scale,
    block_tables,
    seq_lens,
    v_of=lambda scale: scale,
    scale_in_sum=False,
    first_slot=False,
    slot_major=False,
    masked="all",
):
    (n, heads, d), (_, size, kv_heads, _) = q.shape, k_cache.shape
    out = torch.zeros_like(q)
    for s, h in ((s, h) for s in range(n) for h in range(heads)):
        g, length = h * kv_heads // heads, int(seq_lens[s])
        m_i, l_i, acc = torch.tensor(-INF), torch.tensor(0.0), torch.zeros(d)
        for j in range((length + size - 1) // size):
            b = int(block_tables[s, j])
            filled = j * size + torch.arange(size) < length
            k, v = k_cache[b, :, g].float(), v_cache[b, :, g].float()
            scales = [of_block(x, b, g, slot_major) for x in (k_scale, v_scale)]
            if first_slot:
                scales = [x[:1].expand(size) for x in scales]
            if masked == "all":
                scales = [torch.where(filled, x, 0.0) for x in scales]
            scores = (k @ q[s, h] / d**0.5 * scales[0]).masked_fill(~filled, -INF)
            new_m = torch.maximum(m_i, scores.max())
            alpha, weights = (m_i - new_m).exp(), (scores - new_m).exp()
            scaled = weights * v_of(scales[1])
            l_i = l_i * alpha + (scaled if scale_in_sum else weights).sum()
            acc, m_i = acc * alpha + scaled @ v, new_m
        out[s, h] = acc / l_i if length else acc
    return out


def of_block(scales, block, head, slot_major):
    """The scales of a block and head, [block_size]; slot_major: as if the heads of a slot lay side by side."""
    if slot_major:
        return scales.reshape(scales.shape[0], scales.shape[2], scales.shape[1])[block, :, head]
    return scales[block, head]
