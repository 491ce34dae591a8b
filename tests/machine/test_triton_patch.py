"""The repair of Triton's interpreter: bounds of loops are read where NumPy refuses int() of an array of one number."""

from types import SimpleNamespace

import numpy as np
import pytest

interpreter = pytest.importorskip("triton.runtime.interpreter", reason="Triton has packages for Linux only")
from course_lib.machine.triton_patch import mend  # noqa: E402


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
