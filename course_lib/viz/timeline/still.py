"""The engine's timeline as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.trace.schedule import COMPUTED, drafts_in, tokens_in
from course_lib.viz.kit import looks, still
from course_lib.viz.kit.format import request_name, shortened
from course_lib.viz.memory.still import MemoryPainter

LEFT, RIGHT = 22, 898  # where tags begin, and where the steps end
BUDGET, LANES = 148, 172  # the base of the tokens of each step, and where the lanes begin
STEPS, ROWS = 64, 20  # so many are in the picture, around the step that is shown
ALPHA = {"prefill": "", "decode": "61", "speculate": "61"}
NUMBER = {"ha": "center", "weight": "bold", "family": "monospace"}


def paint(data, memory, step):
    """A matplotlib figure of a TimelineView's data at a step, its Memory below (None: without)."""
    return _Painter(data, memory, step).figure


class _Painter:
    def __init__(self, data, memory, step):
        self.data, self.at, self.colour = data, step - 1, still.palette()
        self.colours = [self._own(number, lane) for number, lane in enumerate(data["lanes"])]
        self.count = min(data["last"], STEPS)
        self.begin = max(0, min(data["last"] - self.count, self.at - self.count // 3))
        self.end = self.begin + self.count
        self.lanes = self._in_sight()
        self.ranked = len({lane["priority"] for lane in data["lanes"]}) > 1
        self.tag = min(104, max(52, *(12 + 7.4 * len(request_name(lane["name"])) for lane, _ in self.lanes), 0))
        self.left = LEFT + self.tag + (30 if self.ranked else 10)
        self.w = min(32, (RIGHT - self.left - 8) / self.count)
        self.h = 20 if len(self.lanes) <= 12 else 15
        strip = LANES + len(self.lanes) * self.h + 8
        clients = strip + (42 if memory else 0)
        bottom = clients + (122 if data["clients"] else 0)
        words = "".join(text for _, text in data["say"][self.at])
        height = bottom + 26 + 20 * len(still.broken(words))
        if memory:
            self._with_memory(memory, height)
        else:
            self.figure, self.axes = still.figure(height)
        still.title(self.axes, data)
        still.legend(self.axes, self._legend())
        self._tokens()
        self._budget_line()
        self._lanes()
        self._mark(82, 68)
        if memory:
            self._blocks(strip + 32)
            self._mark(strip - 2, 36)
        if data["clients"]:
            self._clients(clients + 28)
            self._mark(clients - 2, 94)
        still.say(self.axes, bottom + 10, words)

    def _own(self, number, lane):
        return looks.request_colour(lane["client"] if self.data["clients"] else number)

    def _with_memory(self, memory, height):
        """One figure for both: tables and blocks are drawn into axes of their own, below."""
        data = {**self.data["memory"], "last": self.data["last"]}
        names = {request: looks.request_colour(0) for request in data["requests"]}
        names |= {lane["name"]: colour for lane, colour in zip(self.data["lanes"], self.colours)}
        painter = MemoryPainter(data, memory, names)
        below = painter.bottom - 24
        total = height + below
        self.figure, self.axes = still.figure(total)
        self.axes.set_position((0, below / total, 1, height / total))
        self.axes.set(ylim=(height, 0))
        inside = self.figure.add_axes((0, 0, 1, below / total))
        inside.set(xlim=self.axes.get_xlim(), ylim=(below + 34, 34))
        inside.axis("off")
        painter.paint(inside, "blocks in use")

    def _x(self, at):
        return self.left + (at - self.begin) * self.w

    def _mark(self, y, tall):
        """The frame around the step that is shown."""
        look = {"facecolor": "none", "edgecolor": self.colour["ink"], "linewidth": 1.3}
        still.box(self.axes, self._x(self.at) - 1, y, self.w + 1, tall, radius=3, **look)

    def _caption(self, y, text):
        still.write(self.axes, LEFT, y, text, size=11, colour="soft")

    def _line(self, y, tone="line", **look):
        self.axes.plot([self.left, RIGHT], [y] * 2, color=self.colour[tone], linewidth=0.8, **look)

    def _in_sight(self):
        """[(lane, colour)] of the window; where there are too many, those around the ones that are computed."""
        found = [
            (lane, colour)
            for lane, colour in zip(self.data["lanes"], self.colours)
            if any(begin < self.end and end > self.begin for _, begin, end, _, _ in lane["spans"])
        ]
        if len(found) > ROWS:
            computed = [place for place, (lane, _) in enumerate(found) if self._computed_now(lane)]
            middle = computed[len(computed) // 2] if computed else 0
            first = max(0, min(len(found) - ROWS, middle - ROWS // 2))
            found = found[first : first + ROWS]
        return found

    def _computed_now(self, lane):
        return any(kind in COMPUTED and begin <= self.at < end for kind, begin, end, _, _ in lane["spans"])

    def _legend(self):
        colour, lanes = self.colour["r0"], self.data["lanes"]
        kinds = {span[0] for lane in lanes for span in lane["spans"]}
        named = {"recompute": "recompute", "preempted": "preempted", "swapped": "swapped out"}
        shown = ["prefill", "decode", *(kind for kind in named if kind in kinds)]
        entries = [(named.get(kind, kind), self._look(kind, colour)) for kind in shown]
        if "speculate" in kinds:
            entries += [("draft accepted", {"facecolor": colour}), ("draft rejected", self._rejected())]
        aborted = any(lane["done"] and lane["done"][1] == "abort" for lane in lanes)
        return [*entries, ("waiting", "┄"), ("finished", "○"), *([("aborted", "✕")] if aborted else [])]

    def _look(self, kind, colour):
        """How a span of a kind is filled; the same for its legend."""
        if kind == "preempted":
            return still.hatched(self.colour["soft"], self.colour["card"], 5) | {"linewidth": 0}
        if kind == "swapped":
            return {"facecolor": "none", "edgecolor": colour, "linestyle": ":", "linewidth": 1.2}
        if kind == "recompute":
            return still.hatched(colour, self.colour["card"], 4)
        return {"facecolor": colour + ALPHA[kind]}

    def _rejected(self):
        return {"facecolor": "none", "edgecolor": self.colour["soft"], "linewidth": 0.8}

    def _cells(self, lane):
        """(step, kind, tokens) of the steps in the window that computed tokens of a lane."""
        for span in lane["spans"]:
            kind, begin, end, _, _ = span
            for at in range(max(begin, self.begin), min(end, self.end)) if kind in COMPUTED else ():
                yield at, kind, tokens_in(span, at)

    # the tokens of each step

    def _scale(self):
        """(CSS pixels to a token, whether the budget fits into the picture)."""
        budget, most = self.data["token_budget"], max(1, *(one[0] for one in self.data["sums"]))
        within = budget is not None and budget <= 4 * most
        return 62 / (max(budget, most) if within else most * 1.15), within

    def _tokens(self):
        scale, _ = self._scale()
        self._caption(BUDGET - 7, "tokens")
        heights = {}
        for lane, colour in zip(self.data["lanes"], self.colours):
            for at, kind, tokens in self._cells(lane):
                high, look = tokens * scale, self._look(kind, colour) | {"linewidth": 0}
                y = BUDGET - heights.get(at, 0) * scale - high
                still.box(self.axes, self._x(at) + 0.7, y, self.w - 1.4, high - 0.8 * (high > 3), **look)
                heights[at] = heights.get(at, 0) + tokens
        self._line(BUDGET)
        self._caption(BUDGET + 13, "step")
        every = next(number for number in (1, 2, 5, 10) if number * self.w >= 26)
        for at in range(self.begin, self.end):
            if at == self.at or ((at + 1) % every == 0 and abs(at - self.at) * self.w >= 22):
                look = {"colour": "ink", "weight": "bold"} if at == self.at else {"colour": "soft"}
                look |= {"size": 10, "ha": "center", "family": "monospace"}
                still.write(self.axes, self._x(at) + self.w / 2, BUDGET + 13, str(at + 1), **look)

    def _budget_line(self):
        budget, (scale, within) = self.data["token_budget"], self._scale()
        if budget is None:
            return
        y = BUDGET - (budget * scale if within else 62)
        if within:
            self._line(y, "faint", linestyle="--")
        text = f"token budget {budget:,}{'' if within else ' ↑'}"
        still.write(self.axes, RIGHT, y - 8, text, size=11, colour="soft", ha="right")

    # the lanes

    def _lanes(self):
        tall = len(self.lanes) * self.h
        still.box(self.axes, self._x(self.at) - 1, LANES, self.w + 1, tall, facecolor=self.colour["well"])
        for index, (lane, colour) in enumerate(self.lanes):
            middle = LANES + (index + 0.5) * self.h
            self._tag(lane, colour, middle)
            self._waits(lane, colour, middle)
            self._computes(lane, colour, middle)
            self._ending(lane, colour, middle)

    def _tag(self, lane, colour, middle):
        tall, size = self.h - 3, 11.5 if self.h > 16 else 10
        still.box(self.axes, LEFT, middle - tall / 2, self.tag, tall, radius=4, facecolor=colour)
        name = shortened(request_name(lane["name"]), int((self.tag - 8) / 7.2))
        still.write(self.axes, LEFT + self.tag / 2, middle, name, size=size, colour="card", **NUMBER)
        if self.ranked:
            look = {"size": 10, "colour": "soft", "family": "monospace"}
            still.write(self.axes, LEFT + 4 + self.tag, middle, f"p{lane['priority']}"[:4], **look)

    def _waits(self, lane, colour, middle):
        tall = (self.h - 3) * 0.56
        for kind, begin, end, _, _ in lane["spans"]:
            a, b = max(begin, self.begin), min(end, self.end)
            x, wide = self._x(a), (b - a) * self.w
            if b <= a or kind in COMPUTED:
                continue
            if kind in ("preempted", "swapped"):
                still.box(self.axes, x + 0.8, middle - tall / 2, wide - 1.6, tall, **self._look(kind, colour))
                continue
            dashed = {"color": self.colour["faint"], "linestyle": (0, (2, 2.6))}
            look = dashed if kind == "waiting" else {"color": colour}
            self.axes.plot([x + 1, x + wide - 1], [middle] * 2, linewidth=1.2, **look)

    def _drafts(self, lane, colour, middle):
        """The newest token low as in any decode step, then its drafts: full boxes are accepted, empty ones are not."""
        tall, low = self.h - 3, (self.h - 3) * 0.56
        for span in lane["spans"]:
            for at in range(max(span[1], self.begin), min(span[2], self.end)) if span[0] == "speculate" else ():
                drafted, accepted = drafts_in(span, at)
                each = (self.w - 1.6) / (1 + drafted)
                looks = [self._look("decode", colour), *[{"facecolor": colour}] * accepted]
                looks += [self._rejected()] * (drafted - accepted)
                for place, look in enumerate(looks):
                    high = tall if 0 < place <= accepted else low
                    x = self._x(at) + 0.8 + place * each
                    still.box(self.axes, x, middle - high / 2, max(each - 0.8, 0.4), high, **look)

    def _computes(self, lane, colour, middle):
        radius = min(2.5, self.w / 4)
        self._drafts(lane, colour, middle)
        for at, kind, tokens in self._cells(lane):
            if kind == "speculate":
                continue
            high = (self.h - 3) * (0.56 if kind == "decode" else 1)
            place = self._x(at) + 0.8, middle - high / 2, self.w - 1.6, high
            still.box(self.axes, *place, radius=radius, **self._look(kind, colour))
            if kind != "decode" and self.w >= 9 + 6 * len(str(tokens)):
                ink = "card" if kind == "prefill" else "ink"
                still.write(self.axes, self._x(at) + self.w / 2, middle, str(tokens), size=9.5, colour=ink, **NUMBER)

    def _ending(self, lane, colour, middle):
        """After the step's tokens, if it had any."""
        if not lane["done"]:
            return
        step, reason, computed = lane["done"]
        if self.begin <= step + computed <= self.end:
            look = {"markersize": 5, "markeredgecolor": colour, "markerfacecolor": "none", "markeredgewidth": 1.3}
            marker = "x" if reason == "abort" else "o"
            self.axes.plot([self._x(step + computed) + 6], [middle], marker=marker, **look)

    # blocks in use, clients

    def _bars(self, values, base, tall, most, under=None, **look):
        steps = range(self.begin, self.end)
        lower = [0] * self.count if under is None else [under[at] for at in steps]
        self.axes.bar(
            [self._x(at) + self.w / 2 for at in steps],
            [-tall * values[at] / most for at in steps],
            width=self.w - min(1.4, self.w / 5),
            bottom=[base - tall * low / most for low in lower],
            **{"linewidth": 0, **look},
        )

    def _blocks(self, base):
        tall, most, sums = 32, self.data["memory"]["num_blocks"], self.data["memory"]["sums"]
        self._caption(base - 7, "blocks")
        used, cached, _ = zip(*sums)
        self._bars(used, base, tall, most, color=self.colour["accent"] + "73")
        self._bars(cached, base, tall, most, used, **looks.cached_area())
        self._line(base - tall, "faint", linestyle="--")
        self._line(base)

    def _clients(self, base):
        """How many requests of each client wait, stacked; below them the service that each got."""
        clients, below, under = self.data["clients"], base + 62, [0] * self.data["last"]
        queue = max(1, *(one[2] for one in self.data["sums"]))
        peak = max(1, *(one["service"][-1] for one in clients))
        steps, x = range(self.begin, self.end), self.left
        for one in clients:
            colour, service, waiting = looks.request_colour(one["client"]), one["service"], one["waiting"]
            self._bars(waiting, base, 28, queue, under, color=colour + "bf")
            under = [a + b for a, b in zip(under, waiting)]
            line = [below - 54 * service[at] / peak for at in steps]
            self.axes.plot([self._x(at) + self.w / 2 for at in steps], line, color=colour, linewidth=1.6)
            if x < RIGHT - 150:
                name = self.data["client_names"][one["client"]]
                text = f"{name}: service {service[self.at]:,}, {waiting[self.at]:,} wait"
                shown = still.write(self.axes, x, below + 16, text, size=11.5, weight="bold")
                shown.set_color(colour)
                x += still.text_width(self.axes, shown) + 24
        for y, text in ((base, "waiting"), (below, "service")):
            self._caption(y - 7, text)
            self._line(y)
