"""07.flash_kernel: a kernel that holds the whole matrix is right, and is no answer."""

import pytest

from course_lib.practice.check import judge
from course_lib.practice.judge import kernel_launches
from course_lib.practice.judge.registry import find


def test_a_kernel_without_tiles_fails_where_it_is_watched():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    if kernel_launches.machine().triton != "interpreted":
        pytest.skip("what a compiled kernel loads is not recorded in every case; a GPU's own memory is not asked for")
    from kernels_triton_flash import flash

    failure = judge(find("07.flash_kernel"), flash).failure
    assert (
        failure.prop.title == "Only the scores of one tile exist at a time"
        and "loads 1,024 numbers at once" in failure.counterexample.got
    )
    assert failure.mistake.name == "the scores of all keys exist at once."
