"""The exercises of lesson 05: forks, copy-on-write, block hashes, prefix search, two eviction policies."""

from .copy_on_write import COPY_ON_WRITE
from .evict_lru import EVICT_LRU
from .evict_priority import EVICT_PRIORITY
from .fork import FORK
from .hash_chain import HASH_CHAIN
from .match_prefix import MATCH_PREFIX

EXERCISES = [FORK, COPY_ON_WRITE, HASH_CHAIN, MATCH_PREFIX, EVICT_LRU, EVICT_PRIORITY]
