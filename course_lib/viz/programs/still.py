"""What each program loads and stores as a still picture, with matplotlib: as the live view, in light colours."""

import math

from course_lib.viz.kit import still

from .model import sums

LEFT, SPLIT, EDGE, TOP = 22, 188, 898, 104
ROOM = 300  # height of the grid of programs, and of a tensor, at most
HEAD, FOOT, MARGIN = 22, 42, 24  # above a tensor, below it, and left of it
STEPS = (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 1000)
IDS = {1: "program_id(0) →", 2: "id 0 ↓   id 1 →", 3: "id 0 ↓   id 1, id 2 →"}
MONO = {"size": 11, "family": "monospace"}


def paint(data, step):
    """A matplotlib figure of a ProgramsView's data at a step."""
    grid, (places, bottom) = _Grid(data, step), _flow(data["tensors"])
    words = "".join(text for _, text in data["say"][step - 1])
    bottom = max(bottom, grid.bottom + 84)
    figure, axes = still.figure(bottom + 30 + 20 * len(still.broken(words)))
    still.title(axes, data)
    still.legend(axes, _legend(data))
    for x, text in ((LEFT, "PROGRAMS"), (SPLIT, "TENSORS")):
        still.write(axes, x, 88, text, size=10.5, colour="soft", weight="bold")
    grid.paint(axes)
    _totals(axes, data, step, grid.bottom + 26)
    for number, place in enumerate(places):
        _Tensor(axes, data, step, number, *place).paint()
    still.say(axes, bottom + 8, words)
    return figure


def _legend(data):
    colour = still.palette()
    looks = [
        ("loaded now", {"facecolor": colour["r0"]}),
        ("stored now", {"facecolor": colour["r1"]}),
        ("loaded before", _before(False)),
        ("stored before", _before(True)),
    ]
    if any(access[4] for access in data["accesses"]):
        looks.append(("masked: not touched", _masked()))
    return [*looks, ("not touched yet", {"facecolor": colour["free"], "edgecolor": colour["faint"], "linewidth": 0.6})]


def _before(stored):
    """Lines for what was loaded, crossed ones for what was stored: they tell it from the rest without colour."""
    card, ink = still.palette()["card"], still.palette()["r1" if stored else "r0"]
    mixed = (round(0.86 * int(card[at : at + 2], 16) + 0.14 * int(ink[at : at + 2], 16)) for at in (1, 3, 5))
    ground = "#" + "".join(f"{channel:02x}" for channel in mixed)
    return {"facecolor": ground, "edgecolor": ink, "hatch": "xxxxx" if stored else "\\" * 6, "linewidth": 0}


def _masked():
    return still.hatched(still.palette()["faint"], still.palette()["card"], 5) | {"linewidth": 0.6}


def _totals(axes, data, step, y):
    done = [sums(data, number) for number in range(1, step + 1)]
    still.write(axes, LEFT, y, "BYTES SO FAR", size=10.5, colour="soft", weight="bold")
    for line, (name, key) in enumerate((("read", "loaded"), ("written", "stored"))):
        total = sum(one[key] for one in done)
        still.write(axes, LEFT, y + 20 + 18 * line, name, size=12, colour="soft")
        still.write(axes, LEFT + 60, y + 20 + 18 * line, f"{total:,}", size=12, family="monospace")


def _flow(tensors):
    """[(x, y, width and height of a number)] of each tensor, and the bottom; as tensorLayout in layout.js."""
    width, wide = EDGE - SPLIT, sum(t["cols"] > 8 for t in tensors)
    beside = max(1, min(wide, width // 162))
    share = max(112, min(330, (width - 26 * (beside - 1)) / beside - MARGIN))
    x = y = tall = 0
    places = []
    for tensor in tensors:
        columns, rows = tensor["cols"] + tensor["aside"], tensor["rows"] + tensor["over"]
        margin = MARGIN if tensor["rows"] > 1 else 0
        w = min(26, min(share, width - margin) / columns)
        h = min(26, ROOM / rows, max(w * 1.6, 3))
        across = margin + max(columns * w, 116)
        if x and x + across > width + 1:
            x, y, tall = 0, y + tall + 14, 0
        places.append((SPLIT + x + margin, TOP + y + HEAD, w, h))
        x, tall = x + across + 26, max(tall, HEAD + rows * h + FOOT)
    return places, TOP + y + tall


class _Grid:
    """The programs: the first id down, the second across, a third across in groups; one id runs across in lines."""

    def __init__(self, data, step):
        self.data, self.now = data, data["steps"][step - 1][0]
        a, self.b, self.c = (*data["grid"], 1, 1)[:3]
        self.flat = len(data["grid"]) == 1
        self.across = min(a, max(6, math.ceil(math.sqrt(a)))) if self.flat else self.b * self.c
        down = -(-a // self.across) if self.flat else a
        self.left, self.gap = (LEFT if self.flat else LEFT + 22), 5 if self.c > 1 else 0
        room = SPLIT - 28 - self.left - (self.b - 1) * self.gap
        self.cell = max(3, min(26, room / self.across, ROOM / down))
        self.bottom = TOP + 22 + down * self.cell

    def _place(self, index):
        x, y, z = (*self.data["programs"][index], 0, 0)[:3]
        row, column = divmod(index, self.across) if self.flat else (x, y * self.c + z)
        return self.left + column * self.cell + y * self.gap * (not self.flat), TOP + 22 + row * self.cell

    def paint(self, axes):
        still.write(axes, LEFT, TOP + 4, IDS[len(self.data["grid"])], colour="soft", **MONO)
        known = {program for program, _, _ in self.data["steps"]}
        stores = {access[0] for access in self.data["accesses"] if access[1] > 0}
        for index in range(len(self.data["programs"])):
            fill = still.palette()["r2" if index in stores else "faint"]
            self._program(axes, index, fill, index in known and index < self.now)

    def _program(self, axes, index, fill, done):
        (x, y), colour, cell = self._place(index), still.palette(), self.cell
        side, radius, now = cell - (3 if cell > 7 else 1), min(5, cell / 4), index == self.now
        still.box(axes, x, y, side, side, radius=radius, facecolor=colour["free"])
        if now or done:
            shade = fill if now else fill + ("4d" if cell > 7 else "99")
            still.box(axes, x, y, side, side, radius=radius, facecolor=shade)
        if cell > 7:
            touched = {"edgecolor": fill, "linewidth": 1.1}
            edge = touched if now or done else {"edgecolor": colour["faint"], "linewidth": 0.7}
            still.box(axes, x, y, side, side, radius=radius, facecolor="none", **edge)
        if now:
            frame = {"facecolor": "none", "edgecolor": colour["ink"], "linewidth": 1.4}
            still.box(axes, x - 1, y - 1, side + 2, side + 2, radius=radius, **frame)
        first, *others = self.data["programs"][index]
        if cell >= 20 and self.flat:
            tone = "card" if now else "ink"
            still.write(axes, x + side / 2, y + side / 2, str(first), colour=tone, ha="center", **MONO)
        elif cell >= 20 and not any(others):
            still.write(axes, x - 6, y + side / 2, str(first), colour="soft", ha="right", **MONO)


class _Tensor:
    """One tensor as a matrix of numbers. x, y: its corner; w, h: the size of a number."""

    def __init__(self, axes, data, step, number, x, y, w, h):
        self.axes, self.tensor, self.colour = axes, data["tensors"][number], still.palette()
        self.x, self.y, self.w, self.h = x, y, w, h
        self.rows = self.tensor["rows"] + self.tensor["over"]
        self.columns = self.tensor["cols"] + self.tensor["aside"]
        self.gap = 1 if min(w, h) >= 6 else 0
        _, begin, end = data["steps"][step - 1]
        accesses = enumerate(data["accesses"][:end])
        self.mine = [(index >= begin, access) for index, access in accesses if access[2] == number]

    def paint(self):
        full, rest = divmod(self.tensor["numel"], self.tensor["cols"])
        whole = [(0, full, 0, self.tensor["cols"]), (full, full + 1, 0, rest)]
        whole = [box for box in whole if box[1] > box[0] and box[3]]
        for box in whole:
            self._fill(box, facecolor=self.colour["free"])
            self._lines(box, self.colour["faint"])
        self._accesses()
        for box in whole:
            self._lines(box, self.colour["faint"], 1)
        self._past_the_end()
        self._margins()
        self._name()
        self._bytes()

    def _clipped(self, box):
        return max(0, box[0]), min(box[1], self.rows), box[2], min(box[3], self.columns)

    def _fill(self, box, **look):
        r0, r1, c0, c1 = self._clipped(box)
        if r1 > r0 and c1 > c0:
            size = (c1 - c0) * self.w - self.gap, (r1 - r0) * self.h - self.gap
            still.box(self.axes, self.x + c0 * self.w, self.y + r0 * self.h, *size, **look)

    def _lines(self, box, tone, around=0):
        """Lines that keep a box's numbers apart, where there is room; or those around it."""
        (r0, r1, c0, c1), w, h = self._clipped(box), self.w, self.h
        left, top = self.x + c0 * w - around, self.y + r0 * h - around
        for column in (c0, c1) if around else range(c0 + 1, c1 if self.gap else 0):
            still.box(self.axes, self.x + column * w - 1, top, 1, (r1 - r0) * h - 1 + around, facecolor=tone)
        for row in (r0, r1) if around else range(r0 + 1, r1 if self.gap else 0):
            still.box(self.axes, left, self.y + row * h - 1, (c1 - c0) * w - 1 + 2 * around, 1, facecolor=tone)

    def _accesses(self):
        """What is now lies over what was before, and what is stored over what is loaded."""

        def found(fresh, what):
            return {(access[1] > 0, *box) for now, access in self.mine if now == fresh for box in access[what]}

        before, now, masked = found(False, 3), found(True, 3), found(True, 4)
        layers = [
            (before, lambda stored: {"facecolor": _before(stored)["facecolor"]}),
            (before, lambda stored: _before(stored) | {"facecolor": "none"}),
            (masked, lambda stored: _masked()),
            (now, lambda stored: {"facecolor": self.colour["r1" if stored else "r0"]}),
        ]
        for boxes, look in layers:
            for stored, *box in sorted(boxes):
                self._fill(box, **look(stored))
                self._lines(box, self.colour["card"])

    def _past_the_end(self):
        t, past = self.tensor, (self.rows - self.tensor["rows"]) * self.h
        masks = any(now and box[1] > t["rows"] for now, access in self.mine for box in access[4])
        if past >= 15 and not masks:
            y = self.y + t["rows"] * self.h + min(12, past / 2 + 1)
            still.write(self.axes, self.x, y, "past its end", size=11, colour="soft")

    def _margins(self):
        """Heads and blocks stand apart; counts in the margin; a dashed line at the tensor's end."""
        t, x, y, w, h = self.tensor, self.x, self.y, self.w, self.h
        card, inner = self.colour["card"], t["shape"][-1] if len(t["shape"]) > 2 else 0
        for column in range(inner, t["cols"], inner) if inner and inner * w > 6 else ():
            still.box(self.axes, x + column * w - 1.5, y, 2.5, t["rows"] * h, facecolor=card)
        for row in range(t["unit"], t["rows"], t["unit"]) if t["unit"] > 1 and t["unit"] * h > 6 else ():
            still.box(self.axes, x, y + row * h - 1.5, t["cols"] * w, 2.5, facecolor=card)
        every = t["unit"] * next((n for n in STEPS if n * t["unit"] * h >= 15), STEPS[-1])
        look = {"size": 10, "colour": "soft", "ha": "right", "family": "monospace"}
        for row in range(0, t["rows"], every) if t["rows"] > 1 else ():
            still.write(self.axes, x - 5, y + (row + 0.5) * h, str(row // t["unit"] * t["worth"]), **look)
        dashed = {"color": self.colour["ink"], "linewidth": 0.8, "linestyle": (0, (3, 2))}
        if self.rows > t["rows"]:
            self.axes.plot([x - 3, x + t["cols"] * w + 3], [y + t["rows"] * h] * 2, **dashed)
        elif self.columns > t["cols"]:
            self.axes.plot([x + t["cols"] * w] * 2, [y - 3, y + h + 3], **dashed)

    def _name(self):
        t = self.tensor
        name = still.write(self.axes, self.x, self.y - 12, t["name"], size=12.5, weight="bold", family="monospace")
        shape = f"[{', '.join(map(str, t['shape']))}]"
        x = self.x + still.text_width(self.axes, name) + 8
        still.write(self.axes, x, self.y - 11.5, shape, colour="soft", **MONO)

    def _bytes(self):
        """The bytes read and written so far, and how many times the tensor that is; its size where there were none."""
        t, y = self.tensor, self.y + self.rows * self.h + 11
        for verb, ops in (("read", (0, 2)), ("written", (1, 2))):
            own = [(now, access[7]) for now, access in self.mine if access[1] in ops]
            total = sum(nbytes for _, nbytes in own)
            if total:
                new = any(now for now, _ in own)
                look = {"colour": "ink", "weight": "bold"} if new else {"colour": "soft"}
                still.write(self.axes, self.x, y, f"{verb} {total:,} B", **look, **MONO)
                y += 14
            if total > t["bytes"]:
                still.write(self.axes, self.x, y, f"= {total / t['bytes']:.1f} × {t['name']}", colour="soft", **MONO)
                y += 14
        if not self.mine:
            still.write(self.axes, self.x, y, f"{t['bytes']:,} B", colour="soft", **MONO)
