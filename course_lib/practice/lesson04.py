"""Cases of lesson 04: the allocator, the block table, slots, the gather, the size of a page, and a leak."""

from .lesson04_allocator import ALLOCATOR
from .lesson04_gather import GATHER
from .lesson04_leak import FIND_THE_LEAK
from .lesson04_page_size import PAGE_SIZE
from .lesson04_slots import SLOT_MAPPING
from .lesson04_table import BLOCK_TABLE

EXERCISES = [ALLOCATOR, BLOCK_TABLE, SLOT_MAPPING, GATHER, PAGE_SIZE, FIND_THE_LEAK]
