"""Cases of lesson 07: a softmax a row, attention as a kernel, the causal mask by tiles, grouped heads. Each has three rungs."""

from .causal_skip import CAUSAL_SKIP
from .flash_kernel import FLASH_KERNEL
from .grouped_query import GROUPED_QUERY
from .row_softmax import ROW_SOFTMAX

EXERCISES = [ROW_SOFTMAX, FLASH_KERNEL, CAUSAL_SKIP, GROUPED_QUERY]
