"""Cases of lesson 01: greedy choice, sampling, the naive loop, and what it costs."""

from .lesson01_generate import GENERATE
from .lesson01_greedy import GREEDY
from .lesson01_sample import SAMPLE
from .lesson01_work import COUNT_WORK

EXERCISES = [GREEDY, SAMPLE, GENERATE, COUNT_WORK]
