"""Which lines of a solution a stub still holds."""

import re

# So short or so common that finding them elsewhere says nothing.
COMMON = re.compile(r"(return|else:|pass|continue|break|try:|return (True|False|None|\[\])|\W*)")


def solution_lines(source):
    """The lines between the marks BEGIN SOLUTION and END SOLUTION of one cell, stripped."""
    inside, lines = False, []
    for line in source.splitlines():
        if "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            inside = "BEGIN" in line
        elif inside and not COMMON.fullmatch(line.strip()):
            lines.append(line.strip())
    return lines


def leaked(solution, stub):
    """Lines of `solution`'s marked regions that a cell of `stub` holds (in its own cell, or anywhere when long)."""
    found = []
    everything = {line.strip() for cell in stub.cells for line in cell.source.splitlines()}
    for cell, cleared in zip(solution.cells, stub.cells, strict=True):
        here = {line.strip() for line in cleared.source.splitlines()}
        found += [
            line for line in solution_lines(cell.source) if line in here or (len(line) > 30 and line in everything)
        ]
    return found
