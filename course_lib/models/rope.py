"""How RoPE is stretched to contexts longer than those of training: linear, Llama 3's way, and YaRN. No torch.

Pair i of a head turns by turns[i] radians a token. A longer context is reached by slower turns, so that no pair turns
further than it did in training:

    linear    all pairs are slowed down by the same factor
    llama3    the slow pairs are; the fast ones, which tell neighbours apart, are kept; those between are mixed
    yarn      as llama3, by another rule for what is fast; and attention is made sharper for the longer context
"""

import math
from dataclasses import dataclass

from course_lib.errors import ModelError


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3's scaling of the rotary frequencies to a longer context.

    Frequencies with wavelengths longer than `original_context / low_freq_factor` tokens are divided by `factor`, those
    shorter than `original_context / high_freq_factor` stay, and those between are interpolated. Source: Llama 3.1
    reference code, `apply_scaling`.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int
    attention_factor = 1.0

    def slow_down(self, turns, theta):
        """The scaled turns. turns: float32 [head_dim / 2], radians a token. theta: the base of RoPE."""
        wavelength = 2 * math.pi / turns
        low, high = self.low_freq_factor, self.high_freq_factor
        keep = ((self.original_context / wavelength - low) / (high - low)).clamp(0, 1)
        return keep * turns + (1 - keep) * turns / self.factor


@dataclass(frozen=True)
class LinearScaling:
    """All turns divided by `factor`: positional interpolation (arXiv 2306.15595)."""

    factor: float
    attention_factor = 1.0

    def slow_down(self, turns, theta):
        """As RopeScaling.slow_down."""
        return turns / self.factor


@dataclass(frozen=True)
class YarnScaling:
    """YaRN (arXiv 2309.00071): pairs that turn more than `beta_fast` times within the original context are kept, those
    that turn less than `beta_slow` times are divided by `factor`, and between the two is a ramp.

    attention_factor: cosines and sines are multiplied by it, so scores by its square. truncate: whether the ramp begins
    and ends at whole pairs.
    """

    factor: float
    original_context: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    def slow_down(self, turns, theta):
        """As RopeScaling.slow_down."""
        head_dim = 2 * len(turns)
        low, high = (self._pair_with(times, head_dim, theta) for times in (self.beta_fast, self.beta_slow))
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_dim - 1)
        pairs = turns.new_tensor(range(len(turns)))
        slowed = ((pairs - low) / (high - low if high != low else 0.001)).clamp(0, 1)
        return turns / self.factor * slowed + turns * (1 - slowed)

    def _pair_with(self, times, head_dim, theta):
        """The pair, as a fraction, that turns so many times within the original context."""
        return head_dim * math.log(self.original_context / (times * 2 * math.pi)) / (2 * math.log(theta))


def read_scaling(rope, context, source):
    """The scaling that config.json describes, or None. rope: its "rope_parameters" or "rope_scaling".

    Raises ModelError for a kind that is not computed here.
    """
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return None
    if kind == "dynamic" or kind == "longrope":
        raise ModelError(
            f"{source} sets RoPE scaling of type {kind!r}, whose turns depend on how long a sequence is: keys in a "
            f"cache would have to be turned again when it grows. Choose a checkpoint without scaling, or with "
            f"'linear', 'llama3' or 'yarn'."
        )
    if kind not in ("linear", "llama3", "yarn"):
        raise ModelError(
            f"{source} sets RoPE scaling of type {kind!r}; this course implements 'linear', 'llama3' and 'yarn'. "
            f"Choose a checkpoint with one of these, or without scaling."
        )
    original = int(rope.get("original_max_position_embeddings") or context)
    if kind == "yarn" and rope.get("factor") is None:
        factor = context / original
    else:
        factor = float(rope["factor"])
    if not 0 < factor < math.inf:
        raise ModelError(f"{source} sets a factor of {factor} for RoPE; it must be above 0. Correct it.")
    if kind == "linear":
        return LinearScaling(factor)
    if kind == "llama3":
        low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
        return RopeScaling(factor, low, high, int(rope["original_max_position_embeddings"]))
    betas = float(rope.get("beta_fast") or 32), float(rope.get("beta_slow") or 1)
    return YarnScaling(factor, original, attention_factor(rope, factor), *betas, bool(rope.get("truncate", True)))


def attention_factor(rope, factor):
    """YaRN's factor for cosines and sines: given, or 0.1 ln(factor) + 1, or DeepSeek's ratio of two such numbers."""

    def of(times):
        return 0.1 * times * math.log(factor) + 1 if factor > 1 else 1.0

    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return of(rope["mscale"]) / of(rope["mscale_all_dim"])
    return of(1)
