"""Programs as a learner writes them, without `if __name__ == "__main__"`: with processes of their own, under torchrun,
and killed.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.errors import ParallelError
from course_lib.parallel.ranks import ROOT, Ranks

HERE = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1")  # any free port
PROMPT = "Once upon a time"
PROGRAM = f"""
import os, sys, time
from course_lib import Engine, EngineConfig, SamplingParams

engine = Engine("tale", EngineConfig(tensor_parallel=2, num_blocks=16), trace=False)
ranks, params = engine.model.ranks, SamplingParams(temperature=0.8, seed=1, max_tokens=12)
print("text", engine.generate([{PROMPT!r}], params)[0].text, flush=True)
print("helpers", *[process.pid for process in ranks.processes.values()], flush=True)
if "--stay" in sys.argv:
    engine.generate([{PROMPT!r}] * 100, SamplingParams(max_tokens=1500))
"""


@pytest.fixture(scope="module")
def expected():
    model, tokenizer = load_model("tale")
    params = SamplingParams(temperature=0.8, seed=1, max_tokens=12)
    return Engine(model, EngineConfig(num_blocks=16), tokenizer=tokenizer).generate([PROMPT], params)[0].text


@pytest.fixture
def start(tmp_path):
    """Starts the program: start(words before its name, words after)."""
    script, started = tmp_path / "program.py", []
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

    def start(before, after=()):
        command = [sys.executable, *before, str(script), *after]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def is_there(pid):
    """Whether a process runs. One that has ended and that nobody has asked for its exit code counts as ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def words_after(process, name):
    """The rest of the next line that begins so."""
    for line in process.stdout:
        if line.startswith(name + " "):
            return line.removeprefix(name + " ").rstrip("\n")
    raise AssertionError(f"the program ended with {process.wait()} before it said {name!r}")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="whether a process has ended is looked up in /proc")
def test_the_others_end_by_themselves_when_rank_0_is_killed(start, expected):
    process = start([], ["--stay"])
    assert words_after(process, "text") == expected
    (helper,) = map(int, words_after(process, "helpers").split())
    assert is_there(helper)
    time.sleep(0.3)  # into the middle of its steps
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 60
    while is_there(helper) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_there(helper)


ENDS_EARLY = """
import json, os, sys
from multiprocessing.connection import Connection
Connection(json.loads(sys.argv[1])["fd"]).send_bytes(b"here")
os.kill(os.getpid(), 9)
"""


def test_a_process_that_ends_before_the_group_is_made_is_named_at_once(monkeypatch):
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: popen([words[0], "-c", ENDS_EARLY, words[-1]], **how))
    began = time.monotonic()
    with pytest.raises(ParallelError, match=r"Rank 1 of 2 \(process \d+\) was ended by the signal SIGKILL"):
        Ranks(2)
    assert time.monotonic() - began < 120  # in the making of a group, nobody would hear of it for minutes


def test_torchrun_starts_the_same_program(start, expected):
    process = start(["-m", "torch.distributed.run", "--nproc-per-node", "2", *HERE])
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert [line for line in out.splitlines() if line.startswith("text")] == [f"text {expected}"]  # of rank 0 alone
