"""The settings of nbgrader for this course. The nbgrader_config.py of a course folder calls `configure`."""

import os
import sys
import warnings
from pathlib import Path

from nbgrader.converters import Autograde
from nbgrader.preprocessors import DeduplicateIds, Execute
from sqlalchemy.exc import SAWarning

from course_lib.authoring.stubs import CODE_STUB

from .cells import PutCellsBack
from .run import GradedRun


def configure(c):
    """Sets what this course needs in nbgrader's config object `c`; everything else stays nbgrader's default."""
    beside = str(Path(sys.executable).parent)  # nbgrader calls `alembic` by name, also where nothing is activated
    os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])
    warnings.filterwarnings("ignore", category=SAWarning)  # nbgrader and its database, between themselves
    c.ClearSolutions.code_stub = {"python": CODE_STUB}
    traits = Autograde.class_traits()
    sanitize = traits["sanitize_preprocessors"].default()
    c.Autograde.sanitize_preprocessors = [
        step for one in sanitize for step in ([PutCellsBack, one] if one is DeduplicateIds else [one])
    ]
    autograde = traits["autograde_preprocessors"].default()
    c.Autograde.autograde_preprocessors = [GradedRun if one is Execute else one for one in autograde]
