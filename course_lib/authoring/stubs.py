"""Makes the exercise from the solution with nbgrader's own preprocessors, as `nbgrader generate_assignment` would."""

import copy

from course_lib.errors import CourseError

# course_lib/teaching/config.py gives it to nbgrader, so that a release has the same stubs.
CODE_STUB = '# YOUR CODE HERE\nraise NotImplementedError("Your turn: replace this line with your code.")'


def make_stub(notebook):
    """A cleared copy of a solution notebook: stubs for the solutions, no outputs, nbgrader's checksums.

    SaveCells is left out of nbgrader's list: it only writes to a course database.
    """
    try:
        from nbgrader import preprocessors as steps
    except ImportError:
        raise CourseError(
            "nbgrader is not installed, and `course build` clears the exercises with it. "
            "Install the tools of those who build and teach the course: pip install -e '.[test,teach]'"
        ) from None
    from traitlets.config import Config

    config = Config({"ClearSolutions": {"code_stub": {"python": CODE_STUB}}})
    stub, resources = copy.deepcopy(notebook), {}
    stub.metadata["course"].pop("source_sha")  # nothing here was executed
    for step in (
        steps.LockCells,
        steps.ClearSolutions,
        steps.ClearOutput,
        steps.CheckCellMetadata,
        steps.ComputeChecksums,
        steps.ClearHiddenTests,
        steps.ClearMarkScheme,
        steps.ComputeChecksums,
        steps.CheckCellMetadata,
    ):
        stub, resources = step(config=config).preprocess(stub, resources)
    stub.metadata.pop("celltoolbar", None)
    return stub
