"""What happened, as records, and what the records mean. Views read traces through this package only.

Names arrive on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {"records": "Trace"})
