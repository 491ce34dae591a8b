"""`course lab`: JupyterLab on a lesson, from the checkout's folder."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from .checkout import find_root
from .errors import CourseError, ParameterError

SETTINGS = Path(__file__).parent / "lab_settings"
"""Defaults for this run of JupyterLab only: no news pop-up, and a saved notebook keeps the state of its views, so that
they come back without a kernel. A learner's own settings go before these, and none of their files is changed."""


def environment():
    """The environment of JupyterLab: this one, with SETTINGS as one more folder of configuration."""
    folders = [os.environ.get("JUPYTER_CONFIG_PATH"), str(SETTINGS)]
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, folders))}


def open_lab(lesson="00", *, browser=True):
    """Replaces this process by JupyterLab; on Windows, where it cannot, runs JupyterLab and returns its exit code.

    Raises ParameterError without that lesson, and CourseError without a checkout or JupyterLab.
    """
    root = find_root()
    stem = lesson.replace("\\", "/").removesuffix(".ipynb").rpartition("/")[2]
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    found = [path for path in notebooks if stem in (path.stem, path.stem.partition("_")[0])]
    if not found:
        known = ", ".join(path.stem for path in notebooks) or "none: run `course build` first"
        raise ParameterError(f"There is no lesson {lesson!r} in {root / 'notebooks'}. Lessons there: {known}.")
    if importlib.util.find_spec("jupyterlab") is None:
        raise CourseError(
            "JupyterLab is not installed beside the course. Install it with\n  pip install -e '.[lab]'\n"
            f"in {root}, or open {found[0].relative_to(root)} in any other notebook program."
        )
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{found[0].relative_to(root).as_posix()}",
    ]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # the user of a container is often root, which JupyterLab refuses by default
    if os.name == "posix":
        os.execve(
            sys.executable, command, environment()
        )  # JupyterLab takes this process's place: Ctrl-C and kill reach it directly
    try:
        return subprocess.run(command, env=environment()).returncode
    except KeyboardInterrupt:  # JupyterLab got the same Ctrl-C and has printed its own message
        return 0
