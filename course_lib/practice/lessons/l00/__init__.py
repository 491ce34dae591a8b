"""Cases of lesson 00: the loop of fail, hint, pass."""

from .hello import HELLO

EXERCISES = [HELLO]
