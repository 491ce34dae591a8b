"""The data of the view of tiles: which tiles each event visits, what lies in fast memory, and the watched row."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count
from course_lib.viz.kit.inputs import keys, some, whole

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
OUTPUTS = {
    "tile": "output, divided by the sum so far",
    "store": "output, divided by the sum",
    "chunk": "output of one chunk",
    "product": "output",
}
"""Kind of an event -> what the output of the watched row is after it. Before a "store" a tile's is not yet divided."""
UNDIVIDED = "output, not yet divided"
FINISHES, VISITS = ("merge", "store", "product"), ("tile", "chunk", "skip", "product", "scores", "softmax")


def tiles_data(algorithm, num_queries, num_keys, watch, events):
    """What the browser draws from. Raises ParameterError for anything that does not fit together."""
    events = some("events", events)
    num_queries, num_keys = whole("num_queries", num_queries, 1), whole("num_keys", num_keys, 1)
    watch = whole("watch", watch, 0, num_queries - 1)
    for index, event in enumerate(events):
        _check(index, event, num_queries, num_keys, events[index - 1] if index else None)
    rows, cols = _cuts("rows", events, num_queries), _cuts("cols", events, num_keys)
    places = [_place(event, rows, cols) for event in events]
    begun, done = _written(places, len(rows))
    known, named = _watched(events)
    columns = ["step", "what", "queries", "keys", "bytes read so far", "bytes written so far"]
    columns += [f"{what} of row {watch}" for what in ("maximum", "sum", "output")]
    return {
        "title": "Attention in tiles",
        "subtitle": f"{algorithm}, {count(num_queries, 'query', 'queries')} by {count(num_keys, 'key')}",
        "first": 1,
        "last": len(events),
        "rows": [list(row) for row in rows],
        "cols": [list(col) for col in cols],
        "events": places,
        "fast": _fast(places),
        "watch": watch,
        "watched": next(n for n, (a, b) in enumerate(rows) if a <= watch < b),
        "row": known,
        "output": named,
        "begun": begun,
        "done": done,
        "read": [event["read"] for event in events],
        "written": [event["written"] for event in events],
        "columns": columns,
        "say": [_words(step, event) for step, event in enumerate(events, 1)],
    }


def visits(data, step):
    """{(row, column) of a tile: (kind, its number among the computed ones)} after `step`."""
    seen, computed = {}, 0
    for kind, i, i_end, j, j_end in data["events"][:step]:
        if kind in ("store", "merge"):
            continue
        computed += kind != "skip"
        seen |= {(a, b): (kind, computed) for a in range(i, i_end) for b in range(j, j_end)}
    return seen


def span(cuts, first, end):
    """Tiles first to end - 1 as the tokens they hold: "16–31"."""
    a, b = cuts[first][0], cuts[end - 1][1] - 1
    return f"{a}–{b}" if b > a else str(a)


def real(x):
    """A number of the watched row, as it is written."""
    return "−∞" if x is None else f"{x:.3f}"


def output_cell(data, index):
    """The watched row's output after a step as a cell of the table, with what it is if that is more than "output"."""
    values = ", ".join(map(real, data["row"][index][2]))
    said = data["output"][index].removeprefix("output").removeprefix(",").strip()
    return f"{values} ({said})" if said else values


def _cuts(side, events, end):
    """The half-open ranges of tokens that the events cut [0, end) into."""
    cuts = sorted({tuple(event[side]) for event in events if event["kind"] in VISITS})
    if [a for a, _ in cuts] != [0, *(b for _, b in cuts[:-1])] or cuts[-1][1] != end:
        raise ParameterError(
            f"The {side} of the events, {cuts[:4]}…, do not cut 0 to {end} into tiles. "
            "Record one head with one tile size."
        )
    return cuts


def _place(event, rows, cols):
    """[kind, first row of tiles, end, first column, end]"""
    place = [event["kind"]]
    for side, cuts in (("rows", rows), ("cols", cols)):
        begin, end = event[side]
        inside = [n for n, (first, _) in enumerate(cuts) if begin <= first < end]
        place += [inside[0], inside[-1] + 1]
    return place


def _written(places, num_rows):
    """For each row of tiles the step that wrote its output first, and the one that wrote it last."""
    finishes = {place[0] for place in places} & {*FINISHES}
    begun, done = [None] * num_rows, [None] * num_rows
    for step, (kind, i, i_end, _, _) in enumerate(places, 1):
        if kind in FINISHES or (kind == "tile" and not finishes):  # without one that finishes, the last tile does
            for n in range(i, i_end):
                begun[n], done[n] = begun[n] or step, step
    return begun, done


def _fast(places):
    """[whether the queries, whether the keys and values of an event lie in fast memory] for each event."""
    kinds = {place[0] for place in places}
    queries_stay, chunked = "store" in kinds, "chunk" in kinds
    found, loaded = [], set()  # loaded: columns of tiles that were in fast memory
    for kind, _, _, j, _ in places:
        if kind == "tile":
            loaded.add(j)
        if kind == "skip":  # what stayed from the tile before
            found.append([queries_stay, j in loaded and not queries_stay and not chunked])
        else:
            found.append([kind in ("tile", "chunk", "scores", "store"), kind in ("tile", "chunk", "scores", "product")])
    return found


def _watched(events):
    """After each event: [maximum, sum, first numbers of the output] of the watched row or None; what the output is."""
    divided_later = any(event["kind"] == "store" for event in events)
    known, name, found, named = None, "output", [], []
    for event in events:
        if event["row"]:
            row, kind = event["row"], event["kind"]
            maximum = None if row["maximum"] == float("-inf") else row["maximum"]
            known = [maximum, row["sum"], [round(x, 6) for x in row["output"][:4]]]
            name = UNDIVIDED if kind == "tile" and divided_later else OUTPUTS.get(kind, "output")
        found.append(known)
        named.append(name)
    return found, named


def _check(index, event, num_queries, num_keys, before):
    keys(f"events[{index}]", event, ("kind", "rows", "cols", "row", "read", "written"))
    if event["kind"] not in KINDS:
        raise ParameterError(f"events[{index}] is of kind {event['kind']!r}, which is none of {', '.join(KINDS)}.")
    for side, end in (("rows", num_queries), ("cols", num_keys)):
        if len(event[side]) != 2 or not 0 <= event[side][0] < event[side][1] <= end:
            raise ParameterError(
                f"events[{index}] has {side} {event[side]!r}; they are a half-open range (start, end) in 0 to {end}."
            )
    for name in ("read", "written"):
        whole(f"events[{index}][{name!r}]", event[name], before[name] if before else 0)


def _words(step, event):
    (r0, r1), (c0, c1) = event["rows"], event["cols"]
    what = f" queries {r0}–{r1 - 1}, keys {c0}–{c1 - 1}: {KINDS[event['kind']]}."
    moved = f"So far {event['read']:,} bytes read, {event['written']:,} written."
    return [["strong", f"Step {step}:"], ["", f"{what} {moved}"]]
