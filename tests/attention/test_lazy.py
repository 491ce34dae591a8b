"""Importing the package is cheap, and every name of it says where it lives."""

import subprocess
import sys


def test_importing_the_package_and_its_reference_loads_no_triton():
    code = ("import sys, course_lib.attention; assert 'torch' not in sys.modules; "
            "from course_lib.attention import standard_attention, merge_partials, recomputed_attention; assert 'triton' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
