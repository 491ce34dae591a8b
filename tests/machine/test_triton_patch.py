"""Repairs of Triton's interpreter: bounds are read where NumPy refuses int() of an array, and less is done twice."""

from types import SimpleNamespace

import numpy as np
import pytest

interpreter = pytest.importorskip("triton.runtime.interpreter", reason="Triton has packages for Linux only")
import torch  # noqa: E402
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from course_lib.machine.triton_patch import mend  # noqa: E402

mend()


@triton.jit
def doubled(x):
    return tl.sum(x[None, :], 0) * 2


@triton.jit
def many_calls(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.static_assert(BLOCK < 16)
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0)
    tl.store(out_ptr + offsets, doubled(x) + tl.max(x, 0), mask=offsets < n)


def launched(programs, block=8):
    x = torch.arange(8 * programs, dtype=torch.int32)
    many_calls[(programs,)](x, out := torch.zeros_like(x), len(x), BLOCK=block)
    return x, out


@pytest.fixture
def interpreted():
    if not isinstance(many_calls, interpreter.InterpretedFunction):
        pytest.skip("Triton compiles here")


class Refusing(np.ndarray):
    def __int__(self):
        raise TypeError("only 0-dimensional arrays can be converted to Python scalars")  # NumPy 2.4


def test_a_bound_is_read_where_int_of_an_array_is_refused_and_a_second_call_changes_nothing(monkeypatch):
    class Bound:
        handle = SimpleNamespace(data=np.array([7]).view(Refusing))

    def as_in_triton_3_6(tensor, scope):
        tensor.__index__ = lambda self: int(self.handle.data)

    as_in_triton_3_6(Bound, None)
    with pytest.raises(TypeError, match="0-dimensional"):
        range(Bound())
    monkeypatch.setattr(interpreter, "_patch_lang_tensor", as_in_triton_3_6)
    mend()
    once = interpreter._patch_lang_tensor
    mend()
    assert interpreter._patch_lang_tensor is once
    once(Bound, None)
    assert list(range(0, Bound(), 3)) == [0, 3, 6]


def test_the_functions_are_replaced_as_often_for_many_programs_as_for_one_and_put_back(interpreted, monkeypatch):
    launched(1)  # the interpreter rewrites each function when it is called first
    original, replaced = interpreter._patch_builtin, []
    monkeypatch.setattr(
        interpreter, "_patch_builtin", lambda *args: (replaced.append(args[0].__name__), original(*args))
    )
    launched(1)
    of_one, load, total = [*replaced], tl.load, tl.reduce
    x, out = launched(20)
    assert replaced == of_one * 2 and of_one
    assert torch.equal(out, 2 * x + x.view(20, 8).amax(1).repeat_interleave(8).int())
    assert tl.load is load and tl.reduce is total and tl.core.is_builtin(tl.load)


def test_a_launch_that_fails_puts_the_functions_back_too(interpreted):
    load = tl.load
    with pytest.raises(Exception, match="AssertionError"):
        launched(1, block=16)
    assert tl.load is load and tl.core.is_builtin(load)
    x, out = launched(2)
    assert torch.equal(out, 2 * x + x.view(2, 8).amax(1).repeat_interleave(8).int())


@pytest.mark.parametrize("dtype", [tl.int1, tl.int32, tl.uint8, tl.float32, tl.bfloat16, tl.float8e5])
def test_the_dtype_of_numpy_is_that_of_the_number_in_a_block_too(dtype):
    expected = {"int1": "bool", "bf16": "uint16", "fp32": "float32", "fp8e5": "uint8"}.get(dtype.name, dtype.name)
    for _ in range(2):
        assert interpreter._get_np_dtype(dtype) == interpreter._get_np_dtype(tl.block_type(dtype, [4])) == expected
    pointer = tl.pointer_type(dtype)
    assert interpreter._get_np_dtype(pointer) == interpreter._get_np_dtype(tl.block_type(pointer, [4])) == "uint64"
