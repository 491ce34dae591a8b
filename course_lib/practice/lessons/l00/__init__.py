"""Exercise of lesson 00: how a check, a hint and a pass look."""

from .hello import HELLO

EXERCISES = [HELLO]
