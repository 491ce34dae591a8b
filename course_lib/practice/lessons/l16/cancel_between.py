"""Trials of 16.cancel in which the event loop's thread comes between two lines of `turn`."""

import inspect
import sys

from course_lib.practice.judge.exercise import Trial

from .cancel_game import Asked, Client, TinyEngine

MOST_LINES = 60


def with_call_before(line, function, call):
    """function(), with call() before the line number `line` that runs in its file. Returns how many lines ran."""
    filename, ran = inspect.unwrap(function).__code__.co_filename, 0

    def step(frame, event, _):
        nonlocal ran
        if event == "line" and frame.f_code.co_filename == filename:
            ran += 1
            if ran == line:
                call()
        return step

    tracing = sys.gettrace()
    sys.settrace(step)
    try:
        function()
    finally:
        sys.settrace(tracing)
    return ran


def connect_between_lines(front_end, names):
    """Whether a request is lost that connects while `turn` runs: once before each line of it. names: who came before.

    Returns a text.
    """
    for line in range(1, MOST_LINES):
        log = []
        engine = TinyEngine(log.append)
        front, late = front_end(engine), Client("z", log.append)
        for name in names:
            front.connect(Client(name, log.append), Asked(name, 2))
        engine.in_turn = True
        ran = with_call_before(line, front.turn, lambda: front.connect(late, Asked("z", 1)))
        if ran < line:
            break
        front.turn()
        if "z is given to the engine" not in log:
            return f"z, which connects before line {line} that the turn runs, is never given to the engine"
    return "z is given to the engine, whenever it connects"


def between(names):
    """The Trial of a `connect` between any two lines of a turn."""
    story = [
        "from course_lib.practice.play import connect_between_lines",
        f"connect_between_lines(FrontEnd, {names!r})",
    ]
    return Trial(story, lambda answer: connect_between_lines(answer, names), show=str, size=500 + len(names))


BETWEEN = [between("a"), between("ab"), between("")]
