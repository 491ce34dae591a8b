"""The README's table of the lessons' last runs: it says what docs/verified.json says, and that comes from runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import record_verified
from record_verified import Recorder, lesson_of

from course_lib.authoring import verified
from course_lib.checkout import lessons

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_has_the_table_of_the_recorded_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert verified.with_table(ROOT, readme) == readme, "run `make verified`, or commit what it wrote"
    known = json.loads((ROOT / "docs" / "verified.json").read_text(encoding="utf-8"))
    wanted = {lesson.name[:2] for lesson in lessons(ROOT) if lesson.stub is None}
    assert set(known["cpu"]) == set(known["colab"]) == wanted, "a lesson was never verified: run `make verified`"


@pytest.mark.parametrize(
    "nodeid, number",
    [
        ("tests/browser/test_lessons.py::test_a_lesson_prints[notebooks/03_kv_memory.ipynb]", "03"),
        ("notebooks/12_measuring.ipynb::Cell 4", "12"),
        ("solutions/03_kv_memory.ipynb::Cell 4", None),
        ("tests/browser/test_exercises.py::test_it[exercises/03_kv_memory.ipynb]", None),
    ],
)
def test_which_lesson_a_test_runs(nodeid, number):
    assert lesson_of(nodeid) == number


def test_a_lesson_with_a_failed_or_skipped_cell_is_not_verified(monkeypatch):
    written = []
    monkeypatch.setattr(record_verified.verified, "record", lambda *what: written.append(what))
    recorder = Recorder("colab")
    for nodeid, failed, skipped in (("00_a", 0, 0), ("00_a", 0, 0), ("01_b", 0, 0), ("01_b", 1, 0), ("02_c", 0, 1)):
        report = SimpleNamespace(
            nodeid=f"notebooks/{nodeid}.ipynb::Cell 1", duration=1.5, failed=failed, skipped=skipped
        )
        recorder.pytest_runtest_logreport(report)
    recorder.pytest_sessionfinish(None)
    assert [what[1:3] for what in written] == [("colab", {"00": 3.0})]
