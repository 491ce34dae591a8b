"""No cache at all: lesson 01, and the reference that the cache of every later lesson is compared with."""

import torch.nn.functional as F

from course_lib.attention.reference.twins import last_tokens


class Recompute:
    """Keeps nothing from one step to the next, so every step gets the whole sequence.

    It is slow and obviously right. Every other cache must give the same tokens.
    """

    def attend(self, layer, q, k, v, window=None):
        """Causal attention of one whole sequence to itself.

        q: [num_tokens, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim], all tokens from position 0 on.
        Query heads share key/value heads in groups (arXiv 2305.13245). window: a token sees itself and the window - 1
        before it; None: all before it. Returns [num_tokens, num_heads, head_dim].
        """
        if window is not None:
            return last_tokens(q, k, v, window=window)
        # torch expects [batch, heads, tokens, head_dim]; without the batch dimension it uses a much slower path.
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])
        return out[0].transpose(0, 1)
