"""What the checks of lesson 08 say about rungs, accesses outside of a tensor, and unusual answers.

And of lesson 07: how long rows are shown.
"""

import sys

import pytest
import torch

from course_lib.practice.check import check, judge
from course_lib.practice.judge import rungs
from course_lib.practice.judge.registry import solution_of
from course_lib.practice.lessons.l07.row_softmax import ROW_SOFTMAX
from course_lib.practice.lessons.l08 import EXERCISES
from course_lib.practice.lessons.l08.paged_decode import PAGED_DECODE, paged_decode
from course_lib.practice.lessons.l08.paged_prefill import PAGED_PREFILL
from course_lib.practice.lessons.l08.store_kv import STORE_KV

interpreted = pytest.mark.skipif(
    rungs.machine().triton != "interpreted", reason="it is the interpreter that sees accesses"
)


def by_title(result, start):
    [verdict] = [v for v in result.verdicts if v.prop.title.startswith(start)]
    return verdict


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_in_torch_alone_all_cases_are_checked_and_the_other_rungs_are_said_to_be_open(exercise):
    result = judge(exercise, exercise.reference)
    assert result and by_title(result, "Rung 2").state == by_title(result, "Rung 3").state == "not verified"
    assert "plain torch, rung 1" in by_title(result, "Rung 2").remark or "absent" in by_title(result, "Rung 2").remark


@interpreted
def test_a_kernel_is_named_where_it_ran():
    [right] = [
        answer for answer in STORE_KV.rights if answer.__name__ == "store_kv" and answer is not STORE_KV.reference
    ]
    result = judge(STORE_KV, right)
    assert "`store_kernel`" in by_title(result, "Rung 2").remark and by_title(result, "Rung 3").state == "not verified"


@interpreted
def test_padding_that_a_kernel_writes_is_stopped_with_its_offsets():
    from kernels_triton_paged import store_padding_kernel

    found = judge(STORE_KV, store_padding_kernel).failure.counterexample
    assert "store_all_kernel, program 0, stores k_cache before its start" in found.got and "-2, -1" in found.got
    assert found.story[1].endswith("new_tokens([-1])")


def test_nan_in_a_result_is_said_and_not_taken_for_a_number():
    from course_lib.practice.lessons.l08.paged_trials import explain

    want = torch.zeros(3, 1, 2)
    got = want.clone()
    got[0], got[2] = 1.0, float("nan")
    text = explain(want, got)
    assert (
        "row 0, head 0. 2 of 3 rows" in text
        and "There is nan in it, first in row 2, head 0" in text
        and "by nan" not in text
    )
    assert "by 1 at most" in explain(want[:2], got[:2])


def test_in_a_chunk_heads_are_asked_for_before_long_chunks():
    def by_line(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        return PAGED_PREFILL.reference(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q) + (q.shape[1] > 1)

    failure = judge(PAGED_PREFILL, by_line).failure
    assert failure.prop.title.startswith("Query heads") and failure.counterexample.got.count("[") < 8


def test_a_long_row_is_shown_by_its_begin_and_its_end():
    def short_block(x):
        out = torch.full_like(x, float("nan"))
        out[:, :1024] = x[:, :1024].softmax(1)
        return out

    found = judge(ROW_SOFTMAX, short_block).failure.counterexample
    for text in (found.expected, found.got):
        assert len(text) < 150 and "…" in text and text.endswith("(1,200 numbers a row)")
    assert "nan, nan, nan, nan]]" in found.got


@pytest.mark.parametrize(
    "wrong",
    [lambda x: x.flatten().softmax(0).view_as(x), lambda x: x[:1].softmax(1).expand_as(x)],
    ids=["over all rows", "the first row"],
)
def test_faults_of_rows_are_shown_where_rows_are_asked_for(wrong):
    failure = judge(ROW_SOFTMAX, wrong).failure
    assert failure.prop.title.startswith("Each program takes its own row") and failure.counterexample.trial.size <= 4


def test_an_answer_in_double_precision_is_right():
    def wide(q, k_cache, v_cache, block_tables, seq_lens):
        return paged_decode(q.double(), k_cache.double(), v_cache.double(), block_tables, seq_lens)

    def small(q, k_cache, v_cache, block_tables, seq_lens):
        return paged_decode(q, k_cache, v_cache, block_tables.int(), seq_lens.int())

    # the cache as a whole in double precision is more than a block: only that property minds
    assert judge(PAGED_DECODE, wide).failure.prop.title.startswith("The keys of a sequence")
    assert judge(PAGED_DECODE, small)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_answers_that_misbehave_are_failures_and_nothing_worse(exercise, monkeypatch):
    def returns_none(*args):
        pass

    def raises(*args):
        return args[0] @ args[99]

    def never_ends(*args):
        while True:
            sum(range(10))

    def lets_go(*args):
        return [None] * 10**6

    for trial in exercise.trials:
        monkeypatch.setitem(trial.__dict__, "limit_s", 0.3)
    for answer in (raises, never_ends, lets_go, lambda *args: (None, None, None)):
        assert judge(exercise, answer).state == "failed", answer.__name__
    assert judge(exercise, returns_none).state in ("failed", "unwritten")
    assert "IndexError" in judge(exercise, raises).failure.counterexample.got


@interpreted
def test_a_kernel_from_a_cell_is_kept_with_its_launcher(tmp_path):
    from course_lib.practice.progress import workbook

    path = tmp_path / "cell.py"
    modules = (
        "import torch\nfrom course_lib.attention.kernels import online\nimport triton\nimport triton.language as tl"
    )
    path.write_text(modules + "\n\n\n" + solution_of(STORE_KV))
    scope = {"__name__": "cell"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    sys.modules["cell"] = type(sys)("cell")
    sys.modules["cell"].__dict__.update(scope)
    try:
        result = check("08.store_kv", scope["store_kv"])
    finally:
        del sys.modules["cell"]
    assert result and result.kept
    kept = workbook.load("08.store_kv")
    k = torch.ones(1, 1, 2)
    cache = torch.zeros(2, 2, 1, 2)
    kept(k, k, cache, cache.clone(), torch.tensor([3]))
    assert cache.flatten(0, 1)[3].tolist() == [[1.0, 1.0]]
