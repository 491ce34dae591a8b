"""A notebook that was run and saved in `course lab` shows its views and guesses when it is opened without a kernel."""

import json

import nbformat
import pytest
from lab import DARK, LIGHT, READY_SECONDS, Lab, jupyter_lab

from course_lib.lab import environment

CELLS = [
    "from course_lib import predict\npredict('test.saved', 'How often?', ['once', 'twice'], answer=1)",
    "from course_lib.viz import recomputation_triangle\n"
    "recomputation_triangle(list('abcdef'), [(0, 3), (0, 4), (0, 5)], prompt_tokens=3)",
]

OPEN_WITHOUT_KERNEL = """async ({path, theme}) => {
  const app = window.jupyterapp;
  await app.restored;
  await app.commands.execute('apputils:change-theme', {theme});
  const panel = await app.commands.execute('docmanager:open', {
    path, factory: 'Notebook', kernelPreference: {shouldStart: false, canStart: false, autoStartDefault: false},
  });
  await panel.context.ready;
  app.shell.collapseLeft();
  window.coursePanel = panel;
}"""


@pytest.fixture(scope="module")
def course_lab(browser, tmp_path_factory):
    """A Lab whose JupyterLab has the settings of `course lab`, on one notebook; its test settings are others."""
    root = tmp_path_factory.mktemp("saved")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(notebook, root / "saved.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_PATH", environment()["JUPYTER_CONFIG_PATH"])
        with jupyter_lab(root, tmp_path_factory.mktemp("jupyter_saved")) as address:
            yield Lab(address, browser, root)


def test_views_and_guesses_come_back_without_a_kernel(course_lab, tmp_path):
    with course_lab.open("saved.ipynb") as page:
        page.run_all()
        page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        page.page.wait_for_function("() => !window.coursePanel.context.model.dirty")
    saved = json.loads((course_lab.root / "saved.ipynb").read_text())
    assert saved["metadata"]["widgets"]
    for theme in (LIGHT, DARK):
        page = course_lab.context.new_page()
        page.set_viewport_size({"width": 1400, "height": 1000})
        page.goto(f"{course_lab.address}/lab?reset")
        page.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
        page.evaluate(OPEN_WITHOUT_KERNEL, {"path": "saved.ipynb", "theme": theme})
        page.wait_for_selector(".jp-OutputArea button:has-text('twice')", timeout=READY_SECONDS * 1000)
        page.wait_for_selector(".jp-OutputArea input[type=range]", timeout=READY_SECONDS * 1000)
        assert page.evaluate("() => window.coursePanel.sessionContext.session === null")
        shown = page.inner_text(".jp-Notebook")
        assert "Error displaying widget" not in shown and "model not found" not in shown
        page.screenshot(path=tmp_path / f"saved-{theme[11:].lower()}.png")
        page.close()
