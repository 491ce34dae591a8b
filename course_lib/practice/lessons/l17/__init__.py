"""Exercises of lesson 17: the weights of a rank, the sum over ranks, the heads of a rank, and a router."""

from .all_reduce import ALL_REDUCE
from .kv_heads import KV_HEADS
from .route import ROUTE
from .shard import SHARD

EXERCISES = [SHARD, ALL_REDUCE, KV_HEADS, ROUTE]
