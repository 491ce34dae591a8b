"""A pool whose keys and values take 8 or 4 bits a number: lesson 14. To the ledger it is a pool like any other.

k[layer], v[layer]                [num_blocks, block_size, num_kv_heads, head_dim], int4: head_dim / 2
k_scale[layer], v_scale[layer]    [num_blocks, num_kv_heads, block_size]: one float32 for each token and head

The scales of a block's tokens lie side by side for each head, as a decode kernel reads them. Every token has scales of
its own, so a token never changes when others join its block: it is the same whether it came in a chunk of a prompt,
alone, or back from CPU memory.
"""

import torch

from course_lib.attention.reference.quantise import STORED_AS, dequantise, put, stored_width, take
from course_lib.errors import ParameterError

from .pool import KVPool
from .sizes import KV_DTYPES

PLAIN = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def make_pool(config, num_blocks, block_size, device=None, dtype=None, *, kv_dtype="auto", k_channels=None):
    """A KVPool for a model that computes in `dtype`, whose keys and values are kept as `kv_dtype`.

    kv_dtype: one of KV_DTYPES; "auto" keeps them as they are computed. k_channels: as in QuantisedPool. The rest as in
    KVPool. Raises ParameterError for another kv_dtype, and for k_channels without a quantised one.
    """
    if kv_dtype not in KV_DTYPES:
        raise ParameterError(f"kv_dtype is {kv_dtype!r}; it can be {', '.join(map(repr, KV_DTYPES))}.")
    if kv_dtype in STORED_AS:
        return QuantisedPool(config, num_blocks, block_size, device, dtype, kv_dtype=kv_dtype, k_channels=k_channels)
    if k_channels is not None:
        raise ParameterError(
            f"k_channels came with kv_dtype={kv_dtype!r}, which keeps keys as they are. Take int8, fp8 or int4."
        )
    pool = KVPool(config, num_blocks, block_size, device, dtype)
    if kv_dtype != "auto" and PLAIN[kv_dtype] != pool.dtype:
        return ConvertedPool(config, num_blocks, block_size, device, pool.dtype, kv_dtype=kv_dtype)
    return pool


class ConvertedPool(KVPool):
    """A KVPool in another floating dtype than the model computes in. kv_dtype: a name in PLAIN."""

    def __init__(self, config, num_blocks, block_size, device=None, dtype=None, *, kv_dtype):
        super().__init__(config, num_blocks, block_size, device, PLAIN[kv_dtype])
        self.dtype = dtype

    def write(self, layer, slot_mapping, k, v):
        """As KVPool.write."""
        super().write(layer, slot_mapping, k.to(self.k.dtype), v.to(self.v.dtype))

    def gather(self, layer, block_table, num_tokens):
        """As KVPool.gather, in the dtype of the model."""
        return tuple(x.to(self.dtype) for x in super().gather(layer, block_table, num_tokens))

    def take(self, layer, slots):
        """As KVPool.take, in the dtype of the model."""
        return tuple(x.to(self.dtype) for x in super().take(layer, slots))


class QuantisedPool(KVPool):
    """Keys and values in blocks as int8, fp8 or int4, each token and head with a scale of its own.

    kv_dtype: "int8", "fp8" (e4m3) or "int4". k_channels: float32 [num_layers, num_kv_heads, head_dim], or None: keys
    are divided by these before they are quantised, so that a channel whose numbers are large does not decide the scale
    of all others; see `course_lib.kvcache.channels.measure`. dtype: that of the model, which keys and values have when
    they come back. Raises ParameterError for an odd head_dim in int4.
    """

    def __init__(self, config, num_blocks, block_size, device=None, dtype=None, *, kv_dtype, k_channels=None):
        super().__init__(config, 1, block_size, device, dtype)
        self.kv_dtype, self.num_blocks, device = kv_dtype, num_blocks, self.k.device
        outer, width = (config.num_layers, num_blocks), stored_width(config.head_dim, kv_dtype)
        stored = (*outer, block_size, config.num_kv_heads, width)
        self.k, self.v = (torch.zeros(stored, device=device, dtype=STORED_AS[kv_dtype]) for _ in "kv")
        scales = (*outer, config.num_kv_heads, block_size)
        self.k_scale, self.v_scale = (torch.zeros(scales, device=device) for _ in "kv")
        self.k_channels = None if k_channels is None else self._checked(k_channels, config).to(device)

    def _checked(self, k_channels, config):
        shape = (config.num_layers, *self.head_shape)
        if k_channels.shape != shape or not (k_channels > 0).all() or not k_channels.isfinite().all():
            raise ParameterError(
                f"k_channels has shape {list(k_channels.shape)}; it needs a finite number above 0 for each channel of "
                f"this model's keys: {list(shape)}, [num_layers, num_kv_heads, head_dim]."
            )
        return k_channels.float()

    @property
    def by_token(self):
        """As KVPool.by_token, the scales included."""
        return self.k, self.v, self.k_scale.transpose(2, 3), self.v_scale.transpose(2, 3)

    def write(self, layer, slot_mapping, k, v):
        """As KVPool.write: quantises on the way."""
        put(self.k[layer], self.k_scale[layer], slot_mapping, self.divided(layer, k))
        put(self.v[layer], self.v_scale[layer], slot_mapping, v)

    def gather(self, layer, block_table, num_tokens):
        """As KVPool.gather, in the dtype of the model."""
        return self._back(
            layer,
            *(
                dequantise(kept[layer][block_table], scale[layer][block_table].transpose(1, 2), self.dtype).flatten(
                    0, 1
                )[:num_tokens]
                for kept, scale in ((self.k, self.k_scale), (self.v, self.v_scale))
            ),
        )

    def take(self, layer, slots):
        """As KVPool.take, in the dtype of the model."""
        k = take(self.k[layer], self.k_scale[layer], slots, self.dtype)
        return self._back(layer, k, take(self.v[layer], self.v_scale[layer], slots, self.dtype))

    def layer(self, layer):
        """As KVPool.layer. Where there are k_channels, keys come divided by them: multiply the queries by them."""
        return self.k[layer], self.v[layer], {"k_scale": self.k_scale[layer], "v_scale": self.v_scale[layer]}

    def divided(self, layer, k):
        """Keys as they are stored: divided by k_channels."""
        return k if self.k_channels is None else k / self.k_channels[layer].to(k.dtype)

    def multiplied(self, layer, q):
        """Queries for stored keys: multiplied by k_channels, so that every product q k is what it was.

        q: [num_tokens, num_heads, head_dim].
        """
        if self.k_channels is None:
            return q
        channels = self.k_channels[layer].to(q.dtype)
        return (q.unflatten(1, (len(channels), -1)) * channels[:, None]).flatten(1, 2)

    def _back(self, layer, k, v):
        return k if self.k_channels is None else k * self.k_channels[layer].to(k.dtype), v

    def __repr__(self):
        return f"{super().__repr__()[:-1]}, {self.kv_dtype})"
