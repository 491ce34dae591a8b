"""Next-token probabilities as a still picture, with matplotlib: the same as the live view, in light colours."""

import textwrap

from course_lib.viz.kit import still
from course_lib.viz.kit.format import shortened, visible

LEFT, WIDE = 200, 500  # where bars begin, and how long 1 is
P, Q = 790, 890  # where the numbers end
ROOM, LINES = 106, 3  # characters of a line, and lines of text
TEXT = {"size": 12.5, "family": "monospace"}
PALE = {"facecolor": "#eceff1", "linewidth": 0.9}


def paint(data, step):
    """A matplotlib figure of the data of a NextTokenProbabilities at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.colour = data, still.palette()
        now = data["steps"][step - 1]
        story = self._story(now)
        self.top = 84 + 22 * len(story) + 54
        bottom = self.top + 28 * len(now["rows"])
        self.figure, self.axes = still.figure(bottom + 66)
        still.title(self.axes, data)
        self._legend()
        still.box(self.axes, 22, 74, 876, 22 * len(story) + 16, radius=8, facecolor=self.colour["well"])
        for index, text in enumerate(story):
            still.write(self.axes, 34, 93 + 22 * index, text, colour="soft", **TEXT)
        self._next(now, story)
        self._axis()
        for index, row in enumerate(now["rows"]):
            self._bar(row, self.top + 28 * index)
        still.say(self.axes, bottom + 16, "".join(text for _, text in data["say"][step - 1]))

    def _story(self, step):
        """The last lines of the text before the chosen token."""
        text = "".join(self.data["tokens"][: step["position"]]).replace("\n", "⏎")
        lines = textwrap.wrap(text, ROOM, drop_whitespace=False, break_on_hyphens=False) or [""]
        if len(lines) > LINES:
            lines = ["…" + lines[-LINES], *lines[1 - LINES :]]
        lines = [lines[0], *(line.lstrip(" ") for line in lines[1:])]
        if len(lines[-1]) + len(step["chosen"]) + 4 > ROOM:
            lines = [*lines[1:], ""] if len(lines) == LINES else [*lines, ""]
        return lines

    def _legend(self):
        colour = self.colour
        after, before = {"facecolor": colour["r0"]}, PALE | {"edgecolor": colour["faint"]}
        entries = [("from the model", before), ("after temperature and cut", after)]
        if self.data["plain"]:
            entries = [("the model's probability", after)]
        if any(row["cut"] for step in self.data["steps"] for row in step["rows"]):
            entries.append(("cut", self._cut()))
        still.legend(self.axes, [*entries, ("chosen", "▶")])

    def _cut(self):
        return still.hatched(self.colour["faint"], self.colour["card"])

    def _next(self, step, story):
        """The chosen token, in a frame at the end of the text."""
        y = 93 + 22 * (len(story) - 1)
        x = 34 + still.text_width(self.axes, still.write(self.axes, 34, y, story[-1], alpha=0, **TEXT)) + 8
        frame = {"facecolor": self.colour["card"], "edgecolor": self.colour["accent"], "linewidth": 1.2}
        frame |= {"boxstyle": "round,pad=0.22"}
        still.write(self.axes, x, y, visible(step["chosen"]), weight="bold", bbox=frame, **TEXT)

    def _axis(self):
        y, scale = self.top - 14, self.data["scale"]
        for part, align in ((0, "left"), (0.5, "center"), (1, "right")):
            text = f"{100 * scale * part:.0f} %"
            still.write(self.axes, LEFT + WIDE * part, y, text, size=11, colour="soft", ha=align)
        still.write(self.axes, P, y, "model", size=11.5, colour="soft", ha="right")
        if not self.data["plain"]:
            still.write(self.axes, Q, y, "after the cut", size=11.5, colour="ink", ha="right")

    def _bar(self, row, y):
        colour, weight = self.colour, "bold" if row["chosen"] else "normal"
        for part in (0.25, 0.5, 0.75, 1):
            self.axes.plot([LEFT + WIDE * part] * 2, [y - 2, y + 26], color=colour["line"], linewidth=0.7, zorder=0)
        self.axes.plot([LEFT, LEFT], [y - 2, y + 26], color=colour["faint"], linewidth=0.8)
        tone = "soft" if row["cut"] else "ink"
        style = {"style": "italic"} if row["others"] else {"family": "monospace"}
        name = {"size": 12.5, "colour": tone, "ha": "right", "weight": weight, **style}
        still.write(self.axes, LEFT - 10, y + 12, shortened(row["label"], 17), **name)
        if row["chosen"]:
            still.write(self.axes, 22, y + 12, "▶", size=12, colour="r0")
        length = WIDE / self.data["scale"]
        if not self.data["plain"] or row["cut"]:
            look = self._cut() if row["cut"] else PALE | {"edgecolor": colour["faint"]}
            still.box(self.axes, LEFT, y + 2, row["p"] * length, 20, **look)
        if row["q"]:
            still.box(self.axes, LEFT, y + 6, row["q"] * length, 12, facecolor=colour["r0"])
        still.write(self.axes, P, y + 12, row["p_text"], colour="soft", ha="right", **TEXT)
        if not self.data["plain"]:
            still.write(self.axes, Q, y + 12, row["q_text"], colour=tone, ha="right", weight=weight, **TEXT)
