"""Exercises: what must hold, what goes wrong, and the learner's workbook."""

from .assembly.assemble import assemble
from .check import CheckFailed, check, progress, solution
from .guesses import guesses
from .hint import hint
from .parts import load_parts
from .predict import predict
from .progress import workbook
from .unknown_names import explain_unknown_names

__all__ = [
    "CheckFailed",
    "assemble",
    "check",
    "guesses",
    "hint",
    "load_parts",
    "predict",
    "progress",
    "solution",
    "workbook",
]

explain_unknown_names()
