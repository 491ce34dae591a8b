"""Exercises: what must hold, what goes wrong, and the learner's workbook."""

from .check import CheckFailed, check, progress, solution
from .hint import hint
from .predict import predict
from .progress import workbook

__all__ = ["CheckFailed", "check", "hint", "predict", "progress", "solution", "workbook"]
