"""Cases of lesson 11: the budget of a step, prompts in pieces, importance, fair shares, making room and coming back."""

from .chunked_prefill import CHUNKED_PREFILL
from .fair_share import FAIR_SHARE
from .preempt import PREEMPT
from .priority import PRIORITY
from .swap import SWAP
from .token_budget import TOKEN_BUDGET

EXERCISES = [TOKEN_BUDGET, CHUNKED_PREFILL, PRIORITY, FAIR_SHARE, PREEMPT, SWAP]
