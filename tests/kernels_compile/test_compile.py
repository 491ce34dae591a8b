"""Every attention kernel compiles for chips that are not here, in the tiles the tables give it, and fits them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.attention.tiles import SHARED_MEMORY

triton = pytest.importorskip("triton", reason="Triton has packages for Linux only")
GLUON = (3, 6) <= tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 8)
CHILD = Path(__file__).parent / "compile_kernels.py"


@pytest.fixture(scope="module")
def compiled():
    """{chip: what the child printed for it}. A child, because Triton interprets in this process where there is no
    GPU.
    """
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["TRITON_DISABLE_LINE_INFO"] = "1"  # which line an instruction is from: nobody reads it here, and it takes time
    ran = subprocess.run([sys.executable, str(CHILD), *SHARED_MEMORY], capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    return {chip: [one for one in told if one["chip"] == chip] for chip in SHARED_MEMORY}


@pytest.mark.parametrize("chip", SHARED_MEMORY)
def test_every_kernel_compiles_and_fits_the_shared_memory(compiled, chip):
    kernels = {"flash_kernel", "decode_kernel", "merge_kernel", "paged_kernel", "store_kernel"}
    kernels |= {"store_quantised_kernel"}
    kernels |= {"hopper_kernel"} if GLUON and chip == "sm_90" else set()
    assert kernels <= {one["kernel"] for one in compiled[chip]}
    for one in compiled[chip]:
        assert "error" not in one, one
        assert one["shared"] <= one["limit"], one


@pytest.mark.parametrize("chip", SHARED_MEMORY)
def test_matrix_instructions_are_used_where_the_chip_has_them(compiled, chip):
    wgmma = "wgmma.mma_async"
    expected = {
        "sm_90": {"flash_kernel": wgmma, "hopper_kernel": wgmma},
        "sm_100": {"flash_kernel": "tcgen05.mma"},
    }.get(chip, {})
    for one in compiled[chip]:
        if one["expects_matrix"]:
            assert one["matrix"], one
            assert expected.get(one["kernel"], one["matrix"][0]) in one["matrix"], one
        elif one["kernel"] in ("merge_kernel", "store_kernel", "store_quantised_kernel"):
            assert not one["matrix"], one  # the pattern that is looked for tells one from the other


def test_without_dot_nothing_becomes_a_product_of_matrices(compiled):
    (one,) = [one for one in compiled["sm_90"] if "without dot" in one["case"]]
    assert one["dots"] == 0, "Triton made tl.dot of a sum of products, in TF32"
    assert all(one["dots"] for one in compiled["sm_90"] if one["kernel"] in ("flash_kernel", "paged_kernel"))


@pytest.mark.skipif(not GLUON, reason="the kernel in Gluon is written for Triton 3.6 and 3.7")
def test_the_kernel_for_hopper_copies_its_tiles_with_tma(compiled):
    found = [one for one in compiled["sm_90"] if one["kernel"] == "hopper_kernel"]
    assert len(found) == 4 and len({one["shared"] for one in found}) == 2  # two dtypes, two head sizes
    assert all(one["tma"] for one in found)
