"""The memory view as a still picture, with matplotlib: the same as memory.js draws, in light colours."""

import math

from course_lib.viz.kit import still as static

SPLIT, EDGE = 388, 898  # where the tables end and the blocks begin, and the right edge
LARGE = 48  # up to here blocks show their slots


def paint(view, step):
    """A matplotlib figure of a MemoryView at a step."""
    return _Painter(view.data, view.memory(step), view.data["rows"], step).figure


class _Painter:
    """place: (height) -> (Figure, Axes) to draw in, from the title on down. owner: {request: colour}, where somebody else chose them;
    then title, chart and words are theirs too."""

    def __init__(self, data, memory, rows, step, place=static.figure, owner=None):
        from .view import name

        self.data, self.memory, self.step, self.colour, self.name = data, memory, step, static.palette(), name
        self.holders = memory.holders()
        begun = (row[1] for row in rows if row[0] in ("append", "hit", "fork"))
        order = dict.fromkeys(one for who in begun for one in (who if type(who) is list else [who]))
        self.owner = {request: self.colour[f"r{at % 6}"] for at, request in enumerate(order)} | (owner or {})
        count = data["num_blocks"]
        self.large = count <= LARGE
        inner = EDGE - SPLIT - 20
        if self.large:
            self.columns, self.h = min(count, 8), 56
        else:
            self.columns = min(count, max(8, 8 * round(math.sqrt(count * inner / 330) / 8)))
            self.h = max(4, min(24, inner / self.columns))
        self.w = inner / self.columns
        tall = math.ceil(count / self.columns) * self.h + 20
        self.small = sum(len(blocks) for blocks, _ in memory.tables.values()) > 120 or len(memory.tables) > 9
        self.lines = self._table_lines()
        self.bottom = 104 + max(tall, self.lines[-1][2] + 8 if self.lines else 0)
        words = "" if owner else "".join(text for _, text in data["say"][step - 1])
        self.figure, self.axes = place(
            self.bottom - 24 if owner else self.bottom + max(158, 122 + 20 * len(static.broken(words)))
        )
        if not owner:
            static.title(self.axes, data)
        look = {"facecolor": self.colour["r0"] + "1f", "edgecolor": self.colour["r0"], "linewidth": 1.1}
        static.legend(
            self.axes,
            [
                ("blocks in use" if owner else "in use", look),
                ("cached", self._cached()),
                ("free", self._free()),
                ("reference count", "×2"),
            ],
        )
        for x, text in ((22, "BLOCK TABLES"), (SPLIT, "PHYSICAL MEMORY")):
            static.write(self.axes, x, 88, text, size=10.5, colour="soft", weight="bold")
        static.box(self.axes, SPLIT, 104, EDGE - SPLIT, tall, radius=8, facecolor=self.colour["well"])
        for line in self.lines:
            self._table(*line)
        for block in range(count):
            self._block(block)
        if not owner:
            self._chart(self.bottom + 40)
            static.say(self.axes, self.bottom + 110, words)

    def _cached(self):
        return static.hatched(self.colour["faint"], self.colour["card"], 4)

    def _free(self):
        return {"facecolor": "none", "edgecolor": self.colour["faint"], "linestyle": "--", "linewidth": 0.8}

    def _table_lines(self):
        """[(request, top, bottom)], below one another as far as there is room."""
        wide, tall = (9, 12) if self.small else (36, 25)
        self.per = (SPLIT - 22 - 66) // wide
        found, y = [], 0
        for request, (blocks, _) in self.memory.tables.items():
            bottom = (
                y + (0 if self.small else 20) + max(1, -(-len(blocks) // self.per)) * tall + (4 if self.small else 12)
            )
            if bottom > 470:
                break
            found.append((request, y, bottom))
            y = bottom
        return found

    def _table(self, request, top, bottom):
        blocks, tokens = self.memory.tables[request]
        colour, y, size = self.owner[request], 104 + top, self.data["block_size"]
        static.box(self.axes, 22, y, 34, 12 if self.small else 20, radius=5, facecolor=colour)
        static.write(
            self.axes,
            39,
            y + (6.5 if self.small else 10.5),
            self.name(request)[:5],
            size=9 if self.small or len(self.name(request)) > 4 else 12,
            colour="card",
            ha="center",
            weight="bold",
            family="monospace",
        )
        if not self.small:
            text = dict((one, words) for one, words in self.data["texts"]).get(request)
            said = "".join(text[:tokens]).replace("\n", "⏎") if text else f"{tokens:,} tokens"
            static.write(
                self.axes,
                66,
                y + 9,
                "…" + said[-38:] if len(said) > 39 else said,
                size=11.5,
                colour="soft",
                family="monospace",
            )
        wide, tall = (9, 12) if self.small else (36, 25)
        for place, block in enumerate(blocks):
            x, line = 66 + place % self.per * wide, y + (0 if self.small else 19) + place // self.per * tall
            filled = max(0, min(size, tokens - place * size)) / size
            if self.small:
                static.box(self.axes, x, line, wide - 1.5, tall - 1.5, facecolor=colour, alpha=0.2 + 0.55 * filled)
                continue
            static.box(
                self.axes,
                x,
                line,
                wide - 4,
                tall - 3,
                radius=4,
                facecolor=colour + "21",
                edgecolor=colour,
                linewidth=1.1,
            )
            static.write(
                self.axes,
                x + (wide - 4) / 2,
                line + (10 if filled < 1 else 11.5),
                str(block),
                size=11.5,
                ha="center",
                weight="bold",
                family="monospace",
            )
            if filled < 1:
                static.box(self.axes, x + 3, line + tall - 7, (wide - 10) * filled, 2.4, facecolor=colour)

    def _block(self, block):
        gap = 5 if self.large else max(0.8, self.w / 9)
        x, y = SPLIT + 10 + block % self.columns * self.w, 114 + block // self.columns * self.h
        w, h, memory = self.w - gap, self.h - gap, self.memory
        radius = 5 if self.large else 0
        if memory.ref[block] <= 0:
            look = self._cached() if block in memory.hashed else self._free()
            look = look if self.w > 12 else look | {"linewidth": 0.4, "linestyle": "-"}
            static.box(self.axes, x, y, w, h, radius=radius, **look)
        else:
            held = self.holders.get(block)
            colour = self.owner[held[0][0]] if held else self.colour["soft"]
            size = memory.block_size
            filled = (
                max((max(0, min(size, memory.tables[r][1] - place * size)) for r, place in held), default=0)
                if held
                else 0
            )
            if not self.large:
                static.box(self.axes, x, y, w, h, facecolor=colour + "47")
                static.box(self.axes, x, y + h * (1 - filled / size), w, h * filled / size, facecolor=colour)
                if memory.ref[block] > 1:
                    static.box(self.axes, x + w / 4, y + h / 4, w / 2, h / 2, facecolor=self.colour["card"])
                return
            static.box(self.axes, x, y, w, h, radius=radius, facecolor=colour + "17", edgecolor=colour, linewidth=1.2)
            if held:
                self._slots(x, y, w, h, filled, colour)
                names = list(dict.fromkeys(self.name(request) for request, _ in held))
                said = " ".join(names[:2]) + ("…" if len(names) > 2 else "")
                cut = static.shortened(names[0], int((w - 18) / 7)).rstrip("…") + "…"
                static.write(
                    self.axes,
                    x + w - 4,
                    y + 10,
                    said if len(said) * 7 < w - 18 else cut,
                    size=10.5,
                    ha="right",
                    weight="bold",
                    family="monospace",
                )
            if memory.ref[block] > 1:
                static.box(self.axes, x + w - 27, y + 18, 23, 13, radius=6, facecolor=self.colour["ink"])
                static.write(
                    self.axes,
                    x + w - 15.5,
                    y + 24.5,
                    f"×{memory.ref[block]}",
                    size=9.5,
                    colour="card",
                    ha="center",
                    weight="bold",
                    family="monospace",
                )
        if self.large:
            patch = (
                {"facecolor": self.colour["card"], "edgecolor": "none", "pad": 0.8}
                if memory.ref[block] <= 0 and block in memory.hashed
                else None
            )
            static.write(self.axes, x + 5, y + 9.5, str(block), size=9.5, colour="soft", family="monospace", bbox=patch)

    def _slots(self, x, y, w, h, filled, colour):
        size = self.data["block_size"]
        if size > 16:
            static.box(self.axes, x + 5, y + h - 11, w - 10, 6, facecolor=self.colour["line"])
            static.box(self.axes, x + 5, y + h - 11, (w - 10) * filled / size, 6, facecolor=colour)
            return
        step = (w - 10) / size
        for at in range(size):
            static.box(
                self.axes,
                x + 5 + at * step,
                y + h - 11,
                step * 0.75,
                6,
                facecolor=colour if at < filled else self.colour["line"],
            )

    def _chart(self, top):
        data, tall = self.data, 44
        static.write(self.axes, 22, top - 14, "USE AND WASTE OVER THE STEPS", size=10.5, colour="soft", weight="bold")
        right, most, last = 690, data["num_blocks"] * data["block_size"], data["last"]
        xs = [22 + (right - 22) * at / max(1, last - 1) for at in range(last)] if last > 1 else [22, right]
        sums = data["sums"] if last > 1 else data["sums"] * 2

        def area(value, **look):
            self.axes.fill_between(
                xs, [top + tall] * len(xs), [top + tall * (1 - value(one) / most) for one in sums], **look
            )

        size = data["block_size"]
        area(
            lambda one: (one[0] + one[1]) * size,
            facecolor=self.colour["card"],
            edgecolor=self.colour["faint"],
            hatch="////",
            linewidth=0,
        )
        area(lambda one: one[0] * size, facecolor="#c3dcec", edgecolor=self.colour["r0"], linewidth=0.8)
        area(lambda one: one[2], facecolor=self.colour["r1"], linewidth=0)
        now = xs[self.step - 1]
        self.axes.plot([now, now], [top - 3, top + tall], color=self.colour["ink"], linewidth=1.3)
        self.axes.plot([22, right], [top + tall] * 2, color=self.colour["line"], linewidth=0.8)
        used, cached, waste = data["sums"][self.step - 1]
        share = f"{100 * waste / (used * size):.1f}" if used else "0"
        for line, (word, value) in enumerate(
            [
                ("in use", f"{used:,} / {data['num_blocks']:,} blocks"),
                ("cached", f"{cached:,} block{'s' * (cached != 1)}"),
                ("wasted", f"{waste:,} slot{'s' * (waste != 1)}, {share} %"),
            ]
        ):
            static.write(self.axes, 706, top + 6 + 17 * line, word, size=12, colour="soft")
            static.write(self.axes, EDGE, top + 6 + 17 * line, value, size=11.5, ha="right", family="monospace")
