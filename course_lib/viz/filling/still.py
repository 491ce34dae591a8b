"""The filling cache as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import still, token_columns

from .model import kept_by, stretches

RIGHT = 96
LINE = 90  # y of the lines over prompt and generated tokens
BEYOND = 6  # so many columns that no token has, at most
MONO = {"size": 11.5, "family": "monospace"}


def paint(data, step):
    """A matplotlib figure of the data of a CacheFilling at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.index, self.colour = data, step - 1, still.palette()
        held = max(max(kept) if isinstance(kept, list) else kept for kept in data["kept"])
        self.count = max(len(data["tokens"]), min(held, len(data["tokens"]) + BEYOND))
        self.row = max(1.2, min(19, 290 / (data["layers"] * data["kv_heads"])))
        self.between = 6 if self.row >= 6 else 2 if self.row >= 3 else 0.6
        self.left = 170 if self.row >= 12 else 112
        self.cell = min(38, (still.WIDTH * still.SHOWN_DPI - self.left - RIGHT) / self.count)
        self.gap = 2 if self.cell >= 9 and self.row >= 5 else 0
        labels = token_columns.height(data["labels"], self.cell)
        self.model = 112 + labels if labels else 126
        self.top = self.model + 70
        self.bottom = self._y(data["layers"], 0) - self.between
        self.figure, self.axes = still.figure(self.bottom + 178)
        still.title(self.axes, data)
        still.legend(self.axes, self._legend())
        token_columns.draw(self.axes, data, self._x, self.cell, LINE, self.model - 8)
        self._through_the_model()
        self._rows()
        self._now()
        computed, work = [end - first for first, end in data["computed"]], self._work()
        self._bars(22, "TOKENS COMPUTED, STEP BY STEP", computed, data["naive"], work)
        held = f"{data['held'][self.index]:,} bytes"
        self._bars(476, "MEMORY OF THE CACHE, STEP BY STEP", data["held"], None, held)
        still.say(self.axes, self.bottom + 124, "".join(text for _, text in data["say"][self.index]))

    def _x(self, position):
        return self.left + min(position, self.count) * self.cell

    def _y(self, layer, head):
        return self.top + layer * (self.data["kv_heads"] * self.row + self.between) + head * self.row

    def _look(self, state):
        colour, edge = self.colour, 0.8 if self.gap else 0
        red = colour["r1"]
        return {
            "new": {"facecolor": colour["r0"]},
            "kept": {"facecolor": colour["r0"] + "33", "edgecolor": colour["r0"], "linewidth": edge},
            "again": still.hatched(red) | {"linewidth": edge},
            "surplus": {"facecolor": red + "1f", "edgecolor": red, "hatch": "xxxxx", "linewidth": 0.8},
            "missing": {"facecolor": "none", "edgecolor": red, "linestyle": "--", "linewidth": 0.9},
            "free": {"facecolor": colour["free"]},
        }[state]

    def _run(self, start, end, y, height, state):
        """Columns [start, end) of one row: single cells where they are large enough to be told apart."""
        end, gap = min(end, self.count), self.gap
        for a, b in [(p, p + 1) for p in range(start, end)] if gap else [(start, end)] if end > start else []:
            size = max(1.6, (b - a) * self.cell - gap), height - gap
            place = self._x(a) + gap / 2, y + gap / 2
            still.box(self.axes, *place, *size, radius=gap and 2.5, **self._look(state))

    def _legend(self):
        layers = range(self.data["layers"])
        steps = range(self.index + 1)
        seen = {state for index in steps for layer in layers for _, _, state in stretches(self.data, index, layer)}
        kept = "kept: key above value" if self.row >= 14 and self.gap else "kept"
        entries = [("new", "new"), (kept, "kept"), ("computed again", "again")]
        entries += [("still to come", "free")] if self.index + 1 < self.data["last"] else []
        faulty = [("due, not held", "missing"), ("held, never computed", "surplus")]
        entries += [(text, state) for text, state in faulty if state in seen]
        return [(text, self._look(state)) for text, state in entries]

    def _through_the_model(self):
        (first, end), naive = self.data["computed"][self.index], self.data["naive"][self.index]
        known = self.data["due"][self.index - 1] if self.index else 0
        own = "with the cache" if self.left > 150 else "cache"
        for offset, name, a, b, colour in ((0, "naive", 0, naive, "soft"), (18, own, first, end, "ink")):
            y, cut = self.model + offset, max(a, min(b, known))
            self._run(a, cut, y, 15, "again")
            self._run(cut, b, y, 15, "new")
            still.write(self.axes, self.left - 10, y + 8, name, size=12, colour=colour, ha="right")
            weight = "bold" if offset else "normal"
            still.write(self.axes, self._x(b) + 7, y + 8, f"{b - a:,}", weight=weight, **MONO)

    def _rows(self):
        data, colour = self.data, self.colour
        still.write(self.axes, 22, self.top - 13, "THE CACHE", size=10, colour="soft", weight="bold")
        still.write(self.axes, self._x(self.count) + 10, self.top - 13, "held", size=11, colour="soft")
        for layer in range(data["layers"]):
            kept, due = kept_by(data, self.index, layer), data["due"][self.index]
            for head in range(data["kv_heads"]):
                y = self._y(layer, head)
                for a, b, state in [*stretches(data, self.index, layer), (max(kept, due), self.count, "free")]:
                    self._run(a, b, y, self.row, state)
                if self.row >= 14 and self.gap:  # the key above the value
                    middle = [y + self.row / 2] * 2
                    self.axes.plot([self._x(0), self._x(self.count)], middle, color=colour["card"], linewidth=0.8)
                if self.row >= 12:
                    self._head(head, y + self.row / 2)
            self._layer(layer, kept, due)

    def _head(self, head, y):
        group = self.data["heads"] // self.data["kv_heads"]
        queries = f"Q {head}" if group == 1 else f"Q {head * group}–{head * group + group - 1}"
        still.write(self.axes, 76, y, queries, size=11, colour="soft", family="monospace")
        still.write(self.axes, self.left - 10, y, f"KV {head}", size=11, ha="right", family="monospace")

    def _layer(self, layer, kept, due):
        """Its number, and how many columns it holds; where it holds something else than it should, in bold."""
        heads = self.data["kv_heads"]
        block = heads * self.row + self.between
        every = next((n for n in (1, 2, 4, 5, 10, 20, 50) if n * block >= 16), 100)
        middle = (self._y(layer, 0) + self._y(layer, heads)) / 2
        if layer % every == 0:
            y = self._y(layer, 0.5) if self.row >= 12 else middle
            still.write(self.axes, 22, y, f"layer {layer}", size=12, colour="soft")
        if layer % every == 0 or (kept != due and block >= 10):
            text, weight = (f"{kept:,}", "normal") if kept == due else (f"{kept:,} ≠ {due:,}", "bold")
            still.write(self.axes, self._x(self.count) + 10, middle, text, weight=weight, **MONO)

    def _now(self):
        first, end = self.data["computed"][self.index]
        out, y = 0.5 if self.gap else 2.5, self.model + 17
        size = (end - first) * self.cell + 2 * out, self.bottom + 1 - y
        look = {"facecolor": "none", "edgecolor": self.colour["ink"], "linewidth": 1.2}
        still.box(self.axes, self._x(first) - out, y, *size, radius=min(4, self.cell / 2), **look)

    def _work(self):
        mine, naive = self.data["computed_so_far"][self.index], self.data["naive_so_far"][self.index]
        return f"{mine:,} of naive {naive:,}"

    def _bars(self, left, title, front, back, text):
        """One bar a step; what is still to come stands back, the step shown carries its sum so far."""
        base, width, colour = self.bottom + 106, 422, self.colour
        heading = still.write(self.axes, left, self.bottom + 30, title, size=10.5, colour="soft", weight="bold")
        x = left + still.text_width(self.axes, heading) + 14
        still.write(self.axes, x, self.bottom + 30, text, **MONO)
        most, step = max(max(front), max(back or [0])) or 1, width / len(front)
        gap, again = 2 if step > 5 else 0, still.hatched(colour["r1"])
        later = again | {"facecolor": colour["r1"] + "0b", "edgecolor": colour["r1"] + "59"}
        for index, value in enumerate(front):
            now, x = index <= self.index, left + index * step
            if back and back[index] > value:
                look = (again if now else later) | ({} if gap else {"linewidth": 0})
                top, tall = base - 58 * back[index] / most, 58 * (back[index] - value) / most
                still.box(self.axes, x, top, step - gap, tall, **look)
            tall = max(1.5 if value else 0, 58 * value / most)
            still.box(self.axes, x, base - tall, step - gap, tall, facecolor=colour["r0"], alpha=1 if now else 0.35)
        self.axes.plot([left, left + width], [base, base], color=colour["line"], linewidth=0.8)
        x = left + (self.index + 0.5) * step - gap / 2
        self.axes.plot([x, x], [base + 2, base + 7], color=colour["ink"], linewidth=1.6)
