"""Exercises of lesson 04: the allocator, the block table, slots, the gather, the block size, and a leak."""

from .allocator import ALLOCATOR
from .block_table import BLOCK_TABLE
from .find_the_leak import FIND_THE_LEAK
from .gather import GATHER
from .page_size import PAGE_SIZE
from .slot_mapping import SLOT_MAPPING

EXERCISES = [ALLOCATOR, BLOCK_TABLE, SLOT_MAPPING, GATHER, PAGE_SIZE, FIND_THE_LEAK]
