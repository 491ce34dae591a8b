"""Reserved against used as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import looks, still

from .model import PARTS, layout, parts_at, say, share

LEFT, RIGHT, TOP = 74, 898, 106
CHART = 88  # height of the chart
LEGEND = {
    "used": "used",
    "reserved": "reserved, yet to come",
    "internal": "reserved, never used",
    "external": "hole, too small",
    "free": "free",
}
NUMBER = {"size": 10.5, "colour": "soft", "ha": "right", "family": "monospace"}


def paint(data, run, step):
    """A matplotlib figure of one policy's run of a ReservedAgainstUsed at a step."""
    return _Painter(data, run, step).figure


class _Painter:
    def __init__(self, data, run, step):
        self.data, self.run, self.step, self.colour = data, run, step, still.palette()
        red, pink = self.colour["r1"], self.colour["r3"]
        self.looks = {
            "used": {"facecolor": self.colour["r0"]},
            "reserved": {"facecolor": self.colour["r0"] + "42"},
            "internal": still.hatched(red, red + "1a", 4) | {"linewidth": 0},
            "external": {"facecolor": pink + "29", "edgecolor": pink, "hatch": "\\" * 6, "linewidth": 0},
            "free": looks.free_block(),
        }
        capacity = data["capacity"]
        rows = 1 if capacity <= 48 else 4 if capacity <= 256 else 8 if capacity <= 1024 else 12
        self.per = -(-capacity // rows)
        self.row = 17 if rows > 8 else 22
        lines = -(-capacity // self.per)
        bottom = TOP + lines * self.row
        self.figure, self.axes = still.figure(bottom + 204)
        still.title(self.axes, data)
        still.legend(self.axes, [(text, self.looks[part]) for part, text in LEGEND.items()])
        self._heading()
        for line in range(lines):
            still.write(self.axes, LEFT - 9, TOP + (line + 0.5) * self.row, f"{line * self.per:,}", **NUMBER)
        for kind, start, size, segment in layout(data, run, step):
            if segment is None:
                self._hole(kind, start, size)
            else:
                self._segment(start, size, segment)
        self._chart(bottom + 38)
        still.say(self.axes, bottom + 160, "".join(text for _, text in say(data, run, step)))

    def _heading(self):
        heading = still.write(self.axes, 22, 84, f"{self.run['policy']}", size=13, weight="bold")
        used = parts_at(self.data, self.run, self.step)[0]
        x = 34 + still.text_width(self.axes, heading)
        text = f"{share(used, self.data['capacity'])} used"
        still.write(self.axes, x, 84, text, size=12, colour="soft", family="monospace")

    def _lines(self, start, end):
        """[start, end) on the rows of the map: (x, y, width, holds the start, holds the end)."""
        slot, at = (RIGHT - LEFT) / self.per, start
        while at < end:
            line = at // self.per
            stop = min(end, (line + 1) * self.per)
            x, y = LEFT + (at - line * self.per) * slot, TOP + line * self.row + 2
            yield x, y, (stop - at) * slot, at == start, stop == end
            at = stop

    def _hole(self, kind, start, size):
        for x, y, wide, _, _ in self._lines(start, start + size):
            still.box(self.axes, x + 0.5, y + 0.5, max(0.5, wide - 1), self.row - 5, **self.looks[kind])

    def _segment(self, start, size, segment):
        request, _, _, final, used = segment
        tall, named = self.row - 4, False
        for part, a, b in (("used", 0, used), ("reserved", used, final), ("internal", final, size)):
            for x, y, wide, _, _ in self._lines(start + a, start + b):
                still.box(self.axes, x, y, wide, tall, **self.looks[part])
        text = str(request)[:10]
        for x, y, wide, first, last in self._lines(start, start + size):
            self._outline(x, y, wide, tall, first, last)
            if not named and wide > 7 * len(text) + 14:
                ground = {"radius": 2.5, "facecolor": self.colour["card"], "zorder": 3}
                still.box(self.axes, x + 4, y + tall / 2 - 6, 7 * len(text) + 6, 12, **ground)
                look = {"size": 10, "weight": "bold", "family": "monospace", "zorder": 4}
                still.write(self.axes, x + 7, y + tall / 2 + 0.5, text, **look)
                named = True

    def _outline(self, x, y, wide, tall, first, last):
        """Light and then dark: a gap between neighbours, whatever they hold; open where it goes on in the next row."""
        edges = [([x, x + wide], [y, y]), ([x, x + wide], [y + tall, y + tall])]
        edges += [([x, x], [y, y + tall])] * first + [([x + wide, x + wide], [y, y + tall])] * last
        for tone, weight in (("card", 2.4), ("soft", 0.8)):
            for xs, ys in edges:
                self.axes.plot(xs, ys, color=self.colour[tone], linewidth=weight, solid_capstyle="butt")

    def _chart(self, top):
        from matplotlib.patches import Polygon

        data, last, width = self.data, self.data["last"], RIGHT - LEFT
        still.write(self.axes, 22, top - 16, "SHARES OF THE MEMORY OVER TIME", size=10.5, colour="soft", weight="bold")
        xs = [LEFT + width * at / last for at in range(last + 1)]
        heights = [0] * last

        def stairs(values):
            level = [top + CHART * (1 - value / data["capacity"]) for value in values]
            return [(x, y) for at, y in enumerate(level) for x in (xs[at], xs[at + 1])]

        for part, name in enumerate(PARTS[:4]):
            below, heights = heights, [h + parts_at(data, self.run, at + 1)[part] for at, h in enumerate(heights)]
            if heights != below:
                look = {"linewidth": 0, **self.looks[name]}
                self.axes.add_patch(Polygon(stairs(heights) + stairs(below)[::-1], closed=True, **look))
        now = LEFT + width * (self.step - 0.5) / last
        later = {"facecolor": self.colour["card"] + "a6", "zorder": 2}  # what is still to come stands back
        still.box(self.axes, now, top, RIGHT - now, CHART, **later)
        frame = {"facecolor": "none", "edgecolor": self.colour["faint"], "linewidth": 0.8, "zorder": 3}
        still.box(self.axes, LEFT, top, width, CHART, **frame)
        self.axes.plot([now, now], [top, top + CHART + 4], color=self.colour["ink"], linewidth=1.3, zorder=4)
        x, time = max(LEFT + 30, min(RIGHT - 30, now)), f"time {data['times'][self.step - 1]:,}"
        still.write(self.axes, x, top + CHART + 13, time, size=10.5, ha="center", family="monospace")
        for text, part in (("100 %", 1), ("50 %", 0.5), ("0 %", 0)):
            y = top + CHART * (1 - part) + 5 * (2 * part - 1)
            still.write(self.axes, LEFT - 9, y, text, **NUMBER)
