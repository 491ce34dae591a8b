"""Batch slots: what a step says and counts, what is refused, and the same in a real browser."""

import math
import random

import pytest

from course_lib.batching import Batch, DynamicBatcher, count_batches, simulate_batches
from course_lib.errors import ParameterError
from course_lib.viz import batch_slots
from course_lib.viz.slots.model import cell, run_at, waiting

REQUESTS = [(0, 8, 6), (0, 3, 2), (2, 5, 9), (3, 12, 4), (4, 6, 3), (9, 4, 7), (10, 9, 5), (11, 3, 1), (20, 5, 5)]


def drawn(number, seed=0):
    draw = random.Random(seed)
    return [
        (int(draw.random() * 2 * number), int(8 * 32 ** draw.random()), int(2 * 24 ** draw.random()))
        for _ in range(number)
    ]


@pytest.fixture
def small():
    """Static batches of three in four slots."""
    return batch_slots(REQUESTS, simulate_batches(REQUESTS, DynamicBatcher(3, math.inf)), 4)


@pytest.fixture
def long():
    """300 requests in batches of 32."""
    requests = drawn(300)
    return batch_slots(requests, simulate_batches(requests, DynamicBatcher(32, 20)))


def test_what_a_step_says(small):
    assert (
        small.words(1).rstrip()
        == "R0 and R1 arrive. Nothing runs: 2 requests wait for more to arrive, or for the timeout."
    )
    assert (
        small.words(3) == "R2 arrives. A batch of 3 starts: R0, R1 and R2. Prompts are padded to 8 tokens, 8 of 24 are "
        "padding. So far 66.7 % of 24 tokens computed were useful."
    )
    assert (
        small.words(5)
        == "R4 arrives. 2 of 3 requests write a token. R1 is finished and still computed. 2 requests wait. So "
        "far 70.0 % of 30 tokens computed were useful."
    )


def test_the_table_of_a_step(small):
    assert small.table(7) == [
        {"batch slot": "slot 0, R0", "does": "one token", "useful tokens": 1, "wasted tokens": 0},
        {"batch slot": "slot 1, R1", "does": "finished, still computed", "useful tokens": 0, "wasted tokens": 1},
        {"batch slot": "slot 2, R2", "does": "one token", "useful tokens": 1, "wasted tokens": 0},
        {"batch slot": "slot 3", "does": "empty, others run", "useful tokens": 0, "wasted tokens": 0},
        {"batch slot": "queue", "does": "R3, R4", "useful tokens": "", "wasted tokens": ""},
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("timeout", [0, 5, math.inf])
def test_the_sums_are_those_of_the_cells_and_of_the_report(seed, timeout):
    requests = drawn(25, seed)
    batches = simulate_batches(requests, DynamicBatcher(4, timeout))
    view, report = batch_slots(requests, batches, 5), count_batches(requests, batches)
    total = [0, 0, 0, 0]
    for step in range(1, view.last + 1):
        for slot in range(5):
            kind, _, useful, wasted = cell(view.data, run_at(view.data, step), slot, step)
            total = [
                a + b
                for a, b in zip(
                    total, (useful, wasted * (kind == "prompt"), wasted * (kind == "over"), kind in ("empty", "none"))
                )
            ]
        assert view.data["sums"][step - 1] == total
    assert total[:3] == [report.num_useful_tokens, report.num_padding_tokens, report.num_idle_tokens]
    assert view.shares(view.last) == dict(zip(("useful", "padding", "idle", "empty"), total))


def test_each_request_waits_from_its_arrival_to_its_batch(small):
    waited = dict.fromkeys(range(len(REQUESTS)), 0)
    for step in range(1, small.last + 1):
        for i in waiting(small.data, step):
            waited[i] += 1
    assert waited == {0: 2, 1: 2, 2: 0, 3: 8, 4: 7, 5: 2, 6: 10, 7: 9, 8: 0}


def test_who_is_never_served_waits_to_the_end():
    view = batch_slots([(0, 2, 2), (1, 2, 2)], [(0, [0])])
    assert waiting(view.data, view.last) == [1] and view.last == 2


def test_batches_may_be_plain_tuples_and_requests_may_have_names():
    view = batch_slots([(0, 2, 2)], [(3, [0])], names=["Nettle"])
    assert view.last == 5 and "Nettle" in view.words(4)
    assert batch_slots([(0, 2, 2)], [Batch(3, (0,))], names=["Nettle"]).data == view.data


@pytest.mark.parametrize(
    "requests, batches, slots, says",
    [
        ([], [], None, "`requests` is empty"),
        ([(0, 1)], [], None, r"a request is \(arrival"),
        ([(0, 0, 1)], [], None, "tokens of its prompt, is 0"),
        ([(0.5, 1, 1)], [], None, "the arrival, is 0.5"),
        ([(0, 1, 1)], [(0, [1])], None, "a request of batches"),
        ([(0, 1, 1)], [(0, [])], None, "is empty"),
        ([(0, 1, 1)], [3], None, r"batches\[0\] is 3; a batch is \(start"),
        ([(0, 1, 1)], [(0, 0)], None, r"batches\[0\] is \(0, 0\); a batch is \(start"),
        ([(0, 1, 1)], [(0, [0]), (1, [0])], None, "served already"),
        ([(0, 1, 3), (0, 1, 1)], [(0, [0]), (2, [1])], None, "still runs: it ends after step 3"),
        ([(4, 1, 3)], [(3, [0])], None, "arrives after step 4"),
        ([(0, 1, 1), (0, 1, 1)], [(0, [0, 1])], 1, "num_slots is 1"),
    ],
    ids=[
        "none",
        "short",
        "prompt",
        "arrival",
        "unknown",
        "empty",
        "no batch",
        "one place",
        "twice",
        "overlap",
        "early",
        "slots",
    ],
)
def test_what_does_not_fit_together_is_refused(requests, batches, slots, says):
    with pytest.raises(ParameterError, match=says):
        batch_slots(requests, batches, slots)


@pytest.mark.parametrize("selected", [9, -1, "R1", 1.0], ids=str)
def test_a_request_that_is_not_there_cannot_be_selected(small, selected):
    with pytest.raises(ParameterError, match="there are requests 0 to 8"):
        small.selected = selected


def test_the_picture_and_the_saved_form(small):
    data, metadata = small.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data) and metadata["image/png"]["alt"].startswith(
        "Batch slots over time, step 18 of 25"
    )
    assert small.snapshot(4).data != small.snapshot(12).data
    small.step = 4  # a step that was set is the one that the text speaks of
    assert "step 4 of 25" in small.bundle()[1]["image/png"]["alt"]


# in the browser


def test_steps_words_and_table_in_the_page(small, open_view):
    page = open_view(small)
    for step in (1, 3, 7, 25):
        page.evaluate(f"view.model.set('step', {step})")
        assert page.inner_text(".cl-say").replace("\xa0", " ").strip() == small.words(step).strip()
        cells = page.state.table()
        assert cells == [[str(value) for value in row.values()] for row in small.table(step)]


def test_a_request_is_chosen_by_keys_and_by_mouse(small, open_view):
    page = open_view(small)
    page.evaluate("view.model.set('step', 4)")
    grid = page.get_by_role("grid")
    grid.focus()
    chosen = []
    for key in (
        "ArrowDown",
        "ArrowDown",
        "ArrowRight",
        "ArrowUp",
        "End",
    ):  # the first only begins, in the batch that runs
        page.keyboard.press(key)
        chosen.append(page.state.selected())
    assert chosen == [0, 1, 4, 3, 6] and page.state.step() == 4
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert (
        page.inner_text(".cl-note")
        == "R1 was there at the beginning and waited 2 steps. Slot 1, steps 3 to 4: a prompt of 3 tokens "
        "padded to 8, 2 new. Computed on until step 11."
    )
    page.keyboard.press("Escape")
    assert page.state.selected() is None
    box, queue = grid.bounding_box(), page.locator(".cl-time").first.bounding_box()
    across = (box["width"] - 58) / small.last
    page.mouse.click(box["x"] + 56 + 4.5 * across, box["y"] + 17 + 15)
    assert page.state.selected() == 0
    page.mouse.click(queue["x"] + 56 + 5.5 * across, queue["y"] + 4)
    assert page.state.selected() == 3
    page.locator(".cl-time").nth(1).click(position={"x": 56 + 9.5 * across, "y": 20})
    assert page.state.step() == 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["small", "long"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


def test_a_step_of_a_long_run_takes_no_more_work_than_one_of_a_short(long, small, open_view, work_of_steps, little):
    few, many = (work_of_steps(open_view(view, width=1200)) for view in (small, long))
    little(few, typical=400, worst=1_000)
    little(many, typical=400, worst=1_000)
