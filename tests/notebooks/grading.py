"""nbgrader from end to end: an assignment made from a solution, handed in, and graded by itself."""

import os
import shutil
from pathlib import Path

from traitlets.config import Config

ASSIGNMENT = "lesson"


def grade(solution, submissions, folder, code_stub):
    """{student: (score, most)} for `submissions`, {student: path of the notebook that they hand in}.

    The assignment is made from the notebook at `solution`, in a course directory in `folder`. A submission of
    None hands in the released stub as it is.
    """
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI

    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder}/gradebook.db"
    config.ClearSolutions.code_stub = {"python": code_stub}
    config.Execute.timeout = 300
    (folder / "source" / ASSIGNMENT).mkdir(parents=True)
    shutil.copy(solution, folder / "source" / ASSIGNMENT / solution.name)
    before = Path.cwd()
    os.chdir(folder)  # nbgrader works in the course directory, as on its command line
    try:
        api = NbGraderAPI(config=config)
        _must(api.generate_assignment(ASSIGNMENT))
        released = folder / "release" / ASSIGNMENT / solution.name
        for student, notebook in submissions.items():
            handed_in = folder / "submitted" / student / ASSIGNMENT / solution.name
            handed_in.parent.mkdir(parents=True)
            shutil.copy(notebook or released, handed_in)
            _must(api.autograde(ASSIGNMENT, student))
    finally:
        os.chdir(before)
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        graded = {student: gradebook.find_submission(ASSIGNMENT, student) for student in submissions}
        return {student: (submission.score, submission.max_score) for student, submission in graded.items()}


def _must(done):
    if not done["success"]:
        raise RuntimeError(f"nbgrader failed:\n{done.get('error')}\n{done.get('log')}")
