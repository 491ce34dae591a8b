"""Batch slots as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import looks, still
from course_lib.viz.kit.format import percent

from .model import waiting

LEFT, RIGHT, TOP = 78, 898, 106
CHART = 64  # height of the chart
LATER = 0.36  # alpha of what is still to come
SLOTS_BETWEEN = (1, 2, 4, 8, 16, 32)
STEPS_BETWEEN = (1, 5, 10, 20, 50, 100, 200, 500, 1000)
SMALL = {"size": 10.5, "colour": "soft", "family": "monospace"}


def paint(data, step):
    """A matplotlib figure of a BatchSlots at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.step, self.colour = data, step, still.palette()
        slots, self.queues = data["slots"], [waiting(data, one) for one in range(1, data["last"] + 1)]
        most = max(1, max(map(len, self.queues)))
        self.w = min(30, (RIGHT - LEFT) / data["last"])
        self.h = 28 if slots <= 6 else 21 if slots <= 12 else max(3, min(17, 280 / slots))
        self.tall = min(11, 100 / most)
        self.gap = 1.5 if self.w >= 6 else 0.6 if self.w >= 3 else 0
        self.air = 4 if self.h >= 12 else 2 if self.h >= 6 else 0.6
        queue = TOP + slots * self.h + 34
        chart = queue + max(14, most * self.tall) + 34
        words = "".join(text for _, text in data["say"][step - 1])
        self.figure, self.axes = still.figure(chart + 118 + 20 * len(still.broken(words)))
        still.title(self.axes, data)
        still.legend(self.axes, self._legend())
        headings = [
            (TOP - 26, "BATCH SLOTS, ONE RUN OF THE MODEL A STEP"),
            (queue - 14, "QUEUE"),
            (chart - 14, "WHAT THE TOKENS COMPUTED SO FAR WERE FOR"),
        ]
        for y, text in headings:
            still.write(self.axes, 22, y, text, size=10.5, colour="soft", weight="bold")
        self._rulers()
        for run in data["runs"]:
            self._batch(*run)
        self._now()
        self._queue(queue)
        self._chart(chart)
        self._figures(chart + CHART + 18)
        still.say(self.axes, chart + 106, words)

    def _x(self, step):
        return LEFT + step * self.w

    def _legend(self):
        prompt, token = self._own(0)
        return [
            ("prompt", prompt),
            ("padding", self._waste("/")),
            ("useful token", token),
            ("finished, still computed", self._waste("\\")),
            ("empty slot", looks.free_block()),
        ]

    def _own(self, request):
        """The looks of a request's prompt, and of its new tokens."""
        colour = looks.request_colour(request)
        return {"facecolor": colour}, {"facecolor": colour + "61"}

    def _waste(self, hatch):
        return {"facecolor": self.colour["free"], "edgecolor": self.colour["faint"], "hatch": hatch * 5, "linewidth": 0}

    def _rulers(self):
        data = self.data
        wide, tall = self._x(data["last"]) - LEFT, data["slots"] * self.h
        still.box(self.axes, LEFT, TOP, wide, tall, facecolor=self.colour["well"])
        every = next((number for number in SLOTS_BETWEEN if number * self.h >= 12), SLOTS_BETWEEN[-1])
        for slot in range(0, data["slots"], every):
            still.write(self.axes, LEFT - 8, TOP + (slot + 0.5) * self.h, f"slot {slot}", ha="right", **SMALL)
        room = 8 * len(f"{data['last']:,}") + 10
        every = next((number for number in STEPS_BETWEEN if number * self.w >= room), STEPS_BETWEEN[-1])
        for at in range(every, data["last"] + 1, every):
            still.write(self.axes, self._x(at - 0.5), TOP - 9, f"{at:,}", ha="center", **SMALL)

    def _batch(self, start, end, places):
        h, air = self.h, self.air
        longest = max(self.data["requests"][i][1] for i in places)
        for slot in range(self.data["slots"]):
            y = TOP + slot * h + air / 2
            if slot >= len(places):
                self._piece(start, end, y, h - air, looks.free_block())
                continue
            _, prompt, new = self.data["requests"][places[slot]]
            (whole, pale), high = self._own(places[slot]), (h - air) * prompt / longest
            self._piece(start, start + 1, y, h - air - high, self._waste("/"))
            self._piece(start, start + 1, y + h - air - high, high, whole)
            self._piece(start + 1, start + new, y, h - air, pale, apart=True)
            self._piece(start + new, end, y, h - air, self._waste("\\"), apart=True)
            self._name(places[slot], start, (new - 1 or end - start - 1) * self.w, y, new == 1)

    def _name(self, request, start, room, y, on_waste):
        name = self.data["names"][request]
        if self.h < 16 or room <= 7 * len(name) + 8:
            return
        ground = {"facecolor": self.colour["card"], "edgecolor": "none", "pad": 0.6} if on_waste else None
        look = {"size": 10.5, "weight": "bold", "family": "monospace", "bbox": ground}
        alpha = 0.45 if start >= self.step else 1
        still.write(self.axes, self._x(start + 1) + 5, y + (self.h - self.air) / 2, name, alpha=alpha, **look)

    def _piece(self, start, end, y, high, look, apart=False):
        """Steps start + 1 to end of a row; what is to come stands back. apart: step by step, where there is room."""
        if high <= 0.01:
            return
        for a, b, alpha in ((start, min(end, self.step), 1), (max(start, self.step), end, LATER)):
            edges = [(at, at + 1) for at in range(a, b)] if apart and self.w >= 6 else [(a, b)] if b > a else []
            for left, right in edges:
                place = self._x(left) + self.gap / 2, y, (right - left) * self.w - self.gap, high
                still.box(self.axes, *place, alpha=alpha, **self._opaque(look))

    def _opaque(self, look):
        """The look without its own transparency, which matplotlib would lose beside another one."""
        face = look["facecolor"]
        if len(face) != 9:
            return look
        share = int(face[7:], 16) / 255
        mixed = "#" + "".join(f"{round(int(face[i : i + 2], 16) * share + 255 * (1 - share)):02x}" for i in (1, 3, 5))
        return look | {"facecolor": mixed}

    def _now(self):
        size = max(2.4, self.w), self.data["slots"] * self.h + 4
        look = {"facecolor": "none", "edgecolor": self.colour["ink"], "linewidth": 1.4, "zorder": 6}
        still.box(self.axes, self._x(self.step - 1), TOP - 2, *size, **look)

    def _queue(self, top):
        still.write(self.axes, LEFT - 8, top + max(5, self.tall / 2), "next", ha="right", **SMALL)
        tall = self.tall - (2 if self.tall > 4 else 0.4)
        for at, queue in enumerate(self.queues):
            alpha = 1 if at < self.step else LATER
            if self.tall <= 3 and queue:
                size = self.w, len(queue) * self.tall
                still.box(self.axes, self._x(at), top, *size, facecolor=self.colour["faint"], alpha=alpha)
                continue
            for place, request in enumerate(queue):
                where = self._x(at) + self.gap / 2, top + place * self.tall, self.w - self.gap, tall
                still.box(self.axes, *where, alpha=alpha, facecolor=looks.request_colour(request))

    def _chart(self, top):
        data = self.data
        edges, below = [self._x(at) for at in range(data["last"] + 1)], [0] * data["last"]
        xs = [x for at in range(data["last"]) for x in (edges[at], edges[at + 1])]
        useful = {"facecolor": self.colour["r0"], "alpha": 0.75, "linewidth": 0}
        for part, look in enumerate((useful, self._waste("/"), self._waste("\\"))):
            above = [base + (one[part] / sum(one[:3]) if sum(one[:3]) else 0) for base, one in zip(below, data["sums"])]
            low, high = ([top + CHART * (1 - value) for value in values for _ in (0, 1)] for values in (below, above))
            self.axes.fill_between(xs, low, high, **look)
            self.axes.plot(xs, low, color=self.colour["card"], linewidth=1.4 if part else 0)
            below = above
        now, right = self._x(self.step), edges[-1]
        still.box(self.axes, now, top, right - now, CHART, facecolor=self.colour["card"] + "a3", zorder=3)
        frame = {"facecolor": "none", "edgecolor": self.colour["faint"], "linewidth": 0.8, "zorder": 4}
        still.box(self.axes, LEFT, top, right - LEFT, CHART, **frame)
        self.axes.plot([now, now], [top, top + CHART], color=self.colour["ink"], linewidth=1.3, zorder=5)
        for text, y in (("100 %", 6), ("50 %", CHART / 2), ("0 %", CHART - 6)):
            still.write(self.axes, LEFT - 8, top + y, text, ha="right", **SMALL)

    def _figures(self, y):
        useful, padding, idle, empty = self.data["sums"][self.step - 1]
        computed = max(1, useful + padding + idle)
        figures = [
            ("useful", f"{useful:,}, {percent(useful / computed)}"),
            ("padding", f"{padding:,}, {percent(padding / computed)}"),
            ("finished, still computed", f"{idle:,}, {percent(idle / computed)}"),
            ("slots empty", f"{percent(empty / (self.step * self.data['slots']))} of the time"),
            ("waiting", str(len(self.queues[self.step - 1]))),
        ]
        x = 22
        for name, value in figures:
            named = still.write(self.axes, x, y, name, size=12, colour="soft")
            x += 7 + still.text_width(self.axes, named)
            written = still.write(self.axes, x, y, value, size=11.5, family="monospace")
            x += 16 + still.text_width(self.axes, written)
