"""Fixtures of the builder's tests: a made-up checkout, built once and copied for each test."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_up import make_checkout  # noqa: E402


@pytest.fixture(scope="session")
def _built_once(tmp_path_factory):
    from course_lib.authoring import build

    root = make_checkout(tmp_path_factory.mktemp("checkout") / "course")
    build(root, report=lambda line: None)
    return root


@pytest.fixture
def checkout(_built_once, tmp_path):
    """A built checkout that the test may change."""
    return Path(shutil.copytree(_built_once, tmp_path / "course"))
