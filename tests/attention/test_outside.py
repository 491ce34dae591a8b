"""record_accesses: what lies outside a tensor is an error that says where, before memory is accessed."""

import pytest
import torch

from course_lib.attention import record_accesses
from course_lib.errors import OutOfBounds


@pytest.fixture
def kernels():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    import small_kernels

    return small_kernels


def test_a_far_wrong_offset_still_tells_which_tensor_it_came_from(kernels):
    x, far = torch.zeros(8), 10**9
    for shift, where in ((-far, "before its start"), (far, "past its end")):
        with pytest.raises(OutOfBounds, match=f"loads x {where}") as raised:
            with record_accesses():
                kernels.copy[(1,)](x, torch.zeros(4), 4, shift, WIDTH=4)
        assert raised.value.offsets == [shift + i for i in range(4)]


@pytest.mark.parametrize(
    "arguments, program, tensor, op, offsets, where",
    [
        (dict(n=10, shift=0, LOAD_ALL=True), (2,), "x", "load", [10, 11], "past its end"),
        (dict(n=10, shift=-3), (0,), "x", "load", [-3, -2, -1], "before its start"),
        (dict(n=11, shift=0, LOAD_ALL=True), (2,), "x", "load", [10, 11], "past its end"),
        (dict(n=12, shift=-2, LOAD_ALL=True), (0,), "x", "load", [-2, -1], "before its start"),
    ],
    ids=["mask forgotten", "before", "wrong length", "wrong start"],
)
def test_outside_is_an_error_with_the_offsets(kernels, arguments, program, tensor, op, offsets, where):
    x, out = torch.arange(10.0), torch.zeros(10)
    with pytest.raises(OutOfBounds, match=where) as raised:
        with record_accesses():
            kernels.copy[(3,)](x, out, WIDTH=4, **arguments)
    error = raised.value
    assert (error.kernel, error.program, error.tensor, error.op, error.offsets) == (
        "copy",
        program,
        tensor,
        op,
        offsets,
    )
    said = str(error)
    assert (
        f"copy, program {program[0]}, {op}s {tensor}" in said
        and ", ".join(map(str, offsets)) in said
        and "0 to 9" in said
        and "tl.load(" in said
    )
    assert error.__cause__ is None


def test_a_store_outside_is_an_error_before_anything_is_written(kernels):
    memory = torch.zeros(12)
    x, out = torch.ones(12), memory[:10]
    with pytest.raises(
        OutOfBounds, match=r"stores out past its end.*offsets 10, 11, in 2 of 4 lanes. out has shape \[10\]"
    ):
        with record_accesses():
            kernels.copy[(3,)](x, out, 12, 0, WIDTH=4)
    assert memory.tolist() == [1.0] * 8 + [0.0] * 4


def test_what_lies_between_the_elements_of_a_view_is_outside(kernels):
    both = torch.arange(8.0).reshape(4, 2)
    with pytest.raises(OutOfBounds, match=r"between its elements.*offsets 1, 3,.*strides \[2\]") as raised:
        with record_accesses():
            kernels.copy[(1,)](both[:, 0], torch.empty(4), 4, 0, WIDTH=4)
    assert raised.value.offsets == [1, 3]


def test_without_a_check_nothing_outside_is_touched(kernels):
    memory = torch.zeros(12)
    with record_accesses(check=False) as log:
        kernels.copy[(3,)](torch.arange(10.0), memory[:10], 12, 0, WIDTH=4)
    assert memory.tolist() == [float(i) for i in range(10)] + [0.0, 0.0]
    assert [(a.op, a.tensor.name, a.outside.tolist()) for a in log.outside] == [
        ("load", "x", [10, 11]),
        ("store", "out", [10, 11]),
    ]


def test_an_address_of_no_tensor(kernels):
    with pytest.raises(OutOfBounds, match="in none of its tensors") as raised:
        with record_accesses():
            kernels.astray[(1,)](torch.zeros(4), WIDTH=4)
    assert raised.value.tensor is None


def test_an_address_of_no_tensor_that_is_masked_everywhere_touches_nothing(kernels):
    x = torch.zeros(4)
    with record_accesses() as log:
        kernels.far_and_masked[(1,)](x, WIDTH=4)
    assert x.tolist() == [5.0] * 4 and [(a.op, a.nbytes) for a in log] == [("store", 16)]
