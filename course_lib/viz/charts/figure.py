"""A chart as a plotly figure in the light theme; the browser exchanges the colours for those of its own theme."""

import html
import math

from course_lib.errors import CourseError
from course_lib.viz.kit.still import palette

from .looks import is_crowded, look, with_marks
from .model import BARS, colour_numbers, number_text

ROW = 330  # CSS pixels of a row of panels
GAP = {"across": 0.08, "down": 0.16}  # between panels, as a share of the chart


def plotly_figure(title, panels, down):
    """A `plotly.graph_objects.Figure` of the panels. down: below each other instead of side by side."""
    try:
        from plotly.graph_objects import Figure
    except ImportError as error:
        raise CourseError("plotly is not installed. Install it with: pip install 'plotly>=5.20'") from error
    colours, traces, layout, shown = colour_numbers(panels), [], _layout(title, panels, down), set()
    for number, panel in enumerate(panels):
        place = {"xaxis": f"x{number + 1 if number else ''}", "yaxis": f"y{number + 1 if number else ''}"}
        for series in panel.series:
            form = look(colours.get(series.name), series)
            common = {"name": series.name, "legendgroup": series.name, "meta": {"series": series.name}, **place}
            if series.low and series.kind in ("lines", "steps"):
                traces.append(_band(series, form) | common | {"showlegend": False})
            traces.append(_trace(panel, series, form) | common | {"showlegend": series.name not in shown})
            shown.add(series.name)
    return Figure({"data": traces, "layout": layout})


def _trace(panel, series, form):
    base = {"x": list(series.x), "y": list(series.y), "hovertemplate": _hover(panel, series)}
    base |= {"customdata": [list(ends) for ends in zip(series.low, series.high)]} if series.low else {}
    if series.kind in BARS and not series.mine:
        pattern = {"shape": form["pattern"][0], "fgcolor": palette()["card"], "size": 6, "solidity": 0.3}
        pattern["fillmode"] = "overlay"  # otherwise the ground between the strokes is empty
        base |= {"type": "bar", "marker": {"color": form["colour"], "pattern": pattern}}
        base["error_y"] = _bars(series, palette()["ink"])
        return base | ({"hovertext": list(series.labels)} if series.labels else {})
    modes = (["lines"] if series.kind != "points" and not series.mine else []) + ["markers"] * with_marks(series)
    if series.labels:
        base |= {"text": list(series.labels), "textposition": "top center", "textfont": {"color": palette()["ink"]}}
        modes.append("text")
    base |= {"type": "scatter", "mode": "+".join(modes)}
    base["line"] = {"color": form["colour"], "dash": form["dash"][0], "width": 2}
    base["line"] |= {"shape": "hv"} if series.kind == "steps" else {}
    edge = {"color": palette()["ink" if series.mine else "card"], "width": 0 if is_crowded(series) else 1}
    base["marker"] = {
        "color": form["colour"],
        "symbol": form["mark"][0],
        "size": 14 if series.mine else 5 if is_crowded(series) else 9,
        "line": edge,
    }
    return base | ({"error_y": _bars(series, form["colour"])} if series.kind == "points" or series.mine else {})


def _bars(series, colour):
    """Intervals as lines at each point."""
    if not series.low:
        return {"visible": False}
    up = [high - y for y, high in zip(series.y, series.high)]
    down = [y - low for y, low in zip(series.y, series.low)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": colour, "thickness": 1.2}


def _band(series, form):
    """Intervals as an area behind a line."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*series.x, *reversed(series.x)],
        "y": [*series.high, *reversed(series.low)],
        "fill": "toself",
        "fillcolor": form["colour"],
        "opacity": 0.18,
        "line": {"width": 0, "color": form["colour"]},
        "hoverinfo": "skip",
    }


def _hover(panel, series):
    """Every value that a point has, with its unit."""

    def value(place, unit):
        return f"%{{{place}}}{' ' + html.escape(unit) if unit else ''}"

    x = value("x" if panel.names_on_x else "x:,", panel.x_unit)
    lines = [f"{html.escape(panel.x)}: {x}", f"{html.escape(panel.y)}: {value('y:,', panel.y_unit)}"]
    if series.low:
        ends = (value(f"customdata[{at}]:,", panel.y_unit) for at in (0, 1))
        lines.append("interval: " + " to ".join(ends))
    if series.labels:
        lines.insert(0, "%{hovertext}" if series.kind in BARS else "%{text}")
    return "<br>".join(lines) + f"<extra>{html.escape(series.name)}</extra>"


def _reference(panel, mark, name, axis, at):
    """(shape, annotation): a dashed line across the panel, and its name at the end. mark: of the panel's axes."""
    colour, other, unit = palette(), "x" if axis == "y" else "y", getattr(panel, f"{axis}_unit")
    line = {"color": colour["soft"], "width": 1.2, "dash": "dash"}
    refs = {f"{axis}ref": f"{axis}{mark}", f"{other}ref": f"{other}{mark} domain"}
    shape = {"type": "line", f"{axis}0": at, f"{axis}1": at, f"{other}0": 0, f"{other}1": 1, "line": line} | refs
    where = math.log10(at) if axis in panel.log else at  # an annotation is placed by exponents, a shape is not
    text = {"text": html.escape(name), "hovertext": html.escape(f"{name}: {number_text(at, unit)}"), "showarrow": False}
    text |= {"font": {"color": colour["soft"], "size": 11}, "bgcolor": colour["card"]}
    text |= {axis: where, other: int(axis == "y")}
    return shape, text | refs | {"xanchor": "right" if axis == "y" else "left", "yanchor": "bottom"}


def _layout(title, panels, down):
    colour, count = palette(), len(panels)
    layout = {
        "title": {"text": html.escape(title), "x": 0, "xref": "paper", "font": {"size": 15}},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": colour["ink"]},
        "paper_bgcolor": colour["card"],
        "plot_bgcolor": colour["card"],
        "height": ROW * (count if down else 1) + 60,
        "margin": {"l": 64, "r": 16, "t": 72, "b": 52},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": colour["card"], "font": {"color": colour["ink"]}, "bordercolor": colour["faint"]},
        "barmode": "stack" if any(one.kind == "stacked" for panel in panels for one in panel.series) else "group",
        "annotations": [],
        "shapes": [],
        "template": "none",
    }
    for number, panel in enumerate(panels):
        across = [0, 1] if down else _share(number, count, "across")
        up = _share(count - 1 - number, count, "down") if down else [0, 1]
        mark = str(number + 1) if number else ""
        for axis, domain, other in (("x", across, "y"), ("y", up, "x")):
            layout[f"{axis}axis{mark}"] = _axis(panels, number, axis) | {"domain": domain, "anchor": f"{other}{mark}"}
        for one in panel.reference:
            shape, text = _reference(panel, mark, *one)
            layout["shapes"].append(shape)
            layout["annotations"].append(text)
        if panel.title:
            heading = {
                "text": f"<b>{html.escape(panel.title)}</b>",
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
            }
            layout["annotations"].append(heading | {"x": across[0], "y": up[1], "xanchor": "left", "yanchor": "bottom"})
    return layout


def _share(number, count, way):
    """[start, end] of one of `count` panels, from 0 to 1."""
    gap = GAP[way] if count > 1 else 0
    size = (1 - gap * (count - 1)) / count
    return [round(number * (size + gap), 4), round(number * (size + gap) + size, 4)]


def _axis(panels, number, axis):
    panel, colour = panels[number], palette()
    log = axis in panel.log
    found = {
        "title": {"text": html.escape(panel.label(axis)), "font": {"color": colour["soft"], "size": 12}, "standoff": 8},
        "type": "log" if log else "category" if axis == "x" and panel.names_on_x else "linear",
        "gridcolor": colour["line"],
        "linecolor": colour["faint"],
        "zerolinecolor": colour["line"],
        "tickfont": {"color": colour["soft"]},
        "automargin": True,
        "showline": True,
    }
    if axis == "y" and not log:
        found["rangemode"] = "tozero"
    found |= {"exponentformat": "SI"} if log else {"separatethousands": True}
    if log and _decades(panel, axis) > 2:
        found["dtick"] = 1
    alike = next(at for at, one in enumerate(panels) if same_axis(one, panel, axis))
    return found | ({"matches": f"{axis}{alike + 1 if alike else ''}"} if alike != number else {})


def same_axis(one, other, axis):
    """Whether two panels show the same quantity on an axis, so that they share its range."""
    if axis == "x" and (one.names_on_x or other.names_on_x):
        return one is other
    return one.label(axis) == other.label(axis) and (axis in one.log) == (axis in other.log)


def _decades(panel, axis):
    values = [value for one in panel.series for value in getattr(one, axis) if value]
    return math.log10(max(values) / min(values))
