"""Cases of lesson 05: forks, copy-on-write, the chain of hashes, the search in it, and two ways to evict."""

from .lesson05_copy import COPY_ON_WRITE
from .lesson05_fork import FORK
from .lesson05_hash import HASH_CHAIN
from .lesson05_lru import EVICT_LRU
from .lesson05_match import MATCH_PREFIX
from .lesson05_priority import EVICT_PRIORITY

EXERCISES = [FORK, COPY_ON_WRITE, HASH_CHAIN, MATCH_PREFIX, EVICT_LRU, EVICT_PRIORITY]
