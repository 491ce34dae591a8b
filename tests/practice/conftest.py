"""A workbook of its own for every test here."""

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The COURSE_HOME of this test; it does not exist yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("COURSE_HOME", str(folder))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return folder
