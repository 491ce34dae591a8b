"""Source code as text: copied out of a notebook so that it runs elsewhere, and shown in a lesson.

Names arrive on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {"show": "show wrapped"})
