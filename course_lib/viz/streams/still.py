"""Requests as they stream as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import looks, still
from course_lib.viz.kit.format import request_name, shortened
from course_lib.viz.latencies.still import mixed, nice_times

from .model import blocks_at

LEFT, RIGHT, TOP = 88, 878, 98
MEMORY = 54  # height of the chart of blocks
LATER = 0.36  # alpha of what is still to come
SMALL = {"size": 10.5, "colour": "soft", "family": "monospace"}
SIGNS = {"finished": "○", "cancelled": "✕", "refused": "429"}


def paint(data, step):
    """A matplotlib figure of a Streams view at a step."""
    requests, now = data["requests"], data["moments"][step - 1]
    row = 24 if len(requests) <= 14 else max(8, 340 / len(requests))
    bottom = TOP + row * len(requests)
    words = "".join(text for _, text in data["say"][step - 1])
    figure, axes = still.figure(bottom + MEMORY + 84 + 20 * len(still.broken(words)))
    still.title(axes, data)
    own, colour = looks.request_colour(0), still.palette()
    legend = [("waits", "┄"), ("prefill", {"facecolor": own}), ("streams", {"facecolor": mixed(own)}), ("token", "|")]
    legend += [("finished", "○"), ("cancelled", "✕"), ("refused", "429")]
    still.legend(axes, legend)
    scale = (RIGHT - LEFT) / data["moments"][-1]

    def x(time):
        return LEFT + scale * time

    for number, one in enumerate(requests):
        _row(axes, one, number, (x, TOP + row * number, row), now)
    _memory(axes, data, (x, bottom + 16), now)
    low = bottom + 16 + MEMORY
    axes.plot([x(now)] * 2, [TOP - 4, low + 4], color=colour["ink"], linewidth=1, zorder=6)
    for time in nice_times(data["moments"][-1]):
        axes.plot([x(time)] * 2, [low + 4, low + 9], color=colour["faint"], linewidth=0.8)
        still.write(axes, x(time), low + 18, f"{time:,.0f}", ha="center", **SMALL)
    still.write(axes, 22, low + 18, "ms", **SMALL)
    still.say(axes, low + 38, words)
    return figure


def _row(axes, one, number, place, now):
    x, top, row = place
    shade, middle, air = looks.request_colour(number), top + row / 2, 3 if row > 12 else 1
    tall, low = row - 2 * air, (row - 2 * air) * 0.55
    still.write(axes, LEFT - 8, middle, shortened(request_name(one["name"]), 11), ha="right", size=11, weight="bold")

    def alpha(time):
        return {"alpha": 1 if time <= now else LATER}

    def bar(a, b, height, colour):
        for left, right in ((a, min(b, now)), (max(a, now), b)):
            if right > left:
                still.box(axes, x(left), middle - height / 2, x(right) - x(left), height, facecolor=colour,
                          **alpha(left if right <= now else now + 1))  # fmt: skip

    end = one["end"] if one["end"] is not None else max(now, one["arrival"])
    begin = one["begin"] if one["begin"] is not None else end
    dots = {"color": still.palette()["faint"], "linewidth": 1.3, "linestyle": ":"}
    axes.plot([x(one["arrival"]), x(begin)], [middle] * 2, **alpha(one["arrival"]), **dots)
    first = one["tokens"][0] if one["tokens"] else end
    if one["begin"] is not None:
        bar(begin, first, tall, shade)
        bar(first, end, low, mixed(shade))
    for time in one["tokens"]:
        axes.plot([x(time)] * 2, [middle - tall / 2, middle + tall / 2], color=shade, linewidth=1.1, **alpha(time))
    if one["how"] is not None:
        sign = {"ha": "left", "weight": "bold", "size": 10.5, **alpha(end)}
        still.write(axes, x(end) + 3, middle, SIGNS[one["how"]], **sign)


def _memory(axes, data, place, now):
    """The blocks in use over the time, as an area."""
    x, top = place
    colour, most = still.palette(), max(1, data["num_blocks"])
    still.write(axes, LEFT - 8, top + MEMORY / 2, "blocks", ha="right", size=11)
    for y, text in ((top, f"{most:,}"), (top + MEMORY, "0")):
        axes.plot([LEFT, RIGHT], [y, y], color=colour["line"], linewidth=0.8)
        still.write(axes, RIGHT + 6, y, text, **SMALL)
    edges = [*data["memory"], [data["moments"][-1], 0]]
    for (time, blocks), (after, _) in zip(edges, edges[1:]):
        for left, right, alpha in ((time, min(after, now), 1), (max(time, now), after, LATER)):
            if right > left and blocks:
                high = MEMORY * blocks / most
                still.box(axes, x(left), top + MEMORY - high, x(right) - x(left), high, facecolor=colour["accent"],
                          alpha=alpha)  # fmt: skip
    text = f"{blocks_at(data['memory'], now):,}"
    still.write(axes, x(now) - 5, top + 8, text, ha="right", size=10.5, weight="bold")
