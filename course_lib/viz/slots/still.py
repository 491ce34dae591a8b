"""Batch slots as a still picture, with matplotlib: the same as slots.js draws, in light colours."""

from course_lib.viz.kit import still as static
from course_lib.viz.kit.still import percent

from .view import waiting

LEFT, RIGHT, TOP = 78, 898, 106


def paint(data, step):
    """A matplotlib figure of a BatchSlots at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.step, self.colour = data, step, static.palette()
        slots, self.queues = data["slots"], [waiting(data, one) for one in range(1, data["last"] + 1)]
        self.most = max(1, max(map(len, self.queues)))
        self.w = min(30, (RIGHT - LEFT) / data["last"])
        self.h = 28 if slots <= 6 else 21 if slots <= 12 else max(3, min(17, 280 / slots))
        self.tall = min(11, 100 / self.most)
        self.gap = 1.5 if self.w >= 6 else 0.6 if self.w >= 3 else 0
        self.air = 4 if self.h >= 12 else 2 if self.h >= 6 else 0.6
        self.queue_top = TOP + slots * self.h + 34
        self.chart_top = self.queue_top + max(14, self.most * self.tall) + 34
        words = "".join(text for _, text in data["say"][step - 1])
        self.figure, self.axes = static.figure(self.chart_top + 118 + 20 * len(static.broken(words)))
        static.title(self.axes, data)
        looks = self._looks(0)
        static.legend(self.axes, [("prompt", looks["prompt"]), ("padding", self._waste("/")), ("a token wanted", looks["token"]),
                                  ("over, computed on", self._waste("\\")), ("empty slot", self._empty())])  # fmt: skip
        for y, text in (
            (TOP - 26, "SLOTS, ONE RUN OF THE MODEL A STEP"),
            (self.queue_top - 14, "QUEUE"),
            (self.chart_top - 14, "WHAT THE TOKENS PUSHED SO FAR WERE FOR"),
        ):
            static.write(self.axes, 22, y, text, size=10.5, colour="soft", weight="bold")
        self._slots()
        self._queue()
        self._chart()
        static.say(self.axes, self.chart_top + 106, words)

    def _x(self, step):
        return LEFT + step * self.w

    def _looks(self, request):
        colour = self.colour[f"r{request % 6}"]
        return {"prompt": {"facecolor": colour}, "token": {"facecolor": colour + "61"}}

    def _waste(self, hatch):
        return {"facecolor": self.colour["free"], "edgecolor": self.colour["faint"], "hatch": hatch * 5, "linewidth": 0}

    def _empty(self):
        return {"facecolor": "none", "edgecolor": self.colour["faint"], "linestyle": "--", "linewidth": 0.8}

    def _slots(self):
        data, h, air = self.data, self.h, self.air
        static.box(self.axes, LEFT, TOP, self._x(data["last"]) - LEFT, data["slots"] * h, facecolor=self.colour["well"])
        for slot in range(0, data["slots"], next(n for n in (1, 2, 4, 8, 16, 32) if n * h >= 12 or n == 32)):
            static.write(
                self.axes,
                LEFT - 8,
                TOP + (slot + 0.5) * h,
                f"slot {slot}",
                size=10.5,
                colour="soft",
                ha="right",
                family="monospace",
            )
        every = next(
            (n for n in (1, 5, 10, 20, 50, 100, 200, 500) if n * self.w >= 8 * len(f"{data['last']:,}") + 10), 1000
        )
        for at in range(every, data["last"] + 1, every):
            static.write(
                self.axes,
                self._x(at - 0.5),
                TOP - 9,
                f"{at:,}",
                size=10.5,
                colour="soft",
                ha="center",
                family="monospace",
            )
        for start, end, places in data["runs"]:
            longest = max(data["requests"][i][1] for i in places)
            for slot in range(data["slots"]):
                y = TOP + slot * h + air / 2
                if slot >= len(places):
                    self._piece(start, end, y, h - air, self._empty())
                    continue
                _, prompt, new = data["requests"][places[slot]]
                looks, high = self._looks(places[slot]), (h - air) * prompt / longest
                self._piece(start, start + 1, y, h - air - high, self._waste("/"))
                self._piece(start, start + 1, y + h - air - high, high, looks["prompt"])
                self._piece(start + 1, start + new, y, h - air, looks["token"], apart=True)
                self._piece(start + new, end, y, h - air, self._waste("\\"), apart=True)
                name, room = data["names"][places[slot]], (new - 1 or end - start - 1) * self.w
                if h >= 16 and room > 7 * len(name) + 8:
                    patch = {"facecolor": self.colour["card"], "edgecolor": "none", "pad": 0.6} if new == 1 else None
                    static.write(self.axes, self._x(start + 1) + 5, y + (h - air) / 2, name, size=10.5, weight="bold", family="monospace", bbox=patch,
                                 alpha=0.45 if start >= self.step else 1)  # fmt: skip
        static.box(
            self.axes,
            self._x(self.step - 1),
            TOP - 2,
            max(2.4, self.w),
            data["slots"] * h + 4,
            facecolor="none",
            edgecolor=self.colour["ink"],
            linewidth=1.4,
            zorder=6,
        )

    def _piece(self, start, end, y, high, look, apart=False):
        """Steps start + 1 to end of a row; what is to come stands back."""
        if high <= 0.01:
            return
        for a, b, alpha in ((start, min(end, self.step), 1), (max(start, self.step), end, 0.36)):
            edges = [(at, at + 1) for at in range(a, b)] if apart and self.w >= 6 else [(a, b)] if b > a else []
            for left, right in edges:
                static.box(
                    self.axes,
                    self._x(left) + self.gap / 2,
                    y,
                    (right - left) * self.w - self.gap,
                    high,
                    alpha=alpha,
                    **self._faded(look),
                )

    def _faded(self, look):
        """The look without its own transparency, which matplotlib would lose beside another one."""
        face = look["facecolor"]
        if len(face) != 9:
            return look
        share = int(face[7:], 16) / 255
        mixed = "#" + "".join(f"{round(int(face[i : i + 2], 16) * share + 255 * (1 - share)):02x}" for i in (1, 3, 5))
        return look | {"facecolor": mixed}

    def _queue(self):
        static.write(
            self.axes,
            LEFT - 8,
            self.queue_top + max(5, self.tall / 2),
            "next",
            size=10.5,
            colour="soft",
            ha="right",
            family="monospace",
        )
        for at, who in enumerate(self.queues):
            for place, i in enumerate(who) if self.tall > 3 else []:
                static.box(self.axes, self._x(at) + self.gap / 2, self.queue_top + place * self.tall, self.w - self.gap, self.tall - (2 if self.tall > 4 else 0.4),
                           alpha=1 if at < self.step else 0.36, facecolor=self.colour[f"r{i % 6}"])  # fmt: skip
            if self.tall <= 3 and who:
                static.box(
                    self.axes,
                    self._x(at),
                    self.queue_top,
                    self.w,
                    len(who) * self.tall,
                    facecolor=self.colour["faint"],
                    alpha=1 if at < self.step else 0.36,
                )

    def _chart(self):
        data, top, tall = self.data, self.chart_top, 64
        edges, below = [self._x(at) for at in range(data["last"] + 1)], [0] * data["last"]
        for part, look in enumerate(
            ({"facecolor": self.colour["r0"], "alpha": 0.75, "linewidth": 0}, self._waste("/"), self._waste("\\"))
        ):
            above = [base + (one[part] / sum(one[:3]) if sum(one[:3]) else 0) for base, one in zip(below, data["sums"])]
            xs = [x for at in range(data["last"]) for x in (edges[at], edges[at + 1])]
            low, high = ([top + tall * (1 - value) for value in values for _ in (0, 1)] for values in (below, above))
            self.axes.fill_between(xs, low, high, **look)
            self.axes.plot(xs, low, color=self.colour["card"], linewidth=1.4 if part else 0)
            below = above
        now = self._x(self.step)
        static.box(self.axes, now, top, edges[-1] - now, tall, facecolor=self.colour["card"] + "a3", zorder=3)
        static.box(
            self.axes,
            LEFT,
            top,
            edges[-1] - LEFT,
            tall,
            facecolor="none",
            edgecolor=self.colour["faint"],
            linewidth=0.8,
            zorder=4,
        )
        self.axes.plot([now, now], [top, top + tall], color=self.colour["ink"], linewidth=1.3, zorder=5)
        for text, y in (("100 %", 6), ("50 %", tall / 2), ("0 %", tall - 6)):
            static.write(self.axes, LEFT - 8, top + y, text, size=10.5, colour="soft", ha="right", family="monospace")
        useful, padding, idle, empty = data["sums"][self.step - 1]
        pushed = max(1, useful + padding + idle)
        x = 22
        for name, value in (("of use", f"{useful:,}, {percent(useful / pushed)}"), ("padding", f"{padding:,}, {percent(padding / pushed)}"),
                            ("over, computed on", f"{idle:,}, {percent(idle / pushed)}"), ("slots empty", f"{percent(empty / (self.step * data['slots']))} of the time"),
                            ("waiting", str(len(self.queues[self.step - 1])))):  # fmt: skip
            x += 7 + static.text_width(
                self.axes, static.write(self.axes, x, top + tall + 18, name, size=12, colour="soft")
            )
            x += 16 + static.text_width(
                self.axes, static.write(self.axes, x, top + tall + 18, value, size=11.5, family="monospace")
            )
