"""The exercises of lesson 08: store by slot mapping, paged decode, split KV, paged prefill. All have three rungs."""

from .paged_decode import PAGED_DECODE
from .paged_prefill import PAGED_PREFILL
from .split_kv import SPLIT_KV
from .store_kv import STORE_KV

EXERCISES = [STORE_KV, PAGED_DECODE, SPLIT_KV, PAGED_PREFILL]
