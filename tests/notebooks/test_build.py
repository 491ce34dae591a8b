"""`course build` and `course build --check`, on a made-up checkout."""

import json

import nbformat
import pytest
from made_up import EXERCISE, LESSON, REPOSITORY, make_checkout

from course_lib.authoring import build, check
from course_lib.errors import CourseError


def notebook(checkout, folder="notebooks"):
    return nbformat.read(checkout / folder / "01_trial.ipynb", as_version=4)


def save(nb, checkout, folder="notebooks"):
    (checkout / folder / "01_trial.ipynb").write_text(nbformat.writes(nb) + "\n")


def edit(checkout, old, new, folder="notebooks"):
    source = checkout / folder / "src" / "01_trial.py"
    text = source.read_text()
    if old not in text:
        raise ValueError(f"{old!r} is not in the source")
    source.write_text(text.replace(old, new))


def files(checkout):
    return {path: path.read_bytes() for path in sorted(checkout.glob("*/*.ipynb"))}


def problem(checkout):
    """The one problem that check() finds."""
    [found] = check(checkout)
    return found


def test_a_checkout_just_built_is_current(checkout):
    assert check(checkout) == []
    assert [path.relative_to(checkout).as_posix() for path in files(checkout)] == [
        "exercises/01_trial.ipynb", "notebooks/01_trial.ipynb", "solutions/01_trial.ipynb",
    ]


def test_building_again_executes_nothing_and_changes_no_byte(checkout):
    before, lines = files(checkout), []
    build(checkout, report=lines.append)
    assert lines == ["notebooks/01_trial: up to date", "solutions/01_trial: up to date"]
    assert files(checkout) == before


def test_force_executes_again_and_changes_only_what_differs_each_time(checkout):
    before = notebook(checkout)
    build(checkout, ["notebooks/01"], force=True, report=lambda line: None)
    after = notebook(checkout)
    changed = [i for i, (old, new) in enumerate(zip(before.cells, after.cells, strict=True)) if old != new]
    assert [before.cells[i].metadata.get("tags") for i in changed] == [["nbval-ignore-output"]]


def test_editing_prose_keeps_the_outputs(checkout):
    clock = notebook(checkout).cells[5].outputs
    edit(checkout, "# # A lesson", "# # A better lesson")
    assert "cell 1 ('# A better lesson')" in problem(checkout)
    build(checkout, report=lambda line: None)
    assert notebook(checkout).cells[0].source == "# A better lesson"
    assert notebook(checkout).cells[5].outputs == clock
    assert check(checkout) == []


def test_editing_code_without_building_names_notebook_cell_and_command(checkout):
    edit(checkout, "answer = 6 * 7", "answer = 6 * 8")
    assert problem(checkout) == (
        "notebooks/01_trial.ipynb is not what its source makes: cell 4 ('answer = 6 * 8') is the first that differs. "
        "Run `course build notebooks/01_trial`."
    )
    build(checkout, report=lambda line: None)
    assert notebook(checkout).cells[3].outputs[0].text == "the answer is 48\n"


def test_editing_a_solution_reports_the_solution_and_leaves_the_exercise_current(checkout):
    edit(checkout, "number + number", "2 * number", "solutions")
    assert problem(checkout).startswith("solutions/01_trial.ipynb")


def test_editing_the_notebook_instead_of_its_source_is_found(checkout):
    stub = notebook(checkout, "exercises")
    stub.cells[-1].source += "\nprint('changed by hand')"
    save(stub, checkout, "exercises")
    assert problem(checkout).startswith("exercises/01_trial.ipynb is not what its source makes: cell 5 ")


def test_a_cell_more_or_less_is_found(checkout):
    nb = notebook(checkout)
    del nb.cells[-1]
    save(nb, checkout)
    assert "has 6 cells, its source makes 7" in problem(checkout)


def test_a_missing_notebook_and_a_notebook_without_source_are_found(checkout):
    (checkout / "exercises" / "01_trial.ipynb").rename(checkout / "exercises" / "02_stray.ipynb")
    assert sorted(check(checkout)) == [
        "exercises/01_trial.ipynb has not been built yet. Run `course build solutions/01_trial`.",
        "exercises/02_stray.ipynb has no source; write one or delete the notebook.",
    ]


@pytest.mark.parametrize("folder", ["notebooks", "solutions"])
def test_a_cell_that_was_never_executed_fails(checkout, folder):
    """nbval compares nothing in such a cell and passes, so the check must not."""
    nb = notebook(checkout, folder)
    nb.cells[3].execution_count, nb.cells[3].outputs = None, []
    save(nb, checkout, folder)
    assert "cell 4 was never executed" in problem(checkout)
    build(checkout, report=lambda line: None)
    assert check(checkout) == []


def test_an_error_that_nobody_announced_fails(checkout):
    nb = notebook(checkout)
    nb.cells[3].outputs = nb.cells[4].outputs
    save(nb, checkout)
    assert "cell 4 ends in ValueError and is not tagged raises-exception" in problem(checkout)


def test_widget_state_fails(checkout):
    nb = notebook(checkout)
    nb.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    save(nb, checkout)
    assert any("metadata.widgets" in found for found in check(checkout))


@pytest.mark.parametrize("trace", ["<object at 0x7f3a5c2b1d90>", "{checkout}/course_lib/x.py"])
def test_output_that_differs_on_every_machine_fails(checkout, trace):
    nb = notebook(checkout)
    nb.cells[3].outputs[0].text = trace.format(checkout=checkout)
    save(nb, checkout)
    assert "cell 4 prints what differs on every machine" in problem(checkout)


def test_outputs_keep_the_still_form_of_a_view_and_drop_its_live_id(checkout):
    [output] = notebook(checkout).cells[6].outputs
    assert output.data == {"text/html": "<b>still</b>", "text/plain": "View"}


def test_pieces_of_one_stream_are_joined(checkout):
    [output] = notebook(checkout).cells[3].outputs
    assert output.text == "the answer is 42\n"


def test_metadata_says_nothing_about_this_machine(checkout):
    for path in files(checkout):
        metadata = json.loads(path.read_text())["metadata"]
        assert metadata["kernelspec"]["name"] == "python3"
        assert set(metadata) == {"course", "kernelspec", "language_info"}
        assert "version" not in metadata["language_info"]


def test_ids_are_unique_and_survive_a_new_cell_above(checkout):
    before = [cell.id for cell in notebook(checkout).cells]
    edit(checkout, "# %%\nanswer", "# %%\nprint('new')\n\n# %%\nanswer")
    build(checkout, report=lambda line: None)
    after = [cell.id for cell in notebook(checkout).cells]
    assert len(set(after)) == len(after) == len(before) + 1
    assert set(before) < set(after)


def test_an_exercise_shares_its_ids_with_the_solution(checkout):
    assert [c.id for c in notebook(checkout, "exercises").cells] == [c.id for c in notebook(checkout, "solutions").cells]


def test_the_colab_cells_come_from_the_repository_address_and_do_nothing_here(checkout):
    link, install = notebook(checkout).cells[1:3]
    assert "https://colab.research.google.com/github/someone/some-course/blob/main/notebooks/01_trial.ipynb" in link.source
    assert f"git+{REPOSITORY}" in install.source
    assert install.execution_count == 1 and install.outputs == []
    assert "/blob/main/exercises/01_trial.ipynb" in notebook(checkout, "exercises").cells[1].source


def test_a_failing_cell_stops_the_build_and_writes_nothing(checkout):
    before = files(checkout)
    edit(checkout, "answer = 6 * 7", "answer = 6 / 0")
    with pytest.raises(CourseError, match="notebooks/01_trial stopped") as error:
        build(checkout, report=lambda line: None)
    assert "ZeroDivisionError" in str(error.value)
    assert files(checkout) == before


@pytest.mark.parametrize(
    ("lesson", "says"),
    [
        (LESSON.replace("{{colab}}", "Colab"), "has 0 cells that hold just {{colab}}"),
        (LESSON.replace('"nbval-ignore-output"', '"nbval-ignore-outputs"'), r"cell 5 has the tags \['nbval-ignore-outputs'\]"),
        (LESSON.replace("6 * 7", "6 * 7;").replace("\nprint(answer)", "\nanswer;"), "cell 3 ends in ';'"),
        (LESSON.replace("# %%\nanswer", "# %% tag=[\"x\"]\nanswer"), r"cell 3 has the metadata \['tag'\]"),
    ],
)
def test_a_source_with_a_slip_is_refused(tmp_path, lesson, says):
    root = make_checkout(tmp_path / "course", lesson=lesson)
    with pytest.raises(CourseError, match=says):
        check(root)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"grade_id": "double-check", ', "", "without a grade_id"),
        (', "points": 2', "", "graded but has no points"),
    ],
)
def test_an_exercise_with_a_slip_is_refused(tmp_path, old, new, says):
    root = make_checkout(tmp_path / "course", exercise=EXERCISE.replace(old, new))
    with pytest.raises(CourseError, match=says):
        check(root)


def test_an_unknown_lesson_gets_the_known_ones(checkout):
    with pytest.raises(CourseError, match=r"No lesson source is called '07'. Sources here: 01_trial"):
        check(checkout, ["07"])


def test_an_output_that_cannot_be_kept_is_refused_at_once(checkout):
    before = files(checkout)
    edit(checkout, "answer = 6 * 7", "answer = object()")
    with pytest.raises(CourseError, match="executed but not written: cell 4 prints what differs on every machine: 'at 0x"):
        build(checkout, report=lambda line: None)
    assert files(checkout) == before
