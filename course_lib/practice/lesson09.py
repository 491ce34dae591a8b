"""Cases of lesson 09: operations for each byte, what static batches waste, and a batcher with a size and a timeout."""

from .lesson09_batcher import DYNAMIC_BATCHER
from .lesson09_intensity import INTENSITY
from .lesson09_static import STATIC_WASTE

EXERCISES = [INTENSITY, STATIC_WASTE, DYNAMIC_BATCHER]
