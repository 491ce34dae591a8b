"""Attention tile by tile: which are loaded, computed and skipped, in the order of an algorithm, and the bytes moved so far."""

from course_lib.errors import ParameterError
from course_lib.viz.kit import still as static
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, keys, some, whole

KINDS = {
    "tile": "scores, softmax and output of this tile, in fast memory",
    "skip": "the mask hides every pair: nothing is loaded",
    "chunk": "scores and weights of this chunk go to slow memory and back, its partial result too",
    "merge": "the partial results come back and are merged",
    "store": "the output is divided by the sum and written",
    "scores": "all scores are computed and written to slow memory",
    "softmax": "all scores come back, and the weights are written",
    "product": "all weights come back, and the output is written",
}
"""Kind of an event -> what happens in it."""
# what the output of the watched row is after an event; a tile's is not yet divided where a "store" divides it
OUTPUTS = {
    "tile": "output, divided by the sum so far",
    "store": "output, divided by the sum",
    "chunk": "output of one chunk",
    "product": "output",
}
UNDIVIDED = "output, not yet divided"
FINISHES, VISITS = ("merge", "store", "product"), ("tile", "chunk", "skip", "product", "scores", "softmax")


def tiles_view(algorithm, num_queries, num_keys, watch, events):
    """The matrix of queries by keys, cut into tiles, as `course_lib.attention.record_tiles` recorded one head.

    algorithm: its name. watch: the query whose running maximum, sum and output are shown. events: dicts with `kind`, `rows` and
    `cols` (half-open ranges), `row` (None, or the `maximum`, `sum` and `output` of `watch`), and bytes `read` and `written` so far.
    `selected` is a tile (row, column), counted in tiles, or None. Raises ParameterError for anything that does not fit together.
    """
    events = some("events", events)
    num_queries, num_keys = whole("num_queries", num_queries, 1), whole("num_keys", num_keys, 1)
    watch = whole("watch", watch, 0, num_queries - 1)
    for index, event in enumerate(events):
        _check(index, event, num_queries, num_keys, events[index - 1] if index else None)
    rows, cols = (
        sorted({tuple(event[side]) for event in events if event["kind"] in VISITS}) for side in ("rows", "cols")
    )
    for name, cut, end in (("rows", rows, num_queries), ("cols", cols, num_keys)):
        if [a for a, _ in cut] != [0, *(b for _, b in cut[:-1])] or cut[-1][1] != end:
            raise ParameterError(
                f"The {name} of the events, {cut[:4]}…, do not cut 0 to {end} into tiles. Record one head with one tile size."
            )
    kinds = {event["kind"] for event in events}
    finishes = bool(kinds & {*FINISHES})
    places, fast, at, named, known, name, begun, done = (
        [],
        [],
        [],
        [],
        None,
        "output",
        [None] * len(rows),
        [None] * len(rows),
    )
    for step, event in enumerate(events, 1):
        i = [n for n, row in enumerate(rows) if event["rows"][0] <= row[0] < event["rows"][1]]
        j = [n for n, col in enumerate(cols) if event["cols"][0] <= col[0] < event["cols"][1]]
        places.append([event["kind"], i[0], i[-1] + 1, j[0], j[-1] + 1])
        if event["kind"] in FINISHES or event["kind"] == "tile" and not finishes:
            for n in i:
                begun[n], done[n] = (
                    begun[n] or step,
                    step,
                )  # without an event that finishes, the last tile of a row does
        fast.append(
            _fast(
                event["kind"],
                "store" in kinds,
                "chunk" in kinds,
                any(one[0] == "tile" and one[3] == j[0] for one in places),
            )
        )
        if event["row"]:
            known, name = (
                event["row"],
                UNDIVIDED if event["kind"] == "tile" and "store" in kinds else OUTPUTS.get(event["kind"], "output"),
            )
        named.append(name)
        at.append(
            known
            and [
                None if known["maximum"] == float("-inf") else known["maximum"],
                known["sum"],
                [round(x, 6) for x in known["output"][:4]],
            ]
        )
    return TilesView({
        "title": "Attention in tiles",
        "subtitle": f"{algorithm}, {count(num_queries, 'query').replace('querys', 'queries')} by {count(num_keys, 'key')}",
        "first": 1, "last": len(events),
        "rows": [list(r) for r in rows], "cols": [list(c) for c in cols], "events": places, "fast": fast, "watch": watch,
        "watched": next(n for n, (a, b) in enumerate(rows) if a <= watch < b), "row": at, "output": named,
        "begun": begun, "done": done, "read": [e["read"] for e in events], "written": [e["written"] for e in events],
        "columns": ["step", "what", "queries", "keys", "bytes read so far", "bytes written so far", f"maximum of row {watch}", f"sum of row {watch}", f"output of row {watch}"],
        "say": [_words(step, event) for step, event in enumerate(events, 1)],
    })  # fmt: skip


class TilesView(View):
    """See `tiles_view`."""

    name = "tiles"
    noun = "view of tiles"

    def check_selected(self, selected):
        sides = len(self.data["rows"]), len(self.data["cols"])
        if selected is None:
            return None
        if (
            isinstance(selected, (list, tuple))
            and len(selected) == 2
            and all(type(x) is int and 0 <= x < n for x, n in zip(selected, sides))
        ):
            return list(selected)
        raise ParameterError(
            f"selected = {selected!r} is no tile; there are {sides[0]} rows and {sides[1]} columns of them. "
            "Give (row, column), counted from 0, or None for no selection."
        )

    def _rows(self, step):
        data = self.data
        return [
            [
                index + 1,
                kind,
                span(data["rows"], i, i_end),
                span(data["cols"], j, j_end),
                data["read"][index],
                data["written"][index],
                *([*map(number, data["row"][index][:2]), listed(data, index)] if data["row"][index] else ["", "", ""]),
            ]
            for index, (kind, i, i_end, j, j_end) in enumerate(data["events"][:step])
        ]

    def _poster(self):
        return max(1, round(0.62 * self.last))  # at rest, some tiles are done, some skipped, some to come

    def _paint(self, step):
        return _Painter(self.data, step).figure


def span(cuts, first, end):
    """Tiles first to end - 1 as the tokens they hold: "16–31"."""
    a, b = cuts[first][0], cuts[end - 1][1] - 1
    return f"{a}–{b}" if b > a else str(a)


def listed(data, index):
    """The watched row's output after a step as a cell of the table, with what it is where that is more than "output"."""
    values, said = (
        ", ".join(map(number, data["row"][index][2])),
        data["output"][index].removeprefix("output").removeprefix(",").strip(),
    )
    return f"{values} ({said})" if said else values


def _fast(kind, queries_stay, chunked, loaded):
    """[whether the queries, whether the keys and values of an event lie in fast memory]."""
    if kind == "skip":  # what stayed from the tile before
        return [queries_stay, loaded and not queries_stay and not chunked]
    return [kind in ("tile", "chunk", "scores", "store"), kind in ("tile", "chunk", "scores", "product")]


def _check(index, event, num_queries, num_keys, before):
    keys(f"events[{index}]", event, ("kind", "rows", "cols", "row", "read", "written"))
    if event["kind"] not in KINDS:
        raise ParameterError(f"events[{index}] is of kind {event['kind']!r}, which is none of {', '.join(KINDS)}.")
    for side, end in (("rows", num_queries), ("cols", num_keys)):
        if len(event[side]) != 2 or not 0 <= event[side][0] < event[side][1] <= end:
            raise ParameterError(
                f"events[{index}] has {side} {event[side]!r}; they are a half-open range (start, end) inside 0 to {end}."
            )
    for name in ("read", "written"):
        whole(f"events[{index}][{name!r}]", event[name], before[name] if before else 0)


def _words(step, event):
    (r0, r1), (c0, c1) = event["rows"], event["cols"]
    return [["strong", f"Step {step}:"], ["", f" queries {r0}–{r1 - 1}, keys {c0}–{c1 - 1}: {KINDS[event['kind']]}. "
             f"So far {event['read']:,} bytes read, {event['written']:,} written."]]  # fmt: skip


class _Painter:
    """Draws one step with matplotlib; the same picture as tiles.js, in light colours."""

    def __init__(self, data, step):
        self.data, self.step, self.colour = data, step, static.palette()
        rows, cols = len(data["rows"]), len(data["cols"])
        self.cell = min(44, 340 / max(rows, cols)) if max(rows, cols) > 1 else 180
        self.left, self.top = 96, 122
        self.bottom = self.top + rows * self.cell
        self.figure, self.axes = static.figure(max(self.bottom, 330) + 66)
        static.title(self.axes, data)
        static.legend(self.axes, legend(data, self.looks()))
        self._strips()
        self._tiles()
        self._panel(self.left + cols * self.cell + 96)
        static.say(self.axes, max(self.bottom, 330) + 20, "".join(text for _, text in data["say"][step - 1]))

    def looks(self):
        colour = self.colour
        return {
            "computed": {"facecolor": colour["r0"]},
            "skipped": static.hatched(colour["faint"], colour["card"], 4),
            "to come": {"facecolor": colour["free"]},
            "fast": {"facecolor": colour["r2"]},
            "unfinished": static.hatched(colour["r1"]),
            "finished": {"facecolor": colour["r1"]},
        }

    def _strips(self):
        """q at the left, k and v above, the output at the right: what is in fast memory, and what was written."""
        data, looks, colour = self.data, self.looks(), self.colour
        _, i, i_end, j, j_end = data["events"][self.step - 1]
        right = self.left + len(data["cols"]) * self.cell
        for text, x, ha in (
            ("k, v", self.left - 34, "right"),
            ("q", self.left - 19, "center"),
            ("out", right + 19, "center"),
        ):
            static.write(self.axes, x, self.top - 18, text, size=12, colour="soft", ha=ha)
        for n in range(len(data["cols"])):
            fast = data["fast"][self.step - 1][1] and j <= n < j_end
            static.box(
                self.axes,
                self.left + n * self.cell + 1,
                self.top - 25,
                self.cell - 2,
                14,
                radius=3,
                **(looks["fast"] if fast else looks["to come"]),
            )
            if self.cell >= 24:
                static.write(
                    self.axes,
                    self.left + (n + 0.5) * self.cell,
                    self.top - 36,
                    str(data["cols"][n][0]),
                    size=10.5,
                    colour="soft",
                    ha="center",
                    family="monospace",
                )
        for n in range(len(data["rows"])):
            y = self.top + n * self.cell + 1
            fast = data["fast"][self.step - 1][0] and i <= n < i_end
            static.box(
                self.axes,
                self.left - 26,
                y,
                14,
                self.cell - 2,
                radius=3,
                **(looks["fast"] if fast else looks["to come"]),
            )
            begun, done = data["begun"][n], data["done"][n]
            state = (
                "finished"
                if done and done <= self.step
                else "unfinished"
                if begun and begun <= self.step
                else "to come"
            )
            static.box(self.axes, right + 12, y, 14, self.cell - 2, radius=3, **looks[state])
            if self.cell >= 15:
                static.write(
                    self.axes,
                    self.left - 34,
                    y + self.cell / 2,
                    str(data["rows"][n][0]),
                    size=10.5,
                    colour="soft",
                    ha="right",
                    family="monospace",
                )
        self.axes.plot(
            [self.left - 8, right + 8],
            [self._row_y()] * 2,
            color=colour["ink"],
            linewidth=0.8,
            linestyle=(0, (2, 2)),
            zorder=5,
        )

    def _row_y(self):
        start, end = self.data["rows"][self.data["watched"]]
        return self.top + (self.data["watched"] + (self.data["watch"] - start + 0.5) / (end - start)) * self.cell

    def _tiles(self):
        data, looks, now = self.data, self.looks(), self.data["events"][self.step - 1]
        seen = visits(data, self.step)
        for i in range(len(data["rows"])):
            for j in range(len(data["cols"])):
                x, y = self.left + j * self.cell, self.top + i * self.cell
                kind, number = seen.get((i, j), (None, None))
                look = looks["to come"] if kind is None else looks["skipped"] if kind == "skip" else looks["computed"]
                static.box(self.axes, x + 1, y + 1, self.cell - 2, self.cell - 2, radius=min(4, self.cell / 5), **look)
                if kind not in (None, "skip") and self.cell >= 18:
                    static.write(
                        self.axes,
                        x + self.cell / 2,
                        y + self.cell / 2,
                        str(number),
                        size=11,
                        colour="card",
                        ha="center",
                        family="monospace",
                        zorder=6,
                    )
        _, i, i_end, j, j_end = now
        static.box(
            self.axes,
            self.left + j * self.cell - 1,
            self.top + i * self.cell - 1,
            (j_end - j) * self.cell + 2,
            (i_end - i) * self.cell + 2,
            radius=4,
            facecolor="none",
            edgecolor=self.colour["ink"],
            linewidth=1.4,
            zorder=7,
        )

    def _panel(self, x):
        data, at, wide = self.data, self.step - 1, 898 - x
        static.write(self.axes, x, self.top - 18, "BYTES MOVED SO FAR", size=10.5, colour="soft", weight="bold")
        most = max(data["read"][-1], data["written"][-1], 1)
        for n, (name, tone) in enumerate(
            (("read", "faint"), ("written", "ink"))
        ):  # as in the live view's chart: filled so far, outlined to come
            y = self.top + 8 + 42 * n
            static.write(self.axes, x, y, name, size=12, colour="soft")
            static.write(
                self.axes,
                x + wide,
                y,
                f"{data[name][at]:,} of {data[name][-1]:,}",
                size=12,
                ha="right",
                family="monospace",
            )
            static.box(
                self.axes,
                x,
                y + 10,
                max(2, wide * data[name][-1] / most),
                10,
                facecolor=self.colour["free"],
                edgecolor=self.colour[tone],
                linewidth=0.7,
            )
            static.box(
                self.axes,
                x,
                y + 10,
                max(1, wide * data[name][at] / most) if data[name][at] else 0,
                10,
                facecolor=self.colour[tone],
            )
        static.write(
            self.axes, x, self.top + 108, f"ROW {data['watch']} (DOTTED)", size=10.5, colour="soft", weight="bold"
        )
        row = data["row"][at]
        lines = (
            [
                ("maximum", number(row[0])),
                ("sum", number(row[1])),
                (data["output"][at], ""),
                ("", ", ".join(map(number, row[2]))),
            ]
            if row
            else [("", "not met yet")]
        )
        for n, (name, value) in enumerate(lines):
            static.write(self.axes, x, self.top + 130 + 20 * n, name, size=12, colour="soft")
            static.write(
                self.axes, x + (76 if name else 0), self.top + 130 + 20 * n, value, size=12, family="monospace"
            )


def number(x):
    return "−∞" if x is None else f"{x:.3f}"


def visits(data, step):
    """{(row, column) of a tile: (kind, its number among the computed ones)} after `step`."""
    seen, computed = {}, 0
    for kind, i, i_end, j, j_end in data["events"][:step]:
        if kind in ("store", "merge"):
            continue
        computed += kind != "skip"
        seen |= {(a, b): (kind, computed) for a in range(i, i_end) for b in range(j, j_end)}
    return seen


def legend(data, looks):
    """[(text, look)] of the marks that this recording has."""
    kinds = {event[0] for event in data["events"]}
    entries = [("computed, in this order", looks["computed"])]
    entries += [("skipped", looks["skipped"])] * ("skip" in kinds)
    entries += [("to come", looks["to come"]), ("in fast memory now", looks["fast"])]
    entries += [("output written, unfinished", looks["unfinished"])] * (data["begun"] != data["done"])
    return [*entries, ("output written", looks["finished"])]
