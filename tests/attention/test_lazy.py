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


@pytest.mark.parametrize("module", KERNELS)
def test_a_module_of_kernels_can_be_the_first_import_also_without_a_gpu(module):
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    code = (
        f"import course_lib.{module}, torch, triton; from triton.runtime.jit import JITFunction; "
        "from course_lib.attention.kernels.flash import flash_kernel; "
        "assert isinstance(flash_kernel, JITFunction) == torch.cuda.is_available()"
    )
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
