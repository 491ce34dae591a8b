"""The data of the strip of kernels: checked rows, one segment after the other, and their words.

Times are kept as whole nanoseconds and shares as whole thousandths, so that Python and the browser round alike: the
same sums are in sums.js.
"""

import math

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, enumerated
from course_lib.viz.kit.inputs import keys, some, whole

GROUPS = {
    "weights": "weight products",
    "attention": "attention",
    "small": "norm, rotation, gate, sum",
    "choice": "choosing the token",
    "other": "all else",
    "idle": "no kernel runs",
}
"""What a kernel is for: key and words, in the order of the colours."""
COLUMNS = ["version", "what", "launches", "µs", "share"]


def strip_data(rows, title, subtitle):
    """What the browser draws from. Raises ParameterError for what does not fit together."""
    rows = [_row(at, row) for at, row in enumerate(some("rows", rows))]
    present = [group for group in GROUPS if any(group in row["groups"] for row in rows)]
    data = {
        "title": title,
        "subtitle": subtitle or enumerated([row["name"] for row in rows]),
        "first": 1,
        "last": sum(len(row["names"]) for row in rows),
        "rows": rows,
        "groups": {group: GROUPS[group] for group in present},
        "scale": max(max(row["length"], row["limit"] or 0, row["took"] or 0) for row in rows),
        "columns": COLUMNS,
    }
    data["say"] = [_words(row, at) for row in rows for at in range(len(row["names"]))]
    data["told"] = {group: _told(group, rows) for group in present}
    return data


def place_of(data, step):
    """(row, segment in it) of a step."""
    at = step - 1
    for row in data["rows"]:
        if at < len(row["names"]):
            return row, at
        at -= len(row["names"])
    raise IndexError(step)


def table_rows(data, step):
    """Sums by group: of the rows before the step's in full, of its own row up to the step."""
    now, at = place_of(data, step)
    table = []
    for row in data["rows"]:
        upto = at + 1 if row is now else len(row["names"])
        for group, (launches, ns) in _sums(row, upto).items():
            words = GROUPS[group]
            table.append(
                [row["name"], words, "" if group == "idle" or not launches else f"{launches:,}", us(ns), share(ns, row)]
            )
        if row is now:
            return table


def us(ns):
    """Nanoseconds as microseconds with one digit: 4120 -> "4.1"."""
    tenths = (ns + 50) // 100
    return f"{tenths // 10:,}.{tenths % 10}"


def share(ns, row):
    """The share of the row's length, in per cent with one digit."""
    thousandths = (2000 * ns + row["length"]) // (2 * row["length"])
    if ns and not thousandths:
        return "<0.1 %"
    return f"{thousandths // 10}.{thousandths % 10} %"


def _sums(row, upto):
    """{group: (launches, ns)} of the first `upto` segments, in the order of GROUPS."""
    found = {}
    for group, launches, ns in list(zip(row["groups"], row["launches"], row["lengths"]))[:upto]:
        before = found.get(group, (0, 0))
        found[group] = before[0] + launches, before[1] + ns
    return {group: found[group] for group in GROUPS if group in found}


def _row(at, row):
    where = f"rows[{at}]"
    keys(where, row, ("name", "kernels"))
    ordered = row.get("ordered", True)
    made = {
        "name": str(row["name"]),
        "ordered": bool(ordered),
        "noun": row.get("noun", "kernel"),
        "note": row.get("note", ""),
        "total": None if row.get("total") is None else whole(f"{where}['total']", row["total"]),
        "limit": None if row.get("limit") is None else _ns(f"{where}['limit']", row["limit"]),
        "took": None if row.get("took") is None else _ns(f"{where}['took']", row["took"]),
        **{name: [] for name in ("names", "groups", "starts", "lengths", "launches", "bytes")},
    }
    end = 0
    for number, kernel in enumerate(some(f"{where}['kernels']", row["kernels"])):
        here = f"{where}['kernels'][{number}]"
        if not isinstance(kernel, (tuple, list)) or len(kernel) not in (4, 6):
            raise ParameterError(
                f"{here} is {kernel!r}; a kernel is (name, group, start, µs), or with launches and bytes behind these."
            )
        name, group, start, length, launches, nbytes = (*kernel, 1, None)[:6]
        if group not in GROUPS:
            raise ParameterError(f"{here} is of the group {group!r}; there are {', '.join(GROUPS)}.")
        if start is None and ordered:
            raise ParameterError(
                f"{here} has no start. Give one in µs, or say that the row is in no order: ordered=False."
            )
        start = end if start is None else _ns(f"the start of {here}", start)
        length = _ns(f"the length of {here}", length)
        if start < (made["starts"][-1] if made["starts"] else 0):
            raise ParameterError(f"{here} starts before the kernel ahead of it. Sort the kernels by their start.")
        values = str(name), group, start, length, whole(f"the launches of {here}", launches)
        for column, value in zip(("names", "groups", "starts", "lengths", "launches"), values):
            made[column].append(value)
        made["bytes"].append(None if nbytes is None else whole(f"the bytes of {here}", nbytes))
        end = max(end, start + length)
    made["length"] = max(end, 1)
    if made["total"] is None:
        made["total"] = sum(many for many, group in zip(made["launches"], made["groups"]) if group != "idle")
    return made


def _ns(where, value):
    """Microseconds as whole nanoseconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ParameterError(f"{where} is {value!r}; it has to be a time in µs, 0 or more.")
    return round(value * 1000)


def _words(row, at):
    """What one segment is: [kind, text] pieces."""
    ns, name, group = row["lengths"][at], row["names"][at], row["groups"][at]
    if group == "idle":
        return [["strong", "No kernel runs"], ["", f" for {us(ns)} µs of “{row['name']}”, {share(ns, row)} of it."]]
    if not row["ordered"]:
        launches = row["launches"][at]
        many = f"{count(launches, 'launch', 'launches')} in one step, " if launches else ""
        said = f"{many}{us(ns)} µs together, {share(ns, row)} of all kernels"
        return [["code", name], ["", f" in “{row['name']}”: {said}{_read(row, at)}."]]
    before = max([start + length for start, length in zip(row["starts"][:at], row["lengths"][:at])], default=0)
    gap = row["starts"][at] - before
    waited = f" Before it nothing ran for {us(gap)} µs." if at and gap >= 50 else ""
    head = f"{row['noun'].capitalize()} {at + 1:,} of {len(row['names']):,}"
    said = f" ({GROUPS[group]}): starts at {us(row['starts'][at])} µs, takes {us(ns)} µs, {share(ns, row)} of the step"
    return [["strong", head], ["", f" of “{row['name']}”, "], ["code", name], ["", f"{said}{_read(row, at)}.{waited}"]]


def _read(row, at):
    """The bytes of a segment and what that comes to in a second, where they are known."""
    nbytes, ns = row["bytes"][at], row["lengths"][at]
    return "" if nbytes is None else f"; it moves {nbytes / 1e6:,.1f} MB, {nbytes / max(ns, 1):,.0f} GB/s"


def _told(group, rows):
    """A sentence about a group in all rows."""
    parts = []
    for row in rows:
        launches, ns = _sums(row, len(row["names"])).get(group, (0, 0))
        how_many = "" if group == "idle" or not launches else f" in {count(launches, 'launch', 'launches')}"
        parts.append(f"“{row['name']}” {us(ns)} µs{how_many}, {share(ns, row)}")
    return f"{GROUPS[group][0].upper()}{GROUPS[group][1:]}: {'; '.join(parts)}."
