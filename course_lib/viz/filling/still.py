"""The filling cache as a still picture, with matplotlib: the same as filling.js draws, in light colours."""

from course_lib.viz.kit import still as static

from .view import kept_by, stretches


def paint(data, step):
    """A matplotlib figure of the data of a CacheFilling at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.index, self.colour = data, step - 1, static.palette()
        held = max(max(kept) if isinstance(kept, list) else kept for kept in data["kept"])
        self.count = max(len(data["tokens"]), min(held, len(data["tokens"]) + 6))
        self.row = max(1.2, min(19, 290 / (data["layers"] * data["kv_heads"])))
        self.between = 6 if self.row >= 6 else 2 if self.row >= 3 else 0.6
        self.left, right = (170, 96) if self.row >= 12 else (112, 96)
        self.cell = min(38, (static.WIDTH * static.SHOWN_DPI - self.left - right) / self.count)
        self.gap = 2 if self.cell >= 9 and self.row >= 5 else 0
        longest = max(min(11, len(text)) for text in data["labels"])
        self.wide = longest * 7.4 < self.cell
        self.model = 126 if self.cell < 12 or self.wide else 112 + longest * 5.6
        self.top = self.model + 70
        self.bottom = self._y(data["layers"], 0) - self.between
        self.figure, self.axes = static.figure(self.bottom + 178)
        static.title(self.axes, data)
        static.legend(self.axes, self._legend())
        self._columns()
        self._through_the_model()
        self._rows()
        self._now()
        self._bars(
            22,
            "TOKENS PUSHED, STEP BY STEP",
            [end - first for first, end in data["pushed"]],
            data["naive"],
            self._work(),
        )
        self._bars(476, "MEMORY OF THE CACHE, STEP BY STEP", data["held"], None, f"{data['held'][self.index]:,} bytes")
        static.say(self.axes, self.bottom + 124, "".join(text for _, text in data["say"][self.index]))

    def _x(self, position):
        return self.left + min(position, self.count) * self.cell

    def _y(self, layer, head):
        return self.top + layer * (self.data["kv_heads"] * self.row + self.between) + head * self.row

    def _look(self, state):
        colour, edge = self.colour, 0.8 if self.gap else 0
        return {
            "new": {"facecolor": colour["r0"]},
            "kept": {"facecolor": colour["r0"] + "33", "edgecolor": colour["r0"], "linewidth": edge},
            "again": static.hatched(colour["r1"]) | {"linewidth": edge},
            "surplus": {
                "facecolor": colour["r1"] + "1f",
                "edgecolor": colour["r1"],
                "hatch": "xxxxx",
                "linewidth": 0.8,
            },
            "missing": {"facecolor": "none", "edgecolor": colour["r1"], "linestyle": "--", "linewidth": 0.9},
            "free": {"facecolor": colour["free"]},
        }[state]

    def _run(self, start, end, y, height, state):
        """Columns [start, end) of one row: single cells where they are large enough to be told apart."""
        end, gap = min(end, self.count), self.gap
        for a, b in [(p, p + 1) for p in range(start, end)] if gap else [(start, end)] if end > start else []:
            wide = max(1.6, (b - a) * self.cell - gap)
            static.box(
                self.axes,
                self._x(a) + gap / 2,
                y + gap / 2,
                wide,
                height - gap,
                radius=gap and 2.5,
                **self._look(state),
            )

    def _legend(self):
        seen = {
            state
            for index in range(self.index + 1)
            for layer in range(self.data["layers"])
            for _, _, state in stretches(self.data, index, layer)
        }
        kept = "kept: key above value" if self.row >= 14 and self.gap else "kept"
        entries = [("new", "new"), (kept, "kept"), ("pushed again", "again")]
        entries += [("still to come", "free")] if self.index + 1 < self.data["last"] else []
        entries += [
            (text, state)
            for text, state in (("due, not held", "missing"), ("held, never pushed", "surplus"))
            if state in seen
        ]
        return [(text, self._look(state)) for text, state in entries]

    def _columns(self):
        data, y = self.data, self.model - 8
        split, count = data["prompt_tokens"], len(data["tokens"])
        for start, end, text in ((0, split, "PROMPT"), (split, count, "GENERATED")):
            if end > start:
                self.axes.plot([self._x(start) + 1, self._x(end) - 1], [90, 90], color=self.colour["soft"], linewidth=1)
                if (end - start) * self.cell > 70:
                    static.write(self.axes, self._x(start), 80, text, size=10, colour="soft", weight="bold")
        if self.cell < 12:
            every = next(n for n in (5, 10, 20, 50, 100, 200, 500, 10**6) if n * self.cell >= 34)
            for position in range(0, count, every):
                static.write(self.axes, self._x(position), y, str(position), size=10.5, colour="soft", va="bottom")
            return
        look = (
            {"ha": "center", "va": "bottom"}
            if self.wide
            else {"rotation": 50, "rotation_mode": "anchor", "va": "baseline"}
        )
        for position, text in enumerate(data["labels"]):
            colour = "soft" if position < split else "ink"
            static.write(
                self.axes,
                self._x(position + 0.5),
                y,
                static.shortened(text, 11),
                size=11.5,
                colour=colour,
                family="monospace",
                **look,
            )

    def _through_the_model(self):
        (first, end), naive = self.data["pushed"][self.index], self.data["naive"][self.index]
        known = self.data["due"][self.index - 1] if self.index else 0
        own = "with the cache" if self.left > 150 else "cache"
        for offset, name, a, b, colour in ((0, "naive", 0, naive, "soft"), (18, own, first, end, "ink")):
            y, cut = self.model + offset, max(a, min(b, known))
            self._run(a, cut, y, 15, "again")
            self._run(cut, b, y, 15, "new")
            static.write(self.axes, self.left - 10, y + 8, name, size=12, colour=colour, ha="right")
            weight = "bold" if offset else "normal"
            static.write(self.axes, self._x(b) + 7, y + 8, f"{b - a:,}", size=11.5, family="monospace", weight=weight)

    def _rows(self):
        data, colour = self.data, self.colour
        static.write(self.axes, 22, self.top - 13, "THE CACHE", size=10, colour="soft", weight="bold")
        static.write(self.axes, self._x(self.count) + 10, self.top - 13, "held", size=11, colour="soft")
        group, block = data["heads"] // data["kv_heads"], data["kv_heads"] * self.row + self.between
        every = next((n for n in (1, 2, 4, 5, 10, 20, 50) if n * block >= 16), 100)
        for layer in range(data["layers"]):
            kept, due = kept_by(data, self.index, layer), data["due"][self.index]
            for head in range(data["kv_heads"]):
                y = self._y(layer, head)
                for a, b, state in [*stretches(data, self.index, layer), (max(kept, due), self.count, "free")]:
                    self._run(a, b, y, self.row, state)
                if self.row >= 14 and self.gap:
                    self.axes.plot(
                        [self._x(0), self._x(self.count)], [y + self.row / 2] * 2, color=colour["card"], linewidth=0.8
                    )
                if self.row >= 12:
                    queries = f"Q {head}" if group == 1 else f"Q {head * group}–{head * group + group - 1}"
                    static.write(self.axes, 76, y + self.row / 2, queries, size=11, colour="soft", family="monospace")
                    static.write(
                        self.axes,
                        self.left - 10,
                        y + self.row / 2,
                        f"KV {head}",
                        size=11,
                        ha="right",
                        family="monospace",
                    )
            middle = (self._y(layer, 0) + self._y(layer, data["kv_heads"])) / 2
            if layer % every == 0:
                y = self._y(layer, 0.5) if self.row >= 12 else middle
                static.write(self.axes, 22, y, f"layer {layer}", size=12, colour="soft")
            if layer % every == 0 or (kept != due and block >= 10):
                text, weight = (f"{kept:,}", "normal") if kept == due else (f"{kept:,} ≠ {due:,}", "bold")
                static.write(
                    self.axes, self._x(self.count) + 10, middle, text, size=11.5, family="monospace", weight=weight
                )

    def _now(self):
        first, end = self.data["pushed"][self.index]
        out, y = 0.5 if self.gap else 2.5, self.model + 17
        static.box(
            self.axes,
            self._x(first) - out,
            y,
            (end - first) * self.cell + 2 * out,
            self.bottom + 1 - y,
            radius=min(4, self.cell / 2),
            facecolor="none",
            edgecolor=self.colour["ink"],
            linewidth=1.2,
        )

    def _work(self):
        mine, naive = self.data["pushed_so_far"][self.index], self.data["naive_so_far"][self.index]
        return f"{mine:,} of naive {naive:,}"

    def _bars(self, left, title, front, back, text):
        """One bar a step; what is still to come stands back, the step shown carries its sum so far."""
        base, width, colour = self.bottom + 106, 422, self.colour
        heading = static.write(self.axes, left, self.bottom + 30, title, size=10.5, colour="soft", weight="bold")
        static.write(
            self.axes,
            left + static.text_width(self.axes, heading) + 14,
            self.bottom + 30,
            text,
            size=11.5,
            family="monospace",
        )
        most, step = max(max(front), max(back or [0])) or 1, width / len(front)
        gap, look = 2 if step > 5 else 0, static.hatched(colour["r1"])
        for index, value in enumerate(front):
            alpha, x, tall = (
                (1 if index <= self.index else 0.35),
                left + index * step,
                max(1.5 if value else 0, 58 * value / most),
            )
            if back and back[index] > value:
                faded = (
                    look if alpha == 1 else {**look, "facecolor": colour["r1"] + "0b", "edgecolor": colour["r1"] + "59"}
                )
                static.box(
                    self.axes,
                    x,
                    base - 58 * back[index] / most,
                    step - gap,
                    58 * (back[index] - value) / most,
                    **(faded if gap else faded | {"linewidth": 0}),
                )
            static.box(self.axes, x, base - tall, step - gap, tall, facecolor=colour["r0"], alpha=alpha)
        self.axes.plot([left, left + width], [base, base], color=colour["line"], linewidth=0.8)
        x = left + (self.index + 0.5) * step - gap / 2
        self.axes.plot([x, x], [base + 2, base + 7], color=colour["ink"], linewidth=1.6)
