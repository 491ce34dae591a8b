"""The recomputation triangle as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import still, token_columns
from course_lib.viz.kit.format import shortened

from .model import runs

LEFT, RIGHT = 104, 96


def paint(data, step):
    """A matplotlib figure of the data of a RecomputationTriangle at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.step, self.colour = data, step, still.palette()
        rows = len(data["steps"])
        self.cell = min(46, (still.WIDTH * still.SHOWN_DPI - LEFT - RIGHT) / len(data["tokens"]))
        self.row = max(1.2, min(26, 430 / rows))
        self.gap = 2 if self.cell >= 10 and self.row >= 10 else 0
        labels = token_columns.height(data["labels"], self.cell)
        self.top = 118 + labels if labels else 138
        self.bottom = self.top + rows * self.row
        self.figure, self.axes = still.figure(self.bottom + 106)
        still.title(self.axes, data)
        self._legend()
        token_columns.draw(self.axes, data, self._x, self.cell, 96, self.top - 8)
        for x, text in ((46, "step"), (92, "tokens")):
            still.write(self.axes, x, self.top - 6, text, size=11, colour="soft", ha="right", va="bottom")
        for index in range(rows):
            self._line(index)
        self._rulers()
        self._now()
        still.say(self.axes, self.bottom + 18, "".join(text for _, text in data["say"][step - 1]))
        self._totals()

    def _x(self, position):
        return LEFT + position * self.cell

    def _again(self):
        return still.hatched(self.colour["r1"])

    def _run(self, start, end, index, **look):
        """Positions [start, end) of one row: single cells where they are large enough to be told apart."""
        gap, y = self.gap, self.top + index * self.row
        if not gap and end > start:
            still.box(self.axes, self._x(start), y, (end - start) * self.cell, self.row, **look)
        elif end > start:
            places = [(self._x(position) + gap / 2, y + gap / 2) for position in range(start, end)]
            still.boxes(self.axes, places, self.cell - gap, self.row - gap, radius=gap, **look)

    def _line(self, index):
        data, colour = self.data, self.colour
        start, end = data["steps"][index]
        if index >= self.step:
            self._run(start, end, index, facecolor=colour["free"])
            return
        again = self._again() | {"linewidth": 0.9 if self.gap else 0}
        for position, stop, new in runs(data["first_pass"], index, start, end):
            self._run(position, stop, index, **({"facecolor": colour["r0"]} if new else again))
        computed = [position for position in range(start) if (data["first_pass"][position] or 0) < index]
        if computed and self.row >= 4:
            y = self.top + (index + 0.5) * self.row
            self.axes.plot([self._x(0) + 3, self._x(len(computed)) - 3], [y, y], color=colour["faint"], linewidth=0.8)
        if self.row >= 12:
            self._numbers(index, weight="bold" if index + 1 == self.step else "normal")

    def _numbers(self, index, weight):
        y = self.top + (index + 0.5) * self.row
        start, end = self.data["steps"][index]
        look = {"size": 11.5, "family": "monospace", "weight": weight}
        still.write(self.axes, 46, y, str(index + 1), colour="soft", ha="right", **look)
        still.write(self.axes, 92, y, str(end - start), ha="right", **look)
        if end < len(self.data["tokens"]):
            still.write(self.axes, self._x(end) + 6, y, "→ " + shortened(self.data["labels"][end], 11), **look)

    def _rulers(self):
        """Step numbers beside rows too thin for one each."""
        every = token_columns.every_few(self.row, 30)
        for index in range(every - 1, len(self.data["steps"]) if self.row < 12 else 0, every):
            if abs(index + 1 - self.step) * self.row > 16:
                y = self.top + (index + 0.5) * self.row
                look = {"size": 11, "colour": "soft", "ha": "right", "family": "monospace"}
                still.write(self.axes, 46, y, str(index + 1), **look)

    def _now(self):
        start, end = self.data["steps"][self.step - 1]
        out = 0.5 if self.gap else 2
        place = self._x(start) - out, self.top + (self.step - 1) * self.row - out
        size = (end - start) * self.cell + 2 * out, self.row + 2 * out
        look = {"facecolor": "none", "edgecolor": self.colour["ink"], "linewidth": 1.2}
        still.box(self.axes, *place, *size, radius=min(4, self.row / 2), **look)
        if self.row < 12:
            self._numbers(self.step - 1, weight="bold")

    def _legend(self):
        data, colour = self.data, self.colour
        entries = [("new", {"facecolor": colour["r0"]})]
        if data["computed"][-1] > data["needed"][-1]:
            entries.append(("computed before", self._again()))
        if any(start > 0 for start, _ in data["steps"]):
            entries.append(("kept, not computed again", "—"))
        if self.step < data["last"]:
            entries.append(("still to come", {"facecolor": colour["free"]}))
        if any(end < len(data["tokens"]) for _, end in data["steps"]):
            entries.append(("token chosen", "→"))
        still.legend(self.axes, entries)

    def _totals(self):
        """Two bars on one scale: what was computed, and what was needed."""
        data, top = self.data, self.bottom + 62
        computed, needed = data["computed"][self.step - 1], data["needed"][self.step - 1]
        scale = 640 / data["computed"][-1]
        for text, number, y in (("computed", computed, top), ("needed", needed, top + 18)):
            still.write(self.axes, 92, y + 7, text, size=12, colour="soft", ha="right")
            still.box(self.axes, LEFT, y, needed * scale, 13, facecolor=self.colour["r0"])
            if number > needed:
                still.box(self.axes, LEFT + needed * scale, y, (computed - needed) * scale, 13, **self._again())
            still.write(self.axes, LEFT + number * scale + 8, y + 7, f"{number:,}", size=12, family="monospace")
