"""From logits to tokens: sampling one token, the decoding loops, and tools that inspect them."""

from .divergence import Divergence, first_divergence
from .filling import record_cache
from .generate import generate_cached, generate_naive
from .record_choices import record_choices
from .sampling import SamplingParams, distribution, sample
from .work import count_work

__all__ = [
    "Divergence",
    "SamplingParams",
    "count_work",
    "distribution",
    "first_divergence",
    "generate_cached",
    "generate_naive",
    "record_cache",
    "record_choices",
    "sample",
]
