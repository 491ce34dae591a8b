"""Exercises of lesson 12: the numbers of a run, arrivals, requests in time, the knee, and flaws of reports."""

from .goodput import GOODPUT
from .knee import KNEE
from .metrics import METRICS
from .poisson import POISSON
from .spot_the_flaw import SPOT_THE_FLAW

EXERCISES = [METRICS, POISSON, GOODPUT, KNEE, SPOT_THE_FLAW]
