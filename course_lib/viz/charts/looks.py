"""How the series of a chart are told apart: a colour, a dash, a mark and a pattern by the number of the series."""

from course_lib.viz.kit.looks import request_colour
from course_lib.viz.kit.still import palette

# by the number of the series: the same for plotly, matplotlib and the style sheet
DASHES = (("solid", "-"), ("dash", "--"), ("dot", ":"), ("dashdot", "-."))
MARKS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("x", "X"), ("pentagon", "p"))
PATTERNS = (("", ""), ("/", "//"), (".", ".."), ("x", "xx"), ("\\", "\\\\"), ("-", "--"))
MINE = ("star", "*")
CROWDED = 60  # points


def look(number, series):
    """{"colour", "dash", "mark", "pattern"}, the last three as (plotly, matplotlib). number: None for a limit."""
    if number is None:
        return {"colour": palette()["ink"], "dash": DASHES[0], "mark": MARKS[0], "pattern": PATTERNS[0]}
    return {
        "colour": request_colour(number),
        "dash": DASHES[number % 4],
        "mark": MINE if series.mine else MARKS[number % 6],
        "pattern": PATTERNS[number % 6],
    }


def is_crowded(series):
    """Whether marks are so many that they are small and without an edge."""
    return len(series.x) > CROWDED and not series.mine


def with_marks(series):
    """Whether the points of a line get marks: where they are few."""
    return series.kind == "points" or series.mine or (series.kind in ("lines", "steps") and len(series.x) <= 24)
