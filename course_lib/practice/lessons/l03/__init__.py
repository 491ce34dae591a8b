"""Exercises of lesson 03: bytes of a token, requests that fit, what each slot is used for, and a plan for a budget."""

from .bytes_per_token import BYTES_PER_TOKEN
from .fit_a_budget import FIT_A_BUDGET
from .fragmentation import FRAGMENTATION
from .max_requests import MAX_REQUESTS

EXERCISES = [BYTES_PER_TOKEN, MAX_REQUESTS, FRAGMENTATION, FIT_A_BUDGET]
