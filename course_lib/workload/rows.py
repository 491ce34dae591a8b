"""Rows of a file that somebody recorded: CSV with a header, or JSON Lines. Read line by line; nothing is kept."""

import csv
import json
from pathlib import Path

from course_lib.errors import ParameterError


def read_rows(path, required, optional=()):
    """(line number, {column: value}) of each row of a file, lazily.

    path: ends in .csv or .jsonl. required, optional: {column: kind}, where kind is int (a whole number of at least 1),
    float (a time: at least 0) or str. Other columns are passed over, and so are empty lines. Raises ParameterError for
    a file that cannot be read, a missing column, or a bad value, with the number of the line.
    """
    path, optional = Path(path), dict(optional)
    reader = {".csv": _csv_rows, ".jsonl": _json_rows}.get(path.suffix)
    if reader is None:
        raise ParameterError(
            f"{path} ends in {path.suffix or 'nothing'!r}, and only .csv (with a header) and .jsonl (an object a line) "
            f"can be read. The columns are {', '.join([*required, *optional])}."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a mark of the encoding
            for line, row in reader(file, path):
                values = {name: _value(path, line, row, name, kind) for name, kind in required.items()}
                given = {name: kind for name, kind in optional.items() if row.get(name) not in (None, "")}
                yield line, values | {name: _value(path, line, row, name, kind) for name, kind in given.items()}
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}. Is the path right?") from None
    except UnicodeDecodeError:
        raise ParameterError(f"{path} is not text in UTF-8, so it has no rows. Save it as UTF-8.") from None


def _csv_rows(file, path):
    reader = csv.DictReader(file)
    try:
        for row in reader:
            if None in row:
                raise ParameterError(
                    f"{path}, line {reader.line_num}, has more values than the header has columns. Is a comma too many?"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise ParameterError(f"{path}, line {reader.line_num}, is no CSV: {error}.") from None


def _json_rows(file, path):
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise ParameterError(f"{path}, line {line}, is no JSON: {error}. Each line is an object.") from None
        if not isinstance(row, dict):
            raise ParameterError(f"{path}, line {line}, is {text.strip()[:40]}, but each line is an object in braces.")
        yield line, row


def _value(path, line, row, name, kind):
    if row.get(name) in (None, ""):
        raise ParameterError(
            f"{path}, line {line}, has no {name}. The columns there are {', '.join(map(str, row))}; "
            f"{name} is {_MEANINGS[kind]}."
        )
    value = row[name]
    try:
        if kind is str:
            return str(value)
        number = float(value)
        if isinstance(value, bool) or not number < float("inf") or number < _LEAST[kind] or number % 1 and kind is int:
            raise ValueError
        return kind(number)
    except (TypeError, ValueError):
        raise ParameterError(f"{path}, line {line}: {name} is {value!r}, but it is {_MEANINGS[kind]}.") from None


_LEAST = {int: 1, float: 0}
_MEANINGS = {int: "a whole number of at least 1", float: "a number of at least 0", str: "a text"}
