"""Cases of lesson 06: the online softmax, the forward pass in tiles, merging, masks by tile, bytes moved, and the gradient."""

from .lesson06_backward import RECOMPUTE_BACKWARD
from .lesson06_forward import FLASH_FORWARD
from .lesson06_io import COUNT_IO
from .lesson06_merge import MERGE_PARTIALS
from .lesson06_softmax import ONLINE_SOFTMAX
from .lesson06_tiles import TILE_MASK

EXERCISES = [ONLINE_SOFTMAX, FLASH_FORWARD, MERGE_PARTIALS, TILE_MASK, COUNT_IO, RECOMPUTE_BACKWARD]
