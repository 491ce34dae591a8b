"""The map as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import still

LEFT, RIGHT, TOP, ROW = 22, 898, 104, 42
COLUMNS = (22, 210, 430, 672)


def paint(data, step):
    """A matplotlib figure of a step of a SourceMap."""
    words = "".join(text for _, text in data["say"][step - 1])
    bottom, colour = TOP + ROW * len(data["mechanisms"]), still.palette()
    figure, axes = still.figure(bottom + 26 + 24 * len(still.broken(words)))
    still.title(axes, data)
    still.legend(axes, legend(data, colour))
    for x, name in zip(COLUMNS, ("mechanism · your part", "course_lib", "vLLM, vllm/v1/", "SGLang, sglang/srt/")):
        still.write(axes, x, TOP - 16, name, size=11.5, colour="soft")
    for at, (row, mine) in enumerate(zip(data["mechanisms"], data["mine"])):
        y = TOP + ROW * at
        still.box(axes, LEFT - 8, y, RIGHT - LEFT + 16, 1, facecolor=colour["line"])
        still.write(axes, COLUMNS[0], y + 13, row["title"], size=12.5, weight="bold")
        if mine:
            still.box(axes, COLUMNS[0], y + 24, 9, 9, radius=2, facecolor=colour["r2"])
        still.write(axes, COLUMNS[0] + 14 * mine, y + 29, row["exercise"], size=11, colour="soft", family="monospace")
        for x, place in zip(COLUMNS[1:], row["places"]):
            still.write(axes, x, y + 13, shortened(place["name"], 32), size=10.5, family="monospace")
            still.write(axes, x, y + 29, shortened(place["file"], 36), size=10, colour="soft", family="monospace")
    look = {"facecolor": "none", "edgecolor": colour["ink"], "linewidth": 1.3}
    still.box(axes, LEFT - 8, TOP + ROW * (step - 1) + 1, RIGHT - LEFT + 16, ROW - 2, radius=6, **look)
    still.say(axes, bottom + 14, words)
    return figure


def legend(data, colour):
    return [("your part passed its check", {"facecolor": colour["r2"]})] if any(data["mine"]) else []


def shortened(text, most):
    return text if len(text) <= most else "…" + text[1 - most :]
