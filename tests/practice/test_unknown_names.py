"""After a restart, or with cells out of order: the NameError is followed by what to do."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib.practice.unknown_names import explain_unknown_names


@pytest.fixture
def shell():
    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    "cell, says",
    [
        ("greedy_of_mine([1])", True),
        ("def use():\n    return not_here\nuse()", True),
        ("def use():\n    x\n    x = 1\nuse()", False),
        ("[1][2]", False),
    ],
    ids=["a cell not run", "inside a function", "a local name", "another error"],
)
def test_an_unknown_name_says_to_run_the_cells_above(shell, capsys, cell, says):
    explain_unknown_names()
    explain_unknown_names()
    assert not shell.run_cell(cell).success
    shown = capsys.readouterr()
    assert ("Run all cells above" in shown.err) is says and "Error" in shown.out
    assert shown.err.count("not known in this kernel") == says


def test_a_name_of_the_course_is_told_where_it_is(shell, capsys):
    explain_unknown_names()
    shell.run_cell('workbook.load("01.greedy")')
    assert capsys.readouterr().err.startswith("workbook is in course_lib. Run `from course_lib import workbook` first")


def test_another_handler_stays(shell):
    seen = []
    shell.set_custom_exc((NameError,), lambda shell, kind, error, traceback, tb_offset=None: seen.append(str(error)))
    explain_unknown_names()
    shell.run_cell("not_here")
    assert seen == ["name 'not_here' is not defined"]


def test_outside_a_notebook_nothing_happens():
    InteractiveShell.clear_instance()
    explain_unknown_names()
