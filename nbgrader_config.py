"""For teachers who run nbgrader on solutions/: the same stubs as `course build` writes."""

from course_lib.authoring.stubs import CODE_STUB

c = get_config()  # noqa: F821  (nbgrader puts it here)
c.ClearSolutions.code_stub = {"python": CODE_STUB}
c.ExecutePreprocessor.timeout = 300  # seconds a cell
