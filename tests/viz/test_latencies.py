"""Requests in time: what a step says and counts, what is refused, the same in a real browser, and beside a timeline."""

from types import SimpleNamespace

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import request_latencies

STEPS = [(0.0, 0.02)] + [(0.02 + 0.01 * i, 0.03 + 0.01 * i) for i in range(5)] + [(0.07, 0.15), (0.15, 0.16)]
ENDS = [end for _, end in STEPS]


def times(arrival, first_scheduled, token_times, finished):
    return SimpleNamespace(arrival=arrival, first_scheduled=first_scheduled, token_times=token_times, finished=finished)


REQUESTS = {
    "late": times(0.065, 0.07, ENDS[6:], None),
    "a": times(0.0, 0.0, ENDS[:], ENDS[-1]),
    "7": times(0.025, 0.03, ENDS[2:4], ENDS[3]),
    "never": times(0.1, None, [], None),
}


@pytest.fixture
def view():
    return request_latencies(REQUESTS, STEPS)


def test_rows_go_by_arrival_and_say_the_latencies(view):
    rows = {row["request"]: row for row in view.table(7)}
    assert list(rows) == ["a", "7", "late", "never"]
    figures = ["queue time", "TTFT", "TPOT", "longest gap", "end to end"]
    assert [rows["a"][name] for name in figures] == ["0.0 ms", "20.0 ms", "20.0 ms", "80.0 ms", "160.0 ms"]
    assert [rows["7"][name] for name in figures] == ["5.0 ms", "15.0 ms", "10.0 ms", "10.0 ms", "25.0 ms"]
    assert [rows["never"][name] for name in figures] == ["–"] * 5


def test_states_and_tokens_by_step(view):
    seen = {name: [] for name in REQUESTS}
    for step in range(1, view.last + 1):
        for row in view.table(step):
            seen[row["request"]].append((row["state"], row["tokens"]))
    there, gone = ("not there yet", 0), ("finished", 2)
    assert seen["a"] == [("prefill", 1)] + [("decode", n) for n in range(2, 9)]
    assert seen["7"] == [there, ("waits", 0), ("prefill", 1), ("decode", 2)] + [gone] * 4
    assert seen["late"] == [there] * 5 + [("waits", 0), ("prefill", 1), ("decode", 2)]
    assert seen["never"] == [there] * 6 + [("waits", 0)] * 2


def test_what_a_step_says(view):
    assert view.words(3) == (
        "Step 3 takes 10.0 ms. Prefill of R7 begins. R7 gets its first token: TTFT 15.0 ms. "
        "1 request gets one more token."
    )
    assert view.words(4) == "Step 4 takes 10.0 ms. 2 requests get one more token. R7 is finished."


def test_a_gap_of_more_than_twice_the_median_is_a_stall(view):
    stalls = {one["name"]: one["stalls"] for one in view.data["requests"]}
    assert stalls == {"a": [5], "7": [], "late": [], "never": []}  # the gap after token 5, counted from 0


def test_the_picture_is_of_the_longest_step(view):
    data, metadata = view.bundle()
    assert metadata["image/png"]["alt"].startswith("Requests in time, step 7 of 8. Step 7 takes 80.0 ms.")
    assert "<td>80.0 ms</td>" in data["text/html"]


@pytest.mark.parametrize(
    "requests, steps, words",
    [
        ({}, STEPS, "`requests` is empty"),
        ([1], STEPS, "give a dict"),
        (REQUESTS, [], "`steps` is empty"),
        (REQUESTS, [(0, 1, 2)], "a step is \\(start, end\\)"),
        (REQUESTS, [(0, 1), (0.5, 2)], "the one before it ended at 1 s"),
        (REQUESTS, STEPS[:3], "late gets a token at 160.0 ms, after the last step"),
        ({"a": 3}, STEPS, "a has no arrival"),
    ],
)
def test_bad_input_is_refused(requests, steps, words):
    with pytest.raises(ParameterError, match=words):
        request_latencies(requests, steps)


def test_a_request_is_chosen_by_its_name(view):
    view.selected = "late"
    with pytest.raises(ParameterError, match="there are a, 7, late, never"):
        view.selected = "nobody"


def test_a_timeline_of_another_run_is_refused(view):
    other = request_latencies({"a": REQUESTS["7"]}, STEPS[:4])
    with pytest.raises(ParameterError, match="has to have 8 steps"):
        view.link(other)


def test_linked_views_start_at_the_same_step(view):
    view.step = 4
    other = request_latencies(REQUESTS, STEPS)
    view.link(other)
    assert other.step == 4


def test_keys_choose_requests_and_steps(open_view, view):
    page = open_view(view)
    page.get_by_role("grid").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert (page.state.selected(), page.state.step()) == ("7", 2)
    assert page.inner_text(".cl-note") == (
        "R7 waited 5.0 ms in the queue, TTFT 15.0 ms, 2 tokens, TPOT 10.0 ms, longest gap 10.0 ms, end to end 25.0 ms."
    )
    page.keyboard.press("Escape")
    assert page.state.selected() is None


def test_a_click_goes_to_the_step_of_that_time(open_view, view):
    page = open_view(view)
    box = page.get_by_role("grid").bounding_box()
    page.mouse.click(box["x"] + 88 + (box["width"] - 110) * 0.1 / 0.16, box["y"] + 12)  # at 100 ms, in the row of a
    assert (page.state.selected(), page.state.step()) == ("a", 7)


def test_the_table_in_the_page_is_the_table_in_python_at_every_step(open_view, view):
    page = open_view(view)
    page.state.table()
    for step in range(1, view.last + 1):
        page.evaluate(f"view.model.set('step', {step})")
        assert page.state.table() == [[str(cell) for cell in row.values()] for row in view.table(step)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1400])
def test_latencies_fit_and_follow_the_theme(open_view, looks_well, view, scheme, width):
    looks_well(open_view(view, width=width, color_scheme=scheme), scheme)
