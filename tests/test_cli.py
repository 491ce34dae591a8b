"""The `course` command: words, exit codes, and what it must not load."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib.cli import main

ROOT = Path(__file__).resolve().parents[1]


def course(*arguments, home=None):
    """What the command prints and exits with, run in this process: libraries need not be imported for each test."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in {"COLUMNS": "100", "NO_COLOR": "1", "COURSE_HOME": home}.items():
            if value is not None:
                patch.setenv(name, str(value))
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["course", *arguments])
        patch.setattr(sys, "stdin", io.StringIO())
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in (out, err))
    return SimpleNamespace(returncode=code, stdout=stdout, stderr=stderr)


def course_alone(*arguments, **environment):
    """The finished process of the command, run as a learner does."""
    command = [sys.executable, "-m", "course_lib.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True)


def test_help_names_every_command_and_exits_with_0():
    done = course("--help")
    assert done.returncode == 0
    for command in "lab doctor next check hint progress assemble reset bench serve build release".split():
        assert f" {command} " in done.stdout


BARE_PROGRAM = (
    "import rich.console, rich.panel, rich.table, typer\n"
    "app = typer.Typer()\n"
    "@app.command('one')\n"
    "def one(): pass\n"
    "@app.command('two')\n"
    "def two(): pass\n"
)
"""A program with the libraries of `course`, two commands, and no code of the course."""


HEAVY = {"torch", "IPython", "ipykernel", "jupyterlab", "matplotlib", "plotly", "transformers", "nbformat", "triton"}


def modules_of_help(program):
    """The modules that are loaded when `--help` has answered. program: source that defines `app`."""
    code = f"{program}\nimport sys\ntry: app(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_little_more_than_the_libraries_of_the_command_line():
    """This is what makes `course --help` answer at once: no torch, no Jupyter, and few files of our own."""
    more = modules_of_help("from course_lib.cli import app") - modules_of_help(BARE_PROGRAM)
    ours = {name for name in more if name.split(".")[0] == "course_lib"}
    assert "course_lib.cli" in ours and len(ours) <= 8, sorted(ours)
    assert not more & HEAVY and not {name for name in ours if name.startswith("course_lib.practice")}
    assert len(more - ours) <= 10, sorted(more - ours)


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, course_lib; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_wrong_usage_exits_with_2():
    assert course("reset").returncode == 2
    assert course("nonsense").returncode == 2
    assert course("check", "--file", "").returncode == 2
    assert course("release", "").returncode == 2


def test_doctor_speaks_json():
    done = course_alone("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert {"python", "torch"} <= set(json.loads(done.stdout))


def test_doctor_speaks_plainly():
    done = course("doctor")
    assert done.returncode == 0
    assert "torch" in done.stdout and "Python" in done.stdout and "paged_decode" in done.stdout


def test_an_unknown_exercise_gets_the_nearest_ones_without_a_traceback(tmp_path):
    done = course("hint", "01.gredy", home=tmp_path)
    assert done.returncode == 2
    assert "01.greedy" in done.stderr
    assert "Traceback" not in done.stderr


def test_hints_go_one_step_further_each_time(tmp_path):
    first, second = course("hint", "00.hello", home=tmp_path), course("hint", "00.hello", home=tmp_path)
    assert first.returncode == second.returncode == 0
    assert first.stdout != second.stdout


def test_the_loop_on_the_command_line(tmp_path):
    """Fail, pass, go on to the next, forget."""
    wrong, right = tmp_path / "wrong.py", tmp_path / "right.py"
    wrong.write_text("def hello(name):\n    return 'Hello'\n")
    right.write_text(
        "def hello(name):\n"
        "    return 'Once upon a time, in a quiet harbour, there lived a patient otter named ' + name + '.'\n"
    )
    home = tmp_path / "home"
    assert "00.hello" in course("next", home=home).stdout
    failed = course("check", "00.hello", "--file", str(wrong), home=home)
    assert (failed.returncode, "Traceback" in failed.stdout + failed.stderr) == (1, False), failed.stderr
    passed = course("check", "00.hello", "--file", str(right), home=home)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "01.greedy" in course("next", home=home).stdout
    assert "00.hello" in course("progress", home=home).stdout
    assert course("reset", "00.hello", home=home).returncode == 0
    assert "00.hello" in course("next", home=home).stdout


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_what_the_encoding_of_a_pipe_does_not_have_is_printed_in_other_characters(tmp_path, encoding):
    """Windows writes to a pipe in the code page of the country."""
    passed = {"attempts": 1, "passed": "2026-01-01T00:00:00"}
    (tmp_path / "progress.json").write_text(json.dumps({"schema": 1, "exercises": {"00.hello": passed}, "guesses": {}}))
    done = course_alone("progress", COURSE_HOME=str(tmp_path), PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "00.hello" in done.stdout.decode(encoding) and "?" not in done.stdout.decode(encoding).split("\n")[2]


def test_a_report_that_a_script_prints_into_such_a_pipe_is_in_those_characters(monkeypatch):
    from course_lib import check

    result = check("00.hello", lambda name: "Grüße ✓ 猫")
    for encoding, mark, there in (
        ("cp1252", "x 00.hello", "Grüße"),
        ("ascii", "x 00.hello", "Gr??e"),
        (None, "✗", "猫"),
    ):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding) if encoding else None)
        text = str(result)
        text.encode(encoding or "utf-8")
        assert text.startswith(mark) and there in text


def test_resetting_everything_asks_first(tmp_path):
    """With nobody there to answer, nothing is forgotten."""
    (tmp_path / "progress.json").write_text('{"schema": 1, "exercises": {"00.hello": {"attempts": 3}}, "guesses": {}}')
    done = course("reset", "--all", home=tmp_path)
    assert done.returncode != 0
    assert json.loads((tmp_path / "progress.json").read_text())["exercises"] == {"00.hello": {"attempts": 3}}


@pytest.mark.parametrize(("missing", "says"), [("nothing.py", "cannot be read"), (None, "defines no hello")])
def test_a_file_without_an_answer_is_said(tmp_path, missing, says):
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    done = course("check", "00.hello", "--file", str(tmp_path / missing if missing else empty), home=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_cell_that_fails_before_the_answer_is_named(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    done = course("check", "00.hello", "--file", str(broken), home=tmp_path)
    assert done.returncode == 1
    assert "cell 1, ends in ZeroDivisionError" in done.stderr


def test_lab_names_the_lessons_it_knows():
    done = course("lab", "77", "--no-browser")
    assert done.returncode == 2
    assert "There is no lesson '77'" in done.stderr


def test_without_a_checkout_the_message_says_where_to_get_one(tmp_path, monkeypatch):
    from course_lib import checkout
    from course_lib.errors import CourseError

    with pytest.raises(CourseError, match="git clone https://"):
        checkout.find_root(tmp_path)


def test_the_repository_address_is_the_same_for_checkout_and_wheel():
    from course_lib import checkout

    assert checkout.repository(ROOT) == checkout.repository_from_metadata()


def test_lab_serves_the_course_and_stops_when_told(tmp_path):
    """The address is printed, the lessons are served from there, and nothing is left running."""
    import signal

    command = [sys.executable, "-m", "course_lib.cli", "lab", "--no-browser"]
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = ""
        while "/lab/tree/notebooks/00_start_here.ipynb" not in said and (line := server.stdout.readline()):
            said += line
        assert "/lab/tree/notebooks/00_start_here.ipynb?token=" in said, said
        server.send_signal(signal.SIGTERM)
        assert server.wait() is not None
    finally:
        server.kill()
        server.stdout.close()


def test_a_file_without_an_id_is_checked_for_what_it_defines(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def greedy(logits):\n    return int(logits.argmax())\n")
    done = course("check", "--file", str(path), home=tmp_path)
    assert done.returncode == 0 and "01.greedy" in done.stdout and "Not in" not in done.stdout, done.stderr
    lesson = course("check", "01", "--file", str(path), home=tmp_path)
    assert lesson.returncode == 0 and f"Not in {path}: 01.sample, 01.generate, 01.count_work." in lesson.stdout, (
        lesson.stderr
    )
    assert course("reset", "01", home=tmp_path).stdout.startswith(
        "01.greedy, 01.sample, 01.generate, 01.count_work are reset."
    )


def test_an_answer_that_exits_is_no_silent_success(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import sys\ndef hello(name):\n    return name\nsys.exit(0)\n")
    done = course_alone("check", "00.hello", "--file", str(path), COURSE_HOME=str(tmp_path))
    assert done.returncode == 1 and b"ends in SystemExit" in done.stderr
