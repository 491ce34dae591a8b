"""What the course does on Windows and macOS, as far as Linux can show it: see tests/shared/elsewhere.py."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_lib.machine import device
from course_lib.practice.progress import store

ROOT = Path(__file__).parents[1]
TEXT_CALLS = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile", "TextIOWrapper"}


def without_encoding(source):
    """The lines of calls that read or write text in whatever encoding the system has."""
    for call in [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        words = [*map(ast.unparse, call.args), given.get("mode", "")]
        is_binary = any(word.strip("'").strip("rwax+") == "b" for word in words)
        is_file = name in TEXT_CALLS and not is_binary and ast.unparse(call.func) not in ("os.open", "Image.open")
        if (is_file or "text" in given and name in ("run", "Popen")) and "encoding" not in given:
            yield call.lineno


def test_the_scan_finds_what_it_should():
    bad = ["open(p)", "open(p, 'w')", "p.read_text()", "p.write_text(x)", "subprocess.run(c, text=True)"]
    good = ["open(p, 'rb')", "p.open(mode='ab+')", "p.read_text(encoding='utf-8')", "run(c)", "os.open(p, os.O_RDONLY)"]
    assert list(without_encoding("\n".join(bad + good))) == [1, 2, 3, 4, 5]


def test_every_file_that_is_read_or_written_as_text_says_its_encoding():
    """Windows reads in the code page of the country, and the course writes in UTF-8.

    Lesson 16 starts `course bench`, which prints in the encoding that the lesson then reads.
    """
    found = []
    for folder in ("course_lib", "notebooks/src", "solutions/src"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "text=True" in source or any(name + "(" in source for name in TEXT_CALLS):
                lines = [(line, source.splitlines()[line - 1].strip()) for line in without_encoding(source)]
                found += [(path.relative_to(ROOT).as_posix(), *line) for line in lines if "[*course," not in line[1]]
    assert found == []


LESSON = '''
import json, sys
from IPython.core.interactiveshell import InteractiveShell
import elsewhere; elsewhere.be(sys.argv[1])
shell, ran = InteractiveShell.instance(colors="NoColor"), []
for cell in json.load(sys.stdin):
    print("~~~", end="")
    sys.stderr = sys.stdout
    result = shell.run_cell(cell)
    ran.append(result.success)
print("~~~" + json.dumps(ran))
'''  # fmt: skip

CELLS = [
    "from course_lib import check, progress, setup; machine = setup(); print(machine.triton, machine.memory_total)",
    "from course_lib.practice.play import tl, triton\n"
    "@triton.jit\ndef one(x_ptr): pass\nlaunched = one[(1,)](0)",  # fmt: skip
    "print(launched)",
    "print(lunched)",
    "from course_lib.attention import record_accesses\nwith record_accesses() as log: pass",
    "from course_lib.attention.kernels.online import fold",
    "from course_lib.attention.kernels.compiled_for import compile_for; compile_for(one, ['sm_90'], {}, {})",
    "from course_lib import nothing_of_this_name",
    "check('01.greedy', lambda logits: int(logits.argmax())); print(progress())",
    "from course_lib.practice.judge.limits import limited\nlimited(lambda: [None for _ in iter(int, 1)], 0.2)",
    "import os; print(check('01.greedy', lambda logits: os._exit(3)))",
    "from course_lib.engine.memory_use import peak_bytes; print(peak_bytes('cpu'))",
    "from course_lib.parallel.ranks import Ranks; Ranks(2)",
]


def lesson(system, cells, home):
    """(what each cell printed, whether each counts as run) of cells in IPython on `system`."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"COURSE_HOME": str(home), "IPYTHONDIR": str(home), "PYTHONUTF8": "0", "LC_ALL": "C"}
    environment |= {"PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}  # files are in ASCII unless said otherwise
    environment["PYTHONPATH"] += os.pathsep + str(ROOT / "tests/shared")
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", LESSON, system],
        input=json.dumps(cells), env=environment, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    *printed, ran = done.stdout.split("~~~")[1:]
    return printed, json.loads(ran)


def test_on_windows_a_lesson_runs_on_says_what_is_not_there_and_an_endless_answer_ends(tmp_path):
    printed, ran = lesson("win32", CELLS, tmp_path)
    first, kernel, its_name, own_name, recording, source, compiled, other, passed, endless, ends, peak, ranks = printed
    assert [at for at, is_good in enumerate(ran) if not is_good] == [3, 7, 9], printed  # the mistakes, and the limit
    assert first.splitlines()[-1] == "absent None" and peak.strip() == "None"
    for skipped in (kernel, recording, source, compiled):
        assert skipped.startswith("Triton is not installed here (it has no package for Windows)"), skipped
    assert its_name.startswith("`launched` comes from a cell that was skipped")
    assert "NameError" in own_name and "Run all cells above" in own_name and "ImportError" in other
    assert "On Windows, run the course in WSL" in ranks and "kept in the notebook" in ranks
    assert "1 of" in passed and json.loads((tmp_path / "progress.json").read_text())["exercises"]["01.greedy"]["passed"]
    assert "OutOfTime" in endless and "would end the whole notebook" in ends


def test_an_apple_gpu_changes_nothing_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device.sys, "platform", "darwin")
    machine = device.inspect_machine()
    if not torch.cuda.is_available():
        assert (machine.device, device.default_device().type, machine.dtype) == ("cpu", "cpu", "float32")


def test_a_file_that_another_program_reads_is_replaced_a_moment_later(monkeypatch, tmp_path):
    refused, real = [1, 2, 3], os.replace

    def replace(old, new):
        if refused:
            refused.pop()
            raise PermissionError(13, "Access is denied")
        real(old, new)

    monkeypatch.setattr(store.os, "replace", replace)
    store.write_whole(tmp_path / "progress.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
    monkeypatch.setattr(store.time, "sleep", lambda seconds: None)
    refused += range(9)
    with pytest.raises(PermissionError):
        store.write_whole(tmp_path / "progress.json", "{1}")
    assert (tmp_path / "progress.json").read_text() == "{}"
