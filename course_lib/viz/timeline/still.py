"""The engine's timeline as a still picture, with matplotlib: the same as timeline.js draws, in light colours."""

from course_lib.trace.schedule import COMPUTED
from course_lib.viz.kit import still as static
from course_lib.viz.memory.view import name

RIGHT = 898  # where the steps end
STEPS, ROWS = 64, 20  # so many are in the picture, around the step that is shown
ALPHA = {"prefill": "", "decode": "61", "again": "33"}


def paint(view, step):
    """A matplotlib figure of a TimelineView at a step, its memory below."""
    return _Painter(view, step).figure


class _Painter:
    def __init__(self, view, step):
        self.data, self.at, self.colour = view.data, step - 1, static.palette()
        data = view.data
        self.count = min(data["last"], STEPS)
        self.begin = max(0, min(data["last"] - self.count, self.at - self.count // 3))
        self.end = self.begin + self.count
        self.lanes = self._in_sight()
        self.ranked = len({lane[6] for lane in data["lanes"]}) > 1
        self.tag = min(104, max(52, *(12 + 7.4 * len(name(lane[0])) for lane, _ in self.lanes), 0))
        self.left = 22 + self.tag + (30 if self.ranked else 10)
        self.w = min(32, (RIGHT - self.left - 8) / self.count)
        self.h = 20 if len(self.lanes) <= 12 else 15
        self.top = 172
        self.strip = self.top + len(self.lanes) * self.h + 8
        self.share = self.strip + (42 if data["memory"] else 0)
        bottom = self.share + (122 if data["clients"] else 0)
        words = "".join(text for _, text in data["say"][self.at])
        self.height = bottom + 26 + 20 * len(static.broken(words))
        if data["memory"]:
            self._with_memory(view, step)
        else:
            self.figure, self.axes = static.figure(self.height)
        static.title(self.axes, data)
        static.legend(self.axes, self._legend())
        self._budget()
        static.box(
            self.axes,
            self.x(self.at) - 1,
            self.top,
            self.w + 1,
            len(self.lanes) * self.h,
            facecolor=self.colour["well"],
        )
        for index, lane in enumerate(self.lanes):
            self._lane(index, *lane)
        if data["memory"]:
            self._strip()
        if data["clients"]:
            self._clients()
        x = self.x(self.at)
        for y, tall in (
            (82, 68),
            *([(self.strip - 2, 36)] if data["memory"] else []),
            *([(self.share - 2, 94)] if data["clients"] else []),
        ):
            static.box(
                self.axes,
                x - 1,
                y,
                self.w + 1,
                tall,
                radius=3,
                facecolor="none",
                edgecolor=self.colour["ink"],
                linewidth=1.3,
            )
        static.say(self.axes, bottom + 10, words)

    def _with_memory(self, view, step):
        """One figure for both: the painter of the memory view draws into axes of its own, without title and words."""
        from course_lib.viz.memory.still import _Painter as Memory

        def place(below):
            self.figure, self.axes = static.figure(self.height + below)
            total = self.height + below
            self.axes.set_position((0, below / total, 1, self.height / total))
            self.axes.set(ylim=(self.height, 0))
            inside = self.figure.add_axes((0, 0, 1, below / total))
            inside.set(xlim=self.axes.get_xlim(), ylim=(below + 34, 34))
            inside.axis("off")
            return self.figure, inside

        order = {lane[0]: self._colour(index, lane) for index, lane in enumerate(self.data["lanes"])}
        Memory(
            {**self.data["memory"], "last": self.data["last"]},
            view.memory(step),
            self.data["memory"]["rows"],
            step,
            place=place,
            owner=order,
        )

    def x(self, at):
        return self.left + (at - self.begin) * self.w

    def _colour(self, index, lane):
        return self.colour[f"r{(lane[1] if self.data['clients'] else index) % 6}"]

    def _in_sight(self):
        """[(lane, colour)] of the window; where there are too many, those around who is computed."""
        found = []
        for index, lane in enumerate(self.data["lanes"]):
            if any(begin < self.end and end > self.begin for _, begin, end, _, _ in lane[5]):
                found.append((lane, self._colour(index, lane)))
        if len(found) > ROWS:
            now = [
                place
                for place, (lane, _) in enumerate(found)
                if any(one[0] in COMPUTED and one[1] <= self.at < one[2] for one in lane[5])
            ]
            first = max(0, min(len(found) - ROWS, (now[len(now) // 2] if now else 0) - ROWS // 2))
            found = found[first : first + ROWS]
        return found

    def _legend(self):
        colour, kinds = self.colour["r0"], {span[0] for lane in self.data["lanes"] for span in lane[5]}
        looks = {"again": "computed again", "preempted": "preempted", "swapped": "swapped out"}
        shown = [(text, self._look(kind, colour)) for kind, text in looks.items() if kind in kinds]
        aborted = any(lane[4] and lane[4][1] == "abort" for lane in self.data["lanes"])
        computed = [(kind, self._look(kind, colour)) for kind in ("prefill", "decode")]
        return [*computed, *shown, ("waiting", "┄"), ("done", "○"), *([("aborted", "✕")] if aborted else [])]

    def _look(self, kind, colour):
        """How a span of a kind is filled; the same for its legend."""
        if kind == "preempted":
            return static.hatched(self.colour["soft"], self.colour["card"], 5) | {"linewidth": 0}
        if kind == "swapped":
            return {"facecolor": "none", "edgecolor": colour, "linestyle": ":", "linewidth": 1.2}
        return (
            static.hatched(colour, self.colour["card"], 4) if kind == "again" else {"facecolor": colour + ALPHA[kind]}
        )

    def _cells(self, lane):
        """(step, kind, tokens) of a lane in the window."""
        for kind, begin, end, _, counts in lane[5]:
            for at in range(max(begin, self.begin), min(end, self.end)):
                yield at, kind, 0 if kind not in COMPUTED else counts[at - begin] if counts else 1

    def _budget(self):
        axes, base, tall = self.axes, 148, 62
        budget, most = self.data["budget"], max(1, *(one[0] for one in self.data["sums"]))
        within = budget is not None and budget <= 4 * most
        scale = tall / (max(budget, most) if within else most * 1.15)
        static.write(axes, 22, base - 7, "tokens", size=11, colour="soft")
        heights = {}
        for index, lane in enumerate(self.data["lanes"]):
            colour = self._colour(index, lane)
            for at, kind, tokens in self._cells(lane):
                if tokens:
                    y = heights.get(at, 0)
                    high, look = tokens * scale, self._look(kind, colour) | {"linewidth": 0}
                    static.box(
                        axes, self.x(at) + 0.7, base - y * scale - high, self.w - 1.4, high - 0.8 * (high > 3), **look
                    )
                    heights[at] = y + tokens
        axes.plot([self.left, RIGHT], [base] * 2, color=self.colour["line"], linewidth=0.8)
        static.write(axes, 22, base + 13, "step", size=11, colour="soft")
        every = next(number for number in (1, 2, 5, 10) if number * self.w >= 26)
        for at in range(self.begin, self.end):
            if at == self.at or ((at + 1) % every == 0 and abs(at - self.at) * self.w >= 22):
                look = {"colour": "ink", "weight": "bold"} if at == self.at else {"colour": "soft"}
                static.write(
                    axes,
                    self.x(at) + self.w / 2,
                    base + 13,
                    str(at + 1),
                    size=10,
                    ha="center",
                    family="monospace",
                    **look,
                )
        if budget is not None:
            y = base - (budget * scale if within else tall)
            if within:
                axes.plot([self.left, RIGHT], [y] * 2, color=self.colour["faint"], linewidth=0.8, linestyle="--")
            static.write(
                axes,
                RIGHT,
                y - 8,
                f"token budget {budget:,}{'' if within else ' ↑'}",
                size=11,
                colour="soft",
                ha="right",
            )

    def _lane(self, index, lane, colour):
        axes, h = self.axes, self.h
        y, middle, tall = self.top + index * h, self.top + (index + 0.5) * h, h - 3
        tag = name(lane[0])
        static.box(axes, 22, y + 1.5, self.tag, tall, radius=4, facecolor=colour)
        mono = {"ha": "center", "weight": "bold", "family": "monospace"}
        most = int((self.tag - 8) / 7.2)
        static.write(
            axes,
            22 + self.tag / 2,
            middle,
            static.shortened(tag, most),
            size=11.5 if h > 16 else 10,
            colour="card",
            **mono,
        )
        if self.ranked:
            static.write(axes, 26 + self.tag, middle, f"p{lane[6]}"[:4], size=10, colour="soft", family="monospace")
        for kind, begin, end, _, _ in lane[5]:
            a, b = max(begin, self.begin), min(end, self.end)
            x, wide = self.x(a), (b - a) * self.w
            if b <= a or kind in COMPUTED:
                continue
            if kind in ("waiting", "idle"):
                look = (
                    {"color": self.colour["faint"], "linestyle": (0, (2, 2.6))}
                    if kind == "waiting"
                    else {"color": colour}
                )
                axes.plot([x + 1, x + wide - 1], [middle] * 2, linewidth=1.2, **look)
            else:
                static.box(axes, x + 0.8, middle - tall * 0.28, wide - 1.6, tall * 0.56, **self._look(kind, colour))
        for at, kind, tokens in self._cells(lane):
            if kind in COMPUTED:
                high = tall * 0.56 if kind == "decode" else tall
                radius = min(2.5, self.w / 4)
                static.box(
                    axes,
                    self.x(at) + 0.8,
                    middle - high / 2,
                    self.w - 1.6,
                    high,
                    radius=radius,
                    **self._look(kind, colour),
                )
                if kind != "decode" and self.w >= 9 + 6 * len(str(tokens)):
                    ink = "card" if kind == "prefill" else "ink"
                    static.write(axes, self.x(at) + self.w / 2, middle, str(tokens), size=9.5, colour=ink, **mono)
        if lane[4] and self.begin <= lane[4][0] + lane[4][2] <= self.end:
            x = self.x(lane[4][0] + lane[4][2]) + 6
            look = {"markersize": 5, "markeredgecolor": colour, "markerfacecolor": "none", "markeredgewidth": 1.3}
            axes.plot([x], [middle], marker="x" if lane[4][1] == "abort" else "o", **look)

    def _bars(self, values, base, tall, most, under=None, **look):
        steps = range(self.begin, self.end)
        lower = [0] * self.count if under is None else [under[at] for at in steps]
        self.axes.bar([self.x(at) + self.w / 2 for at in steps], [-tall * values[at] / most for at in steps], width=self.w - min(1.4, self.w / 5),
                      bottom=[base - tall * low / most for low in lower], linewidth=0, **look)  # fmt: skip

    def _strip(self):
        base, tall, most, sums = self.strip + 32, 32, self.data["memory"]["num_blocks"], self.data["memory"]["sums"]
        static.write(self.axes, 22, base - 7, "blocks", size=11, colour="soft")
        used = [one[0] for one in sums]
        self._bars(used, base, tall, most, color=self.colour["accent"] + "73")
        self._bars(
            [one[1] for one in sums],
            base,
            tall,
            most,
            used,
            facecolor="none",
            edgecolor=self.colour["faint"],
            hatch="////",
        )
        self.axes.plot([self.left, RIGHT], [base - tall] * 2, color=self.colour["faint"], linewidth=0.8, linestyle="--")
        self.axes.plot([self.left, RIGHT], [base] * 2, color=self.colour["line"], linewidth=0.8)

    def _clients(self):
        clients, base, tall = self.data["clients"], self.share + 28, 28
        queue, peak = (
            max(1, *(one[2] for one in self.data["sums"])),
            max(1, *(service[-1] for _, service, _ in clients)),
        )
        below, under = base + 62, [0] * self.data["last"]
        at = self.left
        for index, service, waiting in clients:
            client, colour = self.data["asked"][index], self.colour[f"r{index % 6}"]
            self._bars(waiting, base, tall, queue, under, color=colour + "bf")
            under = [a + b for a, b in zip(under, waiting)]
            steps = range(self.begin, self.end)
            line = [below - 54 * service[step] / peak for step in steps]
            self.axes.plot([self.x(step) + self.w / 2 for step in steps], line, color=colour, linewidth=1.6)
            if at < RIGHT - 150:
                text = f"{client}: service {service[self.at]:,}, {waiting[self.at]:,} wait"
                shown = static.write(self.axes, at, below + 16, text, size=11.5, weight="bold")
                shown.set_color(colour)
                at += static.text_width(self.axes, shown) + 24
        for y, text in ((base, "waiting"), (below, "service")):
            static.write(self.axes, 22, y - 7, text, size=11, colour="soft")
            self.axes.plot([self.left, RIGHT], [y] * 2, color=self.colour["line"], linewidth=0.8)
