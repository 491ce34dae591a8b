"""progress.json: killed at any moment, written by two at once, damaged, forbidden, from the future."""

import builtins
import json
import os
import subprocess
import sys
import threading

import pytest

from course_lib.errors import CourseError
from course_lib.practice import check, progress
from course_lib.practice.lessons.l00.hello import hello
from course_lib.practice.progress import store, workbook
from course_lib.practice.progress.store import Store


class Killed(BaseException):
    """The process ends here."""


def count(state):
    state["exercises"].setdefault("00.hello", {}).setdefault("attempts", 0)
    state["exercises"]["00.hello"]["attempts"] += 1


def attempts(folder):
    state, notices = Store(folder).read()
    return state["exercises"].get("00.hello", {}).get("attempts", 0), notices


OPERATIONS = [
    (builtins, "open"),
    (os, "fsync"),
    (os, "replace"),
    (os, "open"),
    (os, "close"),
    (store, "_unlock"),
    (store, "_try_lock"),
]


def killed_at(monkeypatch, n, after):
    """Counts file operations and dies at number n, before or after doing it. Returns the list of what was done."""
    done = []

    def deadly(module, name):
        real = getattr(module, name)

        def operation(*args, **kwargs):
            done.append(name)
            if len(done) == n and not after:
                raise Killed
            result = real(*args, **kwargs)
            if len(done) == n:
                raise Killed
            return result

        monkeypatch.setattr(module, name, operation, raising=False)

    for module, name in OPERATIONS:
        deadly(module, name)
    return done


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_file_operation_loses_nothing(tmp_path, monkeypatch, after, damaged):
    survived, n = False, 0
    while not survived:
        n += 1
        folder = tmp_path / f"{n}"
        Store(folder).update(count)
        if damaged:
            (folder / "progress.json").write_text('{"schema": 1, "exerc')
        with monkeypatch.context() as patch:
            done = killed_at(patch, n, after)
            try:
                Store(folder).update(count)
                survived = True
            except Killed:
                pass
        kept, notices = attempts(folder)
        if damaged:
            torn = [p.read_text() for p in folder.glob("progress*.json") if p.read_text().endswith('"exerc')]
            assert torn == ['{"schema": 1, "exerc'], f"killed at {n}, {done[-1]}"
        else:
            assert kept in (1, 2) and not notices, f"killed at {n}, {done[-1]}"
            assert kept == 2 or n <= done.index("replace") + 1 if "replace" in done else kept == 1
        assert Store(folder).update(count) is not None  # and it can be written again
        assert attempts(folder)[0] >= 1
    assert n > 6 and {"open", "fsync", "replace", "_unlock"} <= set(done)  # the faults were really reached


WRITER = """
import sys
from course_lib.practice import workbook
from course_lib.practice.progress import store
store._LOCK_WAIT_S = 3600  # on a busy machine the other one may hold the lock for long
for i in range(int(sys.argv[1])):
    assert workbook.record_check("00.hello") == []
    assert workbook.record_guess(f"{sys.argv[2]}.{i}", 0, "x", None) == []
"""


def test_two_kernels_writing_at_once_lose_no_update(home):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, "100", name], env=os.environ.copy()) for name in "ab"]
    assert [w.wait() for w in writers] == [0, 0]
    state, notices = Store(home).read()
    assert state["exercises"]["00.hello"]["attempts"] == 200 and len(state["guesses"]) == 200 and notices == []


def test_threads_of_one_kernel_lose_no_update(home):
    threads = [
        threading.Thread(target=lambda: [workbook.record_check("00.hello") for _ in range(15)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert workbook.entry("00.hello").attempts == 60


def test_a_kernel_that_hangs_with_the_lock_is_named_and_the_change_goes_in_later(home, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_WAIT_S", 0.05)
    home.mkdir()
    with store.locked(home / "progress.lock"):
        [notice] = workbook.record_check("00.hello")
    assert "Another kernel has held" in notice
    assert not (home / "progress.json").exists() and workbook.entry("00.hello").attempts == 1
    assert workbook.record_check("00.hello") == []
    assert attempts(home)[0] == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        b'{"schema": 1}',
        b'{"schema": "1", "exercises": {}, "guesses": {}}',
        b'{"schema": 1, "exercises": [], "guesses": {}}',
        b'{"schema": 1, "exercises": {"00.hello": 3}, "guesses": {}}',
        b'{"schema": 1, "exercises": {"00.hello": {"attempts": "two"}}, "guesses": {}}',
        b'{"schema": 1, "exercises": {"00.hello": {"hints": -1}}, "guesses": {}}',
        b'{"schema": 1, "exercises": {"00.hello": {"passed": "yes"}}, "guesses": {}}',
        b"[" * 100_000,
        b'{"schema": 1, "exercises": {"00.hello": {"passed": {"source": "x = 1"}}}, "guesses": {}}',
        b'{"schema": 1, "exercises": {}, "guesses": {"q": {}}}',
        b'{"schema": 1, "exercises": {}, "guesses": {"q": {"choice": "A"}}}',
        b'{"schema": 1, "exercises": {}, "guesses": {"q": {"choice": -1}}}',
        b'{"schema": 1, "exercises": {}, "guesses": {"q": {"choice": true}}}',
        b'{"schema": 1, "exercises": {}, "guesses": {"q": {"choice": 0, "right": "yes"}}}',
        b'{"schema": 1, "exercises": {}, "guesses": {"q": {"choice": 0, "right": 1}}}',
    ],
)
def test_a_damaged_file_is_set_aside_said_and_never_overwritten(home, damage):
    home.mkdir()
    (home / "progress.json").write_bytes(damage)
    assert "is damaged" in progress().notices[0]  # said on reading too, and left alone
    result = check("00.hello", hello)
    assert result and any("set aside as progress.damaged-" in n for n in result.notices)
    [kept] = home.glob("progress.damaged-*.json")
    assert kept.read_bytes() == damage
    assert workbook.entry("00.hello").passed and check("00.hello", hello).notices == []


def test_two_damaged_files_in_one_second_are_both_kept(home):
    home.mkdir()
    for text in ("first", "second"):
        (home / "progress.json").write_text(text)
        workbook.record_check("00.hello")
    assert {p.read_text() for p in home.glob("progress.damaged-*.json")} == {"first", "second"}


def test_a_file_of_a_newer_course_is_not_touched(home):
    home.mkdir()
    text = json.dumps({"schema": 2, "everything": "else"})
    (home / "progress.json").write_text(text)
    result = check("00.hello", hello)
    assert result and "written by a newer version" in result.notices[0] and "Update the course" in result.notices[0]
    assert (home / "progress.json").read_text() == text
    assert sorted(p.name for p in home.iterdir()) == ["progress.json", "progress.lock"]
    assert workbook.load("00.hello")("Mia").endswith("Mia.")  # for this session


def test_what_a_newer_course_adds_within_this_layout_survives(home):
    home.mkdir()
    (home / "progress.json").write_text(
        json.dumps({"schema": 1, "exercises": {"99.new": {"attempts": 2, "extra": [1]}}, "guesses": {}, "more": 5})
    )
    workbook.record_check("00.hello")
    state = json.loads((home / "progress.json").read_text())
    assert state["more"] == 5 and state["exercises"]["99.new"] == {"attempts": 2, "extra": [1]}


@pytest.mark.parametrize("errno", ["ENOSPC", "EROFS", "EACCES", "EIO"])
@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_where_nothing_can_be_written_the_result_still_stands(home, monkeypatch, errno, operation):
    import errno as codes

    workbook.record_check("00.hello")
    before = (home / "progress.json").read_bytes()

    def refuse(*_):
        raise OSError(getattr(codes, errno), os.strerror(getattr(codes, errno)))

    with monkeypatch.context() as patch:
        patch.setattr(os, operation, refuse)
        result = check("00.hello", hello)
        assert result and "set the environment variable COURSE_HOME" in result.notices[0]
        assert os.strerror(getattr(codes, errno)) in result.notices[0] and "The check itself is not affected" in str(
            result
        )
        assert workbook.entry("00.hello").passed  # remembered for now
        with pytest.raises(CourseError, match="nothing was reset"):
            workbook.reset()
    assert (home / "progress.json").read_bytes() == before
    assert not list(home.glob("*.tmp"))
    assert workbook.record_check("00.hello") == []  # and written as soon as it can be
    assert attempts(home)[0] == 3 and Store(home).read()[0]["exercises"]["00.hello"]["passed"]["source"]


def test_a_home_that_is_a_file_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    result = check("00.hello", hello)
    assert result and f"could not be written to {tmp_path / 'file'}" in result.notices[0]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_said(home):
    home.mkdir(mode=0o500)
    assert "Permission denied" in check("00.hello", hello).notices[0]


def test_reset_keeps_a_copy_and_says_where(home):
    check("00.hello", hello)
    workbook.record_guess("q", 0, "x", None)
    workbook.record_hint("01.greedy", 2)
    said = workbook.reset("00.hello")
    [copy] = home.glob("progress.backup-*.json")
    assert str(copy) in said and json.loads(copy.read_text())["exercises"]["00.hello"]["passed"]
    assert (
        workbook.entry("00.hello") == workbook.Entry()
        and workbook.entry("01.greedy").hints == 2
        and workbook.guess("q")
    )
    workbook.reset()
    assert workbook.entry("01.greedy") == workbook.Entry() and workbook.guesses() == ({}, [])
    assert len(list(home.glob("progress.backup-*.json"))) == 2
    with pytest.raises(CourseError, match="Did you mean 00.hello"):
        workbook.reset("00.helo")


def test_reset_of_nothing_says_so(home):
    assert "nothing to reset" in workbook.reset() and not home.exists()


def test_reset_of_a_damaged_file_sets_it_aside_once_and_says_only_that(home):
    home.mkdir()
    (home / "progress.json").write_text("{")
    said = workbook.reset("00.hello")
    assert "is damaged" in said and "set aside as progress.damaged-" in said and "is reset" not in said
    assert [p.read_text() for p in home.glob("progress.*-*.json")] == ["{"]
    assert "is reset" in workbook.reset("00.hello")


def test_reset_of_a_file_of_a_newer_course_changes_nothing(home):
    home.mkdir()
    (home / "progress.json").write_text('{"schema": 2}')
    with pytest.raises(CourseError, match="Nothing was reset.*newer version"):
        workbook.reset()
    assert [p.name for p in home.iterdir()] == ["progress.json"]


def test_reading_a_damaged_file_says_the_fact_what_it_means_and_what_will_happen(home):
    home.mkdir()
    (home / "progress.json").write_text("{")
    [said] = workbook.notices()
    assert "is damaged" in said and "no earlier progress is shown" in said and "set aside, unchanged" in said
    assert (home / "progress.json").read_text() == "{"


def test_several_exercises_are_reset_with_one_copy(home):
    for exercise in ("01.greedy", "01.sample", "00.hello"):
        workbook.record_hint(exercise, 1)
    assert workbook.reset("01.greedy", "01.sample").startswith("01.greedy, 01.sample are reset.")
    assert set(workbook.entries()[0]) == {"00.hello"} and len(list(home.glob("progress.backup-*.json"))) == 1
