"""The learner's loop in JupyterLab: run the stub, read what the check says, write the answer, pass."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = sorted((ROOT / "exercises").glob("*.ipynb"))


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
def test_every_check_fails_on_the_stub_and_passes_on_the_solution(lab, notebook):
    solution = {cell.id: cell for cell in nbformat.read(ROOT / "solutions" / notebook.name, as_version=4).cells}
    with lab.open(f"exercises/{notebook.name}") as page:
        cells = page.cells()
        first = next(cell["index"] for cell in cells if cell["exercise"])
        for cell in cells[:first]:
            if cell["type"] == "code":
                page.run_cell(cell["index"])
        for cell in cells:
            if not cell["exercise"]:
                continue
            check = next(
                c["index"] for c in cells if c["index"] > cell["index"] and f'check("{cell["exercise"]}"' in c["source"]
            )
            page.run_cell(cell["index"])
            assert state(page.run_cell(check), cell["exercise"]) == "unwritten"
            page.write_cell(cell["index"], solution[cell["id"]].source)
            page.run_cell(cell["index"])
            assert state(page.run_cell(check), cell["exercise"]) == "passed"
        page.run_all()


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
