"""The lock files: what they must pin, and what they must not contain."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ["requirements.lock", "locks/dev.lock", "locks/colab.lock"]


def pins(path):
    """{name: Requirement} of a lock file."""
    lines = [line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {re.sub(r"[-_.]+", "-", pin.name).lower(): pin for pin in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_an_exact_pin_and_names_no_host(lock):
    assert "://" not in (ROOT / lock).read_text()
    for pin in pins(lock).values():
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), pin


@pytest.mark.parametrize("lock", LOCKS)
def test_cuda_is_left_to_the_machine(lock):
    assert [name for name in pins(lock) if name.startswith(("nvidia", "cuda"))] == []


def test_triton_is_asked_for_on_linux_only():
    for lock in ("requirements.lock", "locks/dev.lock"):
        assert str(pins(lock)["triton"].marker) == 'sys_platform == "linux"'


def test_the_learners_lock_is_without_the_tools_of_teachers_and_developers():
    assert {"nbgrader", "pytest", "playwright", "transformers"} & set(pins("requirements.lock")) == set()


def test_developers_have_what_learners_have():
    learners, developers = pins("requirements.lock"), pins("locks/dev.lock")
    assert {name: str(pin) for name, pin in learners.items()} == {name: str(developers[name]) for name in learners}


def test_colab_satisfies_the_package_so_that_installing_it_there_replaces_nothing():
    colab = pins("locks/colab.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        pin = colab[re.sub(r"[-_.]+", "-", wanted.name).lower()]
        [version] = [clause.version for clause in pin.specifier]
        assert wanted.specifier.contains(version), f"{wanted} does not accept Colab's {pin}"


def test_the_colab_lock_holds_what_colab_holds():
    colab = pins("locks/colab.lock")
    wanted = {"ipython": "7.34.0", "ipywidgets": "7.7.1", "anywidget": "0.9.21", "plotly": "5.24.1", "numpy": "2.1.3"}
    assert {name: str(colab[name].specifier) for name in wanted} == {
        name: f"=={version}" for name, version in wanted.items()
    }
