"""Charts in JupyterLab: they answer without any other machine, and the saved notebook stays small."""

import json

import nbformat
from lab import DARK, LIGHT

from course_lib.viz import chart

SOURCES = [
    """from course_lib.viz import chart
steps = list(range(8))
work = {"naive": (steps, [5 + s for s in steps]), "cached": (steps, [0.25 + s / 8 for s in steps])}
first = chart("Work by step", work, x="step", y="time", y_unit="ms")
first""",
    """chart("The same as bars", work, x="step", y="time", y_unit="ms", kind="bars")""",
    "print(first.selected)",
]
POINT = """node => { const full = node._fullLayout, box = node.getBoundingClientRect(), { x, y } = node.data[1];
    const across = full.xaxis._offset + full.xaxis.d2p(x[3]), down = full.yaxis._offset + full.yaxis.d2p(y[3]);
    return [box.left + across, box.top + down]; }"""
STROKE = "node => getComputedStyle(node.querySelector('.js-line')).stroke"
SAVE = """async () => { await window.coursePanel.context.save(); }"""


def test_charts_answer_in_jupyterlab_and_are_saved_without_plotly(lab):
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    path = lab.root / "charts.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    with lab.open("charts.ipynb", theme=DARK) as notebook:
        notebook.run_all()
        page = notebook.page
        charts = page.locator("section.cl-charts")
        for at in (0, 1):
            charts.nth(at).locator(".cl-plot .main-svg").first.wait_for()
        assert page.locator("section.cl-charts").count() == 2
        plot = charts.nth(0).locator(".cl-plot")
        assert plot.evaluate(STROKE) == "rgb(74, 163, 221)"
        notebook.set_theme(LIGHT)
        notebook.eventually(lambda: plot.evaluate(STROKE) == "rgb(0, 114, 178)")
        assert plot.evaluate(STROKE) == "rgb(0, 114, 178)"
        plot.scroll_into_view_if_needed()
        page.mouse.move(*plot.evaluate(POINT))
        said = plot.locator(".hovertext")
        said.wait_for()
        assert "step: 3time: 0.625 ms" in said.text_content()
        charts.nth(0).get_by_role("button", name="naive").click()
        assert notebook.prints_in_the_end(2, "['cached']\n") == "['cached']\n"
        page.evaluate(SAVE)
    saved = path.read_text(encoding="utf-8")
    assert len(saved) < 250_000 and "window.Plotly" not in saved
    shown = [out for cell in json.loads(saved)["cells"] for out in cell["outputs"] if "data" in out]
    assert [out["metadata"]["image/png"]["alt"][:12] for out in shown] == ["Work by step", "The same as "]


def test_a_saved_chart_is_a_picture_with_words_and_a_table_before_any_cell_runs(lab):
    """As a lesson is committed: without the widget's view."""
    path = lab.root / "saved_charts.ipynb"
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    shown = chart("Saved", {"cached": ([1, 2, 3], [1, 2, 3])}, x="step", y="time", y_unit="ms")
    data, metadata = shown.bundle()
    data.pop("application/vnd.jupyter.widget-view+json")
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])], metadata=kernel), path
    )
    with lab.open("saved_charts.ipynb") as notebook:
        picture = notebook.page.locator(".jp-OutputArea figure img")
        picture.wait_for()
        assert picture.get_attribute("alt") == shown.snapshot().alt
        notebook.page.locator(".jp-OutputArea summary").click()
        assert notebook.page.locator(".jp-OutputArea td").all_inner_texts() == ["1", "1", "2", "2", "3", "3"]
