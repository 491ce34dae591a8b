"""The strip of kernels as a still picture, with matplotlib: the same as the live view, in light colours."""

import textwrap

from course_lib.viz.kit import still
from course_lib.viz.kit.format import count

from .model import GROUPS, place_of

LEFT, RIGHT = 22, 890
TOP, ROW, BELOW, BAR = 76, 88, 22, 30
COLOURS = {"weights": "r0", "attention": "r1", "small": "r2", "choice": "r3", "other": "r4", "idle": "faint"}


def paint(data, step, selected=None):
    """A matplotlib figure of a step of a StepStrip. selected: a group that stands out, or None."""
    now, at = place_of(data, step)
    words = "".join(text for _, text in data["say"][step - 1])
    notes = [
        line for row in data["rows"] if row["note"] for line in textwrap.wrap(f"{row['name']}: {row['note']}", 140)
    ]
    axis = TOP + len(data["rows"]) * ROW
    height = axis + 34 + 18 * len(notes) + 24 * len(still.broken(words)) + 14
    figure, axes = still.figure(height)
    still.title(axes, data)
    still.legend(axes, [(text, _look(group)) for group, text in data["groups"].items()])
    for number, row in enumerate(data["rows"]):
        top = TOP + number * ROW
        before = data["rows"].index(now) > number
        done = len(row["names"]) if before else at + 1 if row is now else 0
        _row(axes, data, row, top, done, selected, at if row is now else None)
    _axis(axes, data, axis)
    for line, note in enumerate(notes):
        still.write(axes, LEFT, axis + 38 + 18 * line, note, size=12, colour="soft")
    still.say(axes, axis + 34 + 18 * len(notes) + 4, words)
    return figure


def time_words(ns):
    """306 µs, 2.5 ms."""
    if ns < 1e6:
        return f"{(ns + 500) // 1000:,} µs"
    ms = ns / 1e6
    return f"{ms:.2f}".rstrip("0").rstrip(".") + " ms" if ms < 10 else f"{round(ms):,} ms"


def _look(group):
    colour = still.palette()
    if group == "idle":
        return still.hatched(colour["faint"], colour["card"], 4)
    return {"facecolor": colour[COLOURS[group]]}


def _x(data, ns):
    return LEFT + (RIGHT - LEFT) * ns / data["scale"]


def _row(axes, data, row, top, done, selected, now):
    colour, bar = still.palette(), top + BELOW
    head = still.write(axes, LEFT, top + 8, row["name"], size=13, weight="bold")
    order = "" if row["ordered"] else " · summed, not in order"
    said = f"{count(row['total'], row['noun'])} · {time_words(row['length'])}{order}"
    still.write(axes, LEFT + still.text_width(axes, head) + 12, top + 8, said, size=12.5, colour="soft")
    per = (RIGHT - LEFT) / data["scale"]
    still.box(axes, LEFT, bar, row["length"] * per, BAR, facecolor=colour["well"])
    for group in GROUPS:
        for strong in (False, True):
            members = [
                i
                for i, its in enumerate(row["groups"])
                if its == group and strong == (i < done and selected in (None, group))
            ]
            spans = [(LEFT + row["starts"][i] * per, _width(row["lengths"][i] * per)) for i in members]
            if spans:
                axes.broken_barh(spans, (bar, BAR), alpha=1 if strong else 0.28, **{"linewidth": 0} | _look(group))
    if now is not None:
        x, wide = LEFT + row["starts"][now] * per, max(0.6, row["lengths"][now] * per)
        still.box(axes, x - 1, bar - 3, wide + 2, BAR + 6, facecolor="none", edgecolor=colour["ink"], linewidth=1.5)
    marks = [(row["limit"], "limit", "-"), (row["took"], "clock", "--")]
    places = sorted((ns, what, line) for ns, what, line in marks if ns is not None)
    free = LEFT
    for number, (ns, what, line) in enumerate(places):
        x = _x(data, ns)
        axes.plot([x, x], [bar - 6, bar + BAR + 8], color=colour["ink"], linewidth=1.5, linestyle=line)
        text = still.write(axes, max(x + 5, free), bar + BAR + 14, f"{what} {time_words(ns)}", size=12)
        following = min(_x(data, places[number + 1][0]), RIGHT - 70) if number + 1 < len(places) else None
        wide = still.text_width(axes, text)
        if following is not None and x + 10 + wide > following and x - 5 - wide > free:
            text.set_x(x - 5 - wide)
            free = x
        else:
            text.set_x(min(max(x + 5, free), RIGHT + 20 - wide))
            free = text.get_position()[0] + wide + 10


def _width(wide):
    return max(0.6, wide - (1 if wide > 4 else 0.4 if wide > 1.6 else 0))


def _axis(axes, data, y):
    colour, per = still.palette(), (RIGHT - LEFT) / data["scale"]
    axes.plot([LEFT, RIGHT], [y, y], color=colour["faint"], linewidth=0.8)
    every = next(r * 10**p for p in range(13) for r in (1, 2, 5) if r * 10**p * per >= 90)
    for ns in range(0, data["scale"] + 1, every):
        axes.plot([_x(data, ns)] * 2, [y, y + 5], color=colour["faint"], linewidth=0.8)
        words = time_words(ns) if ns else "0"
        still.write(axes, _x(data, ns), y + 14, words, size=11, colour="soft", ha="center", family="monospace")
