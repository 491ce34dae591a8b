"""Exercises of lesson 09: operations per byte, what static batches waste, and a batcher with a size and a timeout."""

from .dynamic_batcher import DYNAMIC_BATCHER
from .intensity import INTENSITY
from .static_waste import STATIC_WASTE

EXERCISES = [INTENSITY, STATIC_WASTE, DYNAMIC_BATCHER]
