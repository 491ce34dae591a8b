"""The exercises of lesson 07: row softmax, attention kernel, causal mask, grouped heads. All have three rungs."""

from .causal_skip import CAUSAL_SKIP
from .flash_kernel import FLASH_KERNEL
from .grouped_query import GROUPED_QUERY
from .row_softmax import ROW_SOFTMAX

EXERCISES = [ROW_SOFTMAX, FLASH_KERNEL, CAUSAL_SKIP, GROUPED_QUERY]
