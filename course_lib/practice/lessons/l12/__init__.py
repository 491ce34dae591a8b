"""Exercises of lesson 12: the numbers of a run, arrivals, requests in time, and the knee."""

from .goodput import GOODPUT
from .knee import KNEE
from .metrics import METRICS
from .poisson import POISSON

EXERCISES = [METRICS, POISSON, GOODPUT, KNEE]
