"""From logits to text: choosing a token, and the loops that choose many."""

from .choices import record_choices
from .generate import generate_cached, generate_naive
from .sampling import SamplingParams, distribution, sample

__all__ = ["SamplingParams", "distribution", "generate_cached", "generate_naive", "record_choices", "sample"]
