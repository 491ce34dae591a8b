"""Cases of lesson 10: the flat batch, when a text is over, who runs in a step, and the whole loop."""

from .lesson10_loop import CONTINUOUS_LOOP
from .lesson10_pack import PACK
from .lesson10_step import STEP
from .lesson10_stop import STOP_CONDITIONS

EXERCISES = [PACK, STOP_CONDITIONS, STEP, CONTINUOUS_LOOP]
