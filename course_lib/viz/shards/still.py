"""A layer on several GPUs as a still picture, with matplotlib: the same as the live view, in light colours."""

from course_lib.viz.kit import still

LEFT, RIGHT, LABELS, GAP = 22, 898, 128, 16
TOP, ROW, BOX, VECTOR = 106, 46, 34, 18
TO_COME, FAINT = 0.35, 0.3


def paint(data, step, selected=None):
    """A matplotlib figure of a step of a LayerOnGPUs. selected: the number of a GPU that stands out, or None."""
    words = "".join(text for _, text in data["say"][step - 1])
    bottom = TOP + len(data["parts"]) * ROW
    figure, axes = still.figure(bottom + 92 + 24 * len(still.broken(words)))
    still.title(axes, data)
    still.legend(axes, _legend())
    columns = _columns(len(data["gpus"]))
    for rank, (x, width) in enumerate(columns):
        alpha = 1 if selected in (None, rank) else FAINT
        still.write(axes, x, TOP - 16, f"GPU {rank}", size=12, weight="bold", alpha=alpha)
        for number, row in enumerate(data["parts"]):
            _part(axes, data, row, rank, x, TOP + number * ROW, width, alpha * _pale(row, step))
        _vector(axes, data, rank, x, bottom + 10, width, step, alpha)
    for number, row in enumerate(data["parts"]):
        weight = "bold" if step - 1 in row["used"] else "normal"
        y = TOP + number * ROW
        still.write(axes, LEFT, y + 11, row["name"], size=12.5, weight=weight)
        still.write(axes, LEFT, y + 27, f"by {row['by']}", size=11, colour="soft")
        if step - 1 in row["used"]:
            look = {"facecolor": "none", "edgecolor": still.palette()["ink"], "linewidth": 1.3}
            still.box(axes, LEFT - 8, y - 6, RIGHT - LEFT + 16, ROW - 1, radius=6, **look)
    still.write(axes, LEFT, bottom + 10 + VECTOR / 2, "has now", size=12.5)
    if data["steps"][step - 1] == "all-reduce" and len(columns) > 1:
        _arrows(axes, columns, bottom + 47, f"{data['sent']:,} bytes from each GPU")
    still.say(axes, bottom + 74, words)
    return figure


def _pale(row, step):
    return 1 if step - 1 >= row["used"][0] else TO_COME


def _columns(n):
    width = (RIGHT - LEFT - LABELS - GAP * (n - 1)) / n
    return [(LEFT + LABELS + rank * (width + GAP), width) for rank in range(n)]


def _colour(rank):
    return still.palette()[f"r{rank % 6}"]


def _empty():
    return {"facecolor": "none", "edgecolor": still.palette()["faint"], "linestyle": "--", "linewidth": 0.8}


def _legend():
    colour = still.palette()
    return [
        ("part of a GPU, in its colour", {"facecolor": colour["r0"]}),
        ("on other GPUs", _empty()),
        ("partial sum", still.hatched(colour["r0"], colour["card"])),
        ("whole vectors", {"facecolor": colour["ink"]}),
    ]


def _part(axes, data, row, rank, x, y, width, alpha):
    size = data["size"][row["of"]]
    first, end = (place / size for place in data["gpus"][rank][row["of"]])
    still.box(axes, x, y, width, BOX, **_empty(), alpha=alpha)
    look = {"facecolor": _colour(rank), "alpha": alpha}
    if row["by"] == "inputs":
        still.box(axes, x, y + first * BOX, width, (end - first) * BOX, **look)
        return
    still.box(axes, x + first * width, y, (end - first) * width, BOX, **look)
    if row["by"] == "heads":
        for head in range(1, size):
            at = x + head * width / size
            axes.plot([at, at], [y, y + BOX], color=still.palette()["card"], linewidth=0.8)


def _vector(axes, data, rank, x, y, width, step, alpha):
    has, colour = data["has"][step - 1], still.palette()
    if has == "whole":
        still.box(axes, x, y, width, VECTOR, facecolor=colour["ink"], alpha=alpha)
    elif has == "sum":
        look = still.hatched(_colour(rank), colour["card"]) | ({"alpha": alpha} if alpha < 1 else {})
        still.box(axes, x, y, width, VECTOR, **look)
    else:
        first, end = (place / data["size"][has] for place in data["gpus"][rank][has])
        still.box(axes, x, y, width, VECTOR, **_empty(), alpha=alpha)
        still.box(axes, x + first * width, y, (end - first) * width, VECTOR, facecolor=_colour(rank), alpha=alpha)


def _arrows(axes, columns, y, words):
    """From each GPU to the next, and from the last one back to the first."""
    ink = still.palette()["ink"]
    middles = [x + width / 2 for x, width in columns]
    for start, end in zip(middles, middles[1:]):
        axes.annotate("", (end - 4, y), (start + 4, y), arrowprops={"arrowstyle": "->", "color": ink, "linewidth": 1.2})
    axes.plot([middles[-1], middles[-1], middles[0]], [y, y + 12, y + 12], color=ink, linewidth=1.2)
    axes.annotate("", (middles[0], y + 1), (middles[0], y + 13), arrowprops={"arrowstyle": "->", "color": ink})
    still.write(axes, (middles[0] + middles[-1]) / 2, y - 9, words, size=11, colour="soft", ha="center")
