"""The exercises of lesson 06: online softmax, flash forward, merging, masks of tiles, bytes moved, gradient."""

from .count_io import COUNT_IO
from .flash_forward import FLASH_FORWARD
from .merge_partials import MERGE_PARTIALS
from .online_softmax import ONLINE_SOFTMAX
from .recompute_backward import RECOMPUTE_BACKWARD
from .tile_mask import TILE_MASK

EXERCISES = [ONLINE_SOFTMAX, FLASH_FORWARD, MERGE_PARTIALS, TILE_MASK, COUNT_IO, RECOMPUTE_BACKWARD]
