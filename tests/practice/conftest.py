"""A workbook of its own for every test here, and a clock that a test sets itself."""

from types import SimpleNamespace

import pytest

from course_lib.practice.judge import runs


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The COURSE_HOME of this test; it does not exist yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("COURSE_HOME", str(folder))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return folder


@pytest.fixture
def worked(monkeypatch):
    """worked.seconds: the work of the answer under check so far, as the check sees it. The answer adds to it."""
    clock = SimpleNamespace(seconds=0.0)

    class Stopwatch:
        def __init__(self):
            self.began = clock.seconds

        def seconds(self):
            return clock.seconds - self.began

    monkeypatch.setattr(runs, "Stopwatch", Stopwatch)
    return clock
