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
from course_lib.decoding import generate_naive
from course_lib.errors import ParameterError
from course_lib.source.show import show, wrapped

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
        "import sys\nfrom course_lib import SamplingParams, load_model, setup\nfrom course_lib.decoding import generate_naive\n"
        "print([m for m in ('IPython', 'jupyterlab', 'plotly', 'matplotlib', 'triton', 'transformers') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_every_promised_name_is_there():
    for name in course_lib.__all__:
        assert getattr(course_lib, name) is not None
    assert set(course_lib.__all__) <= set(dir(course_lib))
    with pytest.raises(AttributeError, match="load_modell"):
        course_lib.load_modell


def test_a_wheel_holds_the_models_and_the_views(tmp_path):
    source = tmp_path / "source"
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "course_lib",
    ):  # a copy, so that no build/ is left in the checkout
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(source),
        ],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("llm_inference_course-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("tale", "tale_draft"):
        for file in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"):
            assert f"course_lib/models/{folder}/{file}" in names
    for pattern in ("course_lib/viz/*.js", "course_lib/viz/*.css", "course_lib/practice/*.css"):
        files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
        assert files and files <= names
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "solutions/"))]


def test_show_gives_source_and_place_and_refuses_values():
    shown = show(generate_naive)
    assert shown.code.splitlines()[1].startswith("def generate_naive(")
    assert shown.place.startswith("course_lib/decoding/generate.py, line ")
    assert "```python" in shown._repr_markdown_()
    with pytest.raises(ParameterError, match="no source to show"):
        show(42)


def test_wrapped_keeps_paragraphs():
    text = "one two three four\n\nfive"
    assert wrapped(text, width=9) == "one two\nthree\nfour\n\nfive"


def test_the_repository_has_one_address():
    """pyproject.toml holds it; the lessons' Colab cells are made from it, and README.md must say the same."""
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    named = set(re.findall(r"github(?:\.com|/)?/?([\w-]+/llm-inference[\w-]*)", (ROOT / "README.md").read_text()))
    assert named == {address.removeprefix("https://github.com/")}
