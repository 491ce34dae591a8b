"""Makes the cells of a submission those of the release, so that each point is given or not given, and nothing stops.

A student may delete cells, copy them with all that nbgrader has written into them, or use an editor that loses it.
nbgrader would leave points pending, or end the run of the whole class.
"""

import copy
from pathlib import Path

import nbformat
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor


class PutCellsBack(NbGraderPreprocessor):
    """Copies what is missing from the release: a check as it is, an answer as its stub, which gets no points."""

    def preprocess(self, nb, resources):
        """Changes `nb` in place, where the release is there."""
        folder = CourseDirectory(parent=self)
        about = resources["nbgrader"]
        released = Path(folder.format_path(folder.release_directory, ".", about["assignment"]))
        path = released / f"{about['notebook']}.ipynb"
        if not path.exists():
            self.log.warning("%s is not there, so cells that were deleted stay missing.", path)
            return nb, resources
        stub = nbformat.read(path, as_version=4)
        mark_as_released(nb, stub)
        for cell_id in put_back(nb, stub):
            self.log.warning("The cell %r was deleted by the student and is put back.", cell_id)
        return nb, resources


def mark_as_released(nb, released):
    """Gives the cells of `nb` nbgrader's metadata of the release, in place. Of copies the last one has it."""
    known, seen = {grade_id(cell): cell.metadata.nbgrader for cell in released.cells if grade_id(cell)}, set()
    for cell in reversed(nb.cells):
        name = grade_id(cell)
        cell.metadata.pop("nbgrader", None)
        if name in known and name not in seen:
            cell.metadata["nbgrader"] = copy.deepcopy(known[name])
            seen.add(name)


def put_back(nb, released):
    """Adds to `nb` in place what it lacks of the release's cells with a grade_id; returns their grade_ids.

    A cell comes behind the one before it in the release; the first one before all others that have a grade_id.
    """
    added = []
    have = {grade_id(cell): number for number, cell in enumerate(nb.cells) if grade_id(cell)}
    place = min(have.values(), default=len(nb.cells)) - 1
    for cell in [cell for cell in released.cells if grade_id(cell)]:
        if grade_id(cell) not in have:
            nb.cells.insert(place + 1, copy.deepcopy(cell))
            added.append(grade_id(cell))
        place = next(number for number, one in enumerate(nb.cells) if grade_id(one) == grade_id(cell))
    return added


def grade_id(cell):
    """The cell's name in nbgrader, or None."""
    about = cell.metadata.get("nbgrader")
    return about.get("grade_id") if isinstance(about, dict) else None
