"""The package from outside: what importing it costs, and what a wheel of it holds."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import course_lib

ROOT = Path(__file__).parents[1]


def test_importing_the_course_pulls_in_nothing_heavy():
    code = (
        "import sys, course_lib\n"
        "print([m for m in ('torch', 'IPython', 'ipykernel', 'jupyterlab', 'plotly', 'matplotlib', 'triton', "
        "'transformers', 'anywidget') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_using_the_model_needs_neither_jupyter_nor_plots():
    code = (
        "import sys\n"
        "from course_lib import SamplingParams, load_model, setup\n"
        "from course_lib.decoding import generate_naive\n"
        "heavy = ('IPython', 'jupyterlab', 'plotly', 'matplotlib', 'triton', 'transformers')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_every_promised_name_is_there():
    for name in course_lib.__all__:
        assert getattr(course_lib, name) is not None
    assert set(course_lib.__all__) <= set(dir(course_lib))
    with pytest.raises(AttributeError, match="load_modell"):
        _ = course_lib.load_modell


def test_a_wheel_holds_the_models_and_the_views(tmp_path):
    source = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", "course_lib"):  # copied: a build leaves files behind
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("llm_inference_course-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("tale", "tale_draft"):
        for file in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"):
            assert f"course_lib/models/{folder}/{file}" in names
    for pattern in (
        "viz/*/*.js",
        "viz/*/*.css",
        "practice/report/*.css",
        "recorded/*.json",
        "site/*/*.*",
        "site/*/*/*",
    ):
        found = (path for path in ROOT.glob(f"course_lib/{pattern}") if path.suffix != ".pyc")
        files = {path.relative_to(ROOT).as_posix() for path in found}
        assert files and files <= names, pattern
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "solutions/"))]


def test_the_repository_has_one_address():
    """pyproject.toml holds it; the lessons' Colab cells are made from it, and README.md must say the same."""
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    named = set(re.findall(r"github(?:\.com|/)?/?([\w-]+/llm-inference[\w-]*)", (ROOT / "README.md").read_text()))
    assert named == {address.removeprefix("https://github.com/")}


def test_another_python_is_told_from_the_one_with_the_course():
    """As in a kernel of another environment: nothing of ours is found but course_lib itself."""
    code = "import course_lib; from course_lib import setup"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("course_lib.lazy.WrongEnvironment: This Python, ") and "has no torch" in last
    assert "course lab" in last
