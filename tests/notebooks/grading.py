"""nbgrader from end to end: an assignment made from a solution, handed in, and graded by itself."""

import os
import shutil
from pathlib import Path

from traitlets.config import Config


def grade(solution, submissions, folder, code_stub, *, execute=True):
    """{student: (score, most)} for `submissions`, {student: path of the notebook that they hand in}.

    The assignment is made from the notebook at `solution`, in a course directory in `folder`. It may hold others
    already: a new gradebook takes nbgrader longer. A submission of None hands in the released stub as it is. execute:
    whether nbgrader runs what is handed in; otherwise it grades the outputs that are in it.
    """
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI

    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder}/gradebook.db"
    config.ClearSolutions.code_stub = {"python": code_stub}
    config.Execute.timeout = 1800
    config.Execute.enabled = config.ClearOutput.enabled = execute
    assignment = solution.stem
    (folder / "source" / assignment).mkdir(parents=True)
    shutil.copy(solution, folder / "source" / assignment / solution.name)
    before = Path.cwd()
    os.chdir(folder)  # nbgrader works in the course directory, as on its command line
    try:
        api = NbGraderAPI(config=config)
        _must(api.generate_assignment(assignment))
        released = folder / "release" / assignment / solution.name
        for student, notebook in submissions.items():
            handed_in = folder / "submitted" / student / assignment / solution.name
            handed_in.parent.mkdir(parents=True)
            shutil.copy(notebook or released, handed_in)
            _must(api.autograde(assignment, student))
    finally:
        os.chdir(before)
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        graded = {student: gradebook.find_submission(assignment, student) for student in submissions}
        return {student: (submission.score, submission.max_score) for student, submission in graded.items()}


def _must(done):
    if not done["success"]:
        raise RuntimeError(f"nbgrader failed:\n{done.get('error')}\n{done.get('log')}")
