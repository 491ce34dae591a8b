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


@pytest.fixture
def lab(started):
    """A Lab on the copies; `lab.root` is their folder."""
    return started


def pytest_runtest_teardown(item, nextitem):
    """The page stays for the next test that uses it, in whatever file; beside other tests it would compute on."""
    if "lab" in item.funcargs and "lab" not in getattr(nextitem, "fixturenames", ()):
        item.funcargs["lab"].close()
