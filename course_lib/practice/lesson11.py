"""Cases of lesson 11: the budget of a step, prompts in pieces, importance, fair shares, making room and coming back."""

from .lesson11_budget import TOKEN_BUDGET
from .lesson11_chunked import CHUNKED_PREFILL
from .lesson11_fair import FAIR_SHARE
from .lesson11_preempt import PREEMPT
from .lesson11_priority import PRIORITY
from .lesson11_swap import SWAP

EXERCISES = [TOKEN_BUDGET, CHUNKED_PREFILL, PRIORITY, FAIR_SHARE, PREEMPT, SWAP]
