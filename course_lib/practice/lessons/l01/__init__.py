"""Exercises of lesson 01: greedy choice, sampling, the naive loop, and what it costs."""

from .count_work import COUNT_WORK
from .generate import GENERATE
from .greedy import GREEDY
from .sample import SAMPLE

EXERCISES = [GREEDY, SAMPLE, GENERATE, COUNT_WORK]
