"""Exercises of lesson 02: the cache, the loop with it, one cache for many prompts, and three bugs."""

from .cache import CACHE
from .find_the_bug import FIND_THE_BUG
from .generate_cached import GENERATE_CACHED
from .reuse import REUSE

EXERCISES = [CACHE, GENERATE_CACHED, REUSE, FIND_THE_BUG]
