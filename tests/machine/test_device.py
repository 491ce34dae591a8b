"""What the course says about a machine, and what it decides."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.machine import device


def python(code, **env):
    """Runs code in a fresh interpreter, since importing Triton cannot be taken back."""
    import os

    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | env
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


def test_the_facts_are_those_of_this_machine():
    machine = device.inspect_machine()
    assert machine.python == sys.version.split()[0]
    assert machine.torch == torch.__version__
    assert machine.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert machine.triton in ("compiled", "interpreted", "absent")
    assert 0 < machine.memory_free <= machine.memory_total


def test_without_a_gpu_triton_is_interpreted_and_says_that_it_was_tried():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, where Triton compiles")
    ran = python(
        "from course_lib.machine.device import inspect_machine\n"
        "m = inspect_machine(); print(m.triton, '|', m.triton_why)"
    )
    assert ran.stdout.startswith("interpreted | no GPU: a test kernel gave the right result"), ran.stdout + ran.stderr


def test_a_triton_imported_too_early_is_told_with_the_next_step():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, where Triton compiles")
    ran = python(
        "import triton; from course_lib.machine.device import inspect_machine; print(inspect_machine().triton_why)"
    )
    assert "restart the kernel" in ran.stdout, ran.stdout + ran.stderr


def test_a_triton_that_returns_wrong_numbers_is_not_used():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    ran = python(
        "import os; os.environ['TRITON_INTERPRET'] = '1'; import course_lib.machine.triton_probe as c\n"
        "c.canary = lambda device: False\n"
        "from course_lib.machine.device import inspect_machine; m = inspect_machine(); print(m.triton, m.triton_why)"
    )
    assert ran.stdout.startswith("absent") and "wrong numbers" in ran.stdout, ran.stdout + ran.stderr


def test_a_triton_that_crashes_is_told_and_not_used():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    ran = python(
        "import os; os.environ['TRITON_INTERPRET'] = '1'; import course_lib.machine.triton_probe as c\n"
        "def broken(d): raise OSError('no compiler here')\n"
        "c.canary = broken\n"
        "from course_lib.machine.device import inspect_machine; m = inspect_machine(); print(m.triton, m.triton_why)"
    )
    assert ran.stdout.startswith("absent") and "OSError: no compiler here" in ran.stdout, ran.stdout + ran.stderr


def test_without_triton_the_torch_twin_is_named(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    for platform, words in (("linux", "pip install triton"), ("darwin", "no package")):
        monkeypatch.setattr(device.sys, "platform", platform)
        state, why = device._triton_state(False)
        assert state == "absent" and words in why


def test_dtypes_by_capability(monkeypatch):
    assert device.default_dtype("cpu") == torch.float32
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        assert device.default_dtype("cuda") == dtype


def test_the_report_of_a_t4_reads_right():
    t4 = dataclasses.replace(
        device.inspect_machine(),
        device="cuda",
        gpu="Tesla T4",
        capability=(7, 5),
        multiprocessors=40,
        shared_memory=65536,
        dtype="float16",
        triton="compiled",
        triton_why="a test kernel gave the right result",
    )
    report = t4.report()
    for words in ("Tesla T4", "7.5", "65,536 bytes", "no bfloat16 in hardware", "Triton kernels"):
        assert words in report


def test_doctor_prints_the_report_and_json():
    runner = CliRunner()
    text = runner.invoke(app, ["doctor"])
    assert text.exit_code == 0 and "What the course will use" in text.stdout
    told = json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)
    assert told["torch"] == torch.__version__ and told["triton"] in ("compiled", "interpreted", "absent")


def test_setup_seeds_and_says_one_line(capsys):
    device.setup()
    first = torch.rand(3)
    assert len(capsys.readouterr().out.splitlines()) == 1
    device.setup(quiet=True)
    assert torch.equal(first, torch.rand(3)) and capsys.readouterr().out == ""
