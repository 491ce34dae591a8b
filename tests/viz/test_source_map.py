"""The map of sources: its places are there, its links and words by hand; refusals; the same in a browser."""

import ast
from pathlib import Path

import pytest

import course_lib
from course_lib.errors import ParameterError
from course_lib.practice.judge import registry
from course_lib.viz import source_map
from course_lib.viz.places.mechanisms import MECHANISMS

ROOT = Path(course_lib.__file__).parent


@pytest.fixture
def mapped():
    return source_map(["04.allocator", "11.preempt"])


@pytest.mark.parametrize("one", MECHANISMS, ids=lambda one: one["title"])
def test_the_exercise_and_the_place_in_course_lib_are_there(one):
    file, name = one["course"]
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for part in name.split("."):
        [tree] = [node for node in tree.body if getattr(node, "name", "") == part]
    registry.find(one["exercise"])


def test_links_name_the_release_and_the_line(mapped):
    course, vllm, sglang = mapped.data["mechanisms"][1]["places"]
    assert course["url"].endswith("/blob/main/course_lib/engine/scheduler.py")
    assert vllm["url"].endswith("/vllm-project/vllm/blob/v0.24.0/vllm/v1/core/sched/scheduler.py#L388")
    assert sglang["url"].endswith("/sglang/blob/v0.5.23/python/sglang/srt/managers/scheduler.py#L3894")


def test_what_is_the_learners_is_marked_and_told(mapped):
    assert [row["exercise"] for row, mine in zip(mapped.data["mechanisms"], mapped.data["mine"]) if mine] == [
        "11.preempt",
        "04.allocator",
    ]
    assert mapped.words(6).startswith("The free list. vLLM's is a linked list") and "Your part passed" in mapped.words(
        6
    )
    assert "Your part" not in mapped.words(1) and "2 of" in mapped.data["subtitle"]
    assert source_map().data["subtitle"].endswith(f"{len(MECHANISMS)} mechanisms")
    assert list(mapped.table()[0].values())[:2] == ["The loop", "18.assemble"]


def test_what_does_not_fit_together_is_refused(mapped):
    for mechanisms, says in (
        ([], "is empty"),
        ([{"title": "x"}], "has no 'exercise'"),
        ([MECHANISMS[0] | {"vLLM": ("file",)}], "line may be None"),
    ):
        with pytest.raises(ParameterError, match=says):
            source_map(mechanisms=mechanisms)
    with pytest.raises(ParameterError, match="list of exercise ids"):
        source_map([4])


def test_the_picture_and_the_saved_form(mapped):
    data, metadata = mapped.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("The map: your file, vLLM's file, step 1 of 15. The loop.")
    assert mapped.snapshot(3).data != mapped.snapshot(1).data


# in the browser


def test_rows_are_reached_by_keys_mouse_and_links(mapped, open_view):
    page = open_view(mapped)
    page.get_by_role("grid").focus()
    seen = []
    for key in ("ArrowDown", "ArrowDown", "End", "ArrowUp", "Home"):
        page.keyboard.press(key)
        seen.append(page.state.step())
    assert seen == [2, 3, 15, 14, 1]
    page.get_by_text("Eviction", exact=True).click()
    assert page.state.step() == 8 and mapped.words(8) in page.inner_text(".cl-say")
    assert page.locator("[role=row][aria-selected=true]").count() == 1
    page.locator(".cl-map-row").nth(3).locator("a").nth(1).focus()
    assert page.state.step() == 4
    assert page.locator(".cl-map-row").nth(1).locator("a").nth(1).get_attribute("href").endswith("scheduler.py#L388")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(mapped, open_view, looks_well, scheme, width):
    looks_well(open_view(mapped, width=width, color_scheme=scheme), scheme)
