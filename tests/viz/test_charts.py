"""Charts: the same data in the plotly figure, the picture and the table; what does not fit together is refused."""

import json

import matplotlib
import numpy as np
import pytest

from course_lib.errors import ParameterError
from course_lib.viz import chart, panel
from course_lib.viz.charts.figure import plotly_figure
from course_lib.viz.charts.still import paint
from course_lib.viz.charts.view import _packed_plotly, _plotly_js, _send_plotly
from course_lib.viz.kit.still import palette

STEPS = list(range(6))
WORK = {"naive": (STEPS, [5, 6, 7, 8, 9, 10]), "cached": (STEPS, [5, 1, 1, 1, 1, 1])}
WORDS = {"x": "step", "y": "tokens computed"}
TARGET = {"target": ("y", 3)}

BARS = {"used": (["a", "b"], [3, 4]), "wasted": (["a", "b"], [2, None])}
ROOF = {"roof": {"x": [1, 100, 1000], "y": [3.0, 300.0, 300.0], "kind": "limit"}}
KERNELS = {"kernels": {"x": [10, 200], "y": [20, 200], "kind": "points", "labels": ["decode", "prefill"]}}
YOURS = {"yours": {"x": [150], "y": [50], "mine": True}}
INTERVALS = {"p50": {"x": [1, 2], "y": [10.0, 12.0], "low": [9.0, 11.5], "high": [11.0, 13.0]}}

KINDS = {
    "lines": panel(WORK, **WORDS, reference=TARGET),
    "steps": panel(WORK, **WORDS, kind="steps"),
    "bars": panel(BARS, x="policy", y="slots", kind="bars", reference=TARGET),
    "stacked": panel(BARS, x="policy", y="slots", kind="stacked"),
    "roofline": panel(ROOF | KERNELS | YOURS, x="operations a byte", y="speed", y_unit="TFLOP/s", log="xy"),
    "intervals": panel(INTERVALS, x="load", x_unit="requests/s", y="latency", y_unit="ms"),
}


@pytest.fixture(params=KINDS)
def one(request):
    return KINDS[request.param]


def traces_of(figure, name):
    return [trace for trace in figure.to_plotly_json()["data"] if trace["name"] == name]


def test_the_figure_has_every_point_of_every_series(one):
    figure = plotly_figure("Title", [one], down=False)
    for series in one.series:
        trace = traces_of(figure, series.name)[-1]
        assert tuple(trace["x"]) == series.x and tuple(trace["y"]) == series.y
        assert trace["meta"] == {"series": series.name}
        assert ("%{y:,} " + one.y_unit).strip() in trace["hovertemplate"] and one.x in trace["hovertemplate"]


def test_the_picture_has_every_point_of_every_line(one):
    plot = paint("Title", [one], down=False).axes[1]
    lines = [[tuple(map(float, line.get_xdata())), tuple(map(float, line.get_ydata()))] for line in plot.lines]
    bars = [patch.get_height() for patch in plot.patches]
    for series in one.series:
        if series.kind in ("bars", "stacked"):
            assert [y or 0 for y in series.y] == bars[: len(series.y)]
            bars = bars[len(series.y) :]
        else:
            assert [tuple(map(float, series.x)), tuple(map(float, series.y))] in lines
    assert (plot.get_xscale(), plot.get_yscale()) == (("log", "log") if one.log else ("linear", "linear"))


def test_the_table_has_every_value(one):
    rows = chart("Title", one).table()
    for series in one.series:
        cells = [row[name] for row in rows for name in row if name.partition(" (")[0] == series.name]
        assert [cell for cell in cells if cell] and len([y for y in series.y if y is not None]) == len(
            [cell for cell in cells if cell]
        )
    assert len(rows) == len({x for series in one.series for x in series.x})


def test_values_in_the_table_are_exact_and_have_their_unit():
    rows = chart("Latency", INTERVALS, x="load", x_unit="requests/s", y="latency", y_unit="ms").table()
    assert rows[1] == {"load (requests/s)": "2", "p50 (ms)": "12 [11.5, 13]"}
    (row,) = chart("Big", {"a": ([1_234_567], [0.123456789])}, x="bytes", y="share").table()
    assert row == {"bytes": "1,234,567", "a": "0.123457"}
    rows = chart("Two", panel(WORK, **WORDS, title="Tokens"), panel(BARS, x="policy", y="slots", kind="bars")).table()
    assert rows[1] == {"chart": "Tokens", "at": "step 1", "naive": "6", "cached": "1", "used": "", "wasted": ""}
    assert rows[-1] == {"chart": "slots", "at": "policy b", "naive": "", "cached": "", "used": "4", "wasted": ""}


def test_one_bundle_has_picture_figure_and_table():
    shown = chart("Work by step", WORK, **WORDS, reference=TARGET)
    data, metadata = shown.bundle()
    alt = (
        "Work by step. Tokens computed by step. naive: 5 at 0, 10 at 5; 6 points. cached: 5 at 0, 1 at 5; 6 points. "
        "target: y = 3."
    )
    assert metadata["image/png"]["alt"] == alt == shown.snapshot().alt
    assert data["text/plain"] == "<chart: Work by step, 2 series>"
    assert "<td>10</td>" in data["text/html"] and data["image/png"] in data["text/html"]
    assert [trace["name"] for trace in shown.data["figure"]["data"]] == ["naive", "cached"]
    assert set(data) == {"text/plain", "image/png", "text/html", "application/vnd.jupyter.widget-view+json"}


def test_a_saved_chart_is_small_and_holds_no_plotly():
    steps = list(range(512))
    shown = chart("Time", {"naive": (steps, [s * s for s in steps]), "cached": (steps, steps)}, x="tokens", y="time")
    size = {kind: len(json.dumps(value)) for kind, value in shown.bundle()[0].items()}
    assert sum(size.values()) < 100_000, size
    state = json.dumps(shown.data)
    assert len(state) < 120_000 and "plotly.js" not in state
    assert len(json.dumps(shown.data["figure"]["layout"]["template"])) < 100  # plotly's own themes take 7 KB
    assert len(shown.data["rows"]) == 40 and shown.data["rows"][-1][0] == "511" and len(shown.table()) == 512


def test_plotly_goes_to_a_page_that_asks_and_is_small_enough_for_a_server():
    sent = []

    class Page:
        def send(self, content, buffers):
            sent.append((content, buffers))

    _send_plotly(Page(), {"want": "something else"}, [])
    _send_plotly(Page(), {"want": "plotly"}, [])
    ((content, (packed,)),) = sent
    assert content == {"kind": "plotly"} and packed == _packed_plotly()
    assert len(packed) < 3_000_000  # what a Jupyter server lets pass in its window of 3 seconds
    assert "window.Plotly" in _plotly_js() or "define" in _plotly_js()


def test_a_series_has_one_colour_and_dash_in_figure_and_picture():
    two = [panel(WORK, **WORDS), panel({"cached": WORK["cached"]}, x="step", y="operations")]
    figure, drawn = plotly_figure("Title", two, down=True), paint("Title", two, down=True)
    colours = {trace["line"]["color"] for trace in traces_of(figure, "cached")}
    colours |= {drawn.axes[1].lines[1].get_color(), drawn.axes[2].lines[0].get_color()}
    assert colours == {palette()["r1"]}
    assert traces_of(figure, "cached")[0]["line"]["dash"] == "dash" and drawn.axes[1].lines[1].get_linestyle() == "--"
    assert [trace["showlegend"] for trace in traces_of(figure, "cached")] == [True, False]


def test_panels_of_the_same_quantity_share_its_range():
    two = [panel(WORK, **WORDS), panel({"cached": WORK["cached"]}, **WORDS)]
    axes = paint("Title", two, down=False).axes[1:]
    assert axes[0].get_ylim() == axes[1].get_ylim() and axes[0].get_ylim()[0] == 0
    low_first = paint("Title", two[::-1], down=False).axes[1:]  # the second panel is in sight too
    assert [plot.get_ylim() for plot in low_first] == [axes[0].get_ylim()] * 2 and axes[0].get_ylim()[1] > 10
    assert plotly_figure("Title", two, down=False).layout.yaxis2.matches == "y"
    other = [two[0], panel(WORK, x="step", y="operations")]
    assert plotly_figure("Title", other, down=False).layout.yaxis2.matches is None


def test_text_is_never_markup():
    shown = chart("a<b & c", {"<i>x</i>": ([1], [2])}, x="<x>", y="y")
    data = json.dumps(shown.data["figure"])
    assert "&lt;x&gt;" in data and "a&lt;b &amp; c" in data
    assert "<td>" in shown.bundle()[0]["text/html"] and "<i>x" not in shown.bundle()[0]["text/html"]


def test_numpy_and_torch_values_are_taken():
    import torch

    shown = chart("Arrays", {"a": (np.arange(3), torch.tensor([1.0, 2.0, 3.0]))}, x="x", y="y")
    assert shown.data["figure"]["data"][0]["y"] == [1.0, 2.0, 3.0]
    assert [row["a"] for row in shown.table()] == ["1", "2", "3"]


def test_series_are_chosen_from_python():
    shown = chart("Work", WORK, **WORDS)
    shown.selected = ["cached"]
    assert shown.selected == ["cached"]
    with pytest.raises(ParameterError, match=r"selected = \['caching'\].*\['naive', 'cached'\]"):
        shown.selected = ["caching"]


def test_a_chart_leaves_the_learners_own_figures_alone():
    before = matplotlib.pyplot.get_fignums() if hasattr(matplotlib, "pyplot") else []
    chart("Work", WORK, **WORDS).snapshot()
    assert (matplotlib.pyplot.get_fignums() if hasattr(matplotlib, "pyplot") else []) == before


@pytest.mark.parametrize(
    "series, changes, words",
    [
        ({}, {}, "`series` is empty"),
        ([1, 2], {}, "give a dict"),
        ({"": ([1], [2])}, {}, "no name of a series"),
        ({"a": [1, 2, 3]}, {}, "needs x and y"),
        ({"a": {"x": [1], "y": [2], "z": [3]}}, {}, "needs x and y"),
        ({"a": ([1, 2], [1])}, {}, "2 values of x and 1 of y"),
        ({"a": ([], [])}, {}, "no points"),
        ({"a": ([1], [float("nan")])}, {}, "nan at place 0; give finite numbers"),
        ({"a": ([1], ["much"])}, {}, "only x can be names"),
        ({"a": ([None], [1])}, {}, "only y have gaps"),
        ({"a": ([0, 1], [1, 1])}, {"log": "x"}, "x of 'a' has 0; a logarithmic axis"),
        ({"a": ([1], [1])}, {"log": "z"}, "name the logarithmic axes"),
        ({"a": ([1], [1])}, {"kind": "pie"}, "a kind is one of lines"),
        ({"a": {"x": [1], "y": [2], "low": [1]}}, {}, "one end of its intervals"),
        ({"a": {"x": [1], "y": [2], "low": [3], "high": [4]}}, {}, "it has to lie in it"),
        ({"a": (["p"], [1]), "b": ([1], [1])}, {}, "names and numbers"),
        ({"a": ([1], [1]), "b": {"x": [1], "y": [1], "kind": "bars"}}, {}, "share no axes"),
        ({"a": ([1], [1])}, {"reference": {"r": 3}}, "give \\('y', value\\)"),
        ({"a": ([1], [1])}, {"reference": {"r": ("y", 0)}, "log": "y"}, "no such place"),
        ({"a": ([1], [1])}, {"x": ""}, "x is ''; it has to be a text"),
    ],
)
def test_bad_input_is_refused_by_name(series, changes, words):
    with pytest.raises(ParameterError, match=words):
        panel(series, **{"x": "step", "y": "tokens", **changes})


def test_a_bad_chart_is_refused():
    good = panel(WORK, **WORDS)
    for arguments, changes, words in [
        ((WORK,), {}, "no words for x and y"),
        ((good,), {"x": "step"}, "x belong to a panel"),
        ((), {}, "`panels` is empty"),
        ((good, WORK), {}, "is no panel"),
        ((good,) * 5, {}, "5 panels; at most 4"),
        (({str(n): ([1], [1]) for n in range(13)},), WORDS, "13 series; at most 12"),
        (({"a": (range(7000), range(7000))},), WORDS, "7,000 points; at most 6,000"),
        ((KINDS["bars"], KINDS["stacked"]), {}, "Make two charts"),
    ]:
        with pytest.raises(ParameterError, match=words):
            chart("Title", *arguments, **changes)
    with pytest.raises(ParameterError, match="the title is ''"):
        chart("", WORK, **WORDS)
