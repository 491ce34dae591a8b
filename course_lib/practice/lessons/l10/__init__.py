"""Exercises of lesson 10: the flat batch, when a sequence ends, what runs in a step, and the whole loop."""

from .continuous_loop import CONTINUOUS_LOOP
from .pack import PACK
from .step import STEP
from .stop_conditions import STOP_CONDITIONS

EXERCISES = [PACK, STOP_CONDITIONS, STEP, CONTINUOUS_LOOP]
