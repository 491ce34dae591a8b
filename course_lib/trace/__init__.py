"""What happened, as records (`records`), and what the records mean, step by step (`memory`, `schedule`).

Nothing else interprets records: views and `chrome` are built on these. Names arrive on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {"records": "Trace"})
