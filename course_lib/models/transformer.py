"""A decoder-only transformer on a flat list of tokens, with one door for attention.

The model never changes through the course. It computes queries, keys and values, and hands
them to the cache:

    cache.attend(layer, q, k, v) -> out

What happens behind that door (nothing kept, everything kept, pages, kernels) is what the
lessons are about. There is no batch dimension and no padding: the tokens of all sequences of
a step stand one after the other, and the cache knows which is whose.

Source: Llama (arXiv 2302.13971), Llama 3 (2407.21783), Mistral (2310.06825),
Qwen2 (2407.10671), Qwen3 (2505.09388).
"""

import inspect

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.errors import ParameterError


class Transformer(nn.Module):
    """Llama, Mistral, Qwen2 or Qwen3. config: its ModelConfig. The weights are random until they are loaded.

    Parameter names are those of Hugging Face checkpoints, so that a state dict fits as it is.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Body(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, token_ids, positions, cache, logits_for=None):
        """Logits for the next token, one row for each token that was asked for.

        token_ids:  int64 [num_tokens], the tokens of all sequences, one after the other
        positions:  int64 [num_tokens], where each stands in its own sequence (0 is the first)
        cache:      has attend(layer, q, k, v) -> out; q, out: [num_tokens, num_heads, head_dim],
                    k, v: [num_tokens, num_kv_heads, head_dim]; in a layer with a sliding window
                    called with window=..., the tokens that a token sees, itself included
        logits_for: int64 [num_rows], the rows wanted (default: all). The last row of a prompt
                    is enough to go on, and the vocabulary makes the others expensive.
        returns     float32 [num_rows, vocab_size]
        """
        config = self.config
        check_arguments(token_ids, positions, cache)
        if config.windows:
            cache = for_windows(cache, positions, config.windows)
        hidden = self.model.embed_tokens(token_ids)
        cos, sin = rotary_angles(positions, config)
        cos, sin = cos.to(hidden.dtype), sin.to(hidden.dtype)
        for index, layer in enumerate(self.model.layers):
            hidden = layer(hidden, cos, sin, cache, index)
        if logits_for is not None:
            hidden = hidden[logits_for]
        return self.lm_head(self.model.norm(hidden)).float()

    @property
    def device(self):
        """The torch.device of its weights."""
        return self.lm_head.weight.device

    @property
    def dtype(self):
        """The dtype of its weights."""
        return self.lm_head.weight.dtype

    def __repr__(self):
        c = self.config
        return (
            f"Transformer({c.family}, {c.num_parameters / 1e6:.1f}M parameters, {c.num_layers} layers, "
            f"{c.num_heads} query heads over {c.num_kv_heads} key/value heads of {c.head_dim}, "
            f"vocabulary {c.vocab_size}, context {c.context})"
        )


class Body(nn.Module):
    """Embedding, layers and last norm: the part that checkpoints call `model`."""

    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Layer(nn.Module):
    """Attention, then the feed-forward network, each on a normalised copy and added back."""

    def __init__(self, config, index):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, hidden, cos, sin, cache, index):
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cos, sin, cache, index)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Attention(nn.Module):
    """Projections and rotation; the attention itself is the cache's."""

    def __init__(self, config, index):
        super().__init__()
        c, bias = config, config.attention_bias
        self.head_dim, self.window = c.head_dim, c.windows[index] if c.windows else None
        self.q_proj = nn.Linear(c.hidden_size, c.num_heads * c.head_dim, bias=bias)
        self.k_proj = nn.Linear(c.hidden_size, c.num_kv_heads * c.head_dim, bias=bias)
        self.v_proj = nn.Linear(c.hidden_size, c.num_kv_heads * c.head_dim, bias=bias)
        self.o_proj = nn.Linear(c.num_heads * c.head_dim, c.hidden_size, bias=c.output_bias)
        if c.qk_norm:
            self.q_norm = RMSNorm(c.head_dim, c.rms_norm_eps)
            self.k_norm = RMSNorm(c.head_dim, c.rms_norm_eps)

    def forward(self, hidden, cos, sin, cache, index):
        q = self.q_proj(hidden).unflatten(-1, (-1, self.head_dim))
        k = self.k_proj(hidden).unflatten(-1, (-1, self.head_dim))
        v = self.v_proj(hidden).unflatten(-1, (-1, self.head_dim))
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        window = {} if self.window is None else {"window": self.window}
        out = cache.attend(index, rotate(q, cos, sin), rotate(k, cos, sin), v, **window)
        return self.o_proj(out.flatten(-2))


class FeedForward(nn.Module):
    """SwiGLU: one projection opens the gate for another (arXiv 2002.05202)."""

    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden):
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class RMSNorm(nn.Module):
    """Divides by the root of the mean square, in float32 (arXiv 1910.07467)."""

    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotary_angles(positions, config):
    """RoPE's cosines and signed sines, float32 [num_tokens, 1, head_dim], as `rotate` takes them (arXiv 2104.09864).

    Pair i of a head turns by position * theta ** (-2i / head_dim): the first pairs turn fast and
    tell neighbours apart, the last turn slowly and tell chapters apart.
    """
    pairs = torch.arange(0, config.head_dim, 2, device=positions.device, dtype=torch.float32)
    # 1 / theta ** x as in the reference code, not theta ** -x: the two differ in the last bit, and
    # across 100,000 tokens that bit can be a hundredth of a radian.
    turns = 1.0 / config.rope_theta ** (pairs / config.head_dim)
    if config.rope_scaling:
        turns = config.rope_scaling.slow_down(turns, config.rope_theta)
    angles = (positions.float()[:, None] * turns)[:, None]
    cos, sin = angles.cos(), angles.sin()
    if config.rope_scaling and config.rope_scaling.attention_factor != 1:  # YaRN
        cos, sin = cos * config.rope_scaling.attention_factor, sin * config.rope_scaling.attention_factor
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(x, cos, sin):
    """Turns the pairs (i, i + head_dim / 2) of every head. x: [num_tokens, heads, head_dim].

    `roll` puts the other of its pair in the place of each number; the sign of the first half is in `sin`.
    """
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


def check_arguments(token_ids, positions, cache):
    """Raises ParameterError for what a model cannot be called with."""
    for name, value in (("token_ids", token_ids), ("positions", positions)):
        if not isinstance(value, torch.Tensor) or value.is_floating_point():
            what = value.dtype if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
            raise ParameterError(f"{name} is {what}, but the model takes a tensor of int64. Pass torch.tensor(…).")
    if token_ids.ndim != 1 or token_ids.shape != positions.shape:
        raise ParameterError(
            f"token_ids has shape {list(token_ids.shape)} and positions {list(positions.shape)}; both must "
            f"be flat and equally long. Lay the sequences one after the other: there is no batch dimension."
        )
    if isinstance(cache, type) or not callable(getattr(cache, "attend", None)):
        what = f"the class {cache.__name__}, not an object" if isinstance(cache, type) else f"a {type(cache).__name__}"
        raise ParameterError(
            f"cache is {what}, and the model calls cache.attend(layer, q, k, v) in each layer. Pass an object that "
            f"has it: Recompute(), or ContiguousCache(model.config, max_tokens)."
        )


def for_windows(cache, positions, windows):
    """The cache for a model with sliding windows. One that knows none serves while every token is within the smallest.

    Raises ParameterError for such a cache beyond that: without the window its output would be that of another model.
    """
    takes = inspect.signature(cache.attend).parameters.values()
    if any(one.name == "window" or one.kind is one.VAR_KEYWORD for one in takes):
        return cache
    smallest, last = min(filter(None, windows)), int(positions.max())
    if last >= smallest:
        raise ParameterError(
            f"This model has layers in which a token sees only the last {smallest} tokens, a token came at position "
            f"{last}, and {type(cache).__name__}.attend takes no window. Give it the signature attend(layer, q, k, v, "
            f"window=None), with only the last `window` tokens visible, or keep to {smallest} tokens."
        )
    return WithoutWindow(cache)


class WithoutWindow:
    """A cache that knows no windows, for sequences that are shorter than every window."""

    def __init__(self, cache):
        self.cache = cache

    def attend(self, layer, q, k, v, window=None):
        """As the cache's, for which the window makes no difference."""
        return self.cache.attend(layer, q, k, v)
