"""What a cache holds at each step of decoding, as plain data for a view."""

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from course_lib.kvcache import ContiguousCache

from .generate import check_prompt, generate_cached
from .sampling import SamplingParams


def record_cache(model, tokenizer, prompt, params=SamplingParams(max_tokens=24), cache=None):
    """Generates with a cache and records every step. Returns the arguments of `viz.cache_filling`:

        cache_filling(**record_cache(model, tokenizer, prompt, params, cache))

    prompt: token ids. cache: as for generate_cached, also a learner's own. A step is a dictionary: `first` and `count`
    of the positions that are computed; `kept`, for each layer the number of tokens that the newest one could see;
    `naive_tokens`, the number that generate_naive would compute. `kept` is counted where attention is computed (see
    KeysSeen), so it also shows a cache that holds tokens it does not use, or uses tokens that it should have dropped.
    Besides the steps: `tokens`, the texts of all tokens computed, and the shape of the model. Raises what
    generate_cached raises.
    """
    config, prompt = model.config, check_prompt(model.config, prompt, params)
    if cache is None:
        most = max(1, len(prompt) + params.max_tokens - 1)
        cache = ContiguousCache(config, most, device=model.device, dtype=model.dtype)
    watched = _Kept(cache)
    new = generate_cached(model, prompt, params, watched)
    steps, first = [], 0
    for step, (count, kept) in enumerate(watched.steps):
        steps.append(
            {
                "first": first,
                "count": count,
                "kept": [first + count if n is None else n for n in kept],
                "naive_tokens": len(prompt) + step,
            }
        )
        first += count
    return dict(
        tokens=[tokenizer.token_text(i) for i in [*prompt, *new][:first]],
        steps=steps,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        bytes_per_number=model.lm_head.weight.element_size(),
    )


class _Kept:
    """Wraps a cache and records, for each step, its number of tokens and the keys that each layer could see."""

    def __init__(self, cache):
        self.cache, self.steps = cache, []

    def __getattr__(self, name):
        return getattr(self.cache, name)

    def attend(self, layer, q, k, v, **window):
        if layer == 0:
            self.steps.append((len(q), []))
        with KeysSeen() as seen:
            out = self.cache.attend(layer, q, k, v, **window)
        self.steps[-1][1].append(seen.keys)
        return out


class KeysSeen(TorchFunctionMode):
    """Inside the block: `keys`, the number of keys that the last query of attention could see.

    It is read from the last call of scaled_dot_product_attention or softmax (a cache may compute head by head), without
    masked keys. None where neither was called.
    """

    def __init__(self):
        super().__init__()
        self.keys = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.keys = _seen_by_last_query(*args, **kwargs)
        elif func in (torch.softmax, torch.Tensor.softmax, F.softmax):
            scores = args[0] if args else kwargs["input"]
            self.keys = int((scores[(0,) * (scores.ndim - 2) + (-1,)] if scores.ndim > 1 else scores).isfinite().sum())
        return func(*args, **kwargs)


def _seen_by_last_query(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **others):
    queries, keys = query.shape[-2], key.shape[-2]
    if attn_mask is not None:
        last = attn_mask.expand(*attn_mask.shape[:-2], queries, keys)[(0,) * (attn_mask.ndim - 2) + (-1,)]
        return int((last if last.dtype == torch.bool else last.isfinite()).sum())
    return min(queries, keys) if is_causal else keys  # torch's causal mask counts from the first key
