"""A system that knows no home folder, as some containers: checks count, and what is not kept is said."""

from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.practice import check, progress
from course_lib.practice.progress import workbook


def test_without_a_home_folder_all_is_kept_in_memory_and_said(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("COURSE_HOME")
    monkeypatch.setattr(Path, "expanduser", unknown)
    monkeypatch.setattr(workbook, "_stores", {})
    result = check("01.greedy", lambda logits: int(logits.argmax()))
    assert result and "COURSE_HOME" in result.notices[-1]
    assert workbook.entry("01.greedy").passed and progress().done == 1
    assert "knows no home folder" in str(progress())
    with pytest.raises(CourseError, match="Nothing was reset.*COURSE_HOME"):
        workbook.reset()
