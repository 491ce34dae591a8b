"""record_accesses: literal elements and bytes of small kernels, plain data, and that nothing stays changed."""

import pytest
import torch

from course_lib.attention import record_accesses
from course_lib.errors import OutOfBounds, ParameterError


@pytest.fixture
def kernels():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    import small_kernels

    return small_kernels


def test_a_program_a_row(kernels):
    x, out = torch.arange(15.0).reshape(3, 5), torch.empty(3)
    with record_accesses() as log:
        kernels.row_sum[(3,)](x, out, 5, 5, WIDTH=8)
    assert out.tolist() == [10.0, 35.0, 60.0]
    assert [(a.program, a.op, a.tensor.name) for a in log] == [
        ((i,), op, name) for i in range(3) for op, name in (("load", "x"), ("store", "out"))
    ]
    assert log.only(program=1, op="load").rows("x") == [1] and log.only(program=(2,)).elements("x") == [
        10,
        11,
        12,
        13,
        14,
    ]
    assert log[0].mask.tolist() == [True] * 5 + [False] * 3 and log[0].offsets.tolist() == list(range(8))
    assert log.read == {"x": 60} and log.written == {"out": 12} and (log.bytes_read, log.bytes_written) == (60, 12)
    assert (
        log.launches[0].kernel == "row_sum"
        and log.launches[0].grid == (3,)
        and log.launches[0].programs == [(0,), (1,), (2,)]
    )
    assert log[0].line.startswith("x = tl.load(x_ptr + row * stride + at")


def test_a_number_that_many_lanes_ask_for_moves_once(kernels):
    x, out, index = torch.arange(4.0), torch.empty(8), torch.tensor([3, 3, 3, 0, 0, 3, 3, 3])
    with record_accesses() as log:
        kernels.gather[(1,)](x, index, out, WIDTH=8)
    assert log.only(tensor="x").elements("x") == [0, 3] and log.read == {"index": 64, "x": 8}


def test_views_of_one_tensor_are_told_apart_and_counted_by_their_own_shape(kernels):
    qkv, out = torch.arange(24.0).reshape(4, 6), torch.empty(4)
    with record_accesses() as log:
        kernels.row_sum[(4,)](qkv[:, 2:4], out, 6, 2, WIDTH=2)
        kernels.gather[(1,)](qkv[1], torch.tensor([0, 5]), qkv[:, 5], WIDTH=1)
    assert log.only(launch=0, tensor="x").elements("x") == list(range(8)) and log.only(launch=0, program=3).rows(
        "x"
    ) == [3]
    assert log.only(launch=1).elements("x") == [0] and log.only(launch=1).rows("out") == [0] and qkv[0, 5] == 6.0


@pytest.mark.parametrize(
    "strides, sums, first, masked",
    [
        ((0, 1), [10.0, 10.0, 10.0], [0, 1, 2, 3, 4], []),
        ((1, 1), [10.0, 15.0, 20.0], [1, 2, 3, 4, 9], [[9, 10], [14, 15]]),
    ],
    ids=["expanded", "overlapping"],
)
def test_elements_that_share_memory_go_by_the_first_of_them(kernels, strides, sums, first, masked):
    x, out = torch.arange(7.0).as_strided((3, 5), strides), torch.empty(3)
    with record_accesses() as log:
        kernels.row_sum[(3,)](x, out, strides[0], 5, WIDTH=8)
    assert log.record()["accesses"][0]["masked"] == masked  # of lanes 5, 6 and 7 those that have a number
    assert out.tolist() == sums and log.only(program=1).elements("x") == first and log.only(program=1).read == {"x": 20}


def test_a_launch_as_plain_data(kernels):
    memory, out = torch.arange(24.0).reshape(4, 6), torch.zeros(10)
    with record_accesses() as log:
        kernels.copy[(3,)](memory.flatten(), out, 9, 0, WIDTH=4)
        kernels.row_sum[(4,)](memory[:, :2], out, 6, 2, WIDTH=8)
    record = log.record()
    assert (record["kernel"], record["grid"]) == ("copy", [3])
    assert record["tensors"] == {"x": {"shape": [24], "itemsize": 4}, "out": {"shape": [10], "itemsize": 4}}
    load = record["accesses"][4]
    assert load.pop("line").startswith("x = tl.load(")
    assert load == {
        "program": [2],
        "op": "load",
        "tensor": "x",
        "touched": [[8, 9]],
        "masked": [[9, 12]],
        "lanes": 4,
        "masked_lanes": 3,
        "bytes": 4,
    }
    # After the two numbers of each row of the view lie four others; the masked lanes 6 and 7 are the next row's two.
    assert [a["masked"] for a in log.record(1)["accesses"] if a["op"] == "load"] == [
        [[2, 4]],
        [[4, 6]],
        [[6, 8]],
        [[8, 10]],
    ]
    with pytest.raises(ParameterError, match="no launch 2; 2 were recorded"):
        log.record(2)


def test_an_argument_by_name_a_callable_grid_and_a_nested_function(kernels):
    x, out = torch.arange(8.0), torch.empty(4)
    with record_accesses() as log:
        kernels.copy[lambda meta: (-(-4 // meta["WIDTH"]), 1)](x_ptr=x, out_ptr=out, n=4, shift=1, WIDTH=2)
        kernels.every_second[(1,)](x, out, WIDTH=4)
    assert log.launches[0].grid == (2, 1) and log.only(launch=0).elements("x") == [1, 2, 3, 4]
    assert log.only(kernel="every_second").elements("x") == [0, 2, 4, 6] and out.tolist() == [0.0, 2.0, 4.0, 6.0]
    assert log.only(kernel="every_second")[0].line == "return tl.load(x_ptr + at * 2)"


def test_descriptors_and_tensors_in_a_tuple(kernels):
    x, out = torch.arange(56.0).reshape(7, 8), torch.empty(7, 8)
    with record_accesses() as log:
        kernels.by_descriptor[(2,)](x, out, 7, 8, BLOCK_M=4, BLOCK_N=8)
        kernels.sum_of_two[(1,)]((x[0], x[1]), out[0], 5, WIDTH=8)
    assert log.only(launch=0, program=1).rows("x") == [4, 5, 6] and log.only(launch=0).read == {"x": 224}
    assert log.only(launch=1).read == {"pair[0]": 20, "pair[1]": 20} and out[0].tolist() == [
        8.0,
        10.0,
        12.0,
        14.0,
        16.0,
        5.0,
        6.0,
        7.0,
    ]


def test_an_atomic_is_both(kernels):
    out = torch.zeros(2, dtype=torch.int32)
    with record_accesses() as log:
        kernels.count_up[(3,)](out)
    assert out.tolist() == [2, 1] and log.read == log.written == {"out": 12}


def test_a_swap_is_an_atomic_too_and_is_refused_outside_even_without_a_check(kernels):
    lock = torch.zeros(2, dtype=torch.int32)
    with record_accesses() as log:
        kernels.take_lock[(1,)](lock, 1)
    assert lock.tolist() == [0, 1] and [(a.op, a.tensor.name, a.elements.tolist()) for a in log] == [
        ("atomic", "lock", [1])
    ]
    for check in (True, False):
        with pytest.raises(OutOfBounds, match="program 0, loads and stores lock past its end"):
            with record_accesses(check=check):
                kernels.take_lock[(1,)](lock[:1], 1)
    assert lock.tolist() == [0, 1]


def test_everything_is_put_back_after_an_error_too(kernels):
    from triton.runtime import interpreter

    if not isinstance(kernels.fails, interpreter.InterpretedFunction):
        pytest.skip("kernels are compiled here; test_interpreting.py tells what is put back then")
    homes = [
        (interpreter.GridExecutor, ("__call__", "_init_args_hst")),
        (
            interpreter.InterpreterBuilder,
            ("create_masked_load", "create_masked_store", "create_atomic_cas", "create_atomic_rmw"),
        ),
    ]

    def now():
        return [vars(home)[name] for home, names in homes for name in names]

    before, x = now(), torch.zeros(4)
    with pytest.raises(interpreter.InterpreterError, match="on purpose"):
        with record_accesses():
            assert now() != before
            kernels.fails[(1,)](x)
    assert now() == before
    with pytest.raises(OutOfBounds):
        with record_accesses():
            kernels.copy[(2,)](x, x, 8, 0, WIDTH=4)
    assert now() == before
    kernels.copy[(1,)](torch.ones(4), x, 4, 0, WIDTH=4)
    assert x.tolist() == [1.0] * 4


def test_one_recording_at_a_time_and_only_tensors_that_were_there(kernels):
    with record_accesses() as log:
        with pytest.raises(ParameterError, match="already running"):
            with record_accesses():
                pass
        kernels.count_up[(1,)](torch.zeros(2, dtype=torch.int32))
    with pytest.raises(ParameterError, match="no tensor 'q'|has a tensor 'q'; there are out"):
        log.rows("q")
    with pytest.raises(ParameterError, match="op is 'read'; it is one of load, store, atomic"):
        log.only(op="read")
    with pytest.raises(ParameterError, match=r"out has shape \[2\], so there is no dimension 1"):
        log.rows("out", 1)


def test_the_course_s_kernels_are_recorded_and_give_the_same(kernels):
    from course_lib.attention.kernels import paged
    from course_lib.attention.tiles import Tile

    if type(kernels.copy).__name__ == "JITFunction" and not torch.cuda.is_available():
        pytest.skip("kernels are compiled here and there is no GPU, so the course's own launch nothing")
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(*shape, generator=draw) for shape in ((2, 4, 16), (8, 16, 2, 16), (8, 16, 2, 16)))
    given = [
        x.to("cuda" if torch.cuda.is_available() else "cpu")
        for x in (q, k, v, torch.tensor([[3, 1, 7], [3, 5, -1]], dtype=torch.int32), torch.tensor([40, 20]))
    ]
    with record_accesses() as log:
        out = paged.paged_decode(*given, splits=2, tile=Tile(16, 32))
    torch.testing.assert_close(out, paged.paged_decode(*given, splits=2))
    assert [launch.kernel for launch in log.launches] == ["decode_kernel", "merge_kernel"] and log.launches[0].grid == (
        2,
        2,
        2,
    )
    read = {p: log.only(kernel="decode_kernel", program=p).rows("k") for p in log.launches[0].programs}
    assert read == {(h, 0, 0): [1, 3] for h in (0, 1)} | {(h, 0, 1): [3, 5] for h in (0, 1)} | {
        (h, 1, 0): [7] for h in (0, 1)
    } | {(h, 1, 1): [] for h in (0, 1)}
    assert log.only(kernel="decode_kernel").read["k"] == (40 + 20) * 2 * 16 * 4
    assert "decode_kernel" in str(log) and "7,680" in str(log)
