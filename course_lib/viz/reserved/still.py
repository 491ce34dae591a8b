"""Reserved against used as a still picture, with matplotlib: the same as reserved.js draws, in light colours."""

from course_lib.viz.kit import still as static

from .view import PARTS, layout, parts_at, say, share

LEFT, RIGHT = 74, 898


def paint(data, run, step):
    """A matplotlib figure of one policy's run of a ReservedAgainstUsed at a step."""
    return _Painter(data, run, step).figure


class _Painter:
    def __init__(self, data, run, step):
        self.data, self.run, self.step, self.colour = data, run, step, static.palette()
        colour, capacity = self.colour, data["capacity"]
        self.looks = {
            "used": {"facecolor": colour["r0"]},
            "reserved": {"facecolor": colour["r0"] + "42"},
            "internal": {**static.hatched(colour["r1"], colour["r1"] + "1a", 4), "linewidth": 0},
            "external": {
                "facecolor": colour["r3"] + "29",
                "edgecolor": colour["r3"],
                "hatch": "\\" * 6,
                "linewidth": 0,
            },
            "free": {"facecolor": "none", "edgecolor": colour["faint"], "linestyle": "--", "linewidth": 0.8},
        }
        rows = 1 if capacity <= 48 else 4 if capacity <= 256 else 8 if capacity <= 1024 else 12
        self.per = -(-capacity // rows)
        self.row, self.top = 17 if rows > 8 else 22, 106
        bottom = self.top + -(-capacity // self.per) * self.row
        self.figure, self.axes = static.figure(bottom + 204)
        static.title(self.axes, data)
        legend = {
            "used": "used",
            "reserved": "reserved, yet to come",
            "internal": "reserved, never used",
            "external": "hole, too small",
            "free": "free",
        }
        static.legend(self.axes, [(text, self.looks[part]) for part, text in legend.items()])
        heading = static.write(self.axes, 22, 84, f"{run['policy']}", size=13, weight="bold")
        text = f"{share(parts_at(data, run, step)[0], capacity)} used"
        static.write(
            self.axes, 34 + static.text_width(self.axes, heading), 84, text, size=12, colour="soft", family="monospace"
        )
        for line in range(-(-capacity // self.per)):
            static.write(
                self.axes,
                LEFT - 9,
                self.top + (line + 0.5) * self.row,
                f"{line * self.per:,}",
                size=10.5,
                colour="soft",
                ha="right",
                family="monospace",
            )
        for kind, start, size, segment in layout(data, run, step):
            self._piece(kind, start, size, segment)
        self._chart(bottom + 38)
        static.say(self.axes, bottom + 160, "".join(text for _, text in say(data, run, step)))

    def _lines(self, start, end):
        """[start, end) on the rows of the map: (x, y, width, holds the start, holds the end)."""
        slot, at = (RIGHT - LEFT) / self.per, start
        while at < end:
            line = at // self.per
            stop = min(end, (line + 1) * self.per)
            yield (
                LEFT + (at - line * self.per) * slot,
                self.top + line * self.row + 2,
                (stop - at) * slot,
                at == start,
                stop == end,
            )
            at = stop

    def _piece(self, kind, start, size, segment):
        tall = self.row - 4
        if segment is None:
            for x, y, wide, _, _ in self._lines(start, start + size):
                static.box(self.axes, x + 0.5, y + 0.5, max(0.5, wide - 1), tall - 1, **self.looks[kind])
            return
        request, _, _, final, used = segment
        for part, a, b in (("used", 0, used), ("reserved", used, final), ("internal", final, size)):
            for x, y, wide, _, _ in self._lines(start + a, start + b):
                static.box(self.axes, x, y, wide, tall, **self.looks[part])
        named = False
        for x, y, wide, first, last in self._lines(start, start + size):
            for colour, width in (("card", 2.4), ("soft", 0.8)):  # a gap between neighbours, whatever they hold
                edges = [([x, x + wide], [y, y]), ([x, x + wide], [y + tall, y + tall])]
                edges += [([x, x], [y, y + tall])] * first + [([x + wide, x + wide], [y, y + tall])] * last
                for xs, ys in edges:
                    self.axes.plot(xs, ys, color=self.colour[colour], linewidth=width, solid_capstyle="butt")
            text = str(request)[:10]
            if not named and wide > 7 * len(text) + 14:
                static.box(
                    self.axes,
                    x + 4,
                    y + tall / 2 - 6,
                    7 * len(text) + 6,
                    12,
                    radius=2.5,
                    facecolor=self.colour["card"],
                    zorder=3,
                )
                static.write(
                    self.axes, x + 7, y + tall / 2 + 0.5, text, size=10, weight="bold", family="monospace", zorder=4
                )
                named = True

    def _chart(self, top):
        from matplotlib.patches import Polygon

        data, last, tall = self.data, self.data["last"], 88
        static.write(self.axes, 22, top - 16, "SHARES OF THE MEMORY OVER TIME", size=10.5, colour="soft", weight="bold")
        edges = [LEFT + (RIGHT - LEFT) * at / last for at in range(last + 1)]
        heights = [0] * last
        for part, name in enumerate(PARTS[:4]):
            below, heights = heights, [h + parts_at(data, self.run, at + 1)[part] for at, h in enumerate(heights)]
            outline = [
                (x, top + tall * (1 - h / data["capacity"]))
                for i, h in enumerate(heights)
                for x in (edges[i], edges[i + 1])
            ]
            base = [
                (x, top + tall * (1 - h / data["capacity"]))
                for i, h in reversed(list(enumerate(below)))
                for x in (edges[i + 1], edges[i])
            ]
            if heights != below:
                self.axes.add_patch(Polygon(outline + base, closed=True, **{"linewidth": 0, **self.looks[name]}))
        now = LEFT + (RIGHT - LEFT) * (self.step - 0.5) / last
        static.box(
            self.axes, now, top, RIGHT - now, tall, facecolor=self.colour["card"] + "a6", zorder=2
        )  # what is still to come stands back
        static.box(
            self.axes,
            LEFT,
            top,
            RIGHT - LEFT,
            tall,
            facecolor="none",
            edgecolor=self.colour["faint"],
            linewidth=0.8,
            zorder=3,
        )
        self.axes.plot([now, now], [top, top + tall + 4], color=self.colour["ink"], linewidth=1.3, zorder=4)
        static.write(
            self.axes,
            max(LEFT + 30, min(RIGHT - 30, now)),
            top + tall + 13,
            f"time {data['times'][self.step - 1]:,}",
            size=10.5,
            ha="center",
            family="monospace",
        )
        for text, part in (("100 %", 1), ("50 %", 0.5), ("0 %", 0)):
            static.write(
                self.axes,
                LEFT - 9,
                top + tall * (1 - part) + 5 * (2 * part - 1),
                text,
                size=10.5,
                colour="soft",
                ha="right",
                family="monospace",
            )
