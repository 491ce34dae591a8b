"""The caches side by side as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import still

from .model import kilobytes, parts_seen

LEFT, RIGHT = 22, 898
TOP, ROW, BAR, NAME, GAP = 116, 36, 10, 212, 14
STRIP = 26
TO_COME, FAINT = 0.55, 0.3


def paint(data, step, selected=None):
    """A matplotlib figure of a step of a CacheByBits. selected: the number of a stretch that stands out, or None."""
    words = "".join(text for _, text in data["say"][step - 1])
    bottom = TOP + len(data["caches"]) * ROW
    figure, axes = still.figure(bottom + 112 + 24 * len(still.broken(words)))
    still.title(axes, data)
    still.legend(axes, _legend(data))
    columns = _columns(data)
    _heads(axes, data, columns, selected)
    for number, cache in enumerate(data["caches"]):
        _row(axes, data, columns, cache, TOP + number * ROW, 1 if number < step else TO_COME, selected)
    y = TOP + (step - 1) * ROW
    look = {"facecolor": "none", "edgecolor": still.palette()["ink"], "linewidth": 1.3}
    still.box(axes, LEFT - 8, y, RIGHT - LEFT + 16, ROW - 1, radius=6, **look)
    _seen(axes, data, data["caches"][step - 1], bottom + 22)
    still.say(axes, bottom + 104, words)
    return figure


def _legend(data):
    colour = still.palette()
    entries = [("right", {"facecolor": colour["r2"]}), ("wrong", still.hatched(colour["r1"], colour["card"]))]
    kinds = {kind for cache in data["caches"] for _, _, kind in parts_seen(cache, data["tokens"])}
    named = (("window", "seen by the newest token"), ("sink", "sink"), ("gone", "not seen"))
    return entries + [(text, _part_look(kind)) for kind, text in named if kind in kinds]


def _part_look(kind):
    colour = still.palette()
    if kind == "gone":
        return {"facecolor": "none", "edgecolor": colour["faint"], "linestyle": "--", "linewidth": 0.8}
    return {"facecolor": colour["r0" if kind == "window" else "r3"]}


def _columns(data):
    """[(x, width)] of bytes, error, and each stretch."""
    shares, room = [1.15, 1.15, *([1] * len(data["stretches"]))], RIGHT - LEFT - NAME
    unit = (room - GAP * (len(shares) - 1)) / sum(shares)
    x, found = LEFT + NAME, []
    for share in shares:
        found.append((x, share * unit))
        x += share * unit + GAP
    return found


def _heads(axes, data, columns, selected):
    texts = [f"for {data['tokens']:,} tokens", "logit error", *(f"to {one['upto']:,}" for one in data["stretches"])]
    still.write(axes, columns[2][0], TOP - 31, "answers, by tokens between fact and answer", size=11.5, colour="soft")
    for number, ((x, _), text) in enumerate(zip(columns, texts)):
        weight = "bold" if selected is not None and number == selected + 2 else "normal"
        still.write(axes, x, TOP - 12, text, size=11.5, colour="soft", weight=weight)


def _row(axes, data, columns, cache, top, alpha, selected):
    colour = still.palette()
    still.write(axes, LEFT, top + ROW / 2, cache["name"], size=12.5, alpha=alpha)
    bars = (
        (kilobytes(cache["bytes"]), cache["bytes"] / data["most_bytes"], "r0"),
        (f"{cache['error']:.3f}", cache["error"] / data["most_error"], "r4"),
    )
    for (x, width), (text, share, name) in zip(columns, bars):
        still.write(axes, x, top + 11, text, size=11.5, family="monospace", alpha=alpha)
        still.box(axes, x, top + 20, width, BAR, facecolor=colour["well"], alpha=alpha)
        still.box(axes, x, top + 20, max(1, width * share), BAR, facecolor=colour[name], alpha=alpha)
    for number, ((x, width), right, stretch) in enumerate(zip(columns[2:], cache["right"], data["stretches"])):
        pale = alpha if selected in (None, number) else FAINT * alpha
        share = right / stretch["asked"]
        still.write(axes, x, top + 11, f"{right}/{stretch['asked']}", size=11.5, family="monospace", alpha=pale)
        still.box(axes, x, top + 20, width * share, BAR, facecolor=colour["r2"], alpha=pale)
        if share < 1:
            look = still.hatched(colour["r1"], colour["card"]) | ({"alpha": pale} if pale < 1 else {})
            still.box(axes, x + width * share, top + 20, width * (1 - share), BAR, **look)


def _seen(axes, data, cache, top):
    tokens, per = data["tokens"], (RIGHT - LEFT) / data["tokens"]
    still.write(
        axes, LEFT, top, f"What the newest of {tokens:,} tokens sees: {cache['name']}", size=11.5, colour="soft"
    )
    for start, end, kind in parts_seen(cache, tokens):
        width = max(4, (end - start) * per) if kind == "sink" else (end - start) * per
        still.box(axes, LEFT + start * per, top + 12, width, STRIP, **_part_look(kind))
    for stretch in data["stretches"]:
        x = RIGHT - stretch["upto"] * per
        axes.plot([x, x], [top + 12 + STRIP, top + 17 + STRIP], color=still.palette()["faint"], linewidth=0.8)
        side = {"ha": "left"} if x < LEFT + 30 else {"ha": "center"}
        still.write(axes, x, top + 26 + STRIP, f"{stretch['upto']:,} back", size=11, colour="soft", **side)
