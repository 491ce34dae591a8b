"""The learner's loop in JupyterLab: run the stub, read what the check says, write the answer, pass."""

import re
from pathlib import Path

import nbformat
import pytest
from as_committed import must_be_as_committed

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = sorted((ROOT / "exercises").glob("*.ipynb"))
WITH_VIEWS = ("04_paged_allocator", "10_continuous_batching")
"""Exercises in which a learner's own allocator or scheduler moves a view."""


def html_of(outputs):
    """The HTML that a cell shows, one string; fails when it shows an error instead."""
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert errors == []
    return "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)


def state(outputs, exercise):
    """What a check's card says of the exercise, where a screen reader looks: passed, failed or unwritten."""
    [said] = re.findall(rf'aria-label="Check of {re.escape(exercise)}: (\w+)"', html_of(outputs))
    return said


@pytest.mark.parametrize("notebook", EXERCISES, ids=lambda path: path.stem)
def test_every_check_fails_on_the_stub_and_passes_on_the_solution(lab, notebook, request):
    """Cell by cell, from the first to the last. In the end the page is the notebook in solutions/, with its outputs.

    Then the views that a learner's own part moves.
    """
    solved = ROOT / "solutions" / notebook.name
    solution = {cell.id: cell for cell in nbformat.read(solved, as_version=4).cells}
    with lab.open(f"exercises/{notebook.name}") as page:
        cells = [cell for cell in page.cells() if cell["type"] == "code" and cell["source"].strip()]
        checks = {}
        for cell in cells:
            exercise = cell["exercise"]
            if exercise:
                check = next(c for c in cells if c["index"] > cell["index"] and f'check("{exercise}"' in c["source"])
                checks[check["index"]] = exercise
                page.run_cell(cell["index"])
                assert state(page.run_cell(check["index"]), exercise) == "unwritten"
                page.write_cell(cell["index"], solution[cell["id"]].source)
            outputs = page.run_cell(cell["index"])
            if cell["index"] in checks:
                assert state(outputs, checks[cell["index"]]) == "passed"
        page.expect_no_errors()
        assert {cell["id"]: cell["source"] for cell in page.cells()} == {
            id: cell.source for id, cell in solution.items()
        }
        must_be_as_committed(request.session, solved, page.outputs())
        if notebook.stem in WITH_VIEWS:
            for view in page.views():
                view.works()


def test_a_wrong_answer_is_shown_with_what_was_expected_and_what_came(lab):
    """The card in the page, as it is seen: the counterexample, both values, and the hint one step further each time."""
    with lab.open("exercises/00_start_here.ipynb") as page:
        cells = page.cells()
        answer = next(cell["index"] for cell in cells if cell["exercise"] == "00.hello")
        for cell in cells[:answer]:
            if cell["type"] == "code":
                page.run_cell(cell["index"])
        page.write_cell(answer, "def hello(name):\n    return 'Hello, ' + name")
        page.run_cell(answer)
        assert state(page.run_cell(answer + 1), "00.hello") == "failed"
        card = page.output(answer + 1).get_by_role("group", name="Check of 00.hello: failed")
        card.wait_for()
        assert (
            card.get_by_text("expected", exact=True).is_visible() and card.get_by_text("yours", exact=True).is_visible()
        )
        page.write_cell(answer + 1, 'hint("00.hello")')
        first, second = html_of(page.run_cell(answer + 1)), html_of(page.run_cell(answer + 1))
        assert first != second and "Hint for 00.hello" in first
