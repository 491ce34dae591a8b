"""Results measured on a GPU, or in a long run on a CPU, which a lesson shows beside those of the learner's own machine.

`python benchmarks/lessons.py` measures all of them and writes one file a lesson into this folder.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import ParameterError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Recorded:
    """The tables of one lesson and how they were measured. Displays itself in a notebook and as plain text."""

    machine: str
    date: str
    software: str
    command: str
    tables: tuple
    """(title, columns, rows) of each table."""

    @property
    def source(self):
        return f"Recorded on one {self.machine}, {self.date}, {self.software}, by `{self.command}`."

    def __repr__(self):
        return "\n\n".join(
            [*(f"{title}\n{_plain(columns, rows)}" for title, columns, rows in self.tables), self.source]
        )

    def _repr_markdown_(self):
        return "\n\n".join(
            [
                *(f"**{title}**\n\n{_markdown(columns, rows)}" for title, columns, rows in self.tables),
                f"*{self.source}*",
            ]
        )

    def column(self, name, table=0):
        """The values of one column, for a plot. table: which of these tables, from 0.

        Raises ParameterError for a table or column that does not exist.
        """
        if table not in range(len(self.tables)):
            raise ParameterError(
                f"There is no table {table!r}; this has {len(self.tables)} table{'s' * (len(self.tables) != 1)}, "
                "counted from 0."
            )
        _, columns, rows = self.tables[table]
        if name not in columns:
            raise ParameterError(f"The table {table} has no column {name!r}; there are {', '.join(columns)}.")
        return [row[columns.index(name)] for row in rows]


def recorded(lesson, *numbers):
    """The recorded run of a lesson, such as recorded("07"). numbers: which of its tables, from 0; default all.

    recorded("attention") is what benchmarks/attention.py measured, recorded("smaller_caches") what smaller_caches.py
    did. Raises ParameterError for a run or table that does
    not exist.
    """
    path = FOLDER / f"{lesson}.json"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise ParameterError(
            f"There is no recorded run of lesson {lesson!r}, only of {known}. "
            "python benchmarks/lessons.py makes them on a GPU."
        )
    kept = json.loads(path.read_text(encoding="utf-8"))
    tables = tuple((table["title"], table["columns"], table["rows"]) for table in kept.pop("tables"))
    if not all(number in range(len(tables)) for number in numbers):
        raise ParameterError(
            f"The recorded run {lesson!r} has tables 0 to {len(tables) - 1}, not {', '.join(map(str, numbers))}."
        )
    return Recorded(**kept, tables=tuple(tables[number] for number in numbers) or tables)


def words(value):
    """A value as a table shows it: commas between thousands, three significant digits, other values as text."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def _plain(columns, rows):
    lines = [columns, *([words(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(word.rjust(n) for word, n in zip(line[1:], widths[1:]))])
        for line in lines
    )


def _markdown(columns, rows):
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *([words(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
