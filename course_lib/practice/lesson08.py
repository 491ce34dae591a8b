"""Cases of lesson 08: scatter by slot mapping, decode through the block table, split and merge, and chunks of a prompt."""

from .lesson08_decode import PAGED_DECODE
from .lesson08_prefill import PAGED_PREFILL
from .lesson08_split import SPLIT_KV
from .lesson08_store import STORE_KV

EXERCISES = [STORE_KV, PAGED_DECODE, SPLIT_KV, PAGED_PREFILL]
