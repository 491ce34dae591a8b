"""The exercise 13.graph_buckets: batch sizes of captured graphs, and rows of padding that write and read nothing."""

import random
from itertools import zip_longest

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.report.tensors import numbers

from .graph_buckets_answers import BuffersByBisection, BuffersByColumns
from .graph_buckets_mistakes import MISTAKES, holds_tensors
from .graph_buckets_sizes import size_for, sizes, sizes_beside
from .graph_game import FIELDS, graph_outputs, graph_steps, made_step
from .solutions.graph_buckets import GraphBuffers

PLAY = "from course_lib.practice.play import {}"


def filled(most, width, *steps, widths=None, beside=()):
    """The Trial of steps, one after the other. Each: (token, block ids, length) of its sequences.

    widths: columns of the block table of each step. beside: a step that a second object is filled with before each.
    """
    widths = widths or [None] * len(steps)
    size = 1000 * len(steps) + 100 * sum(map(len, steps)) + sum(n for step in steps for _, _, n in step) + most

    def act(answer):
        buffers = answer(most, width)
        if beside:
            other = answer(most, width)
            return graph_steps(Beside(buffers, other, beside), [made_step(*one) for one in zip(steps, widths)])
        return graph_steps(buffers, [made_step(*one) for one in zip(steps, widths)])

    called = [f"made_step({list(one)}{f', width={w}' * (w is not None)})" for one, w in zip(steps, widths)]
    story = [PLAY.format("graph_steps, made_step"), f"buffers = GraphBuffers(most={most}, width={width})"]
    if beside:
        story[0] = PLAY.format("Beside, graph_steps, made_step")
        story += [f"other = GraphBuffers(most={most}, width={width})  # filled before each step with another sequence"]
        story += [f"buffers = Beside(buffers, other, {list(beside)})"]
    story += ["steps = [", *[f"    {line}," for line in called], "]", "graph_steps(buffers, steps)"]
    return Trial(story, act, show=shown, explain=first_difference, size=size)


class Beside:
    """Buffers beside another object of the same class, which is filled just before each replay."""

    def __init__(self, buffers, other, rows):
        self.buffers, self.other, self.rows = buffers, other, rows
        for name in FIELDS:
            setattr(self, name, getattr(buffers, name))

    def fill(self, **step):
        size = self.buffers.fill(**step)
        self.other.fill(**made_step(self.rows))
        return size


def shown(lines):
    return "\n".join(lines) if isinstance(lines, list) and all(isinstance(one, str) for one in lines) else repr(lines)


def first_difference(expected, got):
    """The first line in which two lists of rows differ."""
    if not isinstance(got, list):
        return ""
    pairs = zip_longest(expected, got, fillvalue="nothing")
    want, mine = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return f"First different: {mine.strip()}; it should be: {want.strip()}." if want else ""


def outputs(most, *steps):
    """The Trial of replays on a pool that holds nan outside of the sequences."""

    def act(answer):
        return [part for one in graph_outputs(answer(most, 3), list(map(made_step, steps))) for part in one]

    story = [PLAY.format("graph_outputs, made_step"), f"buffers = GraphBuffers(most={most}, width=3)"]
    story += ["steps = [", *[f"    made_step({list(one)})," for one in steps], "]"]
    story += ["graph_outputs(buffers, steps)  # for each step: a row of numbers for each row, slots that are written"]

    def show(found):
        return "\n".join(numbers(x, 3) if isinstance(x, torch.Tensor) else f"written: {x}" for x in found)

    return Trial(story, act, show=show, explain=stale, size=100 * sum(map(len, steps)) + most)


def stale(expected, got):
    for want, mine in zip(expected, got):
        if isinstance(mine, torch.Tensor) and mine.isnan().any():
            row = int(mine.isnan().any(1).nonzero()[0])
            return f"Row {row} is nan: it read a slot that belongs to no sequence of the step."
        if isinstance(mine, list) and mine != want:
            return f"Slots {mine} are written; the step writes {want}."
    return ""


def untouched(*rows):
    """The Trial that compares the caller's tensors after the call."""

    def act(answer):
        buffers, step = answer(4, 3), made_step(rows)
        before = {name: x.clone() for name, x in step.items()}
        buffers.fill(**step)
        return [name for name in FIELDS if not torch.equal(before[name], step[name])]

    story = [
        "# which of the step's tensors are changed by the call?",
        PLAY.format("made_step"),
        "buffers = GraphBuffers(most=4, width=3)",
        f"step = made_step({list(rows)})",
        "buffers.fill(**step)",
        "step",
    ]
    return Trial(
        story, act, show=lambda names: " and ".join(names) or "none" if isinstance(names, list) else repr(names),
        size=len(rows),
    )  # fmt: skip


def drawn(number, seed):
    """`number` random programs of several steps, the same for the same seed."""
    draw, trials = random.Random(seed), []
    for _ in range(number):
        most, steps = draw.choice([1, 3, 4, 6, 9]), []
        for _ in range(draw.randint(2, 4)):
            blocks, rows = draw.sample(range(40), 36), []
            for _ in range(draw.randint(1, min(most + 1, 9))):
                count = draw.randint(1, 3)
                mine, blocks = blocks[:count], blocks[count:]
                rows.append((draw.randint(1, 99), mine, 2 * count - draw.randint(0, 1)))
            steps.append(tuple(rows))
        trials.append(filled(most, 4, *steps))
    return trials


A, B, C = (11, [5], 1), (22, [7, 3], 4), (33, [2], 2)
D, E, F = (44, [9, 8, 1], 5), (55, [4], 1), (66, [6], 2)
WITHOUT_GRAPH = [
    filled(1, 2, (A, C)),
    filled(2, 2, (A, C, E), (F,)),
    filled(2, 3, (A, B), (A, C, E), (D, F)),
    filled(3, 3, (A, B, C, D), (D, A, E)),
]
UNTOUCHED = [untouched(A), untouched(A, B, C), untouched(B, D, E, F)]

GRAPH_BUCKETS = Exercise(
    id="13.graph_buckets",
    title="Padded batch sizes",
    name="GraphBuffers",
    cases="cases",
    properties=[
        Property(
            "`sizes`: 1, 2, 4, the multiples of 8 below `most`, and `most`",
            "Small sizes are close together, where padding would be a large part of the step. Each size is a graph "
            "that is captured, which takes time and memory.",
            [sizes(most) for most in (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 30, 64, 300, 520)],
        ),
        Property(
            "`size_for` gives the smallest size that is large enough",
            "A step of n sequences runs at this size. A size that is exactly n needs no padding.",
            [
                size_for(most, n)
                for most, n in ((1, 1), (4, 1), (4, 2), (4, 3), (4, 4), (12, 5), (12, 8), (12, 9), (30, 17), (30, 24))
            ],
        ),
        Property(
            "A step that is larger than `most` has no graph: None",
            "It runs eagerly, kernel by kernel. It is no error.",
            [size_for(1, 2), size_for(4, 5), size_for(12, 13), size_for(12, 500), size_for(30, 31)],
        ),
        Property(
            "`fill` writes the step into the first rows of the buffers and returns the size",
            "The graph was captured with the tensors that `__init__` made, and reads these at each replay. A new "
            "tensor under the same name is not read.",
            [filled(1, 2, (A,)), filled(2, 2, (A, B)), filled(4, 3, (B, A, C, D)), filled(2, 2, (A,), (C,))],
        ),
        Property(
            "A row of padding writes nothing and reads nothing",
            "Its slot is -1 and its length 0. It computes something all the same, so it needs a token and a position "
            "that exist.",
            [filled(4, 2, (A, C, E)), filled(4, 3, (B, A, D)), filled(8, 2, (A, C, E, F, B)), filled(3, 2, (A, C, E))],
        ),
        Property(
            "Rows that an earlier step left behind become padding",
            "Their sequences have ended, and their blocks belong to others. A graph that runs their rows again writes "
            "into blocks of others.",
            [
                filled(4, 2, (A, C, E, F), (B, A, C)),
                filled(4, 2, (A, C), (E,)),
                filled(4, 3, (A, B, C, D), (E, F, A)),
                filled(8, 3, (A, B, C, D, E, F), (F, A, B, C, D), (A, B, C)),
            ],
        ),
        Property(
            "The step's block table may have fewer columns than the buffer",
            "It is as wide as the longest sequence of the step. What is in the other columns is never read.",
            [
                filled(1, 4, (A,)),
                filled(2, 4, (A, B)),
                filled(2, 4, (A, C), widths=[3]),
                filled(4, 4, (D, B, A), (A, C), widths=[3, 1]),
            ],
        ),
        Property(
            "A step without a graph leaves nothing behind that disturbs the next one",
            "`fill` returns None for it, and the next step of fewer sequences runs in a graph again.",
            WITHOUT_GRAPH,
        ),
        Property(
            "Two GraphBuffers share nothing",
            "An engine for another model has buffers of its own.",
            [
                filled(1, 2, (A,), beside=(C,)),
                filled(2, 3, (A, B), beside=(F, E)),
                filled(4, 3, (A, B, C), beside=(F, E, D)),
                *(sizes_beside(most, other, n) for most, other, n in ((4, 9, None), (9, 3, None), (9, 3, 5))),
            ],
        ),
        Property(
            "In a real pool that holds nan elsewhere, no row becomes nan, and only the step's slots are written",
            "Memory that was freed holds anything. 0 times nan is nan, so a mask after the read would be too late.",
            [
                outputs(1, (A,)),
                outputs(2, (A, B)),
                outputs(4, (A, B, C)),
                outputs(4, (A, B, C, D), (E, F, (12, [10], 1))),
                outputs(8, (D, A, B, E, F), (C,), (A, B, C)),
            ],
        ),
        Property("The step's tensors are not changed", "The engine needs them after the step.", UNTOUCHED),
        Property(
            "The same holds in any order of steps",
            "Sequences come and go, so steps of all sizes follow each other.",
            drawn(25, 13),
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "all objects share one memory.",
            "A tensor or a list that belongs to the class is one for all objects. Make it in `__init__`, as `self.… = "
            "…`.",
            is_made_by=holds_tensors,
        ),
        *MISTAKES,
        Mistake(
            "a step without a graph is written all the same.",
            "Where `size_for(n)` is None, `fill` returns None before it writes anything: the buffers have no rows for "
            "it.",
            is_made_by=lambda answer, found: (
                getattr(found.outcome, "kind", "") in ("RuntimeError", "TypeError") and found.trial in WITHOUT_GRAPH
            ),
        ),
        Mistake(
            "the step's tensors are changed.",
            "Write into the buffers only. Functions that end with an underscore change the tensor itself.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "`sizes` is a list that is made once: `[1, 2, 4, *range(8, most, 8)]`, of which those below `most` count, and "
        "then `most`.",
        "`size_for` is the first of the ascending sizes that is at least n. `next(…, None)` gives None where there is "
        "no such size.",
        "Write into a tensor with an index on the left: `self.slots[:n] = slots`. `self.slots = …` would be another "
        "tensor, which no graph reads.",
        "Rows from n up to the size: `self.slots[n:size] = -1` and `self.seq_lens[n:size] = 0`, in every step. For the "
        "block table name the columns as well: `self.block_tables[:n, : block_tables.shape[1]] = block_tables`.",
    ],
    rights=[GraphBuffers, BuffersByBisection, BuffersByColumns],
    why="vLLM calls the sizes `cudagraph_capture_sizes`, and pads to the next one as here. The length 0 of padding is "
    "what lets one kernel serve both: its loop over blocks ends before it begins.",
)
