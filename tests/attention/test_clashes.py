"""Programs that meet at one place of memory are found in a recording, and programs can run in other orders."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton has packages for Linux only")

from course_lib.attention import record_accesses  # noqa: E402
from course_lib.attention.kernels import online  # noqa: E402, F401  (first: it decides whether Triton is interpreted)
from course_lib.attention.recording.clashes import clashes  # noqa: E402

# isort: split
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from course_lib.machine.device import inspect_machine  # noqa: E402

DEVICE = "cuda" if inspect_machine().triton == "compiled" else "cpu"


@triton.jit
def last_kernel(out_ptr):
    tl.store(out_ptr, tl.program_id(0))


@triton.jit
def own_kernel(out_ptr):
    tl.store(out_ptr + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), 1)


@triton.jit
def neighbour_kernel(out_ptr, n):
    i = tl.program_id(0)
    before = tl.load(out_ptr + i - 1, mask=i > 0, other=0)
    tl.store(out_ptr + i, before + 1)


@triton.jit
def adding_kernel(out_ptr):
    tl.atomic_add(out_ptr, 1)


def recorded(kernel, grid, size, *args, order="in order"):
    """(what the kernel wrote, the clashes of its programs)."""
    out = torch.zeros(size, dtype=torch.int32, device=DEVICE)
    with record_accesses(order=order) as log:
        kernel[grid](out, *args)
    return out.tolist(), clashes(log)


def test_the_last_to_store_wins_and_the_order_says_which_one():
    orders = {order: recorded(last_kernel, (4,), 1, order=order) for order in ("in order", "reversed", "shuffled")}
    assert orders["in order"][0] == [3] and orders["reversed"][0] == [0] and orders["shuffled"][0] not in ([0], [3])
    [clash] = orders["in order"][1]
    assert (clash.first, clash.second, clash.index, clash.loads) == ((0,), (1,), (0,), False)
    assert "programs 0 and 1 both store out[0]" in str(clash)


@pytest.mark.parametrize("order", ["in order", "reversed", "shuffled"])
def test_every_program_of_a_grid_runs_once_in_any_order(order):
    assert recorded(own_kernel, (3, 2), 6, order=order) == ([1] * 6, [])


def test_a_load_of_what_another_program_stores_is_a_clash():
    written, [clash] = recorded(neighbour_kernel, (3,), 3, 3)
    assert written == [1, 2, 3] and clash.loads and "program 1 loads out[0]" in str(clash)


def test_atomics_are_made_for_it():
    assert recorded(adding_kernel, (3,), 1) == ([3], [])
