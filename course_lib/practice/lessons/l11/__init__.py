"""Exercises of lesson 11: the token budget, chunked prefill, priority, fair share, preemption, and swapping."""

from .chunked_prefill import CHUNKED_PREFILL
from .fair_share import FAIR_SHARE
from .preempt import PREEMPT
from .priority import PRIORITY
from .swap import SWAP
from .token_budget import TOKEN_BUDGET

EXERCISES = [TOKEN_BUDGET, CHUNKED_PREFILL, PRIORITY, FAIR_SHARE, PREEMPT, SWAP]
