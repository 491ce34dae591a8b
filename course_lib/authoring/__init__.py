"""From sources to notebooks: what `course build` and `course build --check` run.

    notebooks/src/NN_topic.py  ->  notebooks/NN_topic.ipynb    executed, outputs kept
    solutions/src/NN_topic.py  ->  solutions/NN_topic.ipynb    executed, outputs kept
                               ->  exercises/NN_topic.ipynb    cleared by nbgrader's own preprocessors
                               ->  course_lib/practice/lessons/lNN/solutions/*.py    what checks and solution(id) read

How a source is written is told in docs/authoring.md.
"""

from .build import build
from .check import check

__all__ = ["build", "check"]
