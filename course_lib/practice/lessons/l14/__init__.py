"""Exercises of lesson 14: numbers of 8 and 4 bits, their scales, a decode step over them, the window and its sinks."""

from .paged_decode_int8 import PAGED_DECODE_INT8
from .quantise import QUANTISE
from .scales import SCALES
from .sinks import SINKS
from .window import WINDOW

EXERCISES = [QUANTISE, SCALES, PAGED_DECODE_INT8, WINDOW, SINKS]
