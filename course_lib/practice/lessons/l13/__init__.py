"""Exercises of lesson 13: bandwidth, padded batch sizes, a fused norm, random numbers from a counter, tiles."""

from .bandwidth_use import BANDWIDTH_USE
from .counter_rng import COUNTER_RNG
from .fuse_norm import FUSE_NORM
from .graph_buckets import GRAPH_BUCKETS
from .pick_tiles import PICK_TILES

EXERCISES = [BANDWIDTH_USE, GRAPH_BUCKETS, FUSE_NORM, COUNTER_RNG, PICK_TILES]
