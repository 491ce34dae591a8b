"""Requests in time as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import looks, still
from course_lib.viz.kit.format import request_name, shortened

LEFT, RIGHT, TOP = 88, 898, 98
LATER = 0.36  # alpha of what is still to come
SMALL = {"size": 10.5, "colour": "soft", "family": "monospace"}


def paint(data, step):
    """A matplotlib figure of a Latencies view at a step."""
    requests, (start, end) = data["requests"], data["steps"][step - 1]
    row = 24 if len(requests) <= 14 else max(8, 340 / len(requests))
    bottom = TOP + row * len(requests)
    words = "".join(text for _, text in data["say"][step - 1])
    figure, axes = still.figure(bottom + 56 + 20 * len(still.broken(words)))
    still.title(axes, data)
    colour, own = still.palette(), looks.request_colour(0)
    legend = [("waits", "┄"), ("prefill", {"facecolor": own}), ("decode", {"facecolor": own + "40"})]
    legend += [("token", "|"), ("stall", still.hatched(own)), ("finished", "○")]
    still.legend(axes, legend)
    scale = (RIGHT - LEFT) / data["steps"][-1][1]

    def x(time):
        return LEFT + scale * time

    still.box(axes, x(start), TOP - 4, max(1.5, scale * (end - start)), bottom - TOP + 8, facecolor=colour["free"])
    for number, one in enumerate(requests):
        _row(axes, one, number, (x, TOP + row * number, row), end)
    axes.plot([x(end)] * 2, [TOP - 4, bottom + 4], color=colour["ink"], linewidth=1, zorder=6)
    for time in nice_times(data["steps"][-1][1]):
        axes.plot([x(time)] * 2, [bottom + 4, bottom + 9], color=colour["faint"], linewidth=0.8)
        still.write(axes, x(time), bottom + 18, f"{time:,.0f}", ha="center", **SMALL)
    still.write(axes, 22, bottom + 18, "ms", **SMALL)
    still.say(axes, bottom + 38, words)
    return figure


def nice_times(last):
    """Round numbers of milliseconds from 0 to `last`, about eight of them."""
    step = next(unit * 10**power for power in range(9) for unit in (1, 2, 5) if unit * 10**power * 9 >= last)
    return [step * at for at in range(int(last / step) + 1)]


def _row(axes, one, number, place, now):
    x, top, row = place
    shade, middle, air = looks.request_colour(number), top + row / 2, 3 if row > 12 else 1
    tall, low = row - 2 * air, (row - 2 * air) * 0.55
    still.write(axes, LEFT - 8, middle, shortened(request_name(one["name"]), 11), ha="right", size=11, weight="bold")

    def bar(a, b, height, look):
        for left, right, alpha in ((a, min(b, now), 1), (max(a, now), b, LATER)):
            if right > left:
                still.box(axes, x(left), middle - height / 2, x(right) - x(left), height, alpha=alpha, **look)

    begin = one["begin"] if one["begin"] is not None else max(one["arrival"], now)
    dots = {"color": still.palette()["faint"], "linewidth": 1.3, "linestyle": ":"}
    alpha = 1 if one["arrival"] <= now else LATER
    axes.plot([x(one["arrival"]), x(begin)], [middle] * 2, alpha=alpha, **dots)
    if not one["tokens"]:
        return
    tokens = one["tokens"]
    bar(begin, tokens[0], tall, {"facecolor": shade})
    bar(tokens[0], tokens[-1], low, {"facecolor": mixed(shade)})
    for at in one["stalls"]:
        bar(tokens[at], tokens[at + 1], low, still.hatched(shade, mixed(shade)))
    for time in tokens:
        alpha = 1 if time <= now + 0.01 else LATER
        axes.plot([x(time)] * 2, [middle - tall / 2, middle + tall / 2], color=shade, linewidth=1.3, alpha=alpha)
    if one["finished"] is not None:
        later = {"alpha": 1 if one["finished"] <= now + 0.01 else LATER}
        axes.plot(
            [x(one["finished"]) + 7], [middle], marker="o", markersize=5, color=shade, markerfacecolor="none", **later
        )


def mixed(colour, share=0.25):
    """A colour on the card, as opaque as a bar that may fade has to be."""
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * share + 255 * (1 - share)):02x}" for i in (1, 3, 5))
