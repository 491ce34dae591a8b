"""Whether a notebook that was run gives what is committed. Compared is what `pytest --nbval` compares, by nbval."""

import nbformat
from nbformat.v4.rwbase import rejoin_lines
from nbval.plugin import IPyNbFile, coalesce_streams


def must_be_as_committed(session, committed, ran):
    """Raises AssertionError with what a run printed otherwise than the notebook at the path `committed` has it.

    session: pytest's, with the options of nbval; pyproject.toml names tests/nbval.cfg. ran: {cell id: its outputs}.
    Cells that their tags leave out are left out. Raises ValueError for a cell that `committed` has without a run.
    """
    notebook = IPyNbFile.from_parent(session, path=committed)
    notebook.setup_sanitize_files()
    found = []
    for item in notebook.collect():
        cell, options = item.cell, item.options
        if options["skip"] or not options["check"]:
            continue
        if cell.execution_count is None and cell.source.strip():
            raise ValueError(f"{committed.name}: this cell is committed without having been run:\n{cell.source}")
        if not item.compare_outputs(coalesce_streams(as_nbformat(ran[cell.id])), coalesce_streams(cell.outputs)):
            found.append("\n".join([f"cell {item.cell_num} of {committed.name}:", *item.comparison_traceback]))
    if found:
        raise AssertionError("\n\n".join(found))


def as_nbformat(outputs):
    """Outputs as JupyterLab holds them, dicts, as nbformat reads them from a file."""
    cell = {"cell_type": "code", "source": "", "outputs": outputs}
    return rejoin_lines(nbformat.from_dict({"cells": [cell]})).cells[0].outputs
