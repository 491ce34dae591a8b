"""14.sinks: which positions a token sees with a window and sinks."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .kv_trials import shown
from .sinks_mistakes import MISTAKES
from .solutions.sinks import sees


def sees_by_loops(num_new, num_tokens, window, sinks):
    """One row and one position after the other."""
    out = torch.zeros(num_new, num_tokens, dtype=torch.bool)
    for i in range(num_new):
        own = num_tokens - num_new + i
        out[i, max(0, own - window + 1) : own + 1] = True
        out[i, : min(sinks, own + 1)] = True
    return out


def sees_by_triangles(num_new, num_tokens, window, sinks):
    """The last rows of a square mask made of triangles."""
    square = torch.ones(num_tokens, num_tokens, dtype=torch.bool)
    causal = square.tril()
    band = causal & square.triu(1 - window)
    band[:, :sinks] = causal[:, :sinks]
    return band[num_tokens - num_new :]


def rows(num_new, num_tokens, window, sinks, note=""):
    """The Trial of one mask."""
    given = num_new, num_tokens, window, sinks
    return Trial(
        [f"sees{given}"],
        lambda answer: answer(*given),
        show=picture,
        note=note,
        explain=explain,
        size=10 * num_new * num_tokens + window + sinks,
    )


def picture(value):
    """A mask as rows of x (seen) and . (not seen); anything else as it is."""
    if not (isinstance(value, torch.Tensor) and value.ndim == 2 and value.dtype == torch.bool and value.numel()):
        return shown(value)
    return " / ".join("".join(".x"[seen] for seen in row) for row in value.tolist()) + "  (x: True, a / between rows)"


def explain(expected, got):
    """The first place that differs."""
    if not isinstance(got, torch.Tensor):
        return "One tensor is asked for."
    if got.shape != expected.shape:
        return f"Yours has shape {list(got.shape)}; [num_new, num_tokens] is {list(expected.shape)}."
    if got.dtype != torch.bool:
        return f"Yours is {got.dtype}; torch.bool is asked for."
    row, at = (got != expected).nonzero()[0].tolist()
    own = expected.shape[1] - expected.shape[0] + row
    verb = "sees" if expected[row, at] else "does not see"
    return f"First different: row {row}, which is the token at position {own}, {verb} position {at}."


WINDOWED = [
    rows(1, 4, 2, 0),
    rows(1, 6, 3, 0),
    rows(2, 5, 2, 0),
    rows(3, 6, 3, 0),
    rows(1, 5, 1, 0, note="a window of 1: itself alone"),
    rows(3, 7, 1, 0),
]
CAUSAL = [
    rows(3, 3, 2, 0),
    rows(4, 4, 3, 0),
    rows(2, 3, 8, 0, note="a window that is longer than the sequence"),
    rows(4, 4, 8, 0),
    rows(3, 5, 5, 0),
]
SINKS_SEEN = [
    rows(1, 6, 2, 1),
    rows(1, 8, 3, 2),
    rows(2, 8, 2, 3),
    rows(3, 9, 2, 1),
    rows(1, 7, 1, 2, note="a window of 1, and two sinks"),
    rows(1, 12, 4, 4),
    rows(1, 6, 3, 2),
    rows(3, 6, 3, 1, note="the same window with sinks"),
    rows(1, 300, 3, 2, note="a text longer than 8 bits count"),
]
EARLY = [
    rows(2, 2, 1, 2, note="token 0 does not see sink 1, which comes after it"),
    rows(3, 3, 1, 3),
    rows(4, 4, 2, 3),
    rows(5, 5, 1, 2),
    rows(4, 5, 1, 4),
]
INSIDE = [
    rows(1, 3, 3, 2, note="the sinks are in the window"),
    rows(1, 5, 4, 2, note="one sink is in the window, one is not"),
    rows(2, 6, 5, 2),
    rows(3, 6, 4, 3),
    rows(1, 3, 2, 9, note="more sinks than tokens"),
    rows(2, 4, 1, 4),
]
LIMITS = [rows(0, 3, 2, 1), rows(0, 0, 2, 1), rows(1, 1, 1, 0), rows(1, 1, 4, 4), rows(0, 5, 1, 0), rows(0, 4, 3, 2)]

SINKS = Exercise(
    id="14.sinks",
    title="Who sees whom",
    name="sees",
    properties=[
        Property(
            "A token sees the last `window` positions up to its own",
            "Its own position counts: with a window of 2 it sees itself and one token before.",
            WINDOWED,
        ),
        Property("No token sees a position after its own", "The tokens of a chunk come one after the other.", CAUSAL),
        Property(
            "The first `sinks` positions are seen as well",
            "Sinks come beside the window, and not out of it.",
            SINKS_SEEN,
        ),
        Property(
            "A sink after the token is not seen",
            "A token among the sinks must not see the next ones: it is computed before them.",
            EARLY,
        ),
        Property(
            "Sinks inside the window change nothing",
            "A position is seen or not. There may be more sinks than tokens.",
            INSIDE,
        ),
        Property("There may be no new tokens, and one token alone", "The mask has no rows, or one.", LIMITS),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        "`position = torch.arange(num_tokens)` are the columns. The rows have the positions "
        "`position[num_tokens - num_new:]`.",
        "`distance = rows[:, None] - position` says how far each position is before the row's token. It is "
        "negative for "
        "positions after it.",
        "`(distance >= 0) & ((distance < window) | (position < sinks))`",
    ],
    rights=[sees, sees_by_loops, sees_by_triangles],
    why="`last_tokens` in `course_lib/attention/reference/twins.py` makes the same mask. The kernels do not make "
    "one: they "
    "skip the tiles in which nothing is seen, and mask the others in registers.",
)
