"""A notebook that was run and saved in `course lab` shows its views and guesses when it is opened again.

Its kernel is gone then: JupyterLab starts a new one, in which nothing has run. With no kernel at all ("No Kernel"),
JupyterLab's widgets stay at "Loading widget...".
"""

import json

import nbformat
import pytest
from lab import DARK, LIGHT, Lab, jupyter_lab

from course_lib.lab import environment

CELLS = [
    "from course_lib import predict\npredict('test.saved', 'How often?', ['once', 'twice'], answer=1)",
    "from course_lib.viz import recomputation_triangle\n"
    "recomputation_triangle(list('abcdef'), [(0, 3), (0, 4), (0, 5)], prompt_tokens=3)",
]


@pytest.fixture(scope="module")
def course_lab(browser, tmp_path_factory):
    """A Lab whose JupyterLab has the settings of `course lab`, on one notebook; its test settings are others."""
    root = tmp_path_factory.mktemp("saved")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "saved.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_PATH", environment()["JUPYTER_CONFIG_PATH"])
        with jupyter_lab(root, tmp_path_factory.mktemp("jupyter_saved")) as address:
            yield Lab(address, browser, root)


def test_views_and_guesses_come_back_without_their_kernel(course_lab):
    with course_lab.open("saved.ipynb") as page:
        page.run_all()
        page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        page.page.wait_for_function("() => !window.coursePanel.context.model.dirty")
    saved = json.loads((course_lab.root / "saved.ipynb").read_text())
    assert saved["metadata"]["widgets"]
    for theme in (LIGHT, DARK):
        with course_lab.open("saved.ipynb", theme=theme, fresh=True) as page:  # a new kernel, in which nothing has run
            page.page.wait_for_selector(".jp-OutputArea button:has-text('twice')")
            page.page.wait_for_selector(".jp-OutputArea input[type=range]")
            shown = page.page.inner_text(".jp-Notebook")
            assert "Step 1:" in shown and "model not found" not in shown and "Loading widget" not in shown
