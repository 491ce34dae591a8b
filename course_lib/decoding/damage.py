"""What a smaller cache costs: the same text through the same model, with keys and values as they come back from it.

Every token attends to keys and values that were rounded, and under a mask, as in an engine with `kv_dtype`, `window`
and `sinks`; but the whole text goes through the model at once. So a text of 1,600 tokens is measured in one run.

    a scale for    the numbers that share it                         who does so
    "token"        those of one token and head                       EngineConfig(kv_dtype=…)
    "head"         those of one head, of all tokens                  a scale for each tensor that is measured beforehand
    "channel"      those of one channel, of `group` tokens           KIVI (arXiv 2402.02750), KVQuant (2401.18079): keys
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from course_lib.attention.reference.quantise import LARGEST, scaled
from course_lib.attention.reference.twins import last_tokens
from course_lib.errors import ParameterError

SCALES = ("token", "head", "channel")


@dataclass(frozen=True)
class Rounding:
    """How keys, or values, are rounded."""

    kind: str | int = "int8"
    """"int8", "fp8", "int4", "bfloat16", "float16"; or the bits of a whole number, 2 to 8."""
    scales: str = "token"
    """Which numbers share a scale: "token", "head" or "channel"."""
    group: int | None = None
    """With "channel": so many tokens share a scale. None: all."""

    def __post_init__(self):
        if self.scales not in SCALES:
            raise ParameterError(f"scales is {self.scales!r}; it can be {', '.join(map(repr, SCALES))}.")
        is_bits = type(self.kind) is int and 2 <= self.kind <= 8
        if not is_bits and self.kind not in (*LARGEST, "bfloat16", "float16"):
            raise ParameterError(
                f"kind is {self.kind!r}; it can be {', '.join(map(repr, LARGEST))}, 'bfloat16', 'float16', or "
                f"2 to 8 bits."
            )

    def __call__(self, x):
        """x, [num_tokens, num_kv_heads, head_dim], as it comes back: in the same dtype."""
        if self.kind in ("bfloat16", "float16"):
            return x.to(getattr(torch, self.kind)).to(x.dtype)
        if self.scales == "token":
            return self._rounded(x, -1)
        if self.scales == "head":
            return self._rounded(x, (0, 2))
        group = self.group or max(1, len(x))
        return torch.cat([self._rounded(part, 0) for part in x.split(group)]) if len(x) else x

    def _rounded(self, x, together):
        """together: the dimensions of x whose numbers share a scale."""
        largest = LARGEST.get(self.kind) or 2 ** (self.kind - 1) - 1
        whole, scale = scaled(x, largest, together)
        whole = whole.to(torch.float8_e4m3fn).float() if self.kind == "fp8" else whole.round()
        return (whole * scale).to(x.dtype)


class RoundedCache:
    """As Recompute, for one whole sequence, with rounded keys and values and a window.

    k, v: a Rounding, or None: as they are. window, sinks: as in EngineConfig.
    """

    def __init__(self, k=None, v=None, *, window=None, sinks=0):
        self.k, self.v, self.seen = k, v, dict(window=window, sinks=sinks)

    def attend(self, layer, q, k, v):
        """As Recompute.attend."""
        k, v = (x if rounding is None else rounding(x) for x, rounding in ((k, self.k), (v, self.v)))
        return last_tokens(q, k, v, **self.seen)


@dataclass(frozen=True)
class Damage:
    """What a cache costs on some texts. The errors are against the same model with Recompute."""

    answers: tuple
    """Of each stretch of distances: (answers that are right, questions)."""
    perplexity: float
    logit_error: float
    """The mean distance of a logit from the exact one, divided by how far the exact ones are from their mean."""
    lost: tuple
    """(text, question) of each answer that is right without this cache and wrong with it."""


@torch.inference_mode()
def run_through(model, token_ids, cache):
    """The logits of a whole sequence, float32 [num_tokens, vocab_size]. token_ids: a list."""
    ids = torch.tensor(token_ids, device=model.device)
    return model(ids, torch.arange(len(ids), device=model.device), cache)


def damage(model, texts, cache, exact, stretches=((0, 256), (256, 512), (512, 1024), (1024, 1536))):
    """The Damage of a cache.

    texts: (token ids, questions), where a question is (distance, the indices of the tokens that spell its answer and of
    the one that ends it). exact: the logits of each text with Recompute. stretches: of distances, (above, up to).
    """
    right, asked, lost, error, spread, loss, count = [0] * len(stretches), [0] * len(stretches), [], 0.0, 0.0, 0.0, 0
    for number, ((ids, questions), want) in enumerate(zip(texts, exact)):
        logits = run_through(model, ids, cache)
        error += float((logits - want).abs().sum())
        spread += float((want - want.mean(-1, keepdim=True)).abs().sum())
        targets = torch.tensor(ids[1:], device=logits.device)
        loss, count = loss + float(F.cross_entropy(logits[:-1], targets, reduction="sum")), count + len(targets)
        top, exact_top = logits.argmax(-1).tolist(), want.argmax(-1).tolist()
        for question, (distance, tokens) in enumerate(questions):
            is_right = all(top[i - 1] == ids[i] for i in tokens)
            if not is_right and all(exact_top[i - 1] == ids[i] for i in tokens):
                lost.append((number, question))
            for row, (above, up_to) in enumerate(stretches):
                if above < distance <= up_to:
                    asked[row] += 1
                    right[row] += is_right
    perplexity = float(torch.tensor(loss / max(count, 1)).exp())
    return Damage(tuple(zip(right, asked)), perplexity, error / max(spread, 1e-30), tuple(lost))
