"""Progress to a file and back elsewhere: merged, in any order, refused where it is not ours, whole after any kill."""

import copy
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from course_lib.cli import app, main
from course_lib.errors import ParameterError
from course_lib.practice.progress import store as stores
from course_lib.practice.progress import transfer, workbook
from course_lib.practice.progress.store import Store, empty

IDS = ["01.greedy", "04.allocator", "11.priority"]
WHEN = st.sampled_from([f"2026-11-{day:02d}T10:00:00+00:00" for day in (1, 2, 3)])
PASSED = st.fixed_dictionaries({"when": WHEN, "name": st.just("f"), "source": st.sampled_from(["", "one", "two"])})
ENTRY = st.fixed_dictionaries(
    {}, optional={"attempts": st.integers(0, 5), "hints": st.integers(0, 3), "passed": PASSED}
)
GUESS = st.fixed_dictionaries({"choice": st.integers(0, 2), "right": st.booleans(), "when": WHEN})
STATE = st.builds(
    lambda exercises, guesses: empty() | {"exercises": exercises, "guesses": guesses},
    st.dictionaries(st.sampled_from(IDS), ENTRY),
    st.dictionaries(st.sampled_from(["01.a", "02.b"]), GUESS),
)


def merged(*states):
    result = empty()
    for state in states:
        transfer.merge(result, copy.deepcopy(state))
    return result


@given(STATE, STATE, STATE)
def test_merging_again_or_in_another_order_changes_nothing(a, b, c):
    assert merged(a, b, c) == merged(c, b, a) == merged(merged(a, b), c) == merged(a, b, c, a, b)


@given(STATE, STATE)
def test_nothing_that_was_done_is_lost(a, b):
    both = merged(a, b)
    for one in (a, b):
        for key, entry in one["exercises"].items():
            kept = both["exercises"][key]
            assert kept.get("attempts", 0) >= entry.get("attempts", 0) and kept.get("hints", 0) >= entry.get("hints", 0)
            if entry.get("passed"):
                assert kept["passed"]["when"] >= entry["passed"]["when"] or kept["passed"]["source"]
            if entry.get("passed", {}).get("source"):
                assert kept["passed"]["source"]
    for key in {**a["guesses"], **b["guesses"]}:
        assert both["guesses"][key] in (a["guesses"].get(key), b["guesses"].get(key))


class Killed(BaseException):
    """The process ends here: nothing after it runs."""


def killed_at(number, act):
    """act(), which ends at its n-th call of the file system that changes something. Whether it came to its end."""
    left = [number]

    def counting(real):
        def call(*args, **kwargs):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace", "mkdir"):
            patch.setattr(os, name, counting(getattr(os, name)))
        patch.setattr(stores, "open", counting(open), raising=False)
        try:
            act()
        except Killed:
            return False
    return True


@settings(deadline=None, max_examples=60)
@given(STATE, STATE, st.integers(0, 8))
def test_a_kill_at_any_moment_of_an_import_or_an_export_leaves_the_old_file_or_the_new(old, new, number):
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        home, file = Path(scratch) / "home", Path(scratch) / "moved.json"
        patch.setenv("COURSE_HOME", str(home))
        home.mkdir()
        (home / "progress.json").write_text(json.dumps(old))
        file.write_text(json.dumps(new))
        done = killed_at(number, lambda: transfer.import_(file))
        after, notices = Store(home).read()
        assert notices == []
        assert merged(after) in ([merged(old, new)] if done else [merged(old), merged(old, new)])
        before = json.dumps(new)
        file.write_text(before)
        done = killed_at(number, lambda: transfer.export(file))
        assert file.read_text() == before and not done or json.loads(file.read_text())["exercises"] is not None
        transfer.export(file)  # what a kill left behind is in nobody's way
        assert json.loads(file.read_text())["guesses"] == workbook.store().read()[0]["guesses"]


def test_code_and_guesses_arrive_on_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "colab"))
    workbook.record_check(
        "01.greedy", {"when": workbook.now(), "name": "greedy", "source": "def greedy(x): return 7\n"}
    )
    workbook.record_guess("01.work", 1, "twice", True)
    said = transfer.export(tmp_path / "mine.json")
    assert said.startswith("1 passed exercise and 1 guess exported to ") and "course progress import mine.json" in said
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "laptop"))
    workbook.record_hint("01.greedy", 2)
    assert transfer.import_(tmp_path / "mine.json").startswith("1 passed exercise and 1 guess imported from ")
    assert workbook.load("01.greedy")(None) == 7
    assert workbook.entry("01.greedy").hints == 2 and workbook.guess("01.work")["option"] == "twice"


@pytest.mark.parametrize(
    "text, said",
    [
        (b"", "is not a file of the course's progress, or is damaged"),
        (b"\xff\xfe", "is not a file of the course's progress, or is damaged"),
        (b"[]", "is not a file of the course's progress, or is damaged"),
        (b'{"cells": [], "nbformat": 4}', "is not a file of the course's progress, or is damaged"),
        (b'{"schema": 1, "exercises": {"01.greedy": 3}, "guesses": {}}', "or is damaged ('exercises' is not a table)"),
        (b'{"schema": 1, "format": "a game", "exercises": {}, "guesses": {}}', "it calls itself 'a game'"),
        (b'{"schema": 99, "exercises": {}, "guesses": {}}', "was written by a newer version of the course"),
    ],
    ids=["empty", "no text", "a list", "a notebook", "other shape", "another program", "newer"],
)
def test_a_file_that_is_not_ours_or_newer_is_refused_and_nothing_changes(text, said, tmp_path, home):
    workbook.record_hint("01.greedy", 1)
    before = (home / "progress.json").read_bytes()
    (tmp_path / "given.json").write_bytes(text)
    with pytest.raises(ParameterError) as refused:
        transfer.import_(tmp_path / "given.json")
    assert said in str(refused.value) and "nothing was imported" in str(refused.value)
    assert (home / "progress.json").read_bytes() == before


def test_a_damaged_workbook_is_set_aside_and_replaced_by_what_is_imported(tmp_path, home):
    home.mkdir()
    (home / "progress.json").write_text("{")
    (tmp_path / "given.json").write_text(json.dumps(empty() | {"exercises": {"01.greedy": {"attempts": 2}}}))
    assert "It was set aside as progress.damaged-" in transfer.import_(tmp_path / "given.json")
    assert workbook.entry("01.greedy").attempts == 2


def test_an_export_of_what_cannot_be_read_or_to_where_nothing_can_be_written_is_refused(tmp_path, home):
    with pytest.raises(ParameterError, match="cannot be written"):
        transfer.export(tmp_path / "no folder" / "file.json")
    with pytest.raises(ParameterError, match="cannot be read"):
        transfer.import_(tmp_path / "no such file.json")
    home.mkdir()
    (home / "progress.json").write_text("{")
    with pytest.raises(ParameterError, match="Nothing was exported"):
        transfer.export(tmp_path / "file.json")
    assert not (tmp_path / "file.json").exists()


def test_a_full_disk_at_an_import_changes_nothing_and_is_said(tmp_path, monkeypatch, home):
    (tmp_path / "given.json").write_text(json.dumps(empty() | {"exercises": {"01.greedy": {"attempts": 2}}}))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ParameterError, match="Nothing was imported.*No space left on device"):
        transfer.import_(tmp_path / "given.json")
    monkeypatch.undo()
    assert not (home / "progress.json").exists()


def test_the_command_moves_progress_and_refuses_with_one_line_and_code_2(tmp_path, home, monkeypatch, capsys):
    runner = CliRunner()
    workbook.record_hint("01.greedy", 1)
    file = str(tmp_path / "mine.json")
    assert runner.invoke(app, ["progress", "export", file]).exit_code == 0
    assert runner.invoke(app, ["progress", "import", file]).exit_code == 0
    assert "01.greedy" in runner.invoke(app, ["progress"]).output
    Path(file).write_text("no progress")
    for words in (
        ["import", file],
        ["import", file + " "],
        ["export", str(tmp_path)],
        ["export", ""],
        ["export", file],
    ):
        monkeypatch.setattr(sys, "argv", ["course", "progress", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert end.value.code == 2 and said.out == "" and len(said.err.splitlines()) == 1, said
