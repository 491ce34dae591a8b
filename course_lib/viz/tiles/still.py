"""Attention in tiles as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import still

from .model import real, visits

LEFT, TOP, RIGHT = 96, 122, 898
STRIP = 14  # width of a strip around the matrix
SMALL = {"size": 10.5, "colour": "soft", "family": "monospace"}


def paint(data, step):
    """A matplotlib figure of the data of a TilesView at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.step, self.colour, self.looks = data, step, still.palette(), _looks()
        self.rows, self.cols = len(data["rows"]), len(data["cols"])
        most = max(self.rows, self.cols)
        self.cell = min(44, 340 / most) if most > 1 else 180
        bottom = max(TOP + self.rows * self.cell, 330)
        self.figure, self.axes = still.figure(bottom + 66)
        still.title(self.axes, data)
        still.legend(self.axes, _legend(data))
        self._keys()
        self._queries()
        self._watched()
        self._tiles()
        self._now()
        panel = LEFT + self.cols * self.cell + 96
        self._bytes(panel)
        self._row(panel)
        still.say(self.axes, bottom + 20, "".join(text for _, text in data["say"][step - 1]))

    def _strip(self, x, y, wide, tall, state):
        still.box(self.axes, x, y, wide, tall, radius=3, **self.looks[state])

    def _keys(self):
        """Above: which keys and values lie in fast memory."""
        still.write(self.axes, LEFT - 34, TOP - 18, "k, v", size=12, colour="soft", ha="right")
        _, _, _, j, j_end = self.data["events"][self.step - 1]
        for n, (first, _) in enumerate(self.data["cols"]):
            fast = self.data["fast"][self.step - 1][1] and j <= n < j_end
            self._strip(LEFT + n * self.cell + 1, TOP - 25, self.cell - 2, STRIP, "fast" if fast else "to come")
            if self.cell >= 24:
                still.write(self.axes, LEFT + (n + 0.5) * self.cell, TOP - 36, str(first), ha="center", **SMALL)

    def _queries(self):
        """At the left: which queries lie in fast memory; at the right: which outputs were written."""
        right = LEFT + self.cols * self.cell
        for text, x in (("q", LEFT - 19), ("out", right + 19)):
            still.write(self.axes, x, TOP - 18, text, size=12, colour="soft", ha="center")
        _, i, i_end, _, _ = self.data["events"][self.step - 1]
        for n, (first, _) in enumerate(self.data["rows"]):
            y, tall = TOP + n * self.cell + 1, self.cell - 2
            fast = self.data["fast"][self.step - 1][0] and i <= n < i_end
            self._strip(LEFT - 26, y, STRIP, tall, "fast" if fast else "to come")
            self._strip(right + 12, y, STRIP, tall, self._output(n))
            if self.cell >= 15:
                still.write(self.axes, LEFT - 34, y + self.cell / 2, str(first), ha="right", **SMALL)

    def _output(self, row):
        """The state of a row's output."""
        begun, done = self.data["begun"][row], self.data["done"][row]
        if done and done <= self.step:
            return "finished"
        return "unfinished" if begun and begun <= self.step else "to come"

    def _watched(self):
        """A dotted line through the row whose maximum, sum and output are shown."""
        start, end = self.data["rows"][self.data["watched"]]
        y = TOP + (self.data["watched"] + (self.data["watch"] - start + 0.5) / (end - start)) * self.cell
        xs, look = [LEFT - 8, LEFT + self.cols * self.cell + 8], {"linewidth": 0.8, "linestyle": (0, (2, 2))}
        self.axes.plot(xs, [y, y], color=self.colour["ink"], zorder=5, **look)

    def _tiles(self):
        seen = visits(self.data, self.step)
        for i in range(self.rows):
            for j in range(self.cols):
                x, y = LEFT + j * self.cell, TOP + i * self.cell
                kind, number = seen.get((i, j), (None, None))
                look = self.looks["to come" if kind is None else "skipped" if kind == "skip" else "computed"]
                side = self.cell - 2
                still.box(self.axes, x + 1, y + 1, side, side, radius=min(4, self.cell / 5), **look)
                if kind not in (None, "skip") and self.cell >= 18:
                    middle = x + self.cell / 2, y + self.cell / 2
                    look = {"size": 11, "colour": "card", "ha": "center", "family": "monospace", "zorder": 6}
                    still.write(self.axes, *middle, str(number), **look)

    def _now(self):
        _, i, i_end, j, j_end = self.data["events"][self.step - 1]
        place = LEFT + j * self.cell - 1, TOP + i * self.cell - 1
        size = (j_end - j) * self.cell + 2, (i_end - i) * self.cell + 2
        look = {"facecolor": "none", "edgecolor": self.colour["ink"], "linewidth": 1.4, "zorder": 7}
        still.box(self.axes, *place, *size, radius=4, **look)

    def _heading(self, x, y, text):
        still.write(self.axes, x, y, text, size=10.5, colour="soft", weight="bold")

    def _bytes(self, x):
        """As in the live view's chart: filled so far, outlined to come."""
        data, at, wide = self.data, self.step - 1, RIGHT - x
        self._heading(x, TOP - 18, "BYTES MOVED SO FAR")
        most = max(data["read"][-1], data["written"][-1], 1)
        for n, (name, tone) in enumerate((("read", "faint"), ("written", "ink"))):
            y, now, end = TOP + 8 + 42 * n, data[name][at], data[name][-1]
            still.write(self.axes, x, y, name, size=12, colour="soft")
            text = f"{now:,} of {end:,}"
            still.write(self.axes, x + wide, y, text, size=12, ha="right", family="monospace")
            outline = {"facecolor": self.colour["free"], "edgecolor": self.colour[tone], "linewidth": 0.7}
            still.box(self.axes, x, y + 10, max(2, wide * end / most), 10, **outline)
            long = max(1, wide * now / most) if now else 0
            still.box(self.axes, x, y + 10, long, 10, facecolor=self.colour[tone])

    def _row(self, x):
        data, at = self.data, self.step - 1
        self._heading(x, TOP + 108, f"ROW {data['watch']} (DOTTED)")
        lines = [("", "not computed yet")]
        if data["row"][at]:
            maximum, total, output = data["row"][at]
            lines = [("maximum", real(maximum)), ("sum", real(total)), (data["output"][at], "")]
            lines.append(("", ", ".join(map(real, output))))
        for n, (name, value) in enumerate(lines):
            y = TOP + 130 + 20 * n
            still.write(self.axes, x, y, name, size=12, colour="soft")
            still.write(self.axes, x + (76 if name else 0), y, value, size=12, family="monospace")


def _looks():
    colour = still.palette()
    return {
        "computed": {"facecolor": colour["r0"]},
        "skipped": still.hatched(colour["faint"], colour["card"], 4),
        "to come": {"facecolor": colour["free"]},
        "fast": {"facecolor": colour["r2"]},
        "unfinished": still.hatched(colour["r1"]),
        "finished": {"facecolor": colour["r1"]},
    }


def _legend(data):
    """[(text, look)] of the marks that this recording has."""
    shown = [("computed, in this order", "computed")]
    if any(event[0] == "skip" for event in data["events"]):
        shown.append(("skipped", "skipped"))
    shown += [("to come", "to come"), ("in fast memory now", "fast")]
    if data["begun"] != data["done"]:
        shown.append(("output written, unfinished", "unfinished"))
    looks = _looks()
    return [(text, looks[state]) for text, state in [*shown, ("output written", "finished")]]
