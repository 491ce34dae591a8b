"""`course assemble`: the same requests served in eight ways on the learner's parts, and what each achieves here."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field

from course_lib.practice.check import Shown
from course_lib.practice.judge import running
from course_lib.practice.judge.guard import guarded
from course_lib.practice.parts import load_parts
from course_lib.practice.progress import workbook
from course_lib.practice.progress.store import write_whole

SCHEMA = 1
MOST, FEWEST, NAIVE_S = 16, 4, 5.0
"""Requests at most and at least; fewer than MOST where naive decoding of all would take longer than NAIVE_S."""
LIMIT_S, LIMIT_TIMES = 60.0, 10
"""A way is stopped after LIMIT_S seconds of work, or LIMIT_TIMES those of the naive way, if that is more."""


@dataclass(frozen=True)
class Score:
    """What one way of serving achieved."""

    name: str
    what: str
    uses: tuple[str, ...]
    """The exercises whose parts it ran on."""
    seconds: float | None = None
    """Until all requests were served. None: it did not get so far."""
    tokens_per_second: float | None = None
    """New tokens of all requests a second."""
    peak_bytes: int | None = None
    """Most memory of tensors while it served, beside the weights."""
    wrong: tuple[int, ...] = ()
    """Requests, counted from 0, whose tokens are not those of generate_naive."""
    problem: str = ""
    """Why there is no figure."""


@dataclass(frozen=True, repr=False)
class ScoreBoard(Shown):
    """The scores of all ways on this machine. Displays itself; `as_dict()` is plain data."""

    model: str
    machine: str
    when: str
    num_requests: int
    prompt_tokens: int
    new_tokens: int
    parts: dict[str, str]
    """{exercise id: "" where the part is the learner's own, else why it is the reference's}"""
    scores: list[Score]
    notices: list[str] = field(default_factory=list)

    @property
    def yours(self):
        return [exercise_id for exercise_id, why_not in self.parts.items() if not why_not]

    @property
    def others(self):
        return {exercise_id: why_not for exercise_id, why_not in self.parts.items() if why_not}

    def as_dict(self):
        return {"schema": SCHEMA} | asdict(self)

    def card(self, file):
        """Writes the board as a picture to share, `file` ending in .svg or .png, and as JSON beside it: both Paths."""
        from course_lib.practice.report.score_card import write_card

        return write_card(self, file)


def path():
    """The file of the last score board, beside the learner's progress."""
    return workbook.store().folder / "assemble.json"


def assemble(model="tale", *, quick=False, tell=None):
    """Serves the same requests in each way of the course on the learner's passed parts. Returns a ScoreBoard.

    model: as in load_model; float32, so that tokens can be compared. A part that is not passed, or passes no longer, is
    the reference's. quick: FEWEST requests with short answers, for a lesson. tell: called with a sentence before each
    way. Raises ModelError for a model that cannot be loaded.
    """
    import torch

    from course_lib.machine.device import inspect_machine
    from course_lib.models import load_model

    from .ways import make_load, ways

    tell, machine = tell or (lambda sentence: None), inspect_machine()
    loaded, tokenizer = load_model(model, dtype=torch.float32)
    steps = ways(kernels=machine.triton == "compiled")
    tell("Checking the parts that you have passed")
    parts = load_parts(*sorted({exercise_id for way in steps for exercise_id in way.uses}))
    load, expected, naive_s = _with_tokens(
        loaded, make_load(tokenizer, FEWEST if quick else MOST, answers=0.5 if quick else 1.0)
    )
    limit_s, scores = max(LIMIT_S, LIMIT_TIMES * naive_s), []
    with torch.inference_mode():
        for number, way in enumerate(steps, 1):
            tell(f"{number} of {len(steps)}: {way.name}, {way.what}")
            scores.append(_score(way, parts, loaded, load, expected, limit_s))
    threads = machine.cpu_threads
    where = machine.gpu or f"{machine.system}, {threads} CPU thread{'s' * (threads != 1)}"
    board = ScoreBoard(
        str(model),
        f"{where}, torch {machine.torch}",
        workbook.now(),
        len(load.prompts),
        sum(map(len, load.prompts)),
        sum(load.new_tokens),
        {part.exercise_id: part.why_not for part in parts.found},
        scores,
    )
    board.notices.extend(_saved(board))
    return board


def _with_tokens(model, load):
    """(the requests that naive decoding serves in time, their tokens, seconds). At least FEWEST requests."""
    from course_lib.decoding import generate_naive

    expected, began = [], time.perf_counter()
    for ids, params in zip(load.prompts, load.params):
        expected.append(generate_naive(model, ids, params))
        seconds = time.perf_counter() - began
        if len(expected) >= FEWEST and seconds * (len(expected) + 1) / len(expected) > NAIVE_S:
            break
    return load.first(len(expected)), expected, seconds


def _score(way, parts, model, load, expected, limit_s):
    """Serves twice: for tokens and memory, then by the clock."""
    import torch

    from .peak import peak_of

    mine = [parts[part.exercise_id] for part in parts.found if part.is_yours and part.exercise_id in way.uses]
    answer = mine[0] if mine else None

    def first():
        with peak_of(model) as peak:
            return [list(ids) for ids in way.make(parts, model, load)()], peak()

    def second():
        serve = way.make(parts, model, load)
        began = time.perf_counter()
        serve()
        return time.perf_counter() - began

    with guarded(answer), torch.device(model.device) if way.makes_tensors else contextlib.nullcontext():
        found, _ = running.run(first, answer, limit_s)
        seconds = found if isinstance(found, running.Raised) else running.run(second, answer, limit_s)[0]
    if isinstance(seconds, running.Raised):
        return Score(way.name, way.what, way.uses, problem=str(seconds))
    tokens, peak_bytes = found
    wrong = tuple(i for i, ids in enumerate(expected) if len(tokens) <= i or tokens[i] != ids)
    per_second = sum(load.new_tokens) / seconds
    return Score(way.name, way.what, way.uses, seconds, per_second, peak_bytes, wrong)


def _saved(board):
    """Writes the board beside the progress file; a sentence where that fails."""
    if workbook.home() is None:
        return [str(workbook.store().problem())]
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        write_whole(path(), json.dumps(board.as_dict(), indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        return [
            f"The score board could not be written to {path()} ({error.strerror or error}). It is only shown here. "
            f"Make room there, or set COURSE_HOME to a folder that you can write to."
        ]
    return []
