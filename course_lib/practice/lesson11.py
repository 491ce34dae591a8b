"""Cases of lesson 11: the budget of a step, prompts in pieces, importance, fair shares, making room and coming back."""

from .lesson11_budget import TOKEN_BUDGET
from .lesson11_chunked import CHUNKED_PREFILL
from .lesson11_priority import PRIORITY

EXERCISES = [TOKEN_BUDGET, CHUNKED_PREFILL, PRIORITY]
