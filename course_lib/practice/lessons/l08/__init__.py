"""Cases of lesson 08: scatter by slot mapping, decode through the block table, split and merge, and chunks of a prompt."""

from .paged_decode import PAGED_DECODE
from .paged_prefill import PAGED_PREFILL
from .split_kv import SPLIT_KV
from .store_kv import STORE_KV

EXERCISES = [STORE_KV, PAGED_DECODE, SPLIT_KV, PAGED_PREFILL]
