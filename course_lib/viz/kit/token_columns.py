"""Columns of tokens in a still picture, prompt first: labels, and lines over prompt and generated tokens."""

from . import still
from .format import shortened

LONGEST = 11  # so many characters of a token
EVERY = (5, 10, 20, 50, 100, 200, 500, 10**6)


def are_wide(labels, cell):
    """Whether all labels fit side by side over columns of `cell` pixels."""
    return max(min(LONGEST, len(text)) for text in labels) * 7.4 < cell


def height(labels, cell):
    """The room that the labels need: none for numbers or flat words, else that of slanted ones."""
    longest = max(min(LONGEST, len(text)) for text in labels)
    return 0 if cell < 12 or are_wide(labels, cell) else longest * 5.6


def every_few(pixels, room):
    """How many steps or columns of `pixels` each there are between two numbers, with `room` between these."""
    return next(number for number in EVERY if number * pixels >= room)


def draw(axes, data, x, cell, line, bottom):
    """x(position): where a column begins; line: y of the lines over the parts; bottom: y under the labels."""
    split, number = data["prompt_tokens"], len(data["labels"])
    for start, end, text in ((0, split, "PROMPT"), (split, number, "GENERATED")):
        if end > start:
            axes.plot([x(start) + 1, x(end) - 1], [line] * 2, color=still.palette()["soft"], linewidth=1)
            if (end - start) * cell > 70:
                still.write(axes, x(start), line - 10, text, size=10, colour="soft", weight="bold")
    if cell < 12:
        for position in range(0, number, every_few(cell, 34)):
            still.write(axes, x(position), bottom, str(position), size=10.5, colour="soft", va="bottom")
        return
    flat, slanted = {"ha": "center", "va": "bottom"}, {"rotation": 50, "rotation_mode": "anchor", "va": "baseline"}
    look = flat if are_wide(data["labels"], cell) else slanted
    for position, text in enumerate(data["labels"]):
        own = look | {"colour": "soft" if position < split else "ink", "size": 11.5, "family": "monospace"}
        still.write(axes, x(position + 0.5), bottom, shortened(text, LONGEST), **own)
