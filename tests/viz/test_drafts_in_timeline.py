"""Drafted tokens on the timeline: the same in Python, in the page, in the words and in the still picture."""

import pytest
import random_models
import torch

from course_lib.decoding import SamplingParams
from course_lib.engine import DraftModel, Engine, EngineConfig
from course_lib.errors import CourseError
from course_lib.trace.chrome import chrome_trace
from course_lib.viz import timeline_view


class OftenRight:
    """A model as it is, but wrong at every third position."""

    def __init__(self, model):
        self.model, self.config, self.device, self.dtype = model, model.config, model.device, model.dtype

    def __call__(self, token_ids, positions, cache, logits_for=None):
        logits = self.model(token_ids, positions, cache)
        logits = torch.where((positions % 3 == 0)[:, None], logits.roll(1, -1), logits)
        return logits if logits_for is None else logits[logits_for]


@pytest.fixture(scope="module")
def engine():
    model = random_models.model()
    speculation = DraftModel(model=OftenRight(model), num_speculative_tokens=3)
    engine = Engine(model, EngineConfig(num_blocks=24, block_size=4, speculation=speculation))
    engine.generate([[3, 1, 4], [1, 5, 9, 2, 6]], SamplingParams(max_tokens=14))
    return engine


def told(engine):
    """{(step, request): (start, drafted, accepted)}, from the records themselves."""
    starts = {
        (step, request): start
        for step, event, *fields in engine.trace.rows()
        if event == "schedule"
        for request, start, _ in zip(*fields)
    }
    return {
        (step, request): (starts[step, request], *fields)
        for step, event, request, *fields in engine.trace.rows()
        if event == "speculate"
    }


def test_the_table_counts_what_was_computed_and_what_stays(engine):
    view = timeline_view(engine.trace)
    records = told(engine)
    assert len({accepted for _, _, accepted in records.values()}) > 1
    for (step, request), (start, drafted, accepted) in records.items():
        row = next(row for row in view.table(step + 1) if row["request"] == f"R{request}")
        assert row["tokens"] == 1 + drafted and row["computed"] == start + 1 + accepted
        assert row["state"].startswith("decode, with drafts")
        assert f"{accepted or 'none'} accepted" in view.words(step + 1) or len(view.table(step + 1)) > 2


def test_memory_gives_the_blocks_of_rejected_drafts_back(engine):
    view = timeline_view(engine.trace)
    for (step, request), (start, _, accepted) in told(engine).items():
        tables = view.memory(step + 1).tables
        assert request not in tables or len(tables[request][0]) == -(-(start + 1 + accepted) // 4)


def test_the_page_says_the_same(engine, open_view):
    view = timeline_view(engine.trace)
    page = open_view(view)
    for step in range(1, view.last + 1):
        page.evaluate("step => view.model.set('step', step)", step)
        assert page.state.table() == [[str(value) for value in row.values()] for row in view.table(step)]
    legend = page.inner_text(".cl-legend") if page.locator(".cl-legend").count() else page.inner_text("body")
    assert "draft accepted" in legend and "draft rejected" in legend
    page.get_by_role("grid", name="Requests").focus()
    page.evaluate("view.model.set('step', 3)")
    page.keyboard.press("ArrowDown")
    assert "drafted token" in page.inner_text(".cl-note")


def test_a_trace_viewer_gets_the_counts(engine):
    found = [event["args"] for event in chrome_trace(engine.trace) if event.get("name") == "speculate"]
    assert [(one["drafted"], one["accepted"]) for one in sorted(found, key=lambda one: one["step"])] == [
        (drafted, accepted) for _, drafted, accepted in told(engine).values()
    ]


@pytest.mark.parametrize("drafted, accepted", [(2, 3), (4, 1), (2, -1)])
def test_counts_that_cannot_be_are_refused(drafted, accepted):
    rows = [
        [0, "queue", "a", "x", 0, 3],
        [0, "schedule", ["a"], [0], [3]],
        [1, "schedule", ["a"], [3], [3]],
        [1, "speculate", "a", drafted, accepted],
    ]
    with pytest.raises(CourseError, match="drafted tokens of request 'a'"):
        timeline_view(rows)
