"""Caches side by side: words, shares and what the newest token sees by hand; refusals; the same in a browser."""

import copy

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import cache_by_bits
from course_lib.viz.bits.model import parts_seen

STRETCHES = [(256, 4), (512, 3)]
CACHES = [
    {"name": "float32", "bytes": 4_000_000, "error": 0.0, "perplexity": 1.2, "right": [4, 3]},
    {"name": "int8", "bytes": 1_062_500, "error": 0.0078, "perplexity": 1.2004, "right": [4, 3]},
    {"name": "2 bits", "bytes": 300_400, "error": 0.9, "perplexity": 55.0, "right": [1, 0]},
    {"name": "a window", "bytes": 660_000, "error": 0.1, "perplexity": 1.4, "right": [4, 0], "window": 200, "sinks": 4},
]


@pytest.fixture
def four():
    return cache_by_bits(CACHES, STRETCHES)


def test_a_cache_says_what_it_saves_and_what_it_costs(four):
    assert four.last == 4
    assert four.words(2) == (
        "int8: 1,062 KB, 0.27 of float32. All 7 answers are right, perplexity 1.200, logit error 0.008."
    )
    assert four.words(4) == (
        "a window: 660 KB, 0.17 of float32. 4 of 7 answers are right, perplexity 1.400, logit error 0.100. The newest "
        "token sees the last 200 tokens and the first 4; 308 are gone."
    )


@pytest.mark.parametrize(
    "window, sinks, parts",
    [
        (None, 0, [(0, 10, "window")]),
        (4, 0, [(0, 6, "gone"), (6, 10, "window")]),
        (4, 2, [(0, 2, "sink"), (2, 6, "gone"), (6, 10, "window")]),
        (4, 6, [(0, 6, "sink"), (6, 10, "window")]),
        (4, 9, [(0, 6, "sink"), (6, 10, "window")]),
        (10, 2, [(0, 10, "window")]),
        (99, 2, [(0, 10, "window")]),
    ],
)
def test_what_the_newest_of_ten_tokens_sees(window, sinks, parts):
    assert parts_seen({"window": window, "sinks": sinks}, 10) == parts


def test_the_table_has_the_caches_up_to_the_step(four):
    assert [list(row.values()) for row in four.table(2)] == [
        ["float32", "4,000", "0.0000", "1.200", "4 of 4", "3 of 3", "7 of 7"],
        ["int8", "1,062", "0.0078", "1.200", "4 of 4", "3 of 3", "7 of 7"],
    ]
    assert list(four.table(1)[0])[:2] == ["cache", "KB for 512 tokens"]


def test_a_stretch_of_distances_is_told_in_all_caches(four):
    assert four.data["told"][0] == (
        "4 questions at 1 to 256 tokens: all are right with “float32”, “int8” and “a window”; fewest, 1, with “2 bits”."
    )
    alike = cache_by_bits(CACHES[:2], STRETCHES)
    assert alike.data["told"][1] == "3 questions at 257 to 512 tokens: all are right in every cache."


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda cache: cache.pop("error"), "has no 'error'"),
        (lambda cache: cache.update(bytes=0), "bytes"),
        (lambda cache: cache.update(right=[4]), "there are 2 stretches"),
        (lambda cache: cache.update(right=[5, 3]), "from 0 to 4"),
        (lambda cache: cache.update(error=float("nan")), "a number of 0 or more"),
        (lambda cache: cache.update(window=0), "of 1 or more"),
        (lambda cache: cache.update(sinks=-1), "of 0 or more"),
    ],
    ids=["missing", "bytes", "short", "many", "error", "window", "sinks"],
)
def test_a_cache_that_does_not_fit_together_is_refused(spoil, says):
    cache = copy.deepcopy(CACHES[0])
    spoil(cache)
    with pytest.raises(ParameterError, match=says):
        cache_by_bits([cache], STRETCHES)


def test_what_is_no_row_of_stretches_is_refused(four):
    for stretches, says in (([], "is empty"), ([256], "up to how many"), ([(256, 4), (256, 3)], "257 or more")):
        with pytest.raises(ParameterError, match=says):
            cache_by_bits(CACHES, stretches)
    with pytest.raises(ParameterError, match="distances 0 to 1"):
        four.selected = 2


def test_the_picture_and_the_saved_form(four):
    data, metadata = four.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("The cache by bits, step 4 of 4. a window: 660 KB")
    before = four.snapshot(3).data
    assert before != four.snapshot(1).data
    four.selected = 1
    assert four.snapshot(3).data != before


# in the browser


def test_steps_words_and_table_in_the_page(four, open_view):
    page = open_view(four)
    page.get_by_role("button", name="step", exact=True).click()
    assert four.words(2) in page.inner_text(".cl-say")
    page.evaluate("view.model.set('step', 4)")
    assert page.state.table() == [list(row.values()) for row in four.table(4)]


@pytest.mark.parametrize("width", [500, 1100])
def test_a_cache_and_a_stretch_are_chosen_by_keys_and_by_mouse(four, open_view, width):
    page = open_view(four, width=width)
    grid = page.get_by_role("grid")
    grid.focus()
    seen = []
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "End", "ArrowUp", "ArrowLeft", "Home"):
        page.keyboard.press(key)
        seen.append((page.state.step(), page.state.selected()))
    assert seen == [(2, None), (2, 0), (2, 1), (2, 1), (4, 1), (3, 1), (3, 0), (1, 0)]
    assert page.inner_text(".cl-note") == four.data["told"][0]
    assert page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']").text_content() == four.words(1)
    box = page.locator("canvas").bounding_box()
    head, row = (44, 36) if width == 1100 else (62, 54)
    at = box["x"] + box["width"] - 30, box["y"] + head + 1.5 * row
    page.mouse.click(*at)
    assert (page.state.step(), page.state.selected()) == (2, 1)
    page.mouse.click(*at)
    assert page.state.selected() is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(four, open_view, looks_well, scheme, width):
    looks_well(open_view(four, width=width, color_scheme=scheme), scheme)
