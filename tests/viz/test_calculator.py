"""The KV calculator: Python's sums against plain division and kvcache.sizes, the browser's against Python's."""

import json
import random
import re

import pytest

from course_lib.errors import CourseError
from course_lib.kvcache.catalogue import GPUS, MODELS, calculator_data
from course_lib.kvcache.sizes import max_requests
from course_lib.viz import kv_calculator
from course_lib.viz.calculator.model import fit, readable, stretches

SMALL = {
    "models": [
        {"name": "wide", "attention": "MHA", "weight_bytes": 4_000, "kv_bytes_per_token": {"bfloat16": 10, "fp8": 5},
         "context": 400, "source": "a"},
        {"name": "lean", "attention": "GQA", "weight_bytes": 9_001, "kv_bytes_per_token": {"bfloat16": 2, "fp8": 1},
         "context": 100, "source": "b"},
    ],
    "gpus": [{"name": "tiny", "bytes": 10_000, "source": "c"}, {"name": "half", "bytes": 5_000, "source": "d"}],
}  # fmt: skip


def some_settings(count):
    """Settings drawn from the real tables, with the edges of each range."""
    draw, data = random.Random(7), calculator_data()
    settings = []
    for _ in range(count):
        model = draw.choice(data["models"])
        tokens = draw.choice([1, model["context"], draw.randint(1, model["context"]), 2 ** draw.randint(0, 11)])
        settings.append({
            "model": model["name"], "gpu": draw.choice(data["gpus"])["name"], "tokens": min(tokens, model["context"]),
            "usable": draw.choice([1, 90, 95, 100, draw.randint(1, 100)]),
            "dtype": draw.choice(list(model["kv_bytes_per_token"])),
        })  # fmt: skip
    return settings


@pytest.fixture
def small():
    return kv_calculator(**SMALL, tokens=100)


@pytest.fixture
def real():
    return kv_calculator(**calculator_data(), model="Llama 3 8B", gpu="A100 80 GB")


def test_the_sum(small):
    sizes = {"total": 10_000, "usable": 9_000, "weights": 4_000, "room": 5_000, "one": 1_000}
    assert fit(small.data, small.settings) == {**sizes, "requests": 5, "free": 0}
    assert small.requests == 5
    small.selected = {"usable": 99, "dtype": "fp8"}
    assert small.selected == {"model": "wide", "gpu": "tiny", "tokens": 100, "usable": 99, "dtype": "fp8"}
    assert fit(small.data, small.settings)["requests"] == 11 and fit(small.data, small.settings)["free"] == 400
    small.selected = None
    assert small.settings == small.data["settings"] and small.requests == 5


def test_it_agrees_with_the_sizes_of_the_library(real):
    for settings in some_settings(300):
        real.selected = settings
        shape, gpu = MODELS[settings["model"]], GPUS[settings["gpu"]]
        assert real.requests == max_requests(
            shape, gpu, settings["tokens"], dtype=settings["dtype"], usable=settings["usable"] / 100
        ), settings


def test_the_bar_holds_all_of_the_memory(real):
    for settings in some_settings(100):
        sizes = fit(real.data, settings)
        edges = stretches(sizes)
        assert edges[0][1] == 0 and all(b == c for (_, _, b), (_, c, _) in zip(edges, edges[1:]))
        assert edges[-1][2] == (
            sizes["total"] if sizes["requests"] else sizes["weights"] + (sizes["one"] if sizes["room"] >= 0 else 0)
        )


def test_what_does_not_fit_is_said_plainly(small):
    assert (
        small.words()
        == "5 requests of 100 tokens fit on the tiny beside the weights of wide. The weights take 4.00 kB, "
        "each request 1.00 kB."
    )
    small.selected = {"tokens": 400, "gpu": "half"}
    assert (
        small.words()
        == "Not one request fits. The weights of wide leave 500 bytes of the half; one request of 400 tokens "
        "needs 4.00 kB. 50 tokens would fit."
    )
    small.selected = {"model": "lean", "tokens": 1}
    assert (
        small.words()
        == "The weights do not fit. lean needs 9.00 kB for them, and 4.50 kB of the half are usable: 4.50 kB "
        "are missing, before any cache."
    )
    assert [row["requests that fit"] for row in small.table()] == ["50", "weights do not fit"]


def test_the_table_sets_all_models_beside_each_other(small):
    small.selected = {"tokens": 300}
    assert small.table() == [
        {"model": "wide", "attention": "MHA", "bytes a token": "10", "weights, bytes": "4,000",
         "one request, bytes": "3,000", "requests that fit": "1"},
        {"model": "lean", "attention": "GQA", "bytes a token": "2", "weights, bytes": "9,001",
         "one request, bytes": "over its context", "requests that fit": "none"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "number, text",
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1_000, "1.00 kB"), (131_072, "131 kB"), (999_499, "999 kB"),
     (999_500, "1.00 MB"), (1_255_000_000, "1.26 GB"), (16_060_522_496, "16.1 GB"), (1_128 * 10**9, "1.13 TB")],
)  # fmt: skip
def test_sizes_have_three_digits(number, text):
    assert readable(number) == text


def first(**change):
    return {"models": [{**SMALL["models"][0], **change}, SMALL["models"][1]]}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"models": []}, "`models` is empty"),
        ({"gpus": []}, "`gpus` is empty"),
        (
            {"gpus": [{"name": "x", "bytes": 80e9, "source": "y"}]},
            r"gpus\[0\]: bytes is 80000000000.0; it has to be a whole number",
        ),
        ({"gpus": [{"name": "x"}]}, r"gpus\[0\] has no 'bytes', 'source'"),
        (first(weight_bytes=-1), r"models\[0\]: weight_bytes is -1"),
        (first(kv_bytes_per_token={}), "kv_bytes_per_token` is empty"),
        (first(kv_bytes_per_token=5), r"kv_bytes_per_token is 5"),
        (first(kv_bytes_per_token={"bfloat16": 0}), r"kv_bytes_per_token\['bfloat16'\] is 0"),
        (first(kv_bytes_per_token={"bfloat16": 4}), "lean has kv_bytes_per_token for bfloat16, fp8, wide for bfloat16"),
        (first(name="lean"), "`models` holds 'lean' twice"),
        ({"model": "nano"}, "model = 'nano' is not in the table. There are wide, lean"),
        ({"gpu": "nano"}, "gpu = 'nano' is not in the table. There are tiny, half"),
        ({"dtype": "int3"}, "dtype = 'int3' is none that the models have. Give one of bfloat16, fp8"),
        ({"tokens": 401}, "tokens of a request to wide, whose context ends at 400, is 401"),
        ({"tokens": 0}, "from 1 to 400"),
        ({"usable": 0.9}, "usable, in per cent, is 0.9; it has to be a whole number from 1 to 100"),
    ],
)
def test_it_refuses(change, says):
    with pytest.raises(CourseError, match=says):
        kv_calculator(**{**SMALL, "tokens": 100, **change})


@pytest.mark.parametrize("nonsense", [5, "lean", {"modell": "lean"}, {"tokens": 10**6}])
def test_a_setting_that_is_none_is_refused_and_nothing_changes(small, nonsense):
    before = dict(small.selected)
    with pytest.raises(CourseError):
        small.selected = nonsense
    assert small.selected == before


def test_still_form(real):
    picture = real.snapshot()
    assert (
        picture.data[:4] == b"\x89PNG"
        and picture.width in (919, 920)
        and picture.height < 400
        and len(picture.data) < 80_000
    )
    assert picture.alt == "How many requests fit. " + real.words()
    before = picture.data
    real.selected = {"gpu": "T4"}
    assert real.snapshot().data != before and "weights do not fit" in real.snapshot().alt
    data, _ = real.bundle()
    assert "DeepSeek-V3" in data["text/html"] and "<table>" in data["text/html"]
    assert repr(real) == "<KV calculator: Llama 3 8B on T4, 0 requests of 4,096 tokens>"


# in the browser

SHOWN = """settings => settings.map(one => {
    view.model.set('selected', one);
    const say = document.querySelector('.cl-say').cloneNode(true), terms = document.querySelectorAll('.cl-sum dd');
    say.querySelector('.cl-note').remove();
    const sums = [...terms].map(dd => dd.textContent).join('|');
    return [document.querySelector('.cl-big').textContent, say.textContent.trim(), sums]; })"""


def test_the_browser_comes_to_the_same_sums_and_words(real, open_view):
    page = open_view(real)
    settings = some_settings(300)
    shown = page.evaluate(SHOWN, settings)
    kinds = set()
    for one, (big, words, sums) in zip(settings, shown, strict=True):
        real.selected = one
        sizes = fit(real.data, one)
        kinds.add((sizes["room"] < 0, sizes["requests"] > 0))
        assert words == real.words(), one
        assert big.split()[0] == ("none" if sizes["room"] < 0 else f"{sizes['requests']:,}")
        for part in ("usable", "weights", "one"):
            assert readable(sizes[part]) in sums
    assert kinds == {(True, False), (False, False), (False, True)}  # all three cases were among them


def test_the_table_in_the_page_is_the_table_in_python(real, open_view):
    page = open_view(real)
    for settings in some_settings(12):
        real.selected = settings
        page.evaluate("one => view.model.set('selected', one)", settings)
        cells = page.state.table()
        assert cells == [[str(value) for value in row.values()] for row in real.table()]


def test_choosing_and_sliding(real, open_view):
    page = open_view(real)
    assert page.locator(".cl-play").count() == 0  # nothing to play
    page.get_by_label("model").select_option("Llama 2 7B")
    page.get_by_label("GPU").select_option("H100")
    assert page.state.selected() == {
        "model": "Llama 2 7B",
        "gpu": "H100",
        "tokens": 4096,
        "usable": 90,
        "dtype": "bfloat16",
    }
    page.get_by_label("numbers in the cache").select_option("fp8")
    slider = page.get_by_label("tokens per request", exact=True).and_(page.locator("[type=range]"))
    slider.focus()
    page.keyboard.press("ArrowLeft")  # the slider's own key: the view leaves it alone
    assert page.state.selected()["tokens"] == 3072
    page.keyboard.press("Home")
    assert page.state.selected()["tokens"] == 64
    page.get_by_label("tokens per request, exactly").fill("1000")
    assert page.state.selected()["tokens"] == 1000
    page.get_by_label("share of the memory usable").fill("80")
    settings = page.state.selected()
    assert settings == {"model": "Llama 2 7B", "gpu": "H100", "tokens": 1000, "usable": 80, "dtype": "fp8"}
    real.selected = settings
    assert page.inner_text(".cl-big b") == f"{real.requests:,}"
    page.keyboard.press("Escape")
    assert page.state.selected() is None and page.inner_text(".cl-big b") == "104"  # as it was given


def test_tokens_stay_within_the_context(real, open_view):
    page = open_view(real)
    page.get_by_label("model").select_option("Llama 3.1 8B")
    page.get_by_label("tokens per request, exactly").fill("131072")
    assert page.state.selected()["tokens"] == 131_072
    page.get_by_label("model").select_option("Falcon 7B")
    assert page.state.selected()["tokens"] == 2048
    exact = page.get_by_label("tokens per request, exactly")
    exact.fill("999999")
    assert page.state.selected()["tokens"] == 2048
    exact.blur()
    assert exact.input_value() == "2048"


def test_keys_inside_stay_inside(real, open_view):
    page = open_view(real)
    page.evaluate("globalThis.heard = []; document.addEventListener('keydown', event => heard.push(event.key))")
    page.get_by_label("share of the memory usable").focus()
    for key in ("ArrowLeft", "d", "End"):
        page.keyboard.press(key)
    assert page.evaluate("heard") == [] and page.state.selected()["usable"] == 100


def test_python_moves_the_page(real, open_view):
    page = open_view(real)
    settings = {"model": "DeepSeek-V3", "gpu": "8 x H200", "tokens": 5000, "usable": 77, "dtype": "fp8"}
    page.evaluate(f"view.model.set('selected', {json.dumps(settings)})")
    values = [
        page.get_by_label(label).input_value()
        for label in (
            "model",
            "GPU",
            "numbers in the cache",
            "tokens per request, exactly",
            "share of the memory usable",
        )
    ]
    assert values == ["DeepSeek-V3", "8 x H200", "fp8", "5000", "77"]
    assert re.search(r"DeepSeek-V3/.*config\.json; .*dgx-h200", page.inner_text(".cl-note"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 700, 1120, 1400])
@pytest.mark.parametrize("gpu", ["T4", "8 x H200"])
def test_it_fits(real, open_view, looks_well, gpu, width, scheme):
    real.selected = {"gpu": gpu}
    looks_well(open_view(real, width=width, color_scheme=scheme), scheme)


def test_an_answer_takes_little_work(real, open_view, work_of, little):
    changes = [f"view.model.set('selected', {json.dumps(one)})" for one in some_settings(60)]
    little(work_of(open_view(real, width=1200), changes), typical=400, worst=2_000)
