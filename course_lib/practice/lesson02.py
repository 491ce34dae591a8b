"""Cases of lesson 02: the cache, the loop with it, one cache for many prompts, and three bugs."""

from .lesson02_bugs import FIND_THE_BUG
from .lesson02_cache import CACHE
from .lesson02_generate import GENERATE_CACHED
from .lesson02_reuse import REUSE

EXERCISES = [CACHE, GENERATE_CACHED, REUSE, FIND_THE_BUG]
