"""Which program reads which block as a still picture, with matplotlib: the same as the live view, in light colours."""

import math
from collections import Counter

from course_lib.viz.kit import looks, still

LEFT, SPLIT, EDGE, TOP = 22, 410, 898, 104
ENTRY = {"w": 32, "h": 26}  # of a block table
LARGE = 48  # up to here blocks show their slots
TALLEST = 460  # of the sequences; where they need more, those around the step are shown
MONO = {"size": 11, "family": "monospace"}
NUMBER = {"ha": "center", "weight": "bold", "family": "monospace"}


def paint(data, step):
    """A matplotlib figure of a BlockReadsView's data at a step."""
    sequences, blocks = _Sequences(data, step), _Blocks(data, step)
    words = "".join(text for _, text in data["say"][step - 1])
    bottom = max(sequences.bottom, TOP + blocks.tall) + 16
    figure, axes = still.figure(bottom + 50 + 20 * len(still.broken(words)))
    still.title(axes, data)
    still.legend(axes, _legend(data))
    for x, text in ((LEFT, "PROGRAMS → OUTPUTS, BLOCK TABLES"), (SPLIT, "PHYSICAL MEMORY")):
        still.write(axes, x, 88, text, size=10.5, colour="soft", weight="bold")
    sequences.paint(axes)
    left_out = len(data["tables"]) - len(sequences.tops)
    if left_out:
        text = f"{left_out} more sequences are not in this picture"
        still.write(axes, LEFT, bottom - 18, text, size=11, colour="soft")
    blocks.paint(axes)
    still.write(axes, LEFT, bottom + 4, _sums(data, step), size=12, colour="soft")
    still.say(axes, bottom + 28, words)
    return figure


def _legend(data):
    blue, colour = looks.request_colour(0), still.palette()
    shown = [
        ("now", {"facecolor": blue}),
        ("before", {"facecolor": blue + "52"}),
        ("not yet", {"facecolor": colour["free"]}),
    ]
    if any(one["kind"] == "decode" and not one["reads"] for one in data["programs"]):
        shown.append(("nothing to read", _nothing() | {"linewidth": 0.5}))
    each = ", each for its KV head" if data["kv_heads"] > 1 else ""
    return [*shown, (f"read by 2 programs{each}", "×2")]


def _nothing():
    return still.hatched(still.palette()["faint"], still.palette()["free"], 5)


def _sums(data, step):
    done = data["programs"][:step]
    read, partial = (sum(one["bytes"] for one in done if one["kind"] == kind) for kind in ("decode", "merge"))
    said = f"So far {read:,} bytes of K and V are read, {sum(data['again'][:step]):,} of them had been read before"
    merges = any(one["kind"] == "merge" for one in data["programs"])
    return said + (f", and {partial:,} bytes of partial results." if merges else ".")


class _Sequences:
    """Programs, outputs and block tables. tops: [(sequence, top, top of its block table)] of those that are shown."""

    def __init__(self, data, step):
        self.data, self.step, self.now, self.colour = data, step, data["programs"][step - 1], still.palette()
        self.decodes, self.merges = {}, {}  # what a program computes -> its step
        for at, one in enumerate(data["programs"], 1):
            if one["kind"] == "decode":
                self.decodes[one["seq"], one["kv_head"], one["part"]] = at
            else:
                self.merges[one["seq"], one["head"]] = at
        self.group = data["heads"] // data["kv_heads"]
        width = SPLIT - LEFT - 24
        self.first = LEFT + 84
        self.cell = max(4, min(22, (width * 0.42 - 84) / data["parts"], 112 / data["kv_heads"]))
        self.out = max(3, min(14, self.cell - 4, 84 / self.group))
        self.outs = self.first + data["parts"] * self.cell + 16
        beside = self.outs + self.group * self.out + 16
        self.below = LEFT + width - beside < 4 * ENTRY["w"]  # no room for the block tables beside the programs
        self.table = self.first if self.below else beside
        self.per = max(1, int((LEFT + width - self.table) // ENTRY["w"]))
        self.tops, self.bottom = self._flow()

    def _flow(self):
        """The sequences below one another, from one before the step's own on."""
        high = self.data["kv_heads"] * self.cell
        lines = [max(1, -(-len(table) // self.per)) * ENTRY["h"] for table in self.data["tables"]]
        talls = [(high + 8 + line if self.below else max(high, line, 38)) + 16 for line in lines]
        first = self.now["seq"]
        while first and sum(talls[first - 1 : self.now["seq"] + 1]) <= TALLEST / 2:
            first -= 1
        tops, y = [], TOP + 20
        for seq in range(first, len(talls)):
            if tops and y + talls[seq] > TOP + TALLEST:
                break
            tops.append((seq, y, y + high + 8 if self.below else y))
            y += talls[seq]
        return tops, y

    def paint(self, axes):
        self.axes = axes
        parts = f"{self.data['across']} →" if self.data["parts"] > 1 else ""
        table = "" if self.below else "block table"
        for x, text in ((self.first, parts), (self.outs, "out"), (self.table, table)):
            still.write(axes, x, TOP + 6, text, colour="soft", **MONO)
        for at, (seq, top, table_top) in enumerate(self.tops):
            if at:
                still.box(axes, LEFT, top - 9, SPLIT - LEFT - 24, 0.8, facecolor=self.colour["line"])
            still.box(axes, LEFT, top, 34, 20, radius=5, facecolor=looks.request_colour(seq))
            still.write(axes, LEFT + 17, top + 10.5, f"R{seq}", size=12, colour="card", **NUMBER)
            tokens = f"{self.data['seq_lens'][seq]:,} tok"
            still.write(axes, LEFT + 1, top + 31, tokens, colour="soft", **MONO)
            for head in range(self.data["kv_heads"]):
                self._head(seq, head, top + head * self.cell)
            self._table(seq, table_top)

    def _head(self, seq, head, y):
        """The programs of a KV head, and the query heads of the output that they compute."""
        gap = 3 if self.cell > 8 else 1
        side, colour = self.cell - gap, looks.request_colour(seq)
        middle = y + side / 2
        if self.cell >= 13:
            still.write(self.axes, self.first - 6, middle, f"KV{head}", colour="soft", ha="right", **MONO)
            still.write(self.axes, self.outs - 10, middle, "→", size=11, colour="soft", ha="center")
        for part in range(self.data["parts"]):
            self._program(seq, head, part, self.first + part * self.cell, y, side)
        out = self.out - (2 if self.out > 6 else 1)
        for query in range(self.group):
            at = self.decodes.get((seq, head, query if self.data["across"] == "head" else 0))
            if self.merges:
                at = self.merges.get((seq, head * self.group + query))
            self._square(self.outs + query * self.out, middle - out / 2, out, at, colour, 0)

    def _program(self, seq, head, part, x, y, side):
        at, now = self.decodes.get((seq, head, part)), self.now
        radius = min(5, side / 4)
        if at and at <= self.step and not self.data["programs"][at - 1]["reads"]:
            edge = {"linewidth": 1.4 if at == self.step else 0}
            still.box(self.axes, x, y, side, side, radius=radius, **_nothing() | edge)
            return
        own = now["kind"] == "merge" and now["seq"] == seq and now["head"] // self.group == head
        merged = own and part in now["parts"]
        self._square(x, y, side, self.step if merged else at, looks.request_colour(seq), radius)

    def _square(self, x, y, side, at, colour, radius):
        """A program or an output: to come, done, or of this step."""
        still.box(self.axes, x, y, side, side, radius=radius, facecolor=self.colour["free"])
        if at and at <= self.step:
            now = at == self.step
            ring = {"edgecolor": self.colour["ink"], "linewidth": 1.4} if now else {}
            shade = colour if now else colour + "57"
            still.box(self.axes, x, y, side, side, radius=radius, facecolor=shade, **ring)

    def _table(self, seq, top):
        size, colour = self.data["block_size"], looks.request_colour(seq)
        done = self.data["programs"][: self.step]
        before = {read[0] for one in done if one["kind"] == "decode" and one["seq"] == seq for read in one["reads"]}
        hot = {read[0] for read in self.now.get("reads", ())} if self.now["seq"] == seq else set()
        for place, block in enumerate(self.data["tables"][seq]):
            x, y = self.table + place % self.per * ENTRY["w"], top + place // self.per * ENTRY["h"]
            part, now = min(size, self.data["seq_lens"][seq] - place * size) / size, block in hot
            face = colour if now else colour + "47" if block in before else self.colour["free"]
            edge = {"edgecolor": self.colour["ink"] if now else colour, "linewidth": 1.4 if now else 0.9}
            still.box(self.axes, x, y, 28, 21, radius=4, facecolor=face, **edge)
            ink = {"size": 11.5, "colour": "card" if now else "ink"}
            still.write(self.axes, x + 14, y + (9.5 if part < 1 else 11), str(block), **ink, **NUMBER)
            if part < 1:
                still.box(self.axes, x + 3, y + 16, 22 * part, 2.2, facecolor=self.colour["card"] if now else colour)


class _Blocks:
    """The physical blocks, in each a line for every KV head and a column for every slot. tall: all of them."""

    def __init__(self, data, step):
        self.data, self.now, self.colour = data, data["programs"][step - 1], still.palette()
        self.holders, self.reads, self.times = {}, {}, Counter()
        for seq, table in enumerate(data["tables"]):
            for block in dict.fromkeys(table):
                self.holders.setdefault(block, []).append(seq)
        for at, one in enumerate(data["programs"][:step], 1):
            for block, head, start, end in one.get("reads", ()):
                self.reads.setdefault(block, []).append((at == step, one["seq"], head, start, end))
            self.times.update({read[0] for read in one.get("reads", ())})
        number, inner, heads = data["num_blocks"], EDGE - SPLIT - 20, data["kv_heads"]
        self.large, self.lane = number <= LARGE, max(3, min(9, 36 / heads))
        self.columns = min(number, 6 if self.large else max(8, 8 * round(math.sqrt(number * inner / 300) / 8)))
        self.w = inner / self.columns
        self.h = 46 + heads * self.lane if self.large else max(4, min(20, self.w))
        self.tall = math.ceil(number / self.columns) * self.h + 20

    def paint(self, axes):
        self.axes = axes
        still.box(axes, SPLIT, TOP, EDGE - SPLIT, self.tall, radius=8, facecolor=self.colour["well"])
        gap = 6 if self.large else max(0.8, self.w / 9)
        for block in range(self.data["num_blocks"]):
            line, column = divmod(block, self.columns)
            place = SPLIT + 10 + column * self.w, TOP + 10 + line * self.h, self.w - gap, self.h - gap
            (self._large if self.large else self._small)(block, *place)

    def _own(self, block):
        """The colour of the first sequence that holds a block."""
        holders = self.holders.get(block)
        return looks.request_colour(holders[0]) if holders else self.colour["faint"]

    def _small(self, block, x, y, w, h):
        read, fill = self.reads.get(block, []), self.colour["free"]
        if any(now for now, *_ in read):
            fill = looks.request_colour(self.now["seq"])
        elif block in self.holders:
            fill = self._own(block) + ("73" if read else "24")
        still.box(self.axes, x, y, w, h, facecolor=fill)

    def _large(self, block, x, y, w, h):
        holders, read = self.holders.get(block, []), sorted(self.reads.get(block, []))
        hot, used = any(now for now, *_ in read), holders or read
        look = {
            "facecolor": self.colour["card"] if used else "none",
            "edgecolor": self.colour["ink"] if hot else self._own(block),
            "linewidth": 1.5 if hot else 1.0,
            "linestyle": "-" if used else "--",
        }
        still.box(self.axes, x, y, w, h, radius=5, **look)
        still.write(self.axes, x + 6, y + 10.5, str(block), size=9.5, colour="soft", family="monospace")
        if not used:
            return
        fit = max(1, int((w - 12 - 6 * len(str(block))) // 18))
        names = " ".join(f"R{seq}" for seq in holders[:fit]) + ("…" if len(holders) > fit else "")
        look = {"size": 10, "ha": "right", "weight": "bold", "family": "monospace"}
        still.write(self.axes, x + w - 5, y + 10.5, names, **look)
        for head in range(self.data["kv_heads"]):
            self._lane(x, y, w, head, 0, self.data["block_size"], self.colour["line"])
        for now, seq, head, start, end in read:  # what is now comes last
            self._lane(x, y, w, head, start, end, self.colour["card"])
            shade = looks.request_colour(seq) if now else self._own(block) + "6b"
            self._lane(x, y, w, head, start, end, shade)
        if self.times[block] > 1:
            still.box(self.axes, x + w - 28, y + h - 17, 23, 13, radius=6, facecolor=self.colour["ink"])
            times = f"×{self.times[block]}"
            still.write(self.axes, x + w - 16.5, y + h - 10.5, times, size=9.5, colour="card", **NUMBER)

    def _lane(self, x, y, w, head, start, end, colour):
        """Slots start to end of a KV head."""
        step, top = (w - 12) / self.data["block_size"], y + 21 + head * self.lane
        tall = self.lane - (2 if self.lane > 4 else 1)
        if step < 4:
            still.box(self.axes, x + 6 + start * step, top, (end - start) * step, tall, facecolor=colour)
            return
        for slot in range(start, end):
            still.box(self.axes, x + 6 + slot * step, top, step - 1.5, tall, facecolor=colour)
