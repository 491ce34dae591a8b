"""check, hint, solution and progress, as a learner meets them."""

import ast
import functools
import random
from pathlib import Path

import pytest
import torch

from course_lib import check, hint, progress, setup, solution
from course_lib.errors import CourseError
from course_lib.kvcache import Recompute
from course_lib.practice import CheckFailed
from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.judge.exercise import Counterexample, Exercise, NotVerified, Property, Trial
from course_lib.practice.judge.rungs import InTriton
from course_lib.practice.lessons.l00.hello import hello
from course_lib.practice.lessons.l01.greedy import greedy
from course_lib.practice.progress import workbook

SOLUTIONS = Path(__file__).parents[2] / "solutions" / "src"


def test_passing_and_failing_say_so_in_every_form():
    passed, failed = check("01.greedy", greedy), check("01.greedy", lambda logits: int(logits.argmin()))
    assert passed and passed.state == "passed" and passed.raise_if_failed() is passed
    assert not failed and failed.failure.prop.title == "The id is that of the largest logit"
    with pytest.raises(CheckFailed, match="the smallest logit is taken"):
        failed.raise_if_failed()
    assert issubclass(CheckFailed, AssertionError)


def test_properties_after_the_failed_one_are_not_reached():
    failed = check("01.greedy", lambda logits: len(logits) - 1 - int(logits.flip(0).argmax()))
    assert [v.state for v in failed.verdicts] == ["holds", "holds", "fails"] + ["not reached"] * 3
    assert str(failed).startswith("✗ 01.greedy   2 of 6 hold · 3 not reached\n")


@pytest.mark.parametrize(
    "answer, words",
    [
        (3, "The check got an int, perhaps the result of a call"),
        ("text", "The check got a str, perhaps the result of a call"),
        (None, "The check got None. Hand in the function itself"),
        (dict, "The check got the class `dict`"),
        (lambda: 1, "it has to take 1 argument"),
        (lambda a, b: 1, "cannot be called as `hello(name)`"),
    ],
)
def test_what_cannot_be_checked_is_told_apart(answer, words):
    result = check("00.hello", answer)
    assert result.state == "unfit" and words in result.message
    assert workbook.entry("00.hello").attempts == 0


def test_a_check_without_an_answer_says_what_to_hand_in():
    assert 'check("00.hello", hello)' in check("00.hello").message


def stub_raises(name):
    """Says nothing."""
    raise NotImplementedError


def stub_passes(name):
    pass


def stub_dots(name):
    """With a docstring."""
    ...


@pytest.mark.parametrize("stub", [stub_raises, stub_passes, stub_dots])
def test_a_stub_is_not_a_failure_but_not_written_yet(stub):
    result = check("00.hello", stub)
    assert result.state == "unwritten" and "not written yet" in result.message
    assert not result and workbook.entry("00.hello").attempts == 0


@pytest.mark.parametrize("exercise", registry.exercises().values(), ids=lambda e: e.id)
def test_every_stub_is_recognised(exercise):
    def unwritten(*args, **kwargs):
        raise NotImplementedError

    stub = functools.wraps(exercise.reference)(unwritten)
    if isinstance(exercise.reference, type):
        methods = [name for name, value in vars(exercise.reference).items() if callable(value)]
        stubs = {name: functools.wraps(vars(exercise.reference)[name])(unwritten) for name in methods}
        stub = type(exercise.name, exercise.reference.__bases__, stubs)
    assert judge(exercise, stub).state == "unwritten"


def test_checking_leaves_the_learners_random_numbers_alone():
    torch.manual_seed(5)
    random.seed(5)
    check("01.greedy", lambda logits: int(torch.randint(len(logits), ())) + random.randrange(2))
    after = torch.rand(3), random.random()
    torch.manual_seed(5)
    random.seed(5)
    assert torch.rand(3).equal(after[0]) and random.random() == after[1]


def test_the_answer_is_the_same_every_time():
    def draws(logits):
        return int(torch.multinomial(logits.softmax(-1), 1))

    assert str(check("01.greedy", draws)) == str(check("01.greedy", draws))


def test_what_the_learner_prints_is_shown_with_the_case_and_nowhere_else(capsys):
    def chatty(name):
        print("looking at", name)
        return name

    result = check("00.hello", chatty)
    assert capsys.readouterr().out == ""
    assert "printed   looking at Al" in str(result)


def test_what_this_machine_cannot_decide_is_said_and_does_not_count():
    def no_gpu(answer):
        raise NotVerified("no GPU on this machine")

    exercise = Exercise(
        "99.gpu",
        "GPU",
        "answer",
        [Property("It holds", "", [Trial(["answer(1)"], lambda a: a(1))]), Property("On a GPU", "", run=no_gpu)],
        [],
        ["a"] * 3,
        [abs, lambda x: x],
    )
    result = judge(exercise, lambda x: x)
    assert result.state == "passed"
    assert str(result).startswith("✓ 99.gpu   1 of 1 hold · 1 not verified here\n")
    assert "– On a GPU: not verified here, no GPU on this machine" in str(result)


def test_a_property_can_run_its_own_way_and_remark_on_it():
    def run(answer):
        if answer(1) != 1:
            raise Counterexample(["answer(1)"], 1, answer(1))
        return "worst error 0"

    exercise = Exercise(
        "99.own", "Own", "answer", [Property("Equal", "It must.", run=run)], [], ["a"] * 3, [abs, lambda x: x]
    )
    assert "✓ Equal: worst error 0" in str(judge(exercise, lambda x: x))
    assert "yours     2" in str(judge(exercise, lambda x: 2))


def test_under_nbgrader_a_failure_raises_and_nothing_is_recorded(monkeypatch, home):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert check("00.hello", hello)
    for wrong in (stub_raises, 3, lambda name: "no"):
        with pytest.raises(CheckFailed):
            check("00.hello", wrong)
    assert not home.exists()


@pytest.mark.parametrize(
    "wrong, near",
    [
        ("01.gredy", "01.greedy"),
        ("greedy", "01.greedy"),
        ("1.sample", "01.sample"),
        ("01.countwork", "01.count_work"),
        ("01", "01.greedy"),
        ("HELLO", "00.hello"),
    ],
)
def test_an_unknown_id_gets_the_nearest_ones(wrong, near):
    for call in (
        lambda: check(wrong, greedy),
        lambda: hint(wrong),
        lambda: solution(wrong),
        lambda: workbook.load(wrong),
    ):
        with pytest.raises(CourseError, match=f'no exercise "{wrong}". Did you mean .*{near}'):
            call()


def test_an_id_like_no_other_gets_the_list_and_a_wrong_kind_of_id_is_said():
    with pytest.raises(CourseError, match="The ids are 00.hello, 01.greedy"):
        hint("zzzz")
    with pytest.raises(CourseError, match="first argument is the exercise's id.*a function"):
        check(hello, "00.hello")


def test_hints_go_one_step_further_each_time_and_say_when_they_repeat():
    texts = [str(hint("01.greedy")) for _ in range(6)]
    hints = registry.find("01.greedy").hints
    for number, text in enumerate(texts[:4]):
        assert f"hint {number + 1} of 4" in text and hints[number] in text
    assert 'That was the last one; `solution("01.greedy")` shows the answer.' in texts[3]
    assert "That was the last one" not in "".join(texts[:3])
    assert texts[4] == texts[5] and "all 4 hints again" in texts[4] and all(h in texts[4] for h in hints)


def test_hints_go_on_even_where_nothing_can_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file" / "home"))
    first, second = hint("01.greedy"), hint("01.greedy")
    assert (first.number, second.number) == (1, 2) and "could not be written" in second.notices[0]


def is_the_solution(right, exercise):
    """Whether a right answer is the function or class of the module whose text `solution` shows."""
    module = right.module if isinstance(right, InTriton) else right.__module__.partition(".lessons.")[2]
    lesson, name = exercise.id.split(".")
    return (module, right.__name__) == (f"l{lesson}.solutions.{name}", exercise.name)


def test_the_solution_comes_with_its_reason_and_runs_with_the_imports_of_its_page(tmp_path):
    """It is one of the right answers, and that these pass is what test_cases.py says."""
    setup(quiet=True)  # decides how Triton runs here, before a solution imports it
    spaces = {}
    for key, exercise in registry.exercises().items():
        text = str(solution(key))
        assert exercise.why in text
        if key[:2] not in spaces:  # solutions of a lesson stand in one notebook, and may use those above
            (source,) = SOLUTIONS.glob(f"{key[:2]}_*.py")
            nodes = ast.walk(ast.parse(source.read_text(encoding="utf-8")))
            imports = [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
            exec("\n".join(imports), spaces.setdefault(key[:2], {}))
        file = tmp_path / f"{key}.py"  # Triton reads the text of a kernel from its file
        file.write_text(solution(key).source, encoding="utf-8")
        exec(compile(solution(key).source, file, "exec"), spaces[key[:2]])
        assert callable(spaces[key[:2]][exercise.name])
        assert sum(is_the_solution(right, exercise) for right in exercise.rights) == 1, key


def test_progress_counts_what_was_done():
    check("00.hello", hello)
    check("01.greedy", lambda logits: 0)
    hint("01.sample")
    table = progress()
    assert table.done == 1
    others = dict.fromkeys(registry.ids(), "")
    assert {k: e.state for k, e in table.entries.items()} == others | {
        "00.hello": "done",
        "01.greedy": "tried",
        "01.sample": "tried",
    }
    text = str(table)
    assert f"1 of {len(others)} done" in text and "Next: `01.greedy`" in text and "1 of 4 hints" in text


def yields(model, token_ids, max_tokens, stop_token_ids=()):
    yield 1


async def waits(model, token_ids, max_tokens, stop_token_ids=()):
    return []


@pytest.mark.parametrize(
    "answer, words",
    [
        (yields, "`generate` uses `yield`, so a call gives a generator"),
        (waits, "`generate` is written with `async`"),
        (lambda model: 1, "4 arguments, in that order: `model`, `token_ids`, `max_tokens`, `stop_token_ids`."),
        (
            lambda model, *, token_ids, max_tokens, stop_token_ids=(): 1,
            "After a `*`, `token_ids`, `max_tokens` can only be given by name",
        ),
    ],
)
def test_a_function_of_the_wrong_kind_is_told_what_to_change(answer, words):
    result = check("01.generate", answer)
    assert result.state == "unfit" and words in result.message


def test_an_object_that_can_be_called_passes_and_is_told_why_it_is_not_saved():
    class Best:
        def __call__(self, logits):
            return greedy(logits)

    result = check("01.greedy", Best())
    assert (
        result
        and "an object of class Best, and its class is not saved with it. Define a function: `def greedy(…):`"
        in result.notices[0]
    )


def test_the_loop_of_the_lesson_runs_on_the_small_model_and_the_bundled_one():
    source = (Path(__file__).parents[2] / "notebooks" / "src" / "01_naive_decoding.py").read_text(encoding="utf-8")
    cell = next(c for c in source.split("# %%") if "def my_generate(" in c)
    space = {"torch": torch, "Recompute": Recompute}
    exec(cell[cell.index("@torch") : cell.index("\n\n\nmine")], space)
    mine = space["my_generate"]
    answer = lambda model, token_ids, max_tokens, stop_token_ids=(): mine(model, token_ids, max_tokens)  # noqa: E731
    verdicts = judge(registry.find("01.generate"), answer).verdicts  # it knows no stop tokens; all before them holds
    assert [v.state for v in verdicts[:4]] == ["holds", "holds", "holds", "fails"]
    assert registry.find("01.generate").properties[-1].run(mine) == "24 equal tokens"
