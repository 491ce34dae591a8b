"""The first difference between two caches: the tool that finds a bug in one."""

from dataclasses import dataclass

import torch

from course_lib.errors import ParameterError
from course_lib.kvcache import Recompute

from .generate import check_empty, check_prompt
from .sampling import SamplingParams

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Divergence:
    """The first output of attention in which two caches differ."""

    step: int
    """0 is prefill; step i computes the i-th token after it."""
    layer: int
    position: int
    """Of the first token in this step whose output differs; 0 is the first token of the sequence."""
    difference: float
    """The largest difference of this token's output between the two caches."""
    scale: float
    """The largest absolute value in this layer's output in this step, for comparison."""

    def __repr__(self):
        kind = "prefill" if self.step == 0 else "decode"
        return (
            f"first divergence: step {self.step} ({kind}), layer {self.layer}, position {self.position}: "
            f"the outputs of attention differ by {self.difference:.3g}, where the largest number is {self.scale:.3g}"
        )


@torch.inference_mode()
def first_divergence(model, token_ids, cache_a, cache_b, *, prefill=None, tolerance=None):
    """The Divergence with the lowest step, then layer, then position, or None where the two agree.

    Both get the same sequence, `token_ids`, and run the same `model`: its first `prefill` tokens in one step (default:
    half of them, rounded up), then one token a step. The output of attention is compared in every layer.

    cache_a, cache_b: empty caches, two different objects. Either may be a Recompute(), which is correct by definition;
    it runs once over the whole sequence, since an output does not depend on later tokens. Each cache continues with its
    own outputs, so everything after the first divergence may differ because of it. So only the first is returned.
    tolerance: the largest difference that counts as equal, as a share of the largest output; default 1e-3 in float32.
    Raises ParameterError for a bad sequence or cache, and for an output of the wrong shape.
    """
    ids = check_prompt(model.config, token_ids, SamplingParams(max_tokens=0))
    prefill = (len(ids) + 1) // 2 if prefill is None else prefill
    if type(prefill) is not int or not 1 <= prefill <= len(ids):
        raise ParameterError(
            f"prefill is {prefill!r}, but it is the number of tokens in the first step: 1 to {len(ids)} here."
        )
    if cache_a is cache_b:
        raise ParameterError("cache_a and cache_b are the same object, which would get every token twice. Make two.")
    for cache in (cache_a, cache_b):
        if not isinstance(cache, Recompute):
            check_empty(cache)
    tolerance = _TOLERANCE.get(model.dtype, 1e-3) if tolerance is None else tolerance
    ends = range(prefill, len(ids) + 1)
    runs = zip(outputs(model, ids, ends, cache_a, "cache_a"), outputs(model, ids, ends, cache_b, "cache_b"))
    for step, (layers_a, layers_b) in enumerate(runs):
        for layer, (a, b) in enumerate(zip(layers_a, layers_b)):
            scale = float(torch.maximum(a.abs(), b.abs()).max())
            difference = (a - b).abs().flatten(1).amax(1)  # [tokens of the step]
            wrong = (~(difference <= tolerance * scale)).nonzero()  # not >, so that NaN counts as different
            if len(wrong):
                row = int(wrong[0])
                first = 0 if step == 0 else ends[step] - 1
                return Divergence(step, layer, first + row, float(difference[row]), scale)
    return None


def outputs(model, ids, ends, cache, name):
    """For each step, the output of attention in each layer: float32 [tokens of the step, num_heads, head_dim]."""
    starts = [0, *ends[:-1]]
    if isinstance(cache, Recompute):
        whole = run(model, ids, 0, Recompute(), name)
        yield from ([out[start:end] for out in whole] for start, end in zip(starts, ends))
        return
    for start, end in zip(starts, ends):
        yield run(model, ids[start:end], start, cache, name)


def run(model, ids, start, cache, name):
    """Computes one step of tokens from position `start` on. Returns the outputs of attention, by layer."""
    watched = _Outputs(cache, name)
    positions = torch.arange(start, start + len(ids), device=model.device)
    model(
        torch.tensor(ids, device=model.device),
        positions,
        watched,
        logits_for=torch.tensor([len(ids) - 1], device=model.device),
    )
    return watched.seen


class _Outputs:
    """Wraps a cache and keeps what it returns."""

    def __init__(self, cache, name):
        self.cache, self.name, self.seen = cache, name, []

    def attend(self, layer, q, k, v, **window):
        wanted = list(q.shape)
        out = self.cache.attend(layer, q, k, v, **window)
        if not isinstance(out, torch.Tensor) or list(out.shape) != wanted:
            got = f"a tensor {list(out.shape)}" if isinstance(out, torch.Tensor) else f"{type(out).__name__}"
            raise ParameterError(
                f"{self.name}.attend returned {got} in layer {layer}; the output of attention has the shape "
                f"of q, here {wanted}."
            )
        self.seen.append(out.float().clone())
        return out
