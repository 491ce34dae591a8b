"""The recorded runs: every file reads, shows itself, and says where it comes from."""

import json

import pytest

from course_lib import recorded as module
from course_lib.errors import ParameterError
from course_lib.recorded import FOLDER, recorded, words

KEPT = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", KEPT)
def test_a_run_shows_its_tables_and_where_they_come_from(name):
    run = recorded(name)
    for title, columns, rows in run.tables:
        assert rows and all(len(row) == len(columns) for row in rows)
        assert title in repr(run) and f"| {' | '.join(columns)} |" in run._repr_markdown_()
    measured_on = "CPU" if name == "smaller_caches" else "NVIDIA"  # answers and errors, no times
    assert run.machine in repr(run) and measured_on in run.machine and run.command.startswith("python benchmarks/")


def test_a_table_as_text_and_as_markdown(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    tables = [
        {"title": "Speed", "columns": ["n", "ms"], "rows": [[1024, 0.012345], [8, 1234.5]]},
        {"title": "Size", "columns": ["MB"], "rows": [["all"]]},
    ]
    kept = dict(machine="NVIDIA X", date="May", software="torch 9", command="python benchmarks/x.py", tables=tables)
    (tmp_path / "x.json").write_text(json.dumps(kept))
    assert repr(recorded("x", 0)) == (
        "Speed\nn          ms\n1,024  0.0123\n8       1,234\n\n"
        "Recorded on one NVIDIA X, May, torch 9, by `python benchmarks/x.py`."
    )
    assert "| n | ms |\n| --- | ---: |\n| 1,024 | 0.0123 |" in recorded("x")._repr_markdown_()
    assert recorded("x").column("ms") == [0.012345, 1234.5]
    with pytest.raises(ParameterError, match="no column 's'; there are n, ms"):
        recorded("x").column("s")
    with pytest.raises(ParameterError, match="1 table, counted from 0"):
        recorded("x", 0).column("ms", 1)
    with pytest.raises(ParameterError, match="tables 0 to 1, not 2"):
        recorded("x", 2)
    with pytest.raises(ParameterError, match="no recorded run of lesson '77', only of x"):
        recorded("77")


@pytest.mark.parametrize(
    "value, shown",
    [
        (3, "3"),
        (12345, "12,345"),
        (99.96, "100"),
        (0.5, "0.500"),
        (10.0, "10.0"),
        (99.949, "99.9"),
        (0.0, "0.00"),
        ("a", "a"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_as_a_table_shows_them(value, shown):
    assert words(value) == shown
