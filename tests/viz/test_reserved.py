"""Reserved against used: what is refused, what is drawn from the compact data, and the same in a real browser."""

import copy
import json

import pytest

from course_lib.errors import CourseError
from course_lib.kvcache.fragmentation import (
    draw_requests,
    reserve_exact,
    reserve_maximum,
    reserve_power_of_two,
    simulate,
)
from course_lib.viz import reserved_against_used
from course_lib.viz.reserved.model import layout, own_step, parts_at, segments_at, share

# 32 slots. Request 1 reserved 8 and will fill 6; request 2 reserved 12 and will fill 5; slots 8-11 are a hole,
# too small for the request that waits.
FIRST = {
    "time": 4, "waiting": 1, "used": 5, "reserved": 6, "internal": 9, "external": 4, "free": 8,
    "segments": [{"request": 2, "start": 12, "reserved": 12, "used": 2, "final": 5},
                 {"request": 1, "start": 0, "reserved": 8, "used": 3, "final": 6}],
}  # fmt: skip
SECOND = {
    "time": 5, "waiting": 0, "used": 3, "reserved": 2, "internal": 7, "external": 0, "free": 20,
    "segments": [{"request": 2, "start": 12, "reserved": 12, "used": 3, "final": 5}],
}  # fmt: skip


def sample(steps, count=60, capacity=4_000, longest=512):
    requests = draw_requests(count, seed=3, mean_prompt=60, mean_output=110, max_tokens=longest)
    policies = {"the maximum": reserve_maximum(longest), "power of two": reserve_power_of_two, "exact": reserve_exact}
    return {name: simulate(requests, reserve, capacity, steps) for name, reserve in policies.items()}, capacity


@pytest.fixture
def tiny():
    return reserved_against_used({"by hand": [FIRST, SECOND]}, 32)


@pytest.fixture
def three():
    return reserved_against_used(*sample(40))


@pytest.fixture
def long():
    """3 policies, 600 steps, 200 requests."""
    return reserved_against_used(*sample(600, 200, 15_700, 2_048))


def test_the_memory_from_end_to_end(tiny):
    run = tiny.data["runs"][0]
    assert [(kind, start, size) for kind, start, size, _ in layout(tiny.data, run, 1)] == [
        ("segment", 0, 8), ("external", 8, 4), ("segment", 12, 12), ("free", 24, 8)]  # fmt: skip
    assert tiny.table(1) == [
        {"slots of": "request 1", "first slot": 0, "slots": 8, "used": 3, "yet to come": 3, "never used": 2},
        {"slots of": "hole, too small", "first slot": 8, "slots": 4, "used": "", "yet to come": "", "never used": ""},
        {"slots of": "request 2", "first slot": 12, "slots": 12, "used": 2, "yet to come": 3, "never used": 7},
        {"slots of": "free", "first slot": 24, "slots": 8, "used": "", "yet to come": "", "never used": ""},
    ]  # fmt: skip
    assert tiny.words(1).replace("\xa0", " ") == (
        "by hand, time 4: 2 requests run, 1 waits. 15.6 % of the memory is used; 18.8 % is reserved for tokens "
        "yet to come, "
        "28.1 % is reserved and never used, 12.5 % lies in holes too small for the next request, 25.0 % is free."
    )
    assert tiny.words(2).startswith("by hand, time 5: 1 request runs, 0 wait. ")


@pytest.mark.parametrize("make", [lambda: sample(40), lambda: sample(300, 200, 15_700, 2_048)])
def test_nothing_is_lost_in_the_compact_data(make):
    """Every segment and every count of every step comes out again as it went in."""
    runs, capacity = make()
    view = reserved_against_used(copy.deepcopy(runs), capacity)
    for run, (policy, steps) in zip(view.data["runs"], runs.items(), strict=True):
        assert run["policy"] == policy
        for index, step in enumerate(steps):
            want = [
                tuple(s[key] for key in ("request", "start", "reserved", "final", "used"))
                for s in sorted(step["segments"], key=lambda s: s["start"])
            ]
            assert segments_at(run, index) == want
            assert parts_at(view.data, run, index + 1) == [
                step[name] for name in ("used", "reserved", "internal", "external", "free")
            ]
            drawn = layout(view.data, run, index + 1)
            assert sum(size for _, _, size, _ in drawn) == capacity
            assert sum(size for kind, _, size, _ in drawn if kind == "external") == step["external"]


def test_uneven_growth_is_kept_too():
    steps = []
    for time, used in enumerate((1, 1, 4, 5)):
        segment = {"request": "a", "start": 2, "reserved": 6, "used": used, "final": 5}
        steps.append(
            {
                "time": time,
                "segments": [segment],
                "waiting": 0,
                "used": used,
                "reserved": 5 - used,
                "internal": 1,
                "external": 0,
                "free": 4,
            }
        )
    run = reserved_against_used({"p": steps}, 10).data["runs"][0]
    assert [segments_at(run, index)[0][4] for index in range(4)] == [1, 1, 4, 5]


def test_policies_are_put_side_by_side_by_time():
    later = {**SECOND, "time": 9}
    view = reserved_against_used({"a": [FIRST, later], "b": [SECOND]}, 32)
    assert view.data["times"] == [4, 5, 9] and view.last == 3
    a, b = view.data["runs"]
    assert [own_step(a, step) for step in (1, 2, 3)] == [0, 0, 1]
    assert [own_step(b, step) for step in (1, 2, 3)] == [-1, 0, 0]
    view.selected = {"policy": "b"}
    assert (
        view.words(1).replace("\xa0", " ")
        == "b, time 4: 0 requests run, 0 wait. 0 % of the memory is used; 100 % is free."
    )


def test_data_stay_small(long):
    assert len(json.dumps(long.data)) < 120_000
    assert len(long.snapshot(300).data) < 80_000


@pytest.mark.parametrize(
    "slots, text", [(0, "0 %"), (1, "<0.1 %"), (15_699, ">99.9 %"), (15_700, "100 %"), (4_906, "31.2 %")]
)
def test_shares_never_round_something_to_nothing(slots, text):
    assert share(slots, 15_700) == text.replace(" ", "\xa0")


def but(**change):
    return {**copy.deepcopy(FIRST), **change}


def moved(**change):
    step = copy.deepcopy(FIRST)
    step["segments"][1].update(change)
    return step


@pytest.mark.parametrize(
    "runs, says",
    [
        ([FIRST], "runs is list; it has to be a dict"),
        ({}, "`runs` is empty"),
        ({"p": []}, r"`runs\['p'\]` is empty"),
        ({"p": [{"time": 1}]}, r"runs\['p'\]\[0\] has no 'segments', 'waiting', 'used'"),
        ({"p": [but(free=9)]}, "used, reserved, internal, external, free add up to 33 slots, but the memory has 32"),
        ({"p": [but(used=6, free=7)]}, "used is 6 slots, but its segments come to 5"),
        ({"p": [but(internal=8, free=9)]}, "internal is 8 slots, but its segments come to 9"),
        ({"p": [but(waiting=-1)]}, "waiting is -1"),
        (
            {"p": [moved(start=6)]},
            "request 2 starts at slot 12, inside the slots 6 to 13 of request 1. Two requests cannot hold one slot",
        ),
        ({"p": [moved(start=28)]}, r"segments\[1\]: reserved is 8; it has to be a whole number from 1 to 4"),
        ({"p": [moved(final=9)]}, r"segments\[1\]: final is 9; it has to be a whole number from 1 to 8"),
        ({"p": [moved(used=7)]}, r"segments\[1\]: used is 7; it has to be a whole number from 0 to 6"),
        ({"p": [moved(request=None)]}, r"request is None; it has to be a number or a name"),
        ({"p": [SECOND, FIRST]}, r"runs\['p'\]\[1\] is at time 4, the step before it at 5"),
    ],
)
def test_it_refuses(runs, says):
    with pytest.raises(CourseError, match=says):
        reserved_against_used(runs, 32)


def test_a_choice_that_is_none_is_refused(three):
    three.selected = {"policy": "exact"}
    assert three.policy == "exact" and three.selected == {"policy": "exact", "request": None}
    three.selected = {"request": 0}  # the policy stays
    assert three.selected == {"policy": "exact", "request": 0}
    for nowhere, says in [
        ({"policy": "best fit"}, "policy = 'best fit' is not among the runs. There are 'the maximum'"),
        ({"request": 999}, "never runs under 'exact'"),
        (3, "is no choice"),
    ]:
        with pytest.raises(CourseError, match=says):
            three.selected = nowhere
    three.selected = None
    assert three.policy == "the maximum"


def test_still_form(three):
    first = three.snapshot(step=20)
    assert (
        first.data[:4] == b"\x89PNG"
        and first.width in (919, 920)
        and 300 < first.height < 700
        and len(first.data) < 80_000
    )
    assert "step 20 of 40" in first.alt and three.words(20) in first.alt
    three.selected = {"policy": "exact"}
    assert three.snapshot(step=20).data != first.data and "exact, time" in three.snapshot(step=20).alt
    data, _ = three.bundle()
    assert (
        "never used" in data["text/html"]
        and repr(three) == "<reserved against used: exact, 4,000 slots, one token each, step 1 of 40>"
    )


# in the browser


def press(page, label):
    page.get_by_role("button", name=label, exact=True).click(force=True)


def test_a_policy_is_chosen_with_mouse_and_keys(three, open_view):
    page = open_view(three)
    page.evaluate("view.model.set('step', 25)")
    for name in ("exact", "power of two", "the maximum"):
        page.get_by_role("radio", name=name).click()
        three.selected = page.state.selected()
        assert three.policy == name
        assert three.words(25) == page.evaluate(
            "[...document.querySelector('.cl-say').childNodes].slice(0, -2).map(node => node.textContent).join('')"
        )
    page.keyboard.press("ArrowLeft")  # round the corner, and the step stays
    assert page.state.selected()["policy"] == "exact" and page.state.step() == 25
    assert page.evaluate("document.activeElement.textContent").startswith("exact")


@pytest.mark.parametrize("name", ["tiny", "three", "long"])
def test_the_table_and_words_in_the_page_are_those_in_python(request, open_view, name):
    view = request.getfixturevalue(name)
    page = open_view(view)
    page.locator("summary").click()
    page.wait_for_selector(".cl-table td")
    for run in view.data["runs"]:
        view.selected = {"policy": run["policy"]}
        page.evaluate("one => view.model.set('selected', one)", view.selected)
        for step in range(1, view.last + 1, max(1, view.last // 9)):
            page.evaluate("step => view.model.set('step', step)", step)
            cells = page.state.table()
            words = page.evaluate("""() => [...document.querySelector('.cl-say').childNodes].slice(0, -2)
                .map(node => node.textContent).join('')""")
            assert cells == [[str(value) for value in row.values()] for row in view.table(step)]
            assert words == view.words(step)


def test_a_request_is_chosen_with_keys_and_followed(three, open_view):
    page = open_view(three)
    area = page.get_by_role("listbox")
    area.focus()
    page.keyboard.press("ArrowRight")
    run = three.data["runs"][0]
    request = segments_at(run, 0)[0][0]
    assert page.state.selected() == {"policy": "the maximum", "request": request}
    assert page.inner_text(".cl-note").startswith(f"Request {request}: 512 slots reserved from slot 0 on, ")
    page.keyboard.press("ArrowDown")
    assert page.state.step() == 2 and page.state.selected()["request"] == request
    page.keyboard.press("Escape")  # the request, not the policy
    assert page.state.selected() == {"policy": "the maximum", "request": None}


def test_a_click_chooses_a_request_or_a_moment(three, open_view):
    page = open_view(three, width=1000)
    box = page.get_by_role("listbox").bounding_box()
    page.mouse.click(box["x"] + 58 + 12, box["y"] + 10)
    assert page.state.selected()["request"] == segments_at(three.data["runs"][0], 0)[0][0]
    chart = page.locator(".cl-time").bounding_box()
    page.mouse.click(chart["x"] + chart["width"] - 4, chart["y"] + 40)
    assert page.state.step() == 40


def test_the_player_and_the_keys(three, open_view):
    page = open_view(three)
    page.locator(".cl").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.state.step() == 2
    press(page, "last step")
    assert page.state.step() == 40 and page.inner_text(".cl-count") == "step 40 / 40"
    press(page, "play")
    page.wait_for_function("view.model.get('step') > 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 700, 1120, 1400])
@pytest.mark.parametrize("name", ["tiny", "long"])
def test_it_fits(request, open_view, looks_well, name, width, scheme):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


@pytest.mark.parametrize("name", ["three", "long"])
def test_drawing_a_step_takes_little_work(request, open_view, work_of_steps, little, name):
    little(work_of_steps(open_view(request.getfixturevalue(name), width=1200)), typical=600, worst=60_000)
