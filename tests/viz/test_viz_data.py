"""What a view is made of, without a browser: data refused or accepted, words, rows, pictures, bundle."""

import json
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.viz import bare_page, next_token_probabilities, recomputation_triangle
from course_lib.viz.kit.format import percent, visible

VIEWS = ["naive", "chances"]


@pytest.fixture(params=VIEWS)
def view(request):
    return request.getfixturevalue(request.param)


# the triangle


def test_naive_decoding_computes_everything_again(naive):
    assert naive.table(3) == [
        {"step": 1, "positions": "0–4", "tokens through the model": 5, "new": 5, "computed before": 0,
         "computed so far": 5, "needed so far": 5},
        {"step": 2, "positions": "0–5", "tokens through the model": 6, "new": 1, "computed before": 5,
         "computed so far": 11, "needed so far": 6},
        {"step": 3, "positions": "0–6", "tokens through the model": 7, "new": 1, "computed before": 6,
         "computed so far": 18, "needed so far": 7},
    ]  # fmt: skip
    assert (
        naive.words(3)
        == "Step 3: 7 tokens through the model, 6 of them computed before. So far 18 computed, 7 needed: 2.6 "
        "times the work."
    )


def test_a_cache_computes_every_token_once():
    view = recomputation_triangle(["a", "b", "c", "d"], [(0, 2), (2, 3), (3, 4)], prompt_tokens=2)
    assert [row["computed before"] for row in view.table(3)] == [0, 0, 0]
    assert (
        view.words(3) == "Step 3: 1 token through the model, none of them computed before. So far 4 computed, 4 needed."
    )


def test_a_position_is_new_once_even_when_a_range_comes_back_late():
    view = recomputation_triangle(list("abcdef"), [(2, 4), (0, 6), (1, 2)], prompt_tokens=6)
    assert [row["new"] for row in view.table(3)] == [2, 4, 0]
    assert view.data["first_pass"] == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "tokens, steps, prompt, says",
    [
        ([], [(0, 1)], 1, "`tokens` is empty"),
        (["a"], [], 1, "`steps` is empty"),
        (["a", 7], [(0, 1)], 1, r"tokens\[1\] is 7"),
        (["a", "b"], [(0, 3)], 1, r"\(0, 3\) does not lie inside the 2 tokens"),
        (["a", "b"], [(-1, 1)], 1, r"\(-1, 1\)"),
        (["a", "b"], [(1, 1)], 1, "is empty"),
        (["a", "b"], [(0, 1.5)], 1, "half-open range"),
        (["a", "b"], [(0, 1)], 3, "prompt_tokens = 3 with 2 tokens"),
        (["a", "b"], [(0, 1)], 0, "prompt_tokens = 0"),
    ],
)
def test_the_triangle_refuses(tokens, steps, prompt, says):
    with pytest.raises(CourseError, match=says):
        recomputation_triangle(tokens, steps, prompt_tokens=prompt)


# the probabilities


def test_cut_and_chosen_are_said(chances):
    rows = chances.table(2)
    assert [row["after the cut"] for row in rows] == ["62.5 %", "37.5 %", "cut", "cut"]
    assert [row["chosen"] for row in rows] == ["chosen", "", "", ""]
    assert chances.words(1) == (
        "‘␣there’ is chosen. The model gives it 50.0 %. 1 of these and all others are cut (20.0 % together); "
        "after temperature and cut it has 62.5 %."
    )


def test_candidates_are_sorted_and_what_is_left_goes_to_the_others():
    candidates = [{"token": "x", "p": 0.1, "q": 0.1}, {"token": "b", "p": 0.6, "q": 0.6}]
    view = next_token_probabilities(["a", "b"], [{"position": 1, "candidates": candidates, "rest": 0.3, "chosen": "b"}])
    assert [(row["candidate"], row["from the model"], row["after the cut"]) for row in view.table()] == [
        ("b", "60.0 %", "60.0 %"), ("x", "10.0 %", "10.0 %"), ("all others", "30.0 %", "30.0 %")]  # fmt: skip


def test_others_that_keep_next_to_nothing_are_not_cut():
    candidates = [{"token": "b", "p": 0.999, "q": 0.99995}]
    step = {"position": 1, "candidates": candidates, "rest": 0.001, "rest_q": 0.00005, "chosen": "b"}
    table = [
        next_token_probabilities(["a", "b"], [{**step, **change}]).table()[1]["after the cut"]
        for change in ({}, {"rest_q": 0.0})
    ]
    assert table == ["<0.1 %", "cut"]
    with pytest.raises(CourseError, match="q and rest_q add up to 1.25"):
        next_token_probabilities(["a", "b"], [{**step, "rest_q": 0.25}])


def test_a_token_from_among_the_others_may_be_chosen():
    step = {"position": 1, "candidates": [{"token": "x", "p": 0.4, "q": 0.4}], "rest": 0.6, "chosen": "b"}
    view = next_token_probabilities(["a", "b"], [step])
    assert view.table()[1]["candidate"] == "others: b" and view.table()[1]["chosen"] == "chosen"


def with_first(candidates, **change):
    return {"candidates": [{**candidates[0], **change}, *candidates[1:]]}


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda c: with_first(c, p=-0.5), "p of ' there' = -0.5 is no probability"),
        (lambda c: with_first(c, q=float("nan")), "q of ' there' = nan is no probability"),
        (lambda c: with_first(c, p=3.2), "not logits"),
        (lambda c: with_first(c, p=0.7), "p and rest add up to 1.2"),
        (lambda c: {"rest": 0.0}, "add up to 0.9"),
        (lambda c: with_first(c, q=0.9), "q add up to 1.275, over 1"),
        (lambda c: with_first(c, q=0.0), "its q is 0, so it was cut"),
        (lambda c: {"candidates": []}, "no candidates"),
        (lambda c: {"position": 8}, "position = 8 is outside the 8 tokens"),
        (lambda c: {"position": 4}, r"tokens\[4\] is ' harbour'"),
    ],
)
def test_the_probabilities_refuse(make_step, change, says):
    tokens = ["<bos>", " In", " a", " quiet", " harbour", " there", " lived", " an"]
    good = make_step(5, tokens)
    with pytest.raises(CourseError, match=says):
        next_token_probabilities(tokens, [{**good, **change(good["candidates"])}])


def test_a_missing_key_is_named(make_step):
    step = make_step(0, ["a"])
    del step["rest"]
    with pytest.raises(CourseError, match=r"steps\[0\] has no 'rest'"):
        next_token_probabilities(["a"], [step])


@pytest.mark.parametrize(
    "share, text", [(0, "0 %"), (0.0002, "<0.1 %"), (0.3125, "31.2 %"), (0.9999, ">99.9 %"), (1.0, "100 %")]
)
def test_percentages_never_round_something_to_nothing(share, text):
    assert percent(share) == text


def test_white_space_can_be_seen():
    assert visible(" a\n") == "␣a⏎" and visible("") == "∅"


# every view


@pytest.mark.parametrize("step", [0, -1, 99, 1.0, True, "1", None])
def test_a_step_that_is_not_there_is_refused(view, step):
    with pytest.raises(CourseError, match="has steps 1 to"):
        view.step = step
    assert view.step == 1


def test_numpy_steps_are_taken(naive):
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    naive.step = numpy.int64(3)
    assert naive.step == 3 and type(naive.step) is int


def test_a_selection_that_is_not_there_is_refused(view):
    view.selected = 2
    for nowhere in (-1, 400, "a"):
        with pytest.raises(CourseError, match="selected ="):
            view.selected = nowhere
    assert view.selected == 2
    view.selected = None


def test_a_snapshot_is_a_readable_png_with_words(view):
    picture = view.snapshot(step=2)
    assert picture.data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture.data[16:24])
    # matplotlib 3.10, which Colab has, may crop a pixel wider
    assert 0 <= width - 2 * picture.width <= 1 and 0 <= height - 2 * picture.height <= 1
    assert picture.width in (919, 920) and 300 <= picture.height <= 700
    assert len(picture.data) < 80_000  # it is committed with every lesson, twice
    assert view.words(2) in picture.alt and "step 2 of" in picture.alt
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"} and metadata["image/png"]["alt"] == picture.alt
    assert picture.data != view.snapshot(step=3).data


def test_a_snapshot_of_hundreds_of_steps_still_fits_a_page(long):
    assert long.snapshot(100).height < 750


def test_a_token_may_hold_any_text(recwarn):
    tokens = ["$x^2$", "</script><b>", "\\frac{", "🦦", "水", "`", ""]
    view = recomputation_triangle(tokens, [(0, 6)], prompt_tokens=6)
    assert view.snapshot().data
    page = bare_page(view)
    assert page.count("</script>") == 2 and "</script><b>" not in page
    assert "<b>" not in view.bundle()[0]["text/html"]
    assert [str(one.message) for one in recwarn if "lyph" in str(one.message) or "math" in str(one.message)] == []


def test_the_bundle_holds_a_live_and_two_still_forms(view):
    data, metadata = view.bundle()
    assert set(data) == {"text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert metadata["image/png"]["alt"]
    assert "<table>" in data["text/html"] and "alt=" in data["text/html"]
    assert "0x" not in data["text/plain"] and not re.search(r"\bobject at\b", data["text/plain"])
    json.dumps(data)


def test_displaying_sends_the_raw_bundle(view, monkeypatch):
    IPython_display = pytest.importorskip("IPython.display", reason="IPython is not installed")
    sent = []
    monkeypatch.setattr(IPython_display, "display", lambda *things, **how: sent.append((things, how)))
    view._ipython_display_()
    ((things, how),) = sent
    assert (
        how["raw"] is True
        and "application/vnd.jupyter.widget-view+json" in things[0]
        and "image/png" in how["metadata"]
    )


def test_only_step_and_selected_come_back_from_the_browser(view):
    before = json.dumps(view.data)
    view.set_state({"step": 2, "selected": 1})
    assert (view.step, view.selected, json.dumps(view.data)) == (2, 1, before)
    assert view.data == json.loads(before)


# the package


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_brings_in_nothing_heavy():
    heavy = "matplotlib IPython ipywidgets anywidget torch course_lib.engine course_lib.kvcache".split()
    assert run_python(f"import sys, course_lib.viz; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_a_view_never_needs_torch_or_the_engine():
    code = (
        "import sys; from course_lib.viz import *; recomputation_triangle(['a'], [(0, 1)], prompt_tokens=1).bundle();"
    )
    assert (
        run_python(
            code + "print([n for n in sys.modules if n in ('torch', 'course_lib.engine', 'course_lib.kvcache', "
            "'matplotlib.pyplot')])"
        )
        == "[]"
    )


def test_without_anywidget_the_still_form_is_there():
    code = """
import sys
sys.modules["anywidget"] = None
from course_lib.viz import recomputation_triangle
from course_lib.errors import CourseError
view = recomputation_triangle(["a", "b"], [(0, 1), (0, 2)], prompt_tokens=1)
view.step = 2
try:
    view.step = 3
except CourseError:
    print(view, sorted(view.bundle()[0]))
"""
    assert (
        run_python(code)
        == "<recomputation triangle: 1 prompt token, 2 steps, step 2 of 2> ['image/png', 'text/html', 'text/plain']"
    )


def test_on_colab_the_bundle_says_where_the_widget_manager_is(monkeypatch):
    """Without this, Colab shows the still form only: it loads no third-party widgets by itself."""
    pytest.importorskip("anywidget")
    output = types.ModuleType("google.colab.output")
    output.enable_custom_widget_manager = lambda: None
    output._widgets = types.SimpleNamespace(_installed_url="https://example.invalid/manager.js")
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    _, metadata = recomputation_triangle(["a", "b"], [(0, 1), (0, 2)], prompt_tokens=1).bundle()
    about = metadata["application/vnd.jupyter.widget-view+json"]["colab"]["custom_widget_manager"]
    assert about["url"] == "https://example.invalid/manager.js"
