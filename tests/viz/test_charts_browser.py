"""Charts in a real headless Chromium, from a bare page: hover, switches, zoom and themes."""

import io

import numpy as np
import pytest
from PIL import Image

from course_lib.viz import chart, panel

STEPS = list(range(8))
WORK = {"naive": (STEPS, [5 + s for s in STEPS]), "cached": (STEPS, [0.25 + s / 8 for s in STEPS])}

POINT = """([trace, at]) => { const plot = document.querySelector('.cl-plot'), full = plot._fullLayout;
    const box = plot.getBoundingClientRect(), { x, y } = plot.data[trace];
    const across = full.xaxis._offset + full.xaxis.d2p(x[at]), down = full.yaxis._offset + full.yaxis.d2p(y[at]);
    return [box.left + across, box.top + down]; }"""
HOVERED = "[...document.querySelectorAll('.hoverlayer .hovertext')].map(node => node.textContent)"
SHOWN = "document.querySelector('.cl-plot').data.map(trace => trace.visible)"
LINES = "document.querySelectorAll('.cl-plot .scatterlayer .trace').length"


@pytest.fixture
def work():
    return chart("Work by step", WORK, x="step", y="time", y_unit="ms", reference={"target": ("y", 3)})


def drawn(open_view, view, **context):
    page = open_view(view, **context)
    page.wait_for_selector(".cl-plot .scatterlayer .trace, .cl-plot .barlayer .trace")
    return page


def test_a_mark_under_the_pointer_says_its_values_and_units(open_view, work):
    page = drawn(open_view, work)
    page.mouse.move(*page.evaluate(POINT, [1, 3]))
    page.wait_for_function(f"{HOVERED}.length")
    (said,) = page.evaluate(HOVERED)
    assert "step: 3time: 0.625 ms" in said and "cached" in said


def test_switches_hide_a_series_and_show_it_again(open_view, work):
    page = drawn(open_view, work)
    naive = page.get_by_role("button", name="naive")
    assert page.evaluate(LINES) == 2 and naive.get_attribute("aria-pressed") == "true"
    naive.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(SHOWN) == [False, True] and page.state.selected() == ["cached"]
    page.wait_for_function(f"{LINES} === 1")
    assert naive.get_attribute("aria-pressed") == "false"
    naive.click()
    assert page.evaluate(SHOWN) == [True, True] and page.state.selected() is None
    page.evaluate("view.model.set('selected', ['naive'])")
    assert page.evaluate(SHOWN) == [True, False]


def test_a_drag_zooms_in_and_a_switch_keeps_the_zoom(open_view, work):
    page = drawn(open_view, work)
    whole = page.evaluate("document.querySelector('.cl-plot')._fullLayout.xaxis.range")
    (x0, y0), (x1, _) = page.evaluate(POINT, [0, 2]), page.evaluate(POINT, [0, 4])
    page.mouse.move(x0, y0 + 40)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, y0 + 80, steps=3)
    page.mouse.move(x1, y0 + 120, steps=3)
    page.mouse.up()
    page.wait_for_function("w => document.querySelector('.cl-plot')._fullLayout.xaxis.range[1] < w", arg=whole[1] - 1)
    zoomed = page.evaluate("document.querySelector('.cl-plot')._fullLayout.xaxis.range")
    page.get_by_role("button", name="cached").click()
    assert page.evaluate("document.querySelector('.cl-plot')._fullLayout.xaxis.range") == zoomed


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1400])
def test_charts_fit_and_follow_the_theme(open_view, looks_well, work, scheme, width):
    page = drawn(open_view, work, width=width, color_scheme=scheme)
    looks_well(page, scheme)
    line = {"light": "rgb(0, 114, 178)", "dark": "rgb(74, 163, 221)"}[scheme]
    assert page.evaluate("getComputedStyle(document.querySelector('.scatterlayer .js-line')).stroke") == line
    words = {"light": "rgb(85, 101, 117)", "dark": "rgb(169, 182, 195)"}[scheme]
    assert page.evaluate("getComputedStyle(document.querySelector('.cl-plot .xtick text')).fill") == words


def test_a_change_of_theme_draws_in_the_other_colours(open_view, work):
    page = drawn(open_view, work, color_scheme="light")
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    stroke = "getComputedStyle(document.querySelector('.scatterlayer .js-line')).stroke"
    page.wait_for_function(f"{stroke} === 'rgb(74, 163, 221)'")


def test_the_table_of_a_chart_is_the_table_in_python(open_view, work):
    page = drawn(open_view, work)
    assert page.state.table() == [list(row.values()) for row in work.table()]


def test_every_kind_is_drawn(open_view):
    bars = {"used": (["a", "b"], [3, 4]), "wasted": (["a", "b"], [2, 1])}
    roof = {"roof": {"x": [1, 100, 1000], "y": [3, 300, 300], "kind": "limit"}}
    roof["yours"] = {"x": [9], "y": [9], "mine": True}
    ends = {"p50": {"x": [1, 2], "y": [10, 12], "low": [9, 11], "high": [11, 14]}}
    shown = chart(
        "Kinds",
        panel(bars, x="policy", y="slots", kind="stacked", title="Stacked"),
        panel(roof, x="intensity", y="speed", log="xy", title="Roofline", reference={"ridge": ("x", 100)}),
        panel(ends, x="load", y="latency", y_unit="ms", title="Intervals"),
        down=True,
    )
    page = drawn(open_view, shown)
    count = "selector => document.querySelectorAll(selector).length"
    assert page.evaluate(count, ".barlayer .point") == 4
    assert page.evaluate(count, ".scatterlayer .trace") == 4  # the roof, yours, the intervals and their line
    assert page.evaluate(count, ".shapelayer path") == 1


@pytest.mark.parametrize("scheme, colour", [("light", (213, 94, 0)), ("dark", (240, 138, 75))])
def test_bars_with_a_pattern_are_filled(open_view, scheme, colour):
    """Most of a hatched bar has the colour of its series: read from the pixels, since a fill may point to nothing."""
    bars = {"used": (["a", "b"], [3, 4]), "wasted": (["a", "b"], [2, 3])}
    page = drawn(open_view, chart("Bars", bars, x="policy", y="slots", kind="bars"), color_scheme=scheme)
    shot = page.locator(".cl-plot .barlayer .trace").nth(1).locator("path").first.screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))  # uint8 [height, width, 3]
    assert (np.abs(pixels.astype(int) - colour).max(axis=-1) <= 8).mean() > 0.25  # 0 where there are strokes alone


def test_a_chart_without_plotly_shows_its_picture(open_view, work, monkeypatch):
    monkeypatch.setattr(type(work), "page_scripts", lambda self: ())
    asks = "<script>globalThis.asked = [];</script>"
    monkeypatch.setattr("course_lib.viz.kit.page.PAGE", with_channel(asks))
    page = open_view(work)
    assert page.get_attribute(".cl-picture", "alt") == work.snapshot().alt
    assert page.evaluate("asked") == [{"want": "plotly"}]
    assert "when the kernel is free" in page.inner_text(".cl-say")
    page.get_by_role("button", name="naive").click()  # nothing to hide yet, and no error
    page.evaluate("view.remove()")
    assert page.locator(".cl").count() == 0


def with_channel(script):
    """The bare page, whose model can send: what it sends is kept in `asked`."""
    from course_lib.viz.kit.page import PAGE

    page = PAGE.replace("{scripts}", script + "{scripts}")
    return page.replace(
        "globalThis.view = {{ model }};", "globalThis.view = {{ model }}; model.send = m => asked.push(m);"
    )
