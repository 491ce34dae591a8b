"""A chart as a picture: matplotlib, from the same panels as the plotly figure."""

import math

from course_lib.viz.kit import still

from .figure import same_axis
from .looks import is_crowded, look, with_marks
from .model import BARS, colour_numbers, names, number_text, rounded

ROW, HEAD, GUTTER = 300, 84, 74  # CSS pixels: a row of panels, what stands above it, the words left of a panel


def paint(title, panels, down):
    """A matplotlib figure. down: panels below each other instead of side by side."""
    rows, columns = (len(panels), 1) if down else (1, len(panels))
    ncols = _legend_columns(names(panels))
    head = HEAD + 19 * (math.ceil(len(names(panels)) / ncols) - 1)
    height = head + ROW * rows
    figure, page = still.figure(height)
    still.write(page, 22, 26, title, size=17, weight="bold")
    colours, axes, handles = colour_numbers(panels), [], {}
    width = (still.WIDTH * still.SHOWN_DPI - 14 - GUTTER * columns) / columns
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left, top = GUTTER + column * (width + GUTTER), head + row * ROW
        box = (left / 920, 1 - (top + ROW - 58) / height, width / 920, (ROW - 76) / height)
        shared = {f"share{axis}": _alike(panels, axes, panel, axis) for axis in "xy"}
        axes.append(figure.add_axes(box, **shared))
        handles |= _panel(axes[-1], panel, colours)
    for plot, panel in zip(axes, panels):
        _from_zero(plot, [one for one in panels if same_axis(one, panel, "y")])
    where = {"loc": "upper left", "bbox_to_anchor": (18 / 920, 1 - 38 / height), "borderpad": 0, "columnspacing": 1.6}
    words = {"fontsize": 8.6, "labelcolor": still.palette()["ink"]}
    figure.legend(handles.values(), handles, ncols=ncols, frameon=False, **where, **words)
    return figure


def _legend_columns(labels):
    """So many names stand beside each other over the chart."""
    widest = max(len(label) for label in labels) * 6.6 + 62
    return max(1, min(len(labels), int(880 / widest)))


def _alike(panels, axes, panel, axis):
    return next((axes[at] for at in range(len(axes)) if same_axis(panels[at], panel, axis)), None)


def _panel(plot, panel, colours):
    """Draws one panel; returns {name: what stands for it in the legend}."""
    _axes(plot, panel)
    handles, tops, bars = {}, {}, [one for one in panel.series if one.kind == "bars" and not one.mine]
    for series in panel.series:
        form = look(colours.get(series.name), series)
        if series.kind in BARS and not series.mine:
            handles[series.name] = _bars(plot, panel, series, form, tops, bars)
        else:
            handles[series.name] = _line(plot, panel, series, form)
    for name, axis, at in panel.reference:
        _reference(plot, panel, name, axis, at)
    return handles


def _from_zero(plot, panels):
    """The y-axis of these panels begins at 0. Called when all are drawn, because it ends the search for their range."""
    series = [one for panel in panels for one in panel.series]
    values = [value for one in series for value in (*one.y, *one.low) if value is not None]
    if "y" not in panels[0].log and min(values, default=0) >= 0:
        plot.set_ylim(bottom=0)


def _axes(plot, panel):
    colour = still.palette()
    plot.set_facecolor(colour["card"])
    from matplotlib.ticker import EngFormatter

    plot.set(xscale="log" if "x" in panel.log else "linear", yscale="log" if "y" in panel.log else "linear")
    for name, axis in (("x", plot.xaxis), ("y", plot.yaxis)):
        axis.set_major_formatter(EngFormatter(sep="") if name in panel.log else _tick)
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        plot.spines[side].set_color(colour["faint"])
    plot.tick_params(which="both", colors=colour["soft"], labelsize=8)
    plot.grid(axis="y" if panel.names_on_x else "both", color=colour["line"], linewidth=0.6)
    plot.set_axisbelow(True)
    look = {"fontsize": 8.6, "color": colour["soft"], "parse_math": False}
    plot.set_xlabel(panel.label("x"), **look)
    plot.set_ylabel(panel.label("y"), **look)
    plot.set_title(panel.title, fontsize=9.4, color=colour["ink"], loc="left", weight="bold", parse_math=False)
    if panel.names_on_x:
        places = _places(panel)
        plot.set_xticks(range(len(places)), places)


def _tick(at, position):
    return number_text(rounded(float(at)))


def _places(panel):
    return list(dict.fromkeys(value for series in panel.series for value in series.x))


def _numbers(panel, series):
    """x as numbers: names by their place on the axis."""
    places = {name: at for at, name in enumerate(_places(panel))} if panel.names_on_x else {}
    return [places.get(value, value) for value in series.x]


def _heights(series):
    return [float("nan") if value is None else value for value in series.y]


def _bars(plot, panel, series, form, tops, bars):
    x, y = _numbers(panel, series), [value or 0 for value in series.y]
    width, bottom = 0.76, [0] * len(x)
    if series.kind == "bars":
        width /= len(bars)
        x = [at + (bars.index(series) - (len(bars) - 1) / 2) * width for at in x]
    else:
        bottom = [tops.get(at, 0) for at in x]
        tops |= {at: low + value for at, low, value in zip(x, bottom, y)}
    edge = {"edgecolor": still.palette()["card"], "linewidth": 0.6, "hatch": form["pattern"][1]}
    drawn = plot.bar(x, y, width, bottom=bottom, color=form["colour"], **edge)
    if series.low:
        _error_bars(plot, x, series, still.palette()["ink"])
    for at, value, low, text in zip(x, y, bottom, series.labels):
        _label(plot, at, low + value, text)
    return drawn


def _line(plot, panel, series, form):
    x, y = _numbers(panel, series), _heights(series)
    style = {"color": form["colour"], "linestyle": form["dash"][1], "linewidth": 1.8}
    if series.kind == "points" or series.mine:
        style["linestyle"] = "none"
    if with_marks(series):
        edge = still.palette()["ink" if series.mine else "card"]
        size = 12 if series.mine else 3.5 if is_crowded(series) else 6.5
        style |= {"marker": form["mark"][1], "markersize": size, "markeredgecolor": edge}
        style["markeredgewidth"] = 0 if is_crowded(series) else 1
        style["zorder"] = 5 if series.mine else 3
    if series.kind == "steps":
        style["drawstyle"] = "steps-post"
    if series.low and style["linestyle"] == "none":
        _error_bars(plot, x, series, form["colour"])
    elif series.low:
        step = "post" if series.kind == "steps" else None
        plot.fill_between(x, series.low, series.high, color=form["colour"], alpha=0.18, linewidth=0, step=step)
    (drawn,) = plot.plot(x, y, **style)
    for at, value, text in zip(x, series.y, series.labels):
        if value is not None:
            _label(plot, at, value, text)
    return drawn


def _error_bars(plot, x, series, colour):
    ends = [[y - low for y, low in zip(series.y, series.low)], [high - y for y, high in zip(series.y, series.high)]]
    plot.errorbar(x, series.y, yerr=ends, fmt="none", ecolor=colour, elinewidth=1, capsize=2.5, zorder=2.5)


def _label(plot, x, y, text):
    look = {"fontsize": 8, "color": still.palette()["ink"], "ha": "center", "va": "bottom", "parse_math": False}
    plot.annotate(text, (x, y), (0, 5), textcoords="offset points", **look)


def _reference(plot, panel, name, axis, at):
    colour = still.palette()["soft"]
    (plot.axhline if axis == "y" else plot.axvline)(at, color=colour, linewidth=1, linestyle="--")
    ground = {"facecolor": still.palette()["card"], "linewidth": 0, "pad": 0.8, "alpha": 0.85}
    look = {"fontsize": 8, "color": colour, "textcoords": "offset points", "parse_math": False, "bbox": ground}
    if axis == "y":
        plot.annotate(name, (1, at), (-2, 3), xycoords=("axes fraction", "data"), ha="right", va="bottom", **look)
    else:
        plot.annotate(name, (at, 0), (4, 3), xycoords=("data", "axes fraction"), ha="left", va="bottom", **look)
