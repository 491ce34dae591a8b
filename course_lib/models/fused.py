"""The same model for a GPU: the weights of a Transformer merged into fewer products, and everything around them in
few kernels.

    a layer of Transformer                                a layer here                         kernels
    norm; q, k, v products                                norm + one product                   1, or 2 for many tokens
    norms of q and k, rotation, k and v into the cache    one kernel                           1
    attention                                             attention                            1 or 2
    product; + residual; norm                             product + residual                   1, or 2 for many tokens
    gate, up products; silu; times                        norm + one product + silu * up       1, or 3 for many tokens
    product; + residual                                   product + residual                   1

Few tokens, as in a decode step of a few sequences, take as long as reading the weights: products.few_rows. Many
tokens go through torch's products; up to 16 go through products.some_rows where the weight is small. The weights are
not copied: those of the Transformer become views of the merged ones, so it works as before.
"""

import torch
import torch.nn.functional as F

from .transformer import rotary_angles

SOME_NUMBERS = 2**22
"""Numbers of the largest weight for which some_rows is faster. 8 rows on an H200, in microseconds beside torch: 4.4 and
6.3 for 1,024 x 2,048, 5.9 and 8.3 for 1,024 x 3,072, 6.2 and 6.7 for 2,048 x 2,048, 21 and 15 for 2,048 x 8,192."""


class FusedTransformer:
    """Called like the Transformer it is made from, with a PagedCache whose Batch is set.

    model: a Transformer. ops: where the kernels are, `kernels.twins` or `on_gpu()`. few, some: up to how many tokens
    few_rows and some_rows are taken, 0: never. Logits come in the model's dtype, not in float32.
    """

    def __init__(self, model, ops, few=4, some=0):
        self.model, self.config, self.ops, self.few, self.some = model, model.config, ops, few, some
        self.group = getattr(model, "group", None)  # the ranks, where this is the part of one of several
        self.layers = [FusedLayer(layer, self.config) for layer in model.model.layers]
        positions = torch.arange(self.config.context, device=model.device)
        cos, sin = rotary_angles(positions, self.config)
        half = self.config.head_dim // 2
        self.cos, self.sin = cos[:, 0, :half].contiguous(), sin[:, 0, half:].contiguous()

    @property
    def device(self):
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self):
        """The dtype of the weights."""
        return self.model.dtype

    def __call__(self, token_ids, positions, cache, logits_for=None):
        """As Transformer.forward. token_ids, positions, logits_for: int32 or int64."""
        hidden = self.model.model.embed_tokens(token_ids)
        delta = None
        for index, layer in enumerate(self.layers):
            if len(hidden) <= self.few:
                self._few_tokens(index, layer, hidden, positions, cache)
            else:
                delta = self._many_tokens(index, layer, hidden, delta, positions, cache)
        if logits_for is not None:
            hidden = hidden.index_select(0, logits_for)
            delta = None if delta is None else delta.index_select(0, logits_for)
        norm, head = self.model.model.norm, self.model.lm_head.weight
        if len(hidden) <= self.few and delta is None:
            logits = self.ops.few_rows(hidden.contiguous(), head, norm=norm.weight, eps=norm.eps)
        else:
            logits = F.linear(self.ops.add_rms_norm(hidden.contiguous(), delta, norm.weight, norm.eps), head)
        return logits if self.group is None else self.group.gather(logits)[:, : self.config.vocab_size]

    def _few_tokens(self, index, layer, hidden, positions, cache):
        """One layer, in place on hidden: [few, hidden_size]."""
        eps, few_rows = self.config.rms_norm_eps, self.ops.few_rows
        qkv = few_rows(hidden, layer.qkv, bias=layer.qkv_bias, norm=layer.input_norm, eps=eps)
        out = self._attend(index, layer, qkv, positions, cache)
        self._add_few(hidden, out, layer.o, layer.o_bias)
        act = few_rows(hidden, layer.gate_up, norm=layer.mlp_norm, eps=eps, gated=True)
        self._add_few(hidden, act, layer.down)

    def _add_few(self, hidden, x, weight, bias=None):
        """Adds the product of a few rows to hidden, in place; over several ranks the sum of their products."""
        if self.group is None:
            self.ops.few_rows(x, weight, bias=bias, residual=hidden)
        else:
            self.group.all_reduce(self.ops.few_rows(x, weight, bias=bias), add_to=hidden)

    def _many_tokens(self, index, layer, hidden, delta, positions, cache):
        """One layer. hidden + delta is the residual stream that comes in; what is returned is the delta that goes
        on.
        """
        eps, ops = self.config.rms_norm_eps, self.ops
        qkv = F.linear(ops.add_rms_norm(hidden, delta, layer.input_norm, eps), layer.qkv, layer.qkv_bias)
        out = self._summed(self._product(self._attend(index, layer, qkv, positions, cache), layer.o, layer.o_bias))
        normed = ops.add_rms_norm(hidden, out, layer.mlp_norm, eps)
        return self._summed(self._product(ops.swiglu(F.linear(normed, layer.gate_up)), layer.down))

    def _summed(self, product):
        """The sum over all ranks."""
        return product if self.group is None else self.group.all_reduce(product)

    def _product(self, x, weight, bias=None):
        """As F.linear: of a few rows with a small weight, for which torch's product takes longest beside its limit."""
        if len(x) <= self.some and weight.numel() <= SOME_NUMBERS:
            return self.ops.some_rows(x, weight, bias=bias)
        return F.linear(x, weight, bias)

    def _attend(self, index, layer, qkv, positions, cache):
        k_cache, v_cache, slots = cache.pool.k[index], cache.pool.v[index], cache.batch.slot_mapping
        is_plain = k_cache.dtype == qkv.dtype
        if not is_plain:  # to memory of their own first: `cache.store` converts them
            shape, slots = (len(qkv), 1, *cache.pool.head_shape), torch.arange(len(qkv), device=qkv.device)
            k_cache, v_cache = (torch.empty(shape, dtype=qkv.dtype, device=qkv.device) for _ in "kv")
        q = self.ops.rotary_store(
            qkv,
            positions,
            slots,
            self.cos,
            self.sin,
            k_cache,
            v_cache,
            q_weight=layer.q_norm,
            k_weight=layer.k_norm,
            eps=self.config.rms_norm_eps,
        )
        if not is_plain:
            cache.store(index, k_cache[:, 0], v_cache[:, 0])
        return cache.attend_stored(index, q, layer.window).flatten(-2)


class FusedLayer:
    """The weights of one layer, merged. Those of the Transformer's layer become views of them."""

    def __init__(self, layer, config):
        attention, mlp = layer.self_attn, layer.mlp
        projections = attention.q_proj, attention.k_proj, attention.v_proj
        self.window = attention.window
        self.qkv = merged([one.weight for one in projections])
        self.qkv_bias = merged([one.bias for one in projections]) if config.attention_bias else None
        self.o, self.o_bias = rows_first(attention.o_proj.weight), attention.o_proj.bias
        self.gate_up, self.down = merged([mlp.gate_proj.weight, mlp.up_proj.weight]), rows_first(mlp.down_proj.weight)
        self.input_norm, self.mlp_norm = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        self.q_norm = attention.q_norm.weight if config.qk_norm else None
        self.k_norm = attention.k_norm.weight if config.qk_norm else None


def merged(weights):
    """One tensor with all rows of these parameters, which become views of it: no second copy stays."""
    whole, start = torch.cat([weight.data for weight in weights]), 0
    for weight in weights:
        weight.data = whole[start : start + len(weight)]
        start += len(weight)
    return whole


def rows_first(weight):
    """The data of a parameter in one piece, a row after the other; the parameter becomes a view of it."""
    weight.data = weight.data.contiguous()
    return weight.data


def on_gpu():
    """The kernels, as FusedTransformer takes them. Imports Triton."""
    from types import SimpleNamespace

    from .kernels.norm import add_rms_norm, swiglu
    from .kernels.products import few_rows, some_rows
    from .kernels.rotary import rotary_store

    return SimpleNamespace(
        add_rms_norm=add_rms_norm, swiglu=swiglu, few_rows=few_rows, some_rows=some_rows, rotary_store=rotary_store
    )
