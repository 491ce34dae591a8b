"""The roofline with matplotlib: two roofs on logarithmic axes, points under them, and below a line for each point."""

import math

from course_lib.viz.kit import looks, still

from .model import readable

MARKS = "osD^vPX*"
LIST = 476  # where the lines below the chart begin


def paint(points, machine):
    """A matplotlib figure of a list of Point under the roofs of a Machine."""
    colour = still.palette()
    height = LIST - 6 + 24 * len(points)
    figure, page = still.figure(height)
    still.title(page, {"title": "Roofline", "subtitle": machine.name})
    low = min(machine.ridge, *(point.intensity for point in points)) / 4
    high = max(machine.ridge, *(point.intensity for point in points)) * 16
    bottom = min(low * machine.bytes_per_s, *(point.flops_per_s for point in points)) / 2
    plot = figure.add_axes((0.09, 1 - 400 / height, 0.88, 340 / height))
    limits = {"xlim": (low, high), "ylim": (bottom, machine.flops_per_s * 3)}
    plot.set(xscale="log", yscale="log", facecolor=colour["card"], **limits)
    _axes(plot)
    _roofs(plot, points, machine, (low, high, bottom))
    for number, point in enumerate(points):
        shade = looks.request_colour(number)
        face = shade if point.measured else colour["card"]
        x, y = point.intensity, point.flops_per_s
        plot.plot([x, x], [bottom, y], color=shade, linewidth=0.8, linestyle=(0, (1, 2)))
        mark = {"marker": MARKS[number % 8], "linestyle": "none", "color": shade, "markerfacecolor": face}
        plot.plot([x], [y], markersize=9, markeredgewidth=1.8, zorder=5, **mark)
        line = LIST + 24 * number
        page.plot([36], [line], markersize=7, markeredgewidth=1.5, **mark)
        still.write(page, 54, line, point.name, size=12.5)
        how = "measured" if point.measured else "at most"
        said = f"{x:,.1f} operations a byte, {how} {readable(y)}FLOP/s"
        still.write(page, 898, line, said, size=12, ha="right", family="monospace")
    return figure


def _axes(plot):
    colour = still.palette()
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        plot.spines[side].set_color(colour["faint"])
    plot.tick_params(which="both", colors=colour["soft"], labelsize=8)
    plot.grid(color=colour["line"], linewidth=0.6)
    plot.set_axisbelow(True)
    plot.set_xlabel("operations for each byte moved", fontsize=8.6, color=colour["soft"])
    plot.set_ylabel("operations a second", fontsize=8.6, color=colour["soft"])


def _roofs(plot, points, machine, edges):
    """The slope (memory is the limit) and the flat part (arithmetic is), each with its words."""
    colour, (low, high, bottom) = still.palette(), edges
    ridge, flops, moved = machine.ridge, machine.flops_per_s, machine.bytes_per_s
    plot.plot([low, ridge], [low * moved, flops], color=colour["ink"], linewidth=1.6)
    plot.plot([ridge, high], [flops] * 2, color=colour["ink"], linewidth=1.6)
    plot.axvline(ridge, color=colour["faint"], linewidth=0.9, linestyle=(0, (2, 3)))
    look = {"fontsize": 8.2, "color": colour["soft"], "textcoords": "offset points"}
    plot.annotate(f"{readable(flops)}FLOP/s: arithmetic is the limit", (high, flops), (-4, 10), ha="right", **look)
    plot.annotate(f"ridge: {ridge:,.0f}", (ridge, bottom), (5, 6), **look)
    (x0, y0), (x1, y1) = plot.transData.transform([(low, low * moved), (ridge, flops)])
    slope = math.atan2(y1 - y0, x1 - x0)
    stops = sorted([low, ridge, *(point.intensity for point in points if point.intensity < ridge)])
    _, free = max((b / a, math.sqrt(a * b)) for a, b in zip(stops, stops[1:]))  # the widest gap between marks
    plot.annotate(
        f"{readable(moved)}B/s: memory is the limit",
        (free, free * moved),
        (-10 * math.sin(slope), 10 * math.cos(slope)),
        ha="center",
        va="bottom",
        rotation=math.degrees(slope),
        rotation_mode="anchor",
        **look,
    )
