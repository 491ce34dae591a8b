"""The chat as a still picture, with matplotlib: what was said, and the blocks in use."""

import textwrap

from course_lib.viz.kit import looks, still

WIDE, LINE, PAD = 92, 19, 9  # characters in a line, pixels of a line, pixels around a text
LEFT, RIGHT, TOP = 22, 898, 72
LAST = 8  # messages


def paint(data):
    """A matplotlib figure of a ChatBox."""
    shown = [(one["who"], _lines(one["text"])) for one in data["messages"][-LAST:]] or [
        ("", ["(nothing was said yet)"])
    ]
    height = sum(len(lines) * LINE + 2 * PAD + 26 for _, lines in shown)
    figure, axes = still.figure(TOP + height + 70)
    still.title(axes, data)
    y = TOP
    for who, lines in shown:
        y = _message(axes, y, who, lines)
    if data["memory"] is not None:
        _memory(axes, y + 4, *data["memory"], data["most"])
    still.say(axes, y + 34, "".join(text for _, text in data["say"][0]))
    return figure


def _lines(text):
    """The lines of a text as they are drawn."""
    found = [line for part in text.split("\n") for line in (textwrap.wrap(part, WIDE) or [""])]
    return found or [""]


def _message(axes, y, who, lines):
    """One message: those of the user stand to the right, with a frame; the model's are filled."""
    colour = still.palette()
    width = min(RIGHT - LEFT, 40 + max(map(len, lines)) * 7.6)
    mine, high = who == "you", len(lines) * LINE + 2 * PAD
    x = RIGHT - width if mine else LEFT
    still.write(axes, x + 2, y + 6, who, size=11, colour="soft", weight="bold")
    look = (
        {"facecolor": colour["card"], "edgecolor": colour["accent"], "linewidth": 1}
        if mine
        else {"facecolor": colour["free"]}
    )
    still.box(axes, x, y + 16, width, high, radius=7, **look)
    still.write(axes, x + 14, y + 16 + PAD, "\n".join(lines), size=13, va="top", linespacing=1.45)
    return y + high + 26


def _memory(axes, y, in_use, num_blocks, most):
    """The share of the blocks in use as a bar, and a mark at the most that were."""
    width = RIGHT - LEFT
    still.box(axes, LEFT, y, width, 12, radius=3, **looks.free_block())
    if in_use:
        still.box(axes, LEFT, y, width * in_use / num_blocks, 12, radius=3, facecolor=still.palette()["accent"])
    if most:
        x = LEFT + width * most / num_blocks
        axes.plot([x, x], [y - 3, y + 15], color=still.palette()["ink"], linewidth=1.6)
