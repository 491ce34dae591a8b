"""`chart`: one door to charts that answer: exact values with units on hover, series to switch off, zoom, both themes.

    from course_lib.viz import chart, panel

    chart("Time to write 512 tokens",                      # the title is the question or what is shown
          {"naive": (steps, naive_s), "cached": (steps, cached_s)},
          x="new tokens", y="time since the start", y_unit="s")

    chart("Work by step",                                  # two pairs of axes: panels, side by side
          panel({"naive": (steps, computed), ...}, x="step", y="tokens computed"),
          panel({"naive": (steps, flops), ...}, x="step", y="operations", y_unit="GFLOP"))

The same data makes the live chart (plotly), the picture (PNG with alternative text) and the table. All three are in
what the cell displays, so GitHub, print and a notebook without a kernel show picture and table. The notebook never
holds plotly.js: the browser asks the kernel for the file of the installed plotly package, once for a page. What a cell
displays has no application/vnd.plotly.v1+json: where that lies beside a PNG, plotly's extension of JupyterLab shows the
PNG at twice its size and without its alternative text. `chart(...).figure` is the plotly figure itself.
"""

import gzip
from functools import cache

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View, anywidget
from course_lib.viz.kit.format import count
from course_lib.viz.kit.still import Picture, palette

from .figure import plotly_figure
from .looks import look
from .model import BARS, checked_panel, checked_panels, colour_numbers, names
from .words import said, table, thinned

COLOURS = ("ink", "soft", "faint", "line", "card", "r0", "r1", "r2", "r3", "r4", "r5")


def panel(series, *, x, y, x_unit="", y_unit="", kind="lines", log="", reference=None, title=""):
    """One pair of axes of a chart.

    series: {name: (x, y)}, or {name: dict} where a dict has x, y and any of low and high (the ends of an interval for
        each point), labels (a text at each point), kind (its own) and mine (True: the learner's own points, as stars).
        x: numbers, or texts for places with names. y: numbers, None where there is no value.
    x, y: what the axes show, for example "batch size"; x_unit, y_unit: their units, for example "ms".
    kind: "lines", "points", "steps", "bars" (side by side), "stacked" (bars on each other) or "limit" (a roof: a line
        in the colour of text). A series of another kind names its own.
    log: the logarithmic axes: "x", "y" or "xy".
    reference: {name: ("y", value)} or ("x", value): a dashed line across the panel, with its name.
    Raises ParameterError for anything that does not fit together.
    """
    return checked_panel(
        series, x=x, y=y, x_unit=x_unit, y_unit=y_unit, kind=kind, log=log, reference=reference or {}, title=title
    )


def chart(title, *panels, down=False, **axes):
    """A Chart. Either one dict of series with the arguments of `panel`, or several panels.

    down: True puts panels below each other. Panels with the same words and unit at an axis share its range, and a name
    has one colour and one switch in all panels. `chart.selected = ["cached"]` shows these series alone; None shows all.
    Raises ParameterError for anything that does not fit together, and for more points than a notebook should keep.
    """
    if len(panels) == 1 and isinstance(panels[0], dict):
        missing = [name for name in ("x", "y") if name not in axes]
        if missing:
            raise ParameterError(f"the chart has no words for {' and '.join(missing)}: give x='batch size', y='time'.")
        panels, axes = [panel(panels[0], **axes)], {}
    if axes:
        raise ParameterError(f"{', '.join(axes)} belong to a panel: panel(series, x=..., y=...).")
    if not isinstance(title, str) or not title:
        raise ParameterError(f"the title is {title!r}; it has to be a text that says what the chart shows.")
    return Chart(title, checked_panels(panels), bool(down))


class Chart(View):
    """See `chart`. panels: the data; figure: the plotly figure, to change or to save."""

    name = "charts"
    noun = "chart"

    def __init__(self, title, panels, down=False):
        self._panels, self._down = panels, down
        self.figure = plotly_figure(title, panels, down)
        columns, rows = table(panels)
        data = {
            "title": title,
            "subtitle": " · ".join(dict.fromkeys(one.y for one in panels)),
            "first": 1,
            "last": 1,
            "say": [[["", said(panels)]]],
            "columns": columns,
            "rows": thinned(rows),
            "num_rows": len(rows),
            "figure": self.figure.to_plotly_json(),
            "colours": {palette()[name]: name for name in COLOURS},
            "series": _switches(panels),
        }
        self._picture = Picture.of(self._painted(title), alt=f"{title}. {said(panels)}")
        data["picture"] = {"png": self._picture._repr_mimebundle_()[0]["image/png"], "alt": self._picture.alt}
        super().__init__(data)
        if anywidget is not None:
            self.on_msg(_send_plotly)

    def check_selected(self, selected):
        if selected is None:
            return None
        known = names(self._panels)
        if not isinstance(selected, (list, tuple)) or not set(selected) <= set(known):
            raise ParameterError(f"selected = {selected!r}; give a list of some of {known}, or None for all of them.")
        return list(selected)

    def table(self, step=None):
        self._at(step)
        columns, rows = table(self._panels)
        return [dict(zip(columns, row)) for row in rows]

    def snapshot(self, step=None):
        """The chart as a PNG with alternative text."""
        self._at(step)
        return self._picture

    def _kept_data(self):
        return self.data | {"picture": self.data["picture"] | {"png": ""}}  # the output has it already

    def page_scripts(self):
        return (_plotly_js(),)

    def _rows(self, step):
        return self.data["rows"]

    def _painted(self, title):
        from .still import paint

        return paint(title, self._panels, self._down)

    def __repr__(self):
        series = sum(len(one.series) for one in self._panels)
        return f"<{self.noun}: {self.data['title']}, {count(series, 'series', 'series')}>"


def _switches(panels):
    """What the page needs to draw the switch of each series."""
    colours, found = colour_numbers(panels), {}
    for one in (series for each in panels for series in each.series):
        form = look(colours.get(one.name), one)
        kind = "mine" if one.mine else "bars" if one.kind in BARS else "points" if one.kind == "points" else "lines"
        found.setdefault(one.name, {"name": one.name, "colour": form["colour"], "dash": form["dash"][0], "kind": kind})
    return list(found.values())


def _send_plotly(chart, content, buffers):
    """Answers a page that has no plotly.js yet."""
    if content == {"want": "plotly"}:
        chart.send({"kind": "plotly"}, buffers=[_packed_plotly()])


@cache
def _packed_plotly():
    """Packed: 1.5 MB. A Jupyter server drops messages of more than 1 MB a second, taken over 3 seconds."""
    return gzip.compress(_plotly_js().encode(), mtime=0)


@cache
def _plotly_js():
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
