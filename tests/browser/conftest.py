"""One JupyterLab for all browser tests, on copies of the notebooks."""

import shutil
from pathlib import Path

import pytest
from lab import Lab, jupyter_lab

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def course_copy(tmp_path_factory):
    """A folder with copies of notebooks/, exercises/ and solutions/: what runs here changes nothing."""
    copy = tmp_path_factory.mktemp("lab") / "course"
    for folder in ("notebooks", "exercises", "solutions"):
        (copy / folder).mkdir(parents=True)
        for notebook in (ROOT / folder).glob("*.ipynb"):
            shutil.copy(notebook, copy / folder)
    return copy


@pytest.fixture(scope="session")
def started(course_copy, browser, tmp_path_factory):
    with jupyter_lab(course_copy, tmp_path_factory.mktemp("jupyter"), forked=True) as address:
        yield Lab(address, browser, course_copy)


@pytest.fixture(scope="module")
def lab(started):
    """A Lab on the copies; `lab.root` is their folder. A page that is left open would compute on and on."""
    yield started
    started.close()
