"""Teaching with nbgrader: the course folder that `course release` makes, and how a submission is run and graded.

This package needs nbgrader, which learners do not have; only `course release` and nbgrader_config.py import it.
"""
