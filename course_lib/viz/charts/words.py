"""A chart as words and as a table."""

from course_lib.viz.kit.format import enumerated

from .model import BARS, names, number_text

ROWS = 40  # so many rows of a table are saved; more points are thinned
LISTED = 8  # bars whose values are read out


def said(panels):
    """The chart in a few sentences: what it shows, and where each series begins, ends and peaks."""
    return " ".join(_panel(panel, len(panels) > 1) for panel in panels)


def _panel(panel, several):
    head = f"{panel.title or panel.y}: {panel.y} by {panel.x}." if several else f"{panel.y} by {panel.x}."
    head = head[0].upper() + head[1:]
    lines = [f"{name}: {axis} = {number_text(value, _unit(panel, axis))}." for name, axis, value in panel.reference]
    return " ".join([head, *(_one(panel, series) for series in panel.series), *lines])


def _one(panel, series):
    places = [(x, y) for x, y in zip(series.x, series.y) if y is not None]
    if not places:
        return f"{series.name}: no values."
    value = [f"{number_text(y, panel.y_unit)} at {number_text(x, panel.x_unit)}" for x, y in places]
    if series.kind in BARS or len(places) <= 3:
        return f"{series.name}: {enumerated(value, LISTED)}."
    top = max(range(len(places)), key=lambda at: places[at][1])
    peak = f", at most {value[top]}" if top not in (0, len(places) - 1) else ""
    return f"{series.name}: {value[0]}, {value[-1]}{peak}; {len(places)} points."


def table(panels):
    """(columns, rows) of all points, a row for each place on the x axis; cells are texts."""
    if len(panels) == 1:
        panel, shown = panels[0], names(panels)
        unit = f" ({panel.y_unit})" if panel.y_unit else ""
        rows = [[number_text(x), *cells] for x, cells in _rows(panel, shown, "")]
        return [panel.label("x"), *(name + unit for name in shown)], rows
    everything = names(panels)
    rows = []
    for panel in panels:
        for x, cells in _rows(panel, everything, panel.y_unit):
            rows.append([panel.title or panel.y, f"{panel.x} {number_text(x, panel.x_unit)}", *cells])
    return ["chart", "at", *everything], rows


def thinned(rows):
    """At most ROWS of the rows, the first and the last among them."""
    if len(rows) <= ROWS:
        return rows
    return [rows[at * (len(rows) - 1) // (ROWS - 1)] for at in range(ROWS)]


def _rows(panel, columns, unit):
    """(x, a cell for each column) for every place on the x axis."""
    cells = {}
    for series in panel.series:
        for at, (x, y) in enumerate(zip(series.x, series.y)):
            texts = cells.setdefault(x, {}).setdefault(series.name, [])
            texts.append(_cell(series, at, y, unit))
    places = list(cells) if panel.names_on_x else sorted(cells)
    return [(x, ["; ".join(cells[x].get(name, [])) for name in columns]) for x in places]


def _cell(series, at, y, unit):
    text = number_text(y, unit)
    if series.low:
        text += f" [{number_text(series.low[at])}, {number_text(series.high[at])}]"
    return f"{series.labels[at]}: {text}" if series.labels else text


def _unit(panel, axis):
    return panel.x_unit if axis == "x" else panel.y_unit
