"""Importing the attention package loads neither torch nor Triton, and its kernels can be imported first."""

import os
import subprocess
import sys

import pytest


def test_importing_the_package_and_its_reference_loads_no_triton():
    code = (
        "import sys, course_lib.attention; assert 'torch' not in sys.modules; "
        "from course_lib.attention import standard_attention, merge_partials, recomputed_attention; "
        "assert 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


KERNELS = "attention.kernels.flash attention.kernels.paged attention.kernels.store attention.kernels.online".split()
KERNELS += "models.kernels.norm models.kernels.products models.kernels.rotary".split()
KERNELS += ["decoding.choosing_kernel", "machine.dependent_launch"]


FIRST = """
import course_lib.{module}, torch, triton
from triton.runtime.jit import JITFunction
from course_lib.attention.kernels.flash import flash_kernel
assert isinstance(flash_kernel, JITFunction) == torch.cuda.is_available()
"""
EACH_IN_A_FORK = f"""
import os, sys, torch
assert not any(name.split(".")[0] in ("course_lib", "triton") for name in sys.modules)
for module in sys.argv[1:]:
    if os.fork() == 0:
        exec({FIRST!r}.format(module=module))
        print(module, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def without_interpreter():
    """The environment of a Python that nobody has told whether Triton interprets."""
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    return {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}


@pytest.fixture(scope="module")
def importable(without_interpreter):
    """The modules of KERNELS that a Python with torch alone could import first, each in its own fork; the errors."""
    command = [sys.executable, "-c", EACH_IN_A_FORK, *KERNELS]
    ran = subprocess.run(command, capture_output=True, text=True, env=without_interpreter)
    return ran.stdout.split(), ran.stderr


@pytest.mark.parametrize("module", KERNELS)
def test_a_module_of_kernels_can_be_the_first_import_also_without_a_gpu(importable, module):
    done, errors = importable
    assert module in done, errors


def test_a_module_of_kernels_can_be_imported_before_torch(without_interpreter):
    subprocess.run([sys.executable, "-c", FIRST.format(module=KERNELS[0])], check=True, env=without_interpreter)
