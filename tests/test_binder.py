"""The files of repo2docker, for Binder and JupyterHub. No image is built here."""

import os
import subprocess
from pathlib import Path

from course_lib import lab

BINDER = Path(__file__).parents[1] / "binder"


def test_the_image_has_the_packages_of_the_lock():
    [line] = [line for line in (BINDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert (BINDER / line.removeprefix("-r ")).resolve() == lab.find_root() / "requirements.lock"


def test_its_scripts_can_be_executed():
    assert all(os.access(BINDER / name, os.X_OK) for name in ("postBuild", "start"))


def test_its_server_starts_with_the_settings_of_course_lab(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "JUPYTER_CONFIG_PATH"}
    command = ["bash", str(BINDER / "start"), "printenv", "JUPYTER_CONFIG_PATH"]
    started = subprocess.run(command, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert started.stdout.splitlines()[-1] == str(lab.SETTINGS), started.stderr
