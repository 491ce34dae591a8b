"""Rungs: kernels are watched, poisoned, told apart from torch, kept in the workbook, and stood in for where Triton
is absent.
"""

import inspect
import subprocess
import sys

import pytest
import torch

from course_lib.attention.kernels.compiled_for import compile_for
from course_lib.errors import ParameterError
from course_lib.practice.check import judge, standing_alone
from course_lib.practice.fixtures import placement
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import agree, near
from course_lib.practice.judge.exercise import Exercise, Property
from course_lib.practice.judge.kernel_launches import kernels_of
from course_lib.source.extract import revive

DOUBLE = """
import torch
import triton
import triton.language as tl

FACTOR = tl.constexpr(2.0)


@triton.jit
def times(x):
    return x * FACTOR


@triton.jit
def double_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, times(tl.load(x_ptr + offsets, mask=offsets < n)), mask=offsets < n)


def double(x):
    out = torch.empty_like(x)
    double_kernel[(triton.cdiv(len(x), 4),)](x, out, len(x), BLOCK=4)
    return out
"""


def double(x):
    return 2 * x


def doubles(n):
    return rungs.trial(
        [f"x = torch.arange({n}.0)", "double(x)"],
        lambda: (torch.arange(float(n)),),
        lambda answer, x: answer(x),
        size=n,
    )


@pytest.fixture(scope="module")
def exercise():
    return Exercise(
        "99.double",
        "Twice",
        "double",
        [Property("Twice each", "", [doubles(4), doubles(5), doubles(9)]), *rungs.rungs(doubles(5))],
        [rungs.OUTSIDE],
        ["a"],
        [double],
        budget_s=rungs.BUDGET_S,
    )


def kernel(*changes):
    """The launcher of DOUBLE with some of its text replaced."""
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    rungs.machine()  # before Triton: interpreted where there is no GPU
    source = DOUBLE
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    return revive(source, "double", f"rungs {changes}")


def states(result):
    return [verdict.state for verdict in result.verdicts]


def test_plain_torch_holds_and_the_kernel_is_said_to_be_not_verified(exercise):
    result = judge(exercise, double)
    assert result and states(result) == ["holds", "not verified", "not verified"]
    assert "rung 1" in result.verdicts[1].remark


def test_a_kernel_is_named_on_the_rung_that_this_machine_has(exercise):
    result = judge(exercise, kernel())
    on_gpu = rungs.machine().triton == "compiled"
    assert result and states(result) == ["holds", "holds", "holds" if on_gpu else "not verified"]
    assert all("`double_kernel`" in verdict.remark for verdict in result.verdicts[1 : 3 if on_gpu else 2])


def test_the_library_s_own_kernels_do_not_count_as_the_learner_s(exercise):
    pytest.importorskip("triton")

    def borrowed(x):
        from course_lib.attention.kernels.flash import flash_attention

        one = torch.ones(16, 1, 16, device=x.device)
        flash_attention(one, one, one, torch.tensor([0, 16], dtype=torch.int32, device=x.device))
        return 2 * x

    assert states(judge(exercise, borrowed)) == ["holds", "not verified", "not verified"]


def test_an_access_outside_is_named_with_its_offsets(exercise):
    failure = judge(exercise, kernel((", mask=offsets < n))", "))"))).failure
    assert failure.mistake is rungs.OUTSIDE
    assert "offsets 5, 6, 7" in failure.counterexample.got and failure.counterexample.outcome.kind == "OutOfBounds"


def test_memory_that_nobody_wrote_is_nan_and_not_right_by_chance(exercise):
    failure = judge(exercise, kernel(("triton.cdiv(len(x), 4)", "1"))).failure
    assert failure.counterexample.outcome[4:].isnan().all() and failure.counterexample.outcome[:4].equal(
        torch.arange(4.0) * 2
    )


def test_what_a_kernel_raises_comes_out_unwrapped_and_the_next_answer_is_not_hurt(exercise):
    failure = judge(exercise, kernel(("tl.program_id(0) * BLOCK", "nonsense * BLOCK"))).failure
    assert failure.counterexample.outcome.kind in ("NameError", "CompilationError")
    assert judge(exercise, kernel())


def test_a_check_leaves_torch_and_triton_as_they_were(exercise):
    pytest.importorskip("triton")
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    def now():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.get_deterministic_debug_mode(),
            torch.utils.deterministic.fill_uninitialized_memory,
            InterpretedFunction.run,
            JITFunction.run,
        )

    fill, mode = torch.utils.deterministic.fill_uninitialized_memory, torch.get_deterministic_debug_mode()
    try:
        torch.utils.deterministic.fill_uninitialized_memory = False
        before = now()
        assert judge(exercise, kernel()) and now() == before
        assert not judge(exercise, kernel(("tl.program_id(0) * BLOCK", "nonsense * BLOCK"))) and now() == before
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = fill
        torch.set_deterministic_debug_mode(mode)


def test_beside_a_guarded_tensor_lie_numbers_of_nobody():
    for tensor, beside in ((torch.arange(12.0).reshape(3, 4)[:, 1:3], float("nan")), (torch.arange(1, 5), 0)):
        placed = placement.guarded(tensor, "cpu")
        assert placed.equal(tensor) and placed.stride() == tensor.stride() and placed.dtype == tensor.dtype
        memory, at = torch.empty(0, dtype=placed.dtype).set_(placed.untyped_storage()), placed.storage_offset()
        around = torch.cat([memory[:at], memory[-at:]])
        assert at == 4096 and (around.isnan() if tensor.is_floating_point() else around == beside).all()


def test_a_kernel_that_only_some_of_the_cases_launch_is_no_rung():
    with_kernel = kernel()

    def sometimes(x):
        return with_kernel(x) if len(x) < 5 else 2 * x

    assert [kernel.__name__ for kernel in kernels_of(sometimes, [doubles(4)])] == ["double_kernel"]
    assert kernels_of(sometimes, [doubles(4), doubles(5)]) == []


@pytest.mark.parametrize(
    "word, line",
    [
        ("break", "for i in range(0, n, BLOCK):\n        if i > 99:\n            break"),
        ("continue", "for i in range(0, n, BLOCK):\n        if i > 99:\n            continue"),
        ("try", "try:\n        n = n\n    finally:\n        n = n"),
    ],
)
def test_what_the_interpreter_takes_and_no_compiler_is_told_on_rung_2(exercise, word, line):
    answer = kernel(("    offsets =", f"    {line}\n    offsets ="))
    if rungs.machine().triton == "interpreted":
        failure = judge(exercise, answer).failure
        assert failure.prop.title.startswith("Rung 2") and failure.counterexample.got == f"unsupported: `{word}`"
    alone = f"import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef alone(x_ptr, n, BLOCK: tl.constexpr):\n    {line}\n    tl.store(x_ptr, n)\n"
    with pytest.raises(ParameterError, match="does not compile"):
        compile_for(
            revive(alone, "alone", f"alone with {word}"), ["sm_90"], {"x_ptr": "*i32", "n": "i32"}, {"BLOCK": 4}
        )


REFUSED = [
    ("PLAIN = 1.0", "times(", "PLAIN * times(", "`PLAIN` is a plain number outside"),
    (
        "",
        "    offsets =",
        "    for i in range(n):\n        if i > 99:\n            return\n    offsets =",
        "`return` from",
    ),
    ("", "    offsets =", "    seen = []\n    seen.append(n)\n    offsets =", "no lists that grow"),
    (
        "",
        "    offsets =",
        "    t = 0\n    for i in range(n):\n        t = t + 0.5\n    offsets =",
        "`t` is int32 before",
    ),
    (
        "",
        "    offsets =",
        "    b = tl.zeros([BLOCK, BLOCK], tl.float32)\n    c = tl.dot(b, b)\n    offsets =",
        "least 16",
    ),
]


@pytest.mark.parametrize("above, old, new, said", REFUSED, ids=[said for *_, said in REFUSED])
def test_what_only_the_compiler_refuses_is_told_with_the_learner_s_line(exercise, above, old, new, said):
    answer = kernel(
        ("FACTOR = ", f"{above}\nFACTOR = "),
        (old + (" tl" if old[0] == " " else "tl"), new + (" tl" if old[0] == " " else "tl")),
    )
    if rungs.machine().triton != "interpreted":
        pytest.skip("a GPU compiles the kernel itself")
    failure = judge(exercise, answer).failure
    assert failure.prop.title.startswith("Rung 2") and said in failure.counterexample.remark
    assert failure.counterexample.got.removeprefix("refused: ") in inspect.getsource(sys.modules[answer.__module__])


def test_programs_that_meet_at_one_place_are_told(exercise):
    """The interpreter runs the neighbour later, so that the result is right there; its order is another on a GPU."""
    wide = kernel(
        ("tl.arange(0, BLOCK)", "tl.arange(0, 2 * BLOCK)"),
        (
            "times(tl.load(x_ptr + offsets, mask=offsets < n))",
            "tl.where(tl.arange(0, 2 * BLOCK) < BLOCK, times(tl.load(x_ptr + offsets, mask=offsets < n)), 0)",
        ),
    )
    failure = judge(exercise, wide).failure
    assert "programs 1 and 0 both store out[4]" in failure.counterexample.got
    same = kernel(("tl.arange(0, BLOCK)", "tl.arange(0, 2 * BLOCK)"))
    assert judge(exercise, same)  # both store the same there


def test_a_program_that_loads_what_another_one_stores_is_told(exercise):
    once_more = kernel(
        (
            "    tl.store(",
            "    before = tl.load(out_ptr + offsets - BLOCK, mask=(offsets >= BLOCK) & (offsets < n), other=0)\n    tl.store(",
        ),
        ("mask=offsets < n)), mask", "mask=offsets < n)) + 0 * before, mask"),
    )
    failure = judge(exercise, once_more).failure
    assert (
        "program 1 loads out[0]" in failure.counterexample.got and "program 0 stores it" in failure.counterexample.got
    )


def test_a_stub_of_a_kernel_counts_as_not_written(exercise):
    if rungs.machine().triton != "interpreted":
        pytest.skip("a compiled kernel cannot raise")
    body = DOUBLE[DOUBLE.index("    offsets = ") : DOUBLE.index("\n\n\ndef double(x)")]
    assert judge(exercise, kernel((body, "    raise NotImplementedError"))).state == "unwritten"


def test_a_kernel_itself_is_not_what_is_handed_in(exercise):
    result = judge(exercise, sys.modules[kernel().__module__].double_kernel)
    assert result.state == "unfit" and "launches it" in result.message


def test_the_workbook_keeps_the_kernel_its_helpers_and_constants(exercise):
    name, source = standing_alone(exercise, kernel())
    assert name == "double" and "FACTOR = tl.constexpr(2.0)" in source and source.count("@triton.jit") == 2


def test_sixteen_bits_agree_within_their_rounding_and_not_beyond():
    one = torch.tensor([1.0, 100.0], dtype=torch.float16)
    assert agree(near(one), near(one * 1.002)) and not agree(near(one), near(one * 1.02))
    assert not agree(near(one), one.float()) and not agree(near(one), near(one.bfloat16()))


def test_without_triton_a_kernel_can_be_written_down_and_its_launch_says_why_not():
    code = DOUBLE.replace(
        "import triton\nimport triton.language as tl", "from course_lib.practice.fixtures.no_triton import tl, triton"
    )
    tuned = "\ntriton.autotune(configs=[triton.Config({'BLOCK': 4})], key=['n'])(double_kernel)"
    launch = "\nprint('written down', FACTOR)\ndouble_kernel[(1,)](torch.ones(3))"
    ran = subprocess.run([sys.executable, "-c", code + tuned + launch], capture_output=True, text=True)
    assert ran.stdout == "written down 2.0\n"
    assert "NotHere: Triton is not installed here" in ran.stderr and "rung 1" in ran.stderr
