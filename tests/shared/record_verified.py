"""--record-verified cpu|colab: lessons that ran to their end in this run go into docs/verified.json and the README.

A lesson counts if it ran and none of its tests failed: one test in a browser, or one for each cell under nbval.
"""

import os
import platform
import re
from pathlib import Path

import torch

from course_lib.authoring import verified

ROOT = Path(__file__).resolve().parents[2]
LESSON = re.compile(r"(?:^|\[)notebooks/(\d\d)_\w+\.ipynb(?:\]|::)")


def lesson_of(nodeid):
    """The number of the lesson that a test runs, or None."""
    found = LESSON.search(nodeid)
    return found[1] if found else None


class Recorder:
    """Counts what the reports of a run say of each lesson."""

    def __init__(self, kind):
        self.kind, self.seconds, self.failed = kind, {}, set()

    def pytest_runtest_logreport(self, report):
        """For pytest, in the process that was started."""
        number = lesson_of(report.nodeid)
        if number is None:
            return
        self.seconds[number] = self.seconds.get(number, 0.0) + report.duration
        if report.failed or report.skipped:
            self.failed.add(number)

    def pytest_sessionfinish(self, session):
        """For pytest: writes, once all have ended."""
        passed = {number: its for number, its in self.seconds.items() if number not in self.failed}
        on = f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
        verified.record(ROOT, self.kind, passed, on)
