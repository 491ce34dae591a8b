"""Puts back the cells that a student has deleted, so that each point of the assignment is given or not given."""

from pathlib import Path

import nbformat
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor


class PutCellsBack(NbGraderPreprocessor):
    """Copies missing answer and check cells from the release: an answer as its stub, which gets no points."""

    def preprocess(self, nb, resources):
        folder = CourseDirectory(parent=self)
        about = resources["nbgrader"]
        released = Path(folder.format_path(folder.release_directory, ".", about["assignment"]))
        path = released / f"{about['notebook']}.ipynb"
        if not path.exists():
            self.log.warning("%s is not there, so cells that were deleted stay missing.", path)
            return nb, resources
        for cell_id in put_back(nb, nbformat.read(path, as_version=4)):
            self.log.warning("The cell %r was deleted by the student and is put back.", cell_id)
        return nb, resources


def put_back(nb, released):
    """Adds to `nb` in place what it lacks of the release's cells with a grade_id; returns their grade_ids.

    A cell comes behind the one before it in the release; the first one before all others that have a grade_id.
    """
    added, place = [], -1
    have = {grade_id(cell): number for number, cell in enumerate(nb.cells) if grade_id(cell)}
    place = min(have.values(), default=len(nb.cells)) - 1
    for cell in [cell for cell in released.cells if grade_id(cell)]:
        if grade_id(cell) not in have:
            nb.cells.insert(place + 1, cell)
            added.append(grade_id(cell))
        place = next(number for number, one in enumerate(nb.cells) if grade_id(one) == grade_id(cell))
    return added


def grade_id(cell):
    """The cell's name in nbgrader, or None."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")
