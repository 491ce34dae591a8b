"""The cells and sentences of a ScoreBoard, and its table in a terminal."""

import io

COLUMNS = ("way", "tokens/s", "× naive", "peak MB", "tokens", "runs on")


def rows(board):
    """A row of COLUMNS as text for each score."""
    cells = (_rate, _against_naive, _memory, _tokens, _runs_on)
    return [(score.name, *(cell(board, score) for cell in cells)) for score in board.scores]


def _rate(board, score):
    return "–" if score.tokens_per_second is None else f"{score.tokens_per_second:,.0f}"


def _against_naive(board, score):
    naive = board.scores[0].tokens_per_second
    if naive is None or score.tokens_per_second is None:
        return "–"
    return f"{score.tokens_per_second / naive:.1f}"


def _memory(board, score):
    return "–" if score.peak_bytes is None else f"{score.peak_bytes / 1e6:,.1f}"


def _tokens(board, score):
    if score.problem:
        return "stopped"
    return f"{len(score.wrong)} of {board.num_requests} differ" if score.wrong else "the same"


def _runs_on(board, score):
    if not score.uses:
        return "course_lib alone"
    yours = [part for part in score.uses if part in board.yours]
    others = [part for part in score.uses if part not in board.yours]
    said = [f"yours: {', '.join(yours)}"] if yours else []
    return "; ".join([*said, f"reference: {', '.join(others)}"] if others else said)


def sentences(board):
    """What is said below the table, problems first."""
    said = []
    for score in board.scores:
        if score.problem:
            said.append(f"{score.name} stopped: {score.problem}")
        elif score.wrong:
            which = ", ".join(map(str, score.wrong[:8])) + (", …" if len(score.wrong) > 8 else "")
            requests = "request" if len(score.wrong) == 1 else "requests"
            yours = " ".join(part for part in score.uses if part in board.yours)
            todo = f"Run all of its checks: `course check {yours}`" if yours else "Please report it: no part is yours"
            said.append(f"{score.name}: the tokens of {requests} {which} are not those of `generate_naive`. {todo}.")
    reasons = {}
    for part, why_not in board.others.items():
        reasons.setdefault(why_not, []).append(part)
    said += [f"The reference's: {', '.join(parts)} ({why_not})." for why_not, parts in reasons.items()]
    return [*said, *board.notices]


def summary(board):
    return (
        f"{board.num_requests} requests, {board.prompt_tokens:,} prompt and {board.new_tokens:,} new tokens, "
        f"{board.model} in float32 · {board.machine}"
    )


MEMORY = "Peak: the most that tensors took at once while serving, beside the weights."


def table(board):
    """The table for a rich Console."""
    from rich.table import Table

    made = Table(*COLUMNS, title="The score board", caption=MEMORY, title_justify="left", caption_justify="left")
    for column in made.columns[1:4]:
        column.justify = "right"
    for column in made.columns[:5]:
        column.no_wrap = True
    made.columns[-1].overflow = "fold"  # an id is never cut
    for row, score in zip(rows(board), board.scores):
        made.add_row(*row, style="red" if score.problem or score.wrong else None)
    return made


def text(board, width=110):
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, color_system=None, force_jupyter=False).print(table(board))
    drawn = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join([drawn, summary(board), *sentences(board)])
