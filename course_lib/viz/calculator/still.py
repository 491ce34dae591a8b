"""The KV calculator as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import looks, still
from course_lib.viz.kit.format import count

from .model import fit, readable, say, stretches

LEFT, RIGHT = 22, 898
BAR, TALL = 226, 36
NAMES = {
    "weights": "weights",
    "one": "one request",
    "more": "further requests",
    "free": "free",
    "spare": "kept for computing",
}


def paint(data, settings):
    """A matplotlib figure of the settings, the sum and the bar of a KVCalculator."""
    sizes = fit(data, settings)
    figure, axes = still.figure(334)
    still.title(axes, data)
    still.legend(axes, [(text, _looks()[kind]) for kind, text in NAMES.items()])
    _settings(axes, data, settings)
    _sum(axes, settings, sizes)
    _bar(axes, settings, sizes)
    still.say(axes, 288, "".join(text for _, text in say(data, settings)))
    return figure


def _looks():
    colour = still.palette()
    return {
        "weights": {"facecolor": colour["r0"]},
        "one": {"facecolor": colour["r2"]},
        "more": {"facecolor": colour["r2"] + "33", "edgecolor": colour["r2"], "linewidth": 0.9},
        "free": looks.free_block() | {"linewidth": 0.9},
        "spare": still.hatched(colour["faint"], colour["free"], 4) | {"linewidth": 0},
        "over": still.hatched(colour["r1"]),
        "needed": {"facecolor": "none", "edgecolor": colour["r1"], "linestyle": "--", "linewidth": 1.1},
    }


def _settings(axes, data, settings):
    model = next(one for one in data["models"] if one["name"] == settings["model"])
    lines = [
        ("model", f"{model['name']}, {model['attention']}"),
        ("GPU", settings["gpu"]),
        ("cache in", settings["dtype"]),
        ("tokens per request", f"{settings['tokens']:,}"),
        ("usable memory", f"{settings['usable']} %"),
    ]
    for index, (name, text) in enumerate(lines):
        still.write(axes, LEFT, 92 + 21 * index, name, size=12.5, colour="soft")
        still.write(axes, 160, 92 + 21 * index, text, size=12.5)


def _sum(axes, settings, sizes):
    none, requests = sizes["room"] < 0, sizes["requests"]
    big = still.write(axes, 470, 94, "none" if none else f"{requests:,}", size=25, weight="bold")
    text = "the weights do not fit" if none else "request at once" if requests == 1 else "requests at once"
    still.write(axes, 470 + still.text_width(axes, big) + 10, 99, text, size=13, colour="soft")
    per_token = count(sizes["one"] // settings["tokens"], "byte")
    lines = [
        ("usable memory", f"{readable(sizes['total'])} × {settings['usable']} %", readable(sizes["usable"])),
        ("weights", "", "− " + readable(sizes["weights"])),
        ("missing" if none else "room for the cache", "", readable(abs(sizes["room"]))),
        ("one request", f"{settings['tokens']:,} × {per_token}", readable(sizes["one"])),
    ]
    for index, (name, how, value) in enumerate(lines):
        y, look = 124 + 19 * index, {"size": 11.5, "ha": "right", "family": "monospace"}
        still.write(axes, 470, y, name, size=12, colour="soft")
        still.write(axes, 800, y, how, colour="soft", **look)
        still.write(axes, RIGHT, y, value, **look)
    axes.plot([820, RIGHT], [152.5, 152.5], color=still.palette()["faint"], linewidth=0.8)


def _bar(axes, settings, sizes):
    colour, shown = still.palette(), _looks()
    requests, weights, total = sizes["requests"], sizes["weights"], sizes["total"]
    beyond = 0 if requests or sizes["room"] < 0 else min(weights + sizes["one"], 2 * total)
    scale = max(total, weights, beyond)

    def x(number):
        return LEFT + (RIGHT - LEFT) * min(1, number / scale)

    def centred(text, middle, y):
        drawn = still.write(axes, LEFT, y, text, size=12, colour="soft")
        wide = still.text_width(axes, drawn)
        drawn.set_x(max(LEFT, min(RIGHT - wide, middle - wide / 2)))

    for kind, a, b in stretches(sizes):
        step = (x(b) - x(a)) / max(1, requests - 1)
        if kind == "more" and step >= 5:
            for index in range(requests - 1):
                place = x(a) + index * step + 1, BAR, step - 2, TALL
                still.box(axes, *place, radius=min(3, step / 3), **shown[kind])
            continue
        still.box(axes, x(a) + 1, BAR, max(1.5, x(b) - x(a) - 2), TALL, **shown[kind])
        for index in range(1, int((x(b) - x(a)) / 4) if kind == "more" else 0):
            line = [x(a) + 4 * index] * 2, [BAR + 2, BAR + TALL - 2]
            axes.plot(*line, color=colour["r2"] + "70", linewidth=0.7)
    axes.plot([x(sizes["usable"])] * 2, [BAR - 6, BAR + TALL + 6], color=colour["ink"], linewidth=1.3)
    usable = f"{settings['usable']} % of {readable(total)} usable: {readable(sizes['usable'])}"
    centred(usable, x(sizes["usable"]), BAR - 14)
    names = {
        "weights": "weights",
        "one": "1 request" if requests == 1 else None,
        "more": count(requests, "request"),
        "over": f"{readable(-sizes['room'])} too much",
        "needed": f"one request, {readable(sizes['one'])}",
        "free": "free",
    }
    for kind, a, b in stretches(sizes):
        a, text = weights if kind == "more" else a, names.get(kind)
        if text and (x(b) - x(a) > 7.2 * len(text) or kind in ("over", "needed")):
            centred(text, (x(a) + x(b)) / 2, BAR + TALL + 14)
