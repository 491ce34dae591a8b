"""The filling cache: its data, words and table; then the same in a real browser."""

import re

import pytest

from course_lib.errors import CourseError
from course_lib.viz import cache_filling
from course_lib.viz.filling.model import stretches

SHAPE = {"num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "head_dim": 8, "bytes_per_number": 4}
COLUMN = 2 * 2 * 8 * 4  # key and value, two KV heads of 8 numbers, 4 bytes each: a token in one layer
TOKENS = ["<bos>", " an", " otter", " named", " Juniper", ".", "\n", " Once"]


def filled(prompt, count, layers=3):
    """The steps of a cache that does what it should: the prompt in one stroke, then a token a step."""
    ends = range(prompt, count + 1)
    return [
        {
            "first": 0 if end == prompt else end - 1,
            "count": prompt if end == prompt else 1,
            "kept": [end] * layers,
            "naive_tokens": end,
        }
        for end in ends
    ]


def unused(prompt, count, layers=3):
    """A cache that is there and never used: everything goes through the model in every step."""
    return [{"first": 0, "count": end, "kept": [end] * layers, "naive_tokens": end} for end in range(prompt, count + 1)]


@pytest.fixture
def good():
    return cache_filling(TOKENS, filled(4, 8), **SHAPE)


@pytest.fixture
def faulty():
    """Layer 1 keeps a column too few from step 2 on, layer 2 holds two columns of a text before this one."""
    steps = filled(4, 8)
    for index, step in enumerate(steps):
        step["kept"] = [step["kept"][0], step["kept"][0] - (index > 0), step["kept"][0] + 2]
    return cache_filling(TOKENS, steps, **SHAPE)


@pytest.fixture
def huge():
    """32 layers of 8 KV heads, 300 tokens, 240 steps."""
    words = [TOKENS[i % len(TOKENS)] for i in range(300)]
    return cache_filling(
        words, filled(61, 300, 32), num_layers=32, num_heads=32, num_kv_heads=8, head_dim=128, bytes_per_number=2
    )


def test_prefill_in_one_stroke_then_a_column_a_step(good):
    assert stretches(good.data, 0, 0) == [(0, 4, "new")]
    assert stretches(good.data, 1, 2) == [(0, 4, "kept"), (4, 5, "new")]
    assert good.table(1)[0] == {
        "layer": 0,
        "columns held": 4,
        "columns due": 4,
        "written in this step": 4,
        "bytes": 4 * COLUMN,
    }
    assert good.table(3)[-1] == {
        "layer": "all",
        "columns held": 18,
        "columns due": 18,
        "written in this step": 3,
        "bytes": 18 * COLUMN,
    }
    assert (
        good.words(1)
        == "Step 1, prefill: 4 tokens through the model at once; naive decoding computes 4. The cache grows by "
        "1,536 bytes to 1,536."
    )
    assert (
        good.words(3)
        == "Step 3: 1 token through the model, ‘.’; naive decoding computes 6. The cache grows by 384 bytes to 2,304."
    )


def test_work_and_memory_are_summed(good):
    assert good.data["computed_so_far"] == [4, 5, 6, 7, 8] and good.data["naive_so_far"] == [4, 9, 15, 22, 30]
    assert good.data["held"] == [3 * COLUMN * end for end in (4, 5, 6, 7, 8)]


def test_a_cache_that_is_not_used_shows():
    view = cache_filling(TOKENS, unused(4, 6), **SHAPE)
    assert stretches(view.data, 2, 0) == [(0, 5, "again"), (5, 6, "new")]
    assert (
        "6 tokens through the model at once; naive decoding computes 6. 5 of these went through before: the "
        "cache is not used." in view.words(3)
    )
    assert view.data["computed_so_far"] == view.data["naive_so_far"]


def test_too_few_and_too_many_columns_show(faulty):
    assert stretches(faulty.data, 0, 2) == [(0, 4, "new"), (4, 6, "surplus")]
    assert stretches(faulty.data, 2, 0) == [(0, 5, "kept"), (5, 6, "new")]
    assert stretches(faulty.data, 2, 1) == [(0, 5, "kept"), (5, 6, "missing")]
    assert "Layer 1 holds 5 columns, 6 are due. Layer 2 holds 8 columns, 6 are due." in faulty.words(3)


def test_a_cache_that_keeps_nothing_shows():
    steps = filled(4, 6)
    for step in steps:
        step["kept"] = [0, 0, 0]
    view = cache_filling(TOKENS, steps, **SHAPE)
    assert stretches(view.data, 1, 0) == [(0, 4, "missing"), (4, 5, "missing")]
    assert "The cache stays at 0 bytes. Every layer holds 0 columns, 5 are due." in view.words(2)


def test_who_sees_no_more_than_this_step_brought_sees_that():
    """A cache that is kept and never read: the newest column is looked at, the ones before it are not."""
    steps = filled(4, 6)
    for step in steps:
        step["kept"] = [step["count"]] * 3
    view = cache_filling(TOKENS, steps, **SHAPE)
    assert stretches(view.data, 0, 0) == [(0, 4, "new")]
    assert stretches(view.data, 2, 1) == [(0, 5, "missing"), (5, 6, "new")]
    assert "Every layer holds 1 column, 6 are due." in view.words(3)
    assert view.table(3)[0] == {
        "layer": 0,
        "columns held": 1,
        "columns due": 6,
        "written in this step": 1,
        "bytes": COLUMN,
    }


def test_data_stay_small(huge):
    import json

    assert len(json.dumps(huge.data)) < 100_000  # 240 steps of 256 rows of 300 columns
    assert huge.snapshot(100).height < 750 and len(huge.snapshot(100).data) < 80_000


STEP = {"first": 0, "count": 4, "kept": [4, 4, 4], "naive_tokens": 4}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"tokens": []}, "`tokens` is empty"),
        ({"tokens": ["a", 3]}, r"tokens\[1\] is 3, but a view shows text"),
        ({"steps": []}, "`steps` is empty"),
        ({"steps": [7]}, r"steps\[0\] is 7; it has to be a dict with first, count, kept, naive_tokens"),
        ({"steps": [{"first": 0, "count": 4}]}, r"steps\[0\] has no 'kept', 'naive_tokens'"),
        ({"steps": [{**STEP, "first": 5}]}, r"computes positions 5 to 8, but there are 8 tokens, 0 to 7"),
        ({"steps": [{**STEP, "count": 0}]}, r"count is 0; it has to be a whole number of 1 or more"),
        ({"steps": [{**STEP, "kept": 4}]}, "kept is 4; it has to list one number of columns for each of the 3 layers"),
        ({"steps": [{**STEP, "kept": [4, 4]}]}, "for each of the 3 layers"),
        ({"steps": [{**STEP, "kept": [4, 4, -1]}]}, r"kept\[2\] is -1"),
        ({"num_heads": 5}, "5 query heads cannot be shared out evenly over 2 KV heads"),
        ({"head_dim": 0}, "head_dim is 0"),
        ({"bytes_per_number": 2.5}, "bytes_per_number is 2.5"),
    ],
)
def test_it_refuses(change, says):
    given = {"tokens": TOKENS, "steps": filled(4, 8), **SHAPE, **change}
    with pytest.raises(CourseError, match=says):
        cache_filling(given.pop("tokens"), given.pop("steps"), **given)


def test_a_selection_is_a_cell(good):
    good.selected = (2, 1, 7)
    assert good.selected == [2, 1, 7]
    for nowhere in (3, [3, 0, 0], [0, 2, 0], [0, 0, 8], [0, 0], "x", [0, 0, True]):
        with pytest.raises(CourseError, match="is no cell of the cache"):
            good.selected = nowhere
    good.set_state({"step": 2, "selected": [0, 0, 3]})
    assert (good.step, good.selected) == (2, [0, 0, 3])


def test_still_form(faulty):
    picture = faulty.snapshot(step=3)
    assert (
        picture.data[:4] == b"\x89PNG"
        and picture.width in (919, 920)
        and 400 < picture.height < 700
        and len(picture.data) < 80_000
    )
    assert "step 3 of 5" in picture.alt and faulty.words(3) in picture.alt
    data, _ = faulty.bundle()
    assert {"text/html", "image/png"} <= set(data) and "columns due" in data["text/html"]
    assert repr(faulty) == "<filling cache: 3 layers of 2 KV heads, 5 steps, step 1 of 5>"


# in the browser


def test_keys_choose_a_cell(good, open_view):
    page = open_view(good)
    page.evaluate("view.model.set('step', 3)")
    page.get_by_role("grid").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft"):  # the first key starts at the newest column
        page.keyboard.press(key)
    assert page.state.selected() == [1, 0, 4] and page.state.step() == 3
    assert page.inner_text(".cl-note") == (
        "Layer 1, KV head 0, ‘Juniper’ (position 4): kept from an earlier step. "
        "A key and a value of 8 numbers each, 64 bytes; query heads 0–1 read it."
    )  # fmt: skip
    page.keyboard.press("Escape")
    assert page.state.selected() is None


def test_a_click_chooses_a_cell_and_takes_it_back(good, open_view):
    page = open_view(good, width=1000)
    box = page.get_by_role("grid").bounding_box()
    for wanted in ([2, 1, 0], None):
        page.mouse.click(box["x"] + 148 + 15, box["y"] + box["height"] - 14)
        assert page.state.selected() == wanted


def test_the_table_in_the_page_is_the_table_in_python(faulty, open_view):
    page = open_view(faulty)
    page.evaluate("view.model.set('step', 4)")
    cells = page.state.table()
    assert cells == [[str(value) for value in row.values()] for row in faulty.table(4)]


def test_figures_beside_it(faulty, open_view):
    page = open_view(faulty)
    page.evaluate("view.model.set('step', 3)")
    said = re.sub(r"\s+", " ", " ".join(page.locator(".cl-sums").all_inner_texts()))
    for words in (
        "this step 1 of naive 6",
        "so far 6 of naive 15",
        "naive computes 2.5 × as many",
        "held now 2,432 bytes",
        "due now 2,304 bytes",
        "one token 384 bytes",
    ):
        assert words in said
    assert {"due, not held", "held, never computed"} <= set(page.locator(".cl-key li").all_inner_texts())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 700, 1120, 1400])
@pytest.mark.parametrize("name", ["faulty", "huge"])
def test_it_fits(request, open_view, looks_well, name, width, scheme):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


@pytest.mark.parametrize("name", ["good", "huge"])
def test_drawing_a_step_takes_little_work(request, open_view, work_of_steps, little, name):
    little(work_of_steps(open_view(request.getfixturevalue(name), width=1200)), typical=500, worst=20_000)
