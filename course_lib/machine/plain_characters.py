"""Text for an output whose encoding lacks some characters: a pipe on Windows is in cp1252, which has no check mark."""

import codecs
import sys

PLAIN = {"✓": "+", "✗": "x", "→": "->", "…": "...", "−": "-", "×": "x", "≤": "<=", "≥": ">=", "–": "-", "·": "."}
"""What stands for a character where the encoding does not have it; others become a question mark."""


def in_plain_characters(problem):
    """An error handler of codecs, as errors="course"."""
    return "".join(PLAIN.get(c, "?") for c in problem.object[problem.start : problem.end]), problem.end


codecs.register_error("course", in_plain_characters)


def printable(text):
    """`text` in characters that sys.stdout has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "course").decode(encoding)
