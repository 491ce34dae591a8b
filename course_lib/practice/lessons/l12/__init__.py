"""Exercises of lesson 12: the numbers of a run, and requests in time."""

from .goodput import GOODPUT
from .metrics import METRICS

EXERCISES = [METRICS, GOODPUT]
