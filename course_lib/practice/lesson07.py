"""Cases of lesson 07: a softmax a row, attention as a kernel, the causal mask by tiles, grouped heads. Each has three rungs."""

from .lesson07_causal import CAUSAL_SKIP
from .lesson07_flash import FLASH_KERNEL
from .lesson07_grouped import GROUPED_QUERY
from .lesson07_softmax import ROW_SOFTMAX

EXERCISES = [ROW_SOFTMAX, FLASH_KERNEL, CAUSAL_SKIP, GROUPED_QUERY]
