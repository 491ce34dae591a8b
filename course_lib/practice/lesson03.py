"""Cases of lesson 03: bytes of a token, requests that fit, where the slots went, and what to give up under a budget."""

from .lesson03_budget import FIT_A_BUDGET
from .lesson03_bytes import BYTES_PER_TOKEN
from .lesson03_fragmentation import FRAGMENTATION
from .lesson03_requests import MAX_REQUESTS

EXERCISES = [BYTES_PER_TOKEN, MAX_REQUESTS, FRAGMENTATION, FIT_A_BUDGET]
