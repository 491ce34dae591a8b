"""A kernel compiled for a chip that is not here: its matrix instructions, its shared memory, and what is refused."""

import pytest

from course_lib.errors import ParameterError

triton = pytest.importorskip("triton", reason="Triton has packages for Linux only")
import triton.language as tl  # noqa: E402

from course_lib.attention.kernels.compiled_for import NAMES, Compiled, compile_for  # noqa: E402

TYPES = {"x_ptr": "*fp16", "x_stride": "i32"}


@triton.jit
def square_kernel(x_ptr, x_stride, TILE: tl.constexpr):
    rows, columns = tl.arange(0, TILE)[:, None], tl.arange(0, TILE)[None, :]
    x = tl.load(x_ptr + rows * x_stride + columns)
    tl.store(x_ptr + rows * x_stride + columns, tl.dot(x, x).to(tl.float16))


def test_a_dot_becomes_a_matrix_instruction_where_triton_makes_one():
    old, new, amd = compile_for(square_kernel, ["sm_75", "sm_80", "gfx942"], TYPES, {"TILE": 32})
    assert (
        not old.matrix
        and all(name.startswith("mma.sync") for name in new.matrix)
        and all(name.startswith("v_mfma") for name in amd.matrix)
    )
    assert new.matrix and amd.matrix and all(0 <= one.shared <= one.limit for one in (old, new, amd))


def test_options_and_aligned_addresses_are_to_be_seen_in_the_code():
    [four], [eight] = (compile_for(square_kernel, ["sm_80"], TYPES, {"TILE": 32}, num_warps=n) for n in (4, 8))
    assert ".reqntid 128" in four.code and ".reqntid 256" in eight.code
    assert "ld.global.v" in four.code  # several numbers in one load: only where the address is known to be a multiple


def test_every_chip_that_is_known_has_a_limit():
    assert all(Compiled(chip, "", 0).limit >= 65_536 for chip in NAMES)


def test_what_cannot_be_compiled_is_refused_in_words():
    with pytest.raises(ParameterError, match="no chip 'sm_1'.*sm_75"):
        compile_for(square_kernel, ["sm_1"], TYPES, {"TILE": 32})
    with pytest.raises(ParameterError, match="'TILE' that is in neither"):
        compile_for(square_kernel, ["sm_80"], TYPES, {})
    with pytest.raises(ParameterError, match="square_kernel` does not compile"):
        compile_for(square_kernel, ["sm_80"], TYPES, {"TILE": 24})  # no power of two
