"""The roofline: how many operations a second a machine can do at most, given how many it does for each byte it moves."""

import math

from course_lib.errors import ParameterError
from course_lib.viz.kit import still as static
from course_lib.viz.kit.inputs import some
from course_lib.viz.kit.still import Picture

MARKS = "osD^vPX*"


def roofline(points, *, flops_per_s, bytes_per_s, machine="this machine"):
    """A Picture of points under the two roofs of a machine (Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785).

    points: tuples (name, operations, bytes) or (name, operations, bytes, seconds). Operations over bytes is the arithmetic
    intensity. With seconds a point stands where it was measured and is filled; without, it is hollow and stands on the roof, the most
    that the machine could do. flops_per_s, bytes_per_s: the machine's peaks. Raises ParameterError for numbers that are not positive.
    """
    points = [tuple(point) for point in some("points", points)]
    for name, value in (("flops_per_s", flops_per_s), ("bytes_per_s", bytes_per_s)):
        _positive(name, value)
    for index, point in enumerate(points):
        if len(point) not in (3, 4) or not isinstance(point[0], str):
            raise ParameterError(
                f"points[{index}] is {point!r}; a point is (name, operations, bytes) or (name, operations, bytes, seconds)."
            )
        for what, value in zip(("operations", "bytes", "seconds"), point[1:]):
            _positive(f"{what} of {point[0]!r}", value)
    placed = [
        (point[0], point[1] / point[2], _height(point, flops_per_s, bytes_per_s), len(point) == 4) for point in points
    ]
    return Picture.of(
        _figure(placed, flops_per_s, bytes_per_s, machine), _words(placed, flops_per_s, bytes_per_s, machine)
    )


def _height(point, flops_per_s, bytes_per_s):
    return point[1] / point[3] if len(point) == 4 else min(flops_per_s, point[1] / point[2] * bytes_per_s)


def _positive(what, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ParameterError(
            f"{what} is {value!r}; it has to be a positive number, or there is no place for it on a logarithmic axis."
        )


def _figure(placed, flops_per_s, bytes_per_s, machine):
    colour, ridge = static.palette(), flops_per_s / bytes_per_s
    height = 470 + 24 * len(placed)
    figure, page = static.figure(height)
    static.title(page, {"title": "Roofline", "subtitle": machine})
    low, high = min(ridge, *(x for _, x, _, _ in placed)) / 4, max(ridge, *(x for _, x, _, _ in placed)) * 16
    bottom = min(low * bytes_per_s, *(y for _, _, y, _ in placed)) / 2
    plot = figure.add_axes((0.09, 1 - 400 / height, 0.88, 340 / height))
    plot.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, flops_per_s * 3), facecolor=colour["card"])
    plot.plot([low, ridge], [low * bytes_per_s, flops_per_s], color=colour["ink"], linewidth=1.6)
    plot.plot([ridge, high], [flops_per_s] * 2, color=colour["ink"], linewidth=1.6)
    plot.axvline(ridge, color=colour["faint"], linewidth=0.9, linestyle=(0, (2, 3)))
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        plot.spines[side].set_color(colour["faint"])
    plot.tick_params(which="both", colors=colour["soft"], labelsize=8)
    plot.grid(color=colour["line"], linewidth=0.6)
    plot.set_axisbelow(True)
    plot.set_xlabel("operations for each byte moved", fontsize=8.6, color=colour["soft"])
    plot.set_ylabel("operations a second", fontsize=8.6, color=colour["soft"])
    say = {"fontsize": 8.2, "color": colour["soft"], "textcoords": "offset points"}
    plot.annotate(
        f"{readable(flops_per_s)}FLOP/s: arithmetic is the limit", (high, flops_per_s), (-4, 10), ha="right", **say
    )
    (x0, y0), (x1, y1) = plot.transData.transform([(low, low * bytes_per_s), (ridge, flops_per_s)])
    slope, stops = math.atan2(y1 - y0, x1 - x0), sorted([low, ridge, *(x for _, x, _, _ in placed if x < ridge)])
    _, free = max(
        (b / a, math.sqrt(a * b)) for a, b in zip(stops, stops[1:])
    )  # the words stand in the widest gap between marks
    plot.annotate(
        f"{readable(bytes_per_s)}B/s: memory is the limit",
        (free, free * bytes_per_s),
        (-10 * math.sin(slope), 10 * math.cos(slope)),
        ha="center",
        va="bottom",
        rotation=math.degrees(slope),
        rotation_mode="anchor",
        **say,
    )
    plot.annotate(f"ridge: {ridge:,.0f}", (ridge, bottom), (5, 6), **say)
    for n, (name, x, y, measured) in enumerate(placed):
        shade = colour[f"r{n % 6}"]
        plot.plot([x, x], [bottom, y], color=shade, linewidth=0.8, linestyle=(0, (1, 2)))
        plot.plot(
            [x],
            [y],
            MARKS[n % 8],
            color=shade,
            markersize=9,
            markerfacecolor=shade if measured else colour["card"],
            markeredgewidth=1.8,
            zorder=5,
        )
        line = 476 + 24 * n
        page.plot(
            [36],
            [line],
            MARKS[n % 8],
            color=shade,
            markersize=7,
            markerfacecolor=shade if measured else colour["card"],
            markeredgewidth=1.5,
        )
        static.write(page, 54, line, name, size=12.5)
        static.write(
            page,
            898,
            line,
            f"{x:,.1f} operations a byte, {'measured' if measured else 'at most'} {readable(y)}FLOP/s",
            size=12,
            ha="right",
            family="monospace",
        )
    return figure


def _words(placed, flops_per_s, bytes_per_s, machine):
    ridge = flops_per_s / bytes_per_s
    said = [
        f"Roofline of {machine}: {readable(flops_per_s)}FLOP/s and {readable(bytes_per_s)}B/s, which meet at {ridge:,.0f} operations a byte."
    ]
    for name, x, y, measured in placed:
        limit = "memory" if x < ridge else "arithmetic"
        said.append(
            f"{name}: {x:,.1f} operations a byte, {'measured at' if measured else 'at most'} {readable(y)}FLOP/s; {limit} is the limit."
        )
    return " ".join(said)


def readable(value):
    """680e12 as "680 T": three digits and a decimal prefix, the unit follows."""
    power = max(0, min(5, int(math.floor(math.log10(value) / 3)))) if value >= 1 else 0
    scaled = value / 1000**power
    return (
        f"{scaled:.3g} {('', 'k', 'M', 'G', 'T', 'P')[power]}"
        if scaled < 999.5
        else f"{scaled:,.0f} {('', 'k', 'M', 'G', 'T', 'P')[power]}"
    )
