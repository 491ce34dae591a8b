"""What each program loads and stores as a still picture, with matplotlib: the same as programs.js draws, in light colours."""

import math

from course_lib.viz.kit import still as static

from .view import sums

LEFT, SPLIT, EDGE, ROOM, HEAD, FOOT, MARGIN = 22, 188, 898, 300, 22, 42, 24
STEPS = (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 1000)


def paint(data, step):
    """A matplotlib figure of a ProgramsView's data at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.step, self.colour, self.top = data, step, static.palette(), 104
        places, bottom = self._flow()
        words = "".join(text for _, text in data["say"][step - 1])
        down = self._grid()
        bottom = max(bottom, down + 84)
        self.figure, self.axes = static.figure(bottom + 30 + 20 * len(static.broken(words)))
        static.title(self.axes, data)
        static.legend(self.axes, self._legend())
        for x, text in ((LEFT, "PROGRAMS"), (SPLIT, "TENSORS")):
            static.write(self.axes, x, 88, text, size=10.5, colour="soft", weight="bold")
        self._programs()
        self._totals(down + 26)
        for at, place in enumerate(places):
            self._tensor(at, *place)
        static.say(self.axes, bottom + 8, words)

    def _legend(self):
        colour = self.colour
        looks = [
            ("loaded now", {"facecolor": colour["r0"]}),
            ("stored now", {"facecolor": colour["r1"]}),
            ("loaded before", self._before(0)),
            ("stored before", self._before(1)),
        ]
        if any(access[4] for access in self.data["accesses"]):
            looks.append(("masked: not touched", self._masked()))
        return [
            *looks,
            ("not touched yet", {"facecolor": colour["free"], "edgecolor": colour["faint"], "linewidth": 0.6}),
        ]

    def _before(self, op):
        """Lines for what was loaded, crossed ones for what was stored (op over 0): they tell it from the rest without colour."""
        card, ink = self.colour["card"], self.colour["r1" if op else "r0"]
        ground = "".join(
            f"{round(0.86 * int(card[at : at + 2], 16) + 0.14 * int(ink[at : at + 2], 16)):02x}" for at in (1, 3, 5)
        )
        return {"facecolor": "#" + ground, "edgecolor": ink, "hatch": "xxxxx" if op else "\\" * 6, "linewidth": 0}

    def _masked(self, op=0):
        return static.hatched(self.colour["faint"], self.colour["card"], 5) | {"linewidth": 0.6}

    def _grid(self):
        """Sets self.place(program) and self.cell; returns the bottom of the grid of programs."""
        a, b, c = (*self.data["grid"], 1, 1)[:3]
        self.flat = len(self.data["grid"]) == 1
        across = min(a, max(6, math.ceil(math.sqrt(a)))) if self.flat else b * c
        down = -(-a // across) if self.flat else a
        left, gap = (LEFT if self.flat else LEFT + 22), 5 if c > 1 else 0
        self.cell = cell = max(3, min(26, (SPLIT - 28 - left - (b - 1) * gap) / across, ROOM / down))

        def place(index):
            x, y, z = (*self.data["programs"][index], 0, 0)[:3]
            return (
                (left + index % across * cell, self.top + 22 + index // across * cell)
                if self.flat
                else (left + (y * c + z) * cell + y * gap, self.top + 22 + x * cell)
            )

        self.place = place
        return self.top + 22 + down * cell

    def _programs(self):
        data, now, colour, cell = self.data, self.data["steps"][self.step - 1][0], self.colour, self.cell
        known, stores = (
            {program for program, _, _ in data["steps"]},
            {access[0] for access in data["accesses"] if access[1] > 0},
        )
        said = (
            "program_id(0) →" if self.flat else "id 0 ↓   id 1 →" if len(data["grid"]) == 2 else "id 0 ↓   id 1, id 2 →"
        )
        static.write(self.axes, LEFT, self.top + 4, said, size=11, colour="soft", family="monospace")
        for index, ids in enumerate(data["programs"]):
            (x, y), side, gap = self.place(index), cell - (3 if cell > 7 else 1), min(5, cell / 4)
            fill = colour["r2"] if index in stores else colour["faint"]
            shade = (
                fill
                if index == now
                else fill + ("4d" if cell > 7 else "99")
                if index in known and index < now
                else None
            )
            static.box(self.axes, x, y, side, side, radius=gap, facecolor=colour["free"])
            if shade:
                static.box(self.axes, x, y, side, side, radius=gap, facecolor=shade)
            if cell > 7:
                edge = (
                    {"edgecolor": fill, "linewidth": 1.1} if shade else {"edgecolor": colour["faint"], "linewidth": 0.7}
                )
                static.box(self.axes, x, y, side, side, radius=gap, facecolor="none", **edge)
            if index == now:
                static.box(
                    self.axes,
                    x - 1,
                    y - 1,
                    side + 2,
                    side + 2,
                    radius=gap,
                    facecolor="none",
                    edgecolor=colour["ink"],
                    linewidth=1.4,
                )
            if cell >= 20 and (self.flat or not any(ids[1:])):
                at, tone = (x + side / 2, "card" if index == now else "ink") if self.flat else (x - 6, "soft")
                static.write(
                    self.axes,
                    at,
                    y + side / 2,
                    str(ids[0]),
                    size=11,
                    colour=tone,
                    ha="center" if self.flat else "right",
                    family="monospace",
                )

    def _totals(self, y):
        done = [sums(self.data, number) for number in range(1, self.step + 1)]
        static.write(self.axes, LEFT, y, "BYTES SO FAR", size=10.5, colour="soft", weight="bold")
        for line, (name, key) in enumerate((("read", "loaded"), ("written", "stored"))):
            static.write(self.axes, LEFT, y + 20 + 18 * line, name, size=12, colour="soft")
            static.write(
                self.axes,
                LEFT + 60,
                y + 20 + 18 * line,
                f"{sum(one[key] for one in done):,}",
                size=12,
                family="monospace",
            )

    def _flow(self):
        """[(x, y, width and height of a number)] of each tensor, and the bottom; as tensorLayout in programs.js."""
        width, tensors = EDGE - SPLIT, self.data["tensors"]
        wide = sum(t["cols"] > 8 for t in tensors)
        beside = max(1, min(wide, width // 162))
        share = max(112, min(330, (width - 26 * (beside - 1)) / beside - MARGIN))
        x = y = tall = 0
        places = []
        for t in tensors:
            columns, rows = t["cols"] + t["aside"], t["rows"] + t["over"]
            margin = MARGIN if t["rows"] > 1 else 0
            w = min(26, min(share, width - margin) / columns)
            h = min(26, ROOM / rows, max(w * 1.6, 3))
            across = margin + max(columns * w, 116)
            if x and x + across > width + 1:
                x, y, tall = 0, y + tall + 14, 0
            places.append((SPLIT + x + margin, self.top + y + HEAD, w, h))
            x, tall = x + across + 26, max(tall, HEAD + rows * h + FOOT)
        return places, self.top + y + tall

    def _tensor(self, at, x, y, w, h):
        data, t, colour = self.data, self.data["tensors"][at], self.colour
        rows, columns = t["rows"] + t["over"], t["cols"] + t["aside"]
        _, begin, end = data["steps"][self.step - 1]
        gap = 1 if min(w, h) >= 6 else 0

        def clipped(box):
            return max(0, box[0]), min(box[1], rows), box[2], min(box[3], columns)

        def fill(box, **look):
            r0, r1, c0, c1 = clipped(box)
            if r1 > r0 and c1 > c0:
                static.box(self.axes, x + c0 * w, y + r0 * h, (c1 - c0) * w - gap, (r1 - r0) * h - gap, **look)

        def lines(box, tone, around=0):
            """Lines that keep a box's numbers apart, where there is room; or those around it."""
            r0, r1, c0, c1 = clipped(box)
            for column in (c0, c1) if around else range(c0 + 1, c1 if gap else 0):
                static.box(
                    self.axes, x + column * w - 1, y + r0 * h - around, 1, (r1 - r0) * h - 1 + around, facecolor=tone
                )
            for row in (r0, r1) if around else range(r0 + 1, r1 if gap else 0):
                static.box(
                    self.axes, x + c0 * w - around, y + row * h - 1, (c1 - c0) * w - 1 + 2 * around, 1, facecolor=tone
                )

        full, rest = divmod(t["numel"], t["cols"])
        whole = [box for box in ((0, full, 0, t["cols"]), (full, full + 1, 0, rest)) if box[1] > box[0] and box[3]]
        for box in whole:
            fill(box, facecolor=colour["free"])
            lines(box, colour["faint"])
        mine = [(index >= begin, access) for index, access in enumerate(data["accesses"][:end]) if access[2] == at]
        before, late, masked = (
            {(access[1] > 0, *box) for fresh, access in mine if fresh == wanted for box in access[what]}
            for wanted, what in ((False, 3), (True, 3), (True, 4))
        )
        ground, pattern = (
            lambda op: {"facecolor": self._before(op)["facecolor"]},
            lambda op: self._before(op) | {"facecolor": "none"},
        )
        solid = lambda op: {"facecolor": colour["r1" if op else "r0"]}
        for boxes, look in ((before, ground), (before, pattern), (masked, self._masked), (late, solid)):
            for op, *box in sorted(
                boxes
            ):  # what is now lies over what was before, and what is stored over what is loaded
                fill(box, **look(op))
                lines(box, colour["card"])
        for box in whole:
            lines(box, colour["faint"], 1)
        past = (rows - t["rows"]) * h
        if past >= 15 and not any(fresh and box[1] > t["rows"] for fresh, access in mine for box in access[4]):
            static.write(
                self.axes, x, y + t["rows"] * h + min(12, past / 2 + 1), "past its end", size=11, colour="soft"
            )
        self._margins(t, x, y, w, h, rows, columns)
        name = static.write(self.axes, x, y - 12, t["name"], size=12.5, weight="bold", family="monospace")
        static.write(
            self.axes,
            x + static.text_width(self.axes, name) + 8,
            y - 11.5,
            f"[{', '.join(map(str, t['shape']))}]",
            size=11,
            colour="soft",
            family="monospace",
        )
        line = y + rows * h + 11
        for verb, ops in (("read", (0, 2)), ("written", (1, 2))):
            total = sum(access[7] for _, access in mine if access[1] in ops)
            if total:
                now = any(fresh and access[1] in ops for fresh, access in mine)
                static.write(
                    self.axes,
                    x,
                    line,
                    f"{verb} {total:,} B",
                    size=11,
                    colour="ink" if now else "soft",
                    weight="bold" if now else "normal",
                    family="monospace",
                )
                line += 14
                if total > t["bytes"]:
                    static.write(
                        self.axes,
                        x,
                        line,
                        f"= {total / t['bytes']:.1f} × {t['name']}",
                        size=11,
                        colour="soft",
                        family="monospace",
                    )
                    line += 14
        if not mine:
            static.write(self.axes, x, line, f"{t['bytes']:,} B", size=11, colour="soft", family="monospace")

    def _margins(self, t, x, y, w, h, rows, columns):
        """Heads and blocks stand apart; counts in the margin; a dashed line at the tensor's end."""
        card, inner = self.colour["card"], t["shape"][-1] if len(t["shape"]) > 2 else 0
        for column in range(inner, t["cols"], inner) if inner and inner * w > 6 else ():
            static.box(self.axes, x + column * w - 1.5, y, 2.5, t["rows"] * h, facecolor=card)
        for row in range(t["unit"], t["rows"], t["unit"]) if t["unit"] > 1 and t["unit"] * h > 6 else ():
            static.box(self.axes, x, y + row * h - 1.5, t["cols"] * w, 2.5, facecolor=card)
        every = t["unit"] * next((n for n in STEPS if n * t["unit"] * h >= 15), STEPS[-1])
        for row in range(0, t["rows"], every) if t["rows"] > 1 else ():
            static.write(
                self.axes,
                x - 5,
                y + (row + 0.5) * h,
                str(row // t["unit"] * t["worth"]),
                size=10,
                colour="soft",
                ha="right",
                family="monospace",
            )
        dashed = {"color": self.colour["ink"], "linewidth": 0.8, "linestyle": (0, (3, 2))}
        if rows > t["rows"]:
            self.axes.plot([x - 3, x + t["cols"] * w + 3], [y + t["rows"] * h] * 2, **dashed)
        elif columns > t["cols"]:
            self.axes.plot([x + t["cols"] * w] * 2, [y - 3, y + h + 3], **dashed)
