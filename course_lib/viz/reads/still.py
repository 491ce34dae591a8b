"""Which program reads which block as a still picture, with matplotlib: the same as reads.js draws, in light colours."""

import math
from collections import Counter

from course_lib.viz.kit import still as static

LEFT, SPLIT, EDGE, TOP = 22, 410, 898, 104
LARGE = 48  # up to here blocks show their slots
TALLEST = 460  # of the sequences; where they need more, those around the step are shown


def paint(data, step):
    """A matplotlib figure of a BlockReadsView's data at a step."""
    return _Painter(data, step).figure


class _Painter:
    def __init__(self, data, step):
        self.data, self.step, self.colour, self.now = data, step, static.palette(), data["programs"][step - 1]
        self.done = data["programs"][:step]
        self.decodes = {
            (p["seq"], p["kv_head"], p["part"]): at for at, p in enumerate(data["programs"], 1) if p["kind"] == "decode"
        }
        self.outs = {(p["seq"], p["head"]): at for at, p in enumerate(data["programs"], 1) if p["kind"] == "merge"}
        self.group = data["heads"] // data["kv_heads"]
        self.owners = {}
        for seq, table in enumerate(data["tables"]):
            for block in table:
                self.owners.setdefault(block, [])
                self.owners[block] += [seq] * (seq not in self.owners[block])
        tops, bottom = self._rows()
        self._places()
        words = "".join(text for _, text in data["say"][step - 1])
        bottom = max(bottom, TOP + self.tall) + 16
        self.figure, self.axes = static.figure(bottom + 50 + 20 * len(static.broken(words)))
        static.title(self.axes, data)
        static.legend(self.axes, self._legend())
        for x, text in ((LEFT, "PROGRAMS → OUTPUTS, BLOCK TABLES"), (SPLIT, "PHYSICAL MEMORY")):
            static.write(self.axes, x, 88, text, size=10.5, colour="soft", weight="bold")
        for at, top in enumerate(tops):
            self._sequence(at, *top)
        if len(tops) < len(data["tables"]):
            static.write(
                self.axes,
                LEFT,
                bottom - 18,
                f"{len(data['tables']) - len(tops)} more sequences are not in this picture",
                size=11,
                colour="soft",
            )
        static.box(self.axes, SPLIT, TOP, EDGE - SPLIT, self.tall, radius=8, facecolor=self.colour["well"])
        for block in range(data["num_blocks"]):
            self._block(block)
        self._sums(bottom + 4)
        static.say(self.axes, bottom + 28, words)

    def _of(self, seq):
        return self.colour[f"r{seq % 6}"]

    def _legend(self):
        blue = self.colour["r0"]
        looks = [
            ("now", {"facecolor": blue}),
            ("before", {"facecolor": blue + "52"}),
            ("not yet", {"facecolor": self.colour["free"]}),
        ]
        if any(p["kind"] == "decode" and not p["reads"] for p in self.data["programs"]):
            looks.append(
                ("nothing to read", static.hatched(self.colour["faint"], self.colour["free"], 5) | {"linewidth": 0.5})
            )
        return [*looks, ("read by 2 programs" + ", each for its KV head" * (self.data["kv_heads"] > 1), "×2")]

    def _rows(self):
        """[(sequence, top, top of its block table)] of the sequences that are shown, and the bottom."""
        data, width = self.data, SPLIT - LEFT - 24
        self.first = LEFT + 84
        self.cell = max(4, min(22, (width * 0.42 - 84) / data["parts"], 112 / data["kv_heads"]))
        self.out = max(3, min(14, self.cell - 4, 84 / self.group))
        self.out_x = self.first + data["parts"] * self.cell + 16
        beside = self.out_x + self.group * self.out + 16
        below = LEFT + width - beside < 4 * 32
        self.table_x = self.first if below else beside
        self.per = max(1, int((LEFT + width - self.table_x) // 32))
        lines = [max(1, -(-len(table) // self.per)) for table in data["tables"]]
        high = data["kv_heads"] * self.cell
        talls = [(high + 8 + n * 26 if below else max(high, n * 26, 38)) + 16 for n in lines]
        first = self.now["seq"]
        while first and sum(talls[first - 1 : self.now["seq"] + 1]) <= TALLEST / 2:
            first -= 1
        tops, y = [], TOP + 20
        for seq in range(first, len(talls)):
            if tops and y + talls[seq] > TOP + TALLEST:
                break
            tops.append((seq, y, y + high + 8 if below else y))
            y += talls[seq]
        return tops, y

    def _sequence(self, at, seq, top, table_top):
        data, cell, colour = self.data, self.cell, self._of(seq)
        if at == 0:
            for x, text in (
                (self.first, f"{data['across']} →" if data["parts"] > 1 else ""),
                (self.out_x, "out"),
                (self.table_x, "block table" if table_top == top else ""),
            ):
                static.write(self.axes, x, TOP + 6, text, size=11, colour="soft", family="monospace")
        else:
            static.box(self.axes, LEFT, top - 9, SPLIT - LEFT - 24, 0.8, facecolor=self.colour["line"])
        static.box(self.axes, LEFT, top, 34, 20, radius=5, facecolor=colour)
        static.write(
            self.axes,
            LEFT + 17,
            top + 10.5,
            f"R{seq}",
            size=12,
            colour="card",
            ha="center",
            weight="bold",
            family="monospace",
        )
        static.write(
            self.axes, LEFT + 1, top + 31, f"{data['seq_lens'][seq]:,} tok", size=11, colour="soft", family="monospace"
        )
        gap = 3 if cell > 8 else 1
        for head in range(data["kv_heads"]):
            y = top + head * cell
            if cell >= 13:
                static.write(
                    self.axes,
                    self.first - 6,
                    y + (cell - gap) / 2,
                    f"KV{head}",
                    size=11,
                    colour="soft",
                    ha="right",
                    family="monospace",
                )
                static.write(self.axes, self.out_x - 10, y + (cell - gap) / 2, "→", size=11, colour="soft", ha="center")
            for part in range(data["parts"]):
                self._program(seq, head, part, self.first + part * cell, y, cell - gap)
            for g in range(self.group):
                at = (
                    self.outs.get((seq, head * self.group + g))
                    if self.outs
                    else self.decodes.get((seq, head, g if data["across"] == "head" else 0))
                )
                side = self.out - (2 if self.out > 6 else 1)
                self._square(self.out_x + g * self.out, y + (cell - gap - side) / 2, side, at, colour, 0)
        self._table(seq, table_top)

    def _program(self, seq, head, part, x, y, side):
        at, now = self.decodes.get((seq, head, part)), self.now
        merged = (
            now["kind"] == "merge" and now["seq"] == seq and now["head"] // self.group == head and part in now["parts"]
        )
        empty = at and at <= self.step and not self.data["programs"][at - 1]["reads"]
        if empty:
            static.box(
                self.axes,
                x,
                y,
                side,
                side,
                radius=min(5, side / 4),
                **static.hatched(self.colour["faint"], self.colour["free"], 5)
                | {"linewidth": 0 if at != self.step else 1.4},
            )
        else:
            self._square(x, y, side, self.step if merged else at, self._of(seq), min(5, side / 4))

    def _square(self, x, y, side, at, colour, radius):
        """A program or an output: to come, done, or of this step."""
        static.box(self.axes, x, y, side, side, radius=radius, facecolor=self.colour["free"])
        if at and at <= self.step:
            ring = {"edgecolor": self.colour["ink"], "linewidth": 1.4} if at == self.step else {}
            static.box(
                self.axes,
                x,
                y,
                side,
                side,
                radius=radius,
                facecolor=colour if at == self.step else colour + "57",
                **ring,
            )

    def _table(self, seq, top):
        size, colour = self.data["block_size"], self._of(seq)
        before = {read[0] for p in self.done if p["kind"] == "decode" and p["seq"] == seq for read in p["reads"]}
        hot = {read[0] for read in self.now.get("reads", ())} if self.now["seq"] == seq else set()
        for place, block in enumerate(self.data["tables"][seq]):
            x, y = self.table_x + place % self.per * 32, top + place // self.per * 26
            part = min(size, self.data["seq_lens"][seq] - place * size) / size
            look = {
                "facecolor": colour if block in hot else colour + "47" if block in before else self.colour["free"],
                "edgecolor": self.colour["ink"] if block in hot else colour,
            }
            static.box(self.axes, x, y, 28, 21, radius=4, linewidth=1.4 if block in hot else 0.9, **look)
            static.write(
                self.axes,
                x + 14,
                y + (9.5 if part < 1 else 11),
                str(block),
                size=11.5,
                colour="card" if block in hot else "ink",
                ha="center",
                weight="bold",
                family="monospace",
            )
            if part < 1:
                static.box(
                    self.axes, x + 3, y + 16, 22 * part, 2.2, facecolor=self.colour["card"] if block in hot else colour
                )

    def _places(self):
        """Sizes of the blocks, and what was read of each."""
        count, inner, heads = self.data["num_blocks"], EDGE - SPLIT - 20, self.data["kv_heads"]
        self.large, self.lane = count <= LARGE, max(3, min(9, 36 / heads))
        self.columns = min(count, 6 if self.large else max(8, 8 * round(math.sqrt(count * inner / 300) / 8)))
        self.w = inner / self.columns
        self.h = 46 + heads * self.lane if self.large else max(4, min(20, self.w))
        self.tall = math.ceil(count / self.columns) * self.h + 20
        self.reads, self.times = {}, Counter()
        for at, program in enumerate(self.done, 1):
            for block, head, start, end in program.get("reads", ()):
                self.reads.setdefault(block, []).append((at == self.step, program["seq"], head, start, end))
            self.times.update({read[0] for read in program.get("reads", ())})

    def _block(self, block):
        gap = 6 if self.large else max(0.8, self.w / 9)
        x, y, w, h = (
            SPLIT + 10 + block % self.columns * self.w,
            TOP + 10 + block // self.columns * self.h,
            self.w - gap,
            self.h - gap,
        )
        who, read = self.owners.get(block, []), sorted(self.reads.get(block, []))
        hot, colour = any(one[0] for one in read), self._of(who[0]) if who else self.colour["faint"]
        if not self.large:
            fill = (
                self._of(self.now["seq"]) if hot else colour + ("73" if read else "24") if who else self.colour["free"]
            )
            static.box(self.axes, x, y, w, h, facecolor=fill)
            return
        used = who or read
        look = {
            "facecolor": self.colour["card"] if used else "none",
            "edgecolor": self.colour["ink"] if hot else colour,
            "linewidth": 1.5 if hot else 1.0,
            "linestyle": "-" if used else "--",
        }
        static.box(self.axes, x, y, w, h, radius=5, **look)
        static.write(self.axes, x + 6, y + 10.5, str(block), size=9.5, colour="soft", family="monospace")
        if not used:
            return
        fit = max(1, int((w - 12 - 6 * len(str(block))) // 18))
        said = " ".join(f"R{seq}" for seq in who[:fit]) + ("…" if len(who) > fit else "")
        static.write(self.axes, x + w - 5, y + 10.5, said, size=10, ha="right", weight="bold", family="monospace")
        for head in range(self.data["kv_heads"]):
            self._lane(x, y, w, head, 0, self.data["block_size"], self.colour["line"])
        for fresh, seq, head, start, end in read:  # what is now comes last
            self._lane(x, y, w, head, start, end, self.colour["card"])
            self._lane(x, y, w, head, start, end, self._of(seq) if fresh else colour + "6b")
        if self.times[block] > 1:
            static.box(self.axes, x + w - 28, y + h - 17, 23, 13, radius=6, facecolor=self.colour["ink"])
            static.write(
                self.axes,
                x + w - 16.5,
                y + h - 10.5,
                f"×{self.times[block]}",
                size=9.5,
                colour="card",
                ha="center",
                weight="bold",
                family="monospace",
            )

    def _lane(self, x, y, w, head, start, end, colour):
        step, top, tall = (
            (w - 12) / self.data["block_size"],
            y + 21 + head * self.lane,
            self.lane - (2 if self.lane > 4 else 1),
        )
        if step < 4:
            static.box(self.axes, x + 6 + start * step, top, (end - start) * step, tall, facecolor=colour)
            return
        for slot in range(start, end):
            static.box(self.axes, x + 6 + slot * step, top, step - 1.5, tall, facecolor=colour)

    def _sums(self, y):
        read = sum(p["bytes"] for p in self.done if p["kind"] == "decode")
        again, partial = (
            sum(self.data["again"][: self.step]),
            sum(p["bytes"] for p in self.done if p["kind"] == "merge"),
        )
        said = f"So far {read:,} bytes of K and V are read, {again:,} of them had been read before" + (
            f", and {partial:,} bytes of partial results." if self.outs else "."
        )
        static.write(self.axes, LEFT, y, said, size=12, colour="soft")
