"""The score board as a card to share: a picture, and the same as JSON beside it.

written = write_card(board, "card.svg")        # card.svg and card.json; or card.png
"""

import io
import json
import os
from pathlib import Path

from course_lib.errors import CourseError, ParameterError
from course_lib.practice.progress.store import write_whole

from .score_board import rows

WIDTH, ROW, TOP = 920, 46, 132
INK, SOFT, PALE, MINE, THEIRS, WRONG = "#16222c", "#5a6b7a", "#e6ecf1", "#0072b2", "#a9bccb", "#d55e00"


def check_card(file):
    """The Path of a card. Raises ParameterError where its name ends otherwise than in .svg or .png, or no folder."""
    path = Path(file)
    if path.suffix.lower() not in (".svg", ".png"):
        raise ParameterError(f"A card is written as .svg or .png, and {path.name!r} ends otherwise. Try card.svg.")
    if not path.absolute().parent.is_dir():
        raise ParameterError(f"There is no folder {path.parent}. Make it first, or name a file elsewhere.")
    is_taken = path.is_dir() or path.with_suffix(".json").is_dir()
    if is_taken or not os.access(path.absolute().parent, os.W_OK):
        raise ParameterError(f"No file can be written to {path}. Name a file in a folder that you can write to.")
    return path


def write_card(board, file):
    """Writes the picture of a ScoreBoard to `file`, and its numbers beside it with .json. Returns both Paths.

    Raises ParameterError for a name that is no card's, and CourseError where nothing can be written.
    """
    path = check_card(file)
    figure, data = drawn(board), path.with_suffix(".json")
    try:
        picture = io.BytesIO()
        figure.savefig(picture, facecolor="white", format=path.suffix[1:].lower())
        write_whole(path, picture.getvalue())
        write_whole(data, json.dumps(board.as_dict(), indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise CourseError(
            f"The card could not be written to {path} ({error.strerror or error}). Name a file in a folder that you "
            f"can write to."
        ) from error
    return path, data


def words(board):
    """What stands on the card in words: [title, about the run, whose parts, whether the tokens are right]."""
    own, all_parts = len(board.yours), len(board.parts)
    bad = [score.name for score in board.scores if score.problem or score.wrong]
    right = (
        f"Not with the tokens of generate_naive: {', '.join(bad)}" if bad else "Every token is that of generate_naive"
    )
    return [
        "An inference engine, from naive to final",
        f"{board.machine} · {board.model}, float32 · {board.num_requests} requests, {board.new_tokens:,} new tokens · "
        f"{board.when[:10]}",
        f"{own} of {all_parts} parts are the learner's own" + (f": {', '.join(board.yours)}" if own else ""),
        right,
    ]


def drawn(board):
    """The matplotlib Figure of a card."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise CourseError("matplotlib draws the card and is not installed: pip install matplotlib.") from error
    height = TOP + ROW * len(board.scores) + 70
    figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=200)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")

    def write(x, y, text, size=12, colour=INK, **look):
        axes.text(x, y, text, fontsize=size * 0.72, color=colour, va="center", parse_math=False, **look)

    title, about, parts, right = words(board)
    write(28, 34, title, 20, weight="bold")
    write(28, 62, about, 12.5, SOFT)
    for x, text in ((300, "tokens a second"), (660, "times naive"), (780, "peak memory")):
        write(x, TOP - 22, text, 11.5, SOFT, ha="left" if x == 300 else "right")
    write(28, TOP - 22, "way of serving", 11.5, SOFT)
    write(892, TOP - 22, "own parts", 11.5, SOFT, ha="right")
    most = max([score.tokens_per_second or 0 for score in board.scores] + [1e-9])
    for at, (score, row) in enumerate(zip(board.scores, rows(board))):
        y, bad = TOP + ROW * at + ROW / 2, bool(score.problem or score.wrong)
        mine = sum(part in board.yours for part in score.uses)
        axes.add_patch(Rectangle((20, y - ROW / 2), WIDTH - 40, 1, facecolor=PALE))
        write(28, y - 8, score.name, 14, weight="bold")
        write(28, y + 10, score.what, 10.5, SOFT)
        wide = 250 * (score.tokens_per_second or 0) / most
        look = {"facecolor": WRONG if bad else MINE if mine else THEIRS, "hatch": "///" if bad else None}
        axes.add_patch(Rectangle((300, y - 9), max(1, wide), 18, edgecolor="white", linewidth=0, **look))
        write(308 + wide, y, row[1], 12.5, family="monospace")
        write(660, y, row[2], 12.5, family="monospace", ha="right")
        write(780, y, f"{row[3]} MB", 12.5, family="monospace", ha="right")
        write(892, y, f"{mine} of {len(score.uses)}" if score.uses else "–", 12.5, family="monospace", ha="right")
    write(28, height - 48, parts[:128] + ("…" if len(parts) > 128 else ""), 12)
    write(28, height - 24, right, 12, WRONG if right.startswith("Not") else SOFT)
    write(892, height - 24, "LLM inference, page by page", 12, SOFT, ha="right")
    return figure
