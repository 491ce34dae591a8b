"""Kernels that this Python compiles are recorded in a second one. The recorder's own tests hold there too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytest.importorskip("triton", reason="Triton has packages for Linux only")


def compiling(program, *args):
    """Runs Python in which Triton compiles, GPU or not: it is imported before anything asks for the interpreter."""
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parents[1]), env.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", f"import sys, torch, triton\n{program}", *map(str, args)],
        env=env,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


PROGRAMS = {}
"""{name of a test: the program whose output it reads}."""


@pytest.fixture(scope="module")
def outputs():
    """{name of a test: what its program printed}, all run by one Python, which starts the second one once."""
    told = compiling(SETUP + f"for name, text in {PROGRAMS!r}.items():\n    run(name, text)\n")
    return dict(part.split("\n", 1) for part in told.split(MARK)[1:])


@pytest.fixture
def said(outputs, request):
    """What the program of this test printed."""
    return outputs[request.node.name]


def program(text):
    """Gives a test its program. It begins with the names of SETUP, and with no others."""

    def put(test):
        PROGRAMS[test.__name__] = text
        return test

    return put


def test_what_holds_for_the_recorder_holds_where_kernels_are_compiled():
    options = ["-q", "-rs", "--noconftest", "-p", "no:cacheprovider", "-o", "addopts="]
    files = HERE / "test_recorder.py", HERE / "test_outside.py"
    said = compiling("import pytest; sys.exit(pytest.main(sys.argv[1:]))", *files, *options)
    passed = int(said.split(" passed")[0].split()[-1])
    assert passed >= 20 and " failed" not in said
    assert "put back then" in said  # they were compiled


MARK = "# what was printed by: "
SETUP = f"""
from course_lib.attention import record_accesses
from course_lib.errors import ParameterError
import linecache, pathlib, traceback
def refused(act):
    try:
        act()
    except Exception as error:
        print(type(error).__name__, error)
def run(name, text):
    print({MARK!r} + name)
    space = dict(globals())
    def cell(text):
        name = f"cell {{len(linecache.cache)}}"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), space)
    space["cell"] = cell
    try:
        exec(compile(text, name, "exec"), space)
    except BaseException:
        print(traceback.format_exc())
"""
KERNEL = """
import triton.language as tl
TWO = tl.constexpr(2.0)
FACTOR = 3
@triton.jit
def twice(x):
    return x * TWO
@triton.jit
def kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    print("block", at)
    tl.store(out_ptr + at, twice(tl.load(x_ptr + at)))
"""


@program(
    f"cell({KERNEL!r})"
    + """
memory = torch.arange(12.0)
with record_accesses() as log:
    kernel[(1,)](memory[:4], memory[8:], BLOCK=4, num_warps=2)
    kernel[lambda meta: (meta["BLOCK"] // 4,)](memory[8:], memory[4:8], BLOCK=4)
print(memory.tolist(), log.read, log[1].line, [a.launch for a in log], log.launches[1].grid)
"""
)
def test_a_kernel_of_a_notebook_goes_with_what_it_uses_and_what_it_prints_comes_back(said):
    assert said.count("block") == 2
    memory, line = "[0.0, 1.0, 2.0, 3.0, 0.0, 4.0, 8.0, 12.0, 0.0, 2.0, 4.0, 6.0]", "twice(tl.load(x_ptr + at))"
    assert f"{memory} Counter({{'x': 32}}) tl.store(out_ptr + at, {line}) [0, 0, 1, 1] (1,)" in said


@program(
    f"cell({KERNEL!r})"
    + """
from triton.runtime.jit import JITFunction
before, out = JITFunction.run, torch.zeros(4)
def record(x):
    with record_accesses():
        kernel[(1,)](x, out, BLOCK=4)
refused(lambda: record(torch.zeros(4, dtype=torch.bfloat16)))
TWO = object()
refused(lambda: record(torch.zeros(4)))
TWO = 2.0
print(JITFunction.run is before, out.tolist())
record(torch.ones(4))
print(out.tolist())
from course_lib.attention.recording.second_python import _other
_other.process.kill(); _other.process.wait()
refused(lambda: record(torch.ones(4)))
out.zero_(); record(torch.ones(4)); print(out.tolist())
"""
)
def test_what_cannot_be_recorded_there_is_said_and_nothing_is_written(said):
    assert "ParameterError Triton's interpreter computes bfloat16 wrongly" in said
    assert "ParameterError kernel cannot be recorded here, where it has to run in a second Python" in said
    assert "it uses `TWO` of your notebook" in said
    assert "True [0.0, 0.0, 0.0, 0.0]" in said and said.count("[2.0, 2.0, 2.0, 2.0]") == 2
    assert "KernelFailed The second Python, in which kernels are recorded, has ended." in said


WIDE = """
import triton.language as tl
from small_kernels import _half_of
from triton.language import cdiv
LOWEST = tl.constexpr(float("-inf"))
KIND = tl.float32
SHIFT = tl.constexpr(7)
@triton.jit
def max(x):
    return tl.max(x, 0)
@triton.jit
def wide(x_ptr, out_ptr, kernel, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.where(at < cdiv(kernel, 2), _half_of(x_ptr, at), LOWEST)
    tl.store(out_ptr, max(x.to(KIND)) + SHIFT)
@triton.jit
def pair(both, n):
    tl.store(both[1], tl.load(both[0]) * n)
@triton.jit
def bits(x_ptr, out_ptr):
    tl.store(out_ptr, tl.load(x_ptr).to(tl.int32, bitcast=True))
def inside():
    three = tl.constexpr(3)
    @triton.jit
    def closed(x_ptr):
        tl.store(x_ptr, three)
    return closed
@triton.heuristics({"BLOCK": lambda given: 4})
@triton.jit
def fill(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, BLOCK), 1.0)
@triton.jit
def forever(x_ptr):
    while tl.load(x_ptr) == 0:
        pass
"""


@program(
    f"cell({WIDE!r})"
    + """
x, out = torch.tensor([5., 0., 9., 0., 1., 0., 20., 0.]), torch.zeros(1)
with record_accesses() as log:
    wide[(1,)](x, out, kernel=6, BLOCK=4)
print(out.tolist(), log.read)
"""
)
def test_constants_imports_and_names_of_builtins_come_along(said):
    assert "[16.0] Counter({'x': 16})" in said


@program(
    f"cell({WIDE!r})"
    + """
memory = torch.tensor([2.0, 0.0, 1.0, 0.0])
with record_accesses():
    pair[(1,)]((memory[:1], memory[1:]), 3)
    bits[(1,)](memory[2:], memory[3:].view(torch.int32))
def closed():
    with record_accesses():
        inside()[(1,)](memory)
refused(closed)
print(memory.tolist())
"""
)
def test_tensors_in_tuples_and_one_memory_under_two_dtypes_are_written_back(said):
    reason = "it is made inside another function"
    assert f"closed cannot be recorded here, where it has to run in a second Python: {reason}" in said
    assert "[2.0, 6.0, 1.0, 1.0]" in said


@program(
    f"cell({WIDE!r})"
    + """
from course_lib.practice.judge import running
x = torch.zeros(4)
with record_accesses():
    fill[(1,)](x)
print(x.tolist())
with record_accesses():
    outcome, _ = running.run(lambda: forever[(1,)](torch.zeros(1)), forever, 1.0)
print("endless:", outcome.endless)
with record_accesses():
    fill[(1,)](x.zero_())
print(x.tolist())
"""
)
def test_options_are_chosen_here_and_a_time_limit_stops_a_kernel_there(said):
    assert said.count("[1.0, 1.0, 1.0, 1.0]") == 2 and "endless: True" in said


@program(
    """
import small_kernels
def fails():
    with record_accesses():
        small_kernels.fails[(1,)](torch.zeros(4))
refused(fails)
"""
)
def test_an_error_in_a_kernel_comes_back_in_its_own_words(said):
    assert "KernelFailed" in said and "on purpose" in said
