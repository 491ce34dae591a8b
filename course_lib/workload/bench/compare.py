"""Two records side by side: which settings differ, and which results."""

from course_lib.errors import ParameterError

from .drift import are_apart
from .record import read_record
from .table import number, rows

NARROW = (
    "The intervals are from blocks of neighbouring requests of one run each: they know how a queue grew and shrank in "
    "this run, and nothing of another day. Repeat both runs with other seeds before you believe a small difference."
)


def compare_files(first, second, *, anyway=False):
    """The comparison of two files as text.

    Raises ParameterError for two runs on different machines, unless `anyway`: then a line of the text says so. For two
    simulated runs the machine does not matter.
    """
    a, b = read_record(first), read_record(second)
    machines = differences(a["machine"], b["machine"])
    are_simulated = all(record["target"].get("kind") == "simulator" for record in (a, b))
    if machines and not are_simulated and not anyway:
        raise ParameterError(
            f"These runs are from different machines ({'; '.join(machines)}), so a difference may be that of the "
            f"machines. Measure both on one, or say --anyway."
        )
    lines = [f"A: {first}, {a.get('date')}", f"B: {second}, {b.get('date')}"]
    if machines and not are_simulated:
        lines.append(f"DIFFERENT MACHINES: {'; '.join(machines)}. A difference may be that of the machines.")
    lines += ["", *settings_lines(a, b), "", *result_lines(a, b)]
    lines += ["", NARROW]
    for name, record in (("A", a), ("B", b)):
        if record.get("interrupted"):
            lines.append(f"{name} was ended by Ctrl-C.")
    return "\n".join(lines)


def settings_lines(a, b):
    """The settings that differ, a line each."""
    found = []
    for part in ("options", "target", "versions", "git"):
        found += [f"  {part}: {line}" for line in differences(a.get(part) or {}, b.get(part) or {})]
    return ["Settings that differ:", *found] if found else ["The settings are the same."]


def differences(a, b, name=""):
    """["max_num_seqs: 32, 64", ...] of two objects, also inside of them, in the order of the first."""
    found = []
    for key in dict.fromkeys([*a, *b]):
        left, right, label = a.get(key), b.get(key), f"{name}{key}"
        if isinstance(left, dict) and isinstance(right, dict):
            found += differences(left, right, f"{label}.")
        elif left != right:
            found.append(f"{label}: {_shown(left)}, {_shown(right)}")
    return found


def _shown(value):
    return "not given" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def result_lines(a, b):
    """Each result of A and B, the change from A to B, and whether their 95 % intervals are apart."""
    lines = [f"{'':<40}{'A':>12}{'B':>12}{'change':>10}   95 % intervals"]
    for _, label, name in rows():
        left, right = a["results"].get(name), b["results"].get(name)
        if left is None and right is None:
            continue
        shown = [number(value) if value is not None else "-" for value in (left, right)]
        change = f"{right / left - 1:+.1%}" if left and right is not None else ""
        lines.append(f"{label:<40}{shown[0]:>12}{shown[1]:>12}{change:>10}   {_intervals(a, b, name)}".rstrip())
    return lines


def _intervals(a, b, name):
    left, right = a["intervals"].get(name), b["intervals"].get(name)
    if left is None or right is None:
        return ""
    word = "apart" if are_apart(left, right) else "meet"
    return f"{word}: {number(left[0])} to {number(left[1])}, {number(right[0])} to {number(right[1])}"
