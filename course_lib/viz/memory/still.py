"""The memory view as a still picture, with matplotlib: the same as the live view, in light colours."""

import math

from course_lib.viz.kit import looks, still
from course_lib.viz.kit.format import count, request_name, shortened

SPLIT, EDGE = 388, 898  # where the tables end and the blocks begin, and the right edge
TOP = 104
LARGE = 48  # up to here blocks show their slots
TALLEST = 470  # of the tables; those that need more are left out
SLOTS = 16  # up to here a block shows each of its slots
NUMBER = {"ha": "center", "weight": "bold", "family": "monospace"}


def paint(data, memory, step):
    """A matplotlib figure of a MemoryView's data and its Memory after a step."""
    words = "".join(text for _, text in data["say"][step - 1])
    painter = MemoryPainter(data, memory, colours_of(data))
    figure, axes = still.figure(painter.bottom + max(158, 122 + 20 * len(still.broken(words))))
    still.title(axes, data)
    painter.paint(axes, "in use")
    _chart(axes, data, step, painter.bottom + 40)
    still.say(axes, painter.bottom + 110, words)
    return figure


def colours_of(data):
    """{request: "#rrggbb"}, in the order in which their tables began."""
    return {request: looks.request_colour(number) for number, request in enumerate(data["requests"])}


class MemoryPainter:
    """Tables and blocks. colours: {request: "#rrggbb"}. bottom: where they end, in CSS pixels."""

    def __init__(self, data, memory, colours):
        self.data, self.memory, self.colours, self.colour = data, memory, colours, still.palette()
        self.holders, self.texts = memory.holders(), {data["requests"][at]: text for at, text in data["texts"]}
        number = data["num_blocks"]
        self.large = number <= LARGE
        inner = EDGE - SPLIT - 20
        if self.large:
            self.columns, self.h = min(number, 8), 56
        else:
            self.columns = min(number, max(8, 8 * round(math.sqrt(number * inner / 330) / 8)))
            self.h = max(4, min(24, inner / self.columns))
        self.w = inner / self.columns
        self.tall = math.ceil(number / self.columns) * self.h + 20
        self.small = sum(len(blocks) for blocks, _ in memory.tables.values()) > 120 or len(memory.tables) > 9
        self.lines = self._table_lines()
        self.bottom = TOP + max(self.tall, self.lines[-1][2] + 8 if self.lines else 0)

    def paint(self, axes, in_use):
        """Draws legend, tables and blocks. in_use: what the legend calls blocks in use."""
        self.axes = axes
        entries = [
            (in_use, looks.block_in_use(self.colour["r0"])),
            ("cached", looks.cached_block()),
            ("free", looks.free_block()),
            ("reference count", "×2"),
        ]
        still.legend(axes, entries)
        for x, text in ((22, "BLOCK TABLES"), (SPLIT, "PHYSICAL MEMORY")):
            still.write(axes, x, 88, text, size=10.5, colour="soft", weight="bold")
        still.box(axes, SPLIT, TOP, EDGE - SPLIT, self.tall, radius=8, facecolor=self.colour["well"])
        for line in self.lines:
            self._table(*line)
        for block in range(self.data["num_blocks"]):
            self._block(block)

    def _filled(self, num_tokens, place):
        """How many slots of the block at a place of a table hold a token."""
        return max(0, min(self.data["block_size"], num_tokens - place * self.data["block_size"]))

    # tables

    def _table_lines(self):
        """[(request, top, bottom)], below one another as far as there is room."""
        wide, tall = (9, 12) if self.small else (36, 25)
        self.per = (SPLIT - 22 - 66) // wide
        found, y = [], 0
        for request, (blocks, _) in self.memory.tables.items():
            rows = max(1, -(-len(blocks) // self.per))
            bottom = y + (0 if self.small else 20) + rows * tall + (4 if self.small else 12)
            if bottom > TALLEST:
                break
            found.append((request, y, bottom))
            y = bottom
        return found

    def _table(self, request, top, bottom):
        blocks, num_tokens = self.memory.tables[request]
        colour, y = self.colours[request], TOP + top
        name = request_name(request)
        still.box(self.axes, 22, y, 34, 12 if self.small else 20, radius=5, facecolor=colour)
        size = 9 if self.small or len(name) > 4 else 12
        still.write(self.axes, 39, y + (6.5 if self.small else 10.5), name[:5], size=size, colour="card", **NUMBER)
        if not self.small:
            text = self.texts.get(request)
            said = "".join(text[:num_tokens]).replace("\n", "⏎") if text else count(num_tokens, "token")
            said = "…" + said[-38:] if len(said) > 39 else said
            still.write(self.axes, 66, y + 9, said, size=11.5, colour="soft", family="monospace")
        wide, tall = (9, 12) if self.small else (36, 25)
        for place, block in enumerate(blocks):
            x = 66 + place % self.per * wide
            line = y + (0 if self.small else 19) + place // self.per * tall
            filled = self._filled(num_tokens, place) / self.data["block_size"]
            if block < 0:  # a place whose block was given back
                middle = {"facecolor": self.colour["soft"], "linewidth": 0}
                still.box(self.axes, x + 0.3 * wide, line + tall / 2 - 2, 0.4 * wide, 1.6, **middle)
            elif self.small:
                alpha = 0.2 + 0.55 * filled
                still.box(self.axes, x, line, wide - 1.5, tall - 1.5, facecolor=colour, alpha=alpha)
            else:
                self._entry(x, line, wide, tall, block, colour, filled)

    def _entry(self, x, y, wide, tall, block, colour, filled):
        look = {"facecolor": colour + "21", "edgecolor": colour, "linewidth": 1.1}
        still.box(self.axes, x, y, wide - 4, tall - 3, radius=4, **look)
        middle = y + (10 if filled < 1 else 11.5)
        still.write(self.axes, x + (wide - 4) / 2, middle, str(block), size=11.5, **NUMBER)
        if filled < 1:
            still.box(self.axes, x + 3, y + tall - 7, (wide - 10) * filled, 2.4, facecolor=colour)

    # blocks

    def _block(self, block):
        gap = 5 if self.large else max(0.8, self.w / 9)
        x, y = SPLIT + 10 + block % self.columns * self.w, 114 + block // self.columns * self.h
        w, h, state = self.w - gap, self.h - gap, self.memory.state(block)
        radius = 5 if self.large else 0
        if state == "in use":
            held = self.holders.get(block, [])
            colour = self.colours[held[0][0]] if held else self.colour["soft"]
            filled = max((self._filled(self.memory.tables[one][1], place) for one, place in held), default=0)
            if not self.large:
                self._small_block(x, y, w, h, colour, filled / self.data["block_size"], self.memory.ref[block])
                return
            look = {"facecolor": colour + "17", "edgecolor": colour, "linewidth": 1.2}
            still.box(self.axes, x, y, w, h, radius=radius, **look)
            if held:
                self._slots(x, y, w, h, filled, colour)
                self._holders(x, y, w, held)
            if self.memory.ref[block] > 1:
                self._times(x, y, w, self.memory.ref[block])
        else:
            look = looks.cached_block() if state == "cached" else looks.free_block()
            look = look if self.w > 12 else look | {"linewidth": 0.4, "linestyle": "-"}
            still.box(self.axes, x, y, w, h, radius=radius, **look)
        if self.large:
            ground = {"facecolor": self.colour["card"], "edgecolor": "none", "pad": 0.8} if state == "cached" else None
            look = {"size": 9.5, "colour": "soft", "family": "monospace", "bbox": ground}
            still.write(self.axes, x + 5, y + 9.5, str(block), **look)

    def _small_block(self, x, y, w, h, colour, filled, ref):
        """As high as it is full, on a pale ground; with a window where it is shared."""
        still.box(self.axes, x, y, w, h, facecolor=colour + "47")
        still.box(self.axes, x, y + h * (1 - filled), w, h * filled, facecolor=colour)
        if ref > 1:
            still.box(self.axes, x + w / 4, y + h / 4, w / 2, h / 2, facecolor=self.colour["card"])

    def _holders(self, x, y, w, held):
        names = list(dict.fromkeys(request_name(request) for request, _ in held))
        said = " ".join(names[:2]) + ("…" if len(names) > 2 else "")
        if len(said) * 7 >= w - 18:
            said = shortened(names[0], int((w - 18) / 7)).rstrip("…") + "…"
        look = {"size": 10.5, "ha": "right", "weight": "bold", "family": "monospace"}
        still.write(self.axes, x + w - 4, y + 10, said, **look)

    def _times(self, x, y, w, ref):
        still.box(self.axes, x + w - 27, y + 18, 23, 13, radius=6, facecolor=self.colour["ink"])
        still.write(self.axes, x + w - 15.5, y + 24.5, f"×{ref}", size=9.5, colour="card", **NUMBER)

    def _slots(self, x, y, w, h, filled, colour):
        size, wide, line = self.data["block_size"], w - 10, self.colour["line"]
        if size > SLOTS:
            still.box(self.axes, x + 5, y + h - 11, wide, 6, facecolor=line)
            still.box(self.axes, x + 5, y + h - 11, wide * filled / size, 6, facecolor=colour)
            return
        step = wide / size
        for at in range(size):
            shade = colour if at < filled else line
            still.box(self.axes, x + 5 + at * step, y + h - 11, step * 0.75, 6, facecolor=shade)


def _chart(axes, data, step, top):
    """Use and waste over the steps, and the figures of this one."""
    tall, left, right, colour = 44, 22, 690, still.palette()
    still.write(axes, left, top - 14, "USE AND WASTE OVER THE STEPS", size=10.5, colour="soft", weight="bold")
    size, last = data["block_size"], data["last"]
    most = data["num_blocks"] * size
    sums = data["sums"] if last > 1 else data["sums"] * 2
    xs = [left + (right - left) * at / (len(sums) - 1) for at in range(len(sums))]

    def area(value, **look):
        heights = [top + tall * (1 - value(*one) / most) for one in sums]
        axes.fill_between(xs, [top + tall] * len(xs), heights, **look)

    area(lambda used, cached, wasted: (used + cached) * size, **looks.cached_area())
    area(lambda used, cached, wasted: used * size, facecolor="#c3dcec", edgecolor=colour["r0"], linewidth=0.8)
    area(lambda used, cached, wasted: wasted, facecolor=colour["r1"], linewidth=0)
    now = xs[step - 1]
    axes.plot([now, now], [top - 3, top + tall], color=colour["ink"], linewidth=1.3)
    axes.plot([left, right], [top + tall] * 2, color=colour["line"], linewidth=0.8)
    used, cached, wasted = data["sums"][step - 1]
    share = f"{100 * wasted / (used * size):.1f}" if used else "0"
    figures = [
        ("in use", f"{used:,} / {data['num_blocks']:,} blocks"),
        ("cached", count(cached, "block")),
        ("wasted", f"{count(wasted, 'slot')}, {share} %"),
    ]
    for line, (name, value) in enumerate(figures):
        y = top + 6 + 17 * line
        still.write(axes, right + 16, y, name, size=12, colour="soft")
        still.write(axes, EDGE, y, value, size=11.5, ha="right", family="monospace")
