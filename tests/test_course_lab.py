"""`course lab` sets what it needs for its own run of JupyterLab only."""

import json
import os
import subprocess
import sys

import pytest

from course_lib import lab


def test_the_environment_has_one_more_folder_of_configuration_behind_the_users(monkeypatch):
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    assert lab.environment()["JUPYTER_CONFIG_PATH"] == str(lab.SETTINGS)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    assert lab.environment()["JUPYTER_CONFIG_PATH"] == os.pathsep.join(["mine", str(lab.SETTINGS)])
    assert os.environ["JUPYTER_CONFIG_PATH"] == "mine"


@pytest.mark.parametrize(
    "plugin, setting, value",
    [
        ("@jupyterlab/apputils-extension:notification", "fetchNews", "false"),
        ("@jupyterlab/apputils-extension:notification", "checkForUpdates", False),
        ("@jupyter-widgets/jupyterlab-manager:plugin", "saveState", True),
    ],
)
def test_jupyterlab_reads_the_defaults_and_writes_nothing_into_the_home(plugin, setting, value, tmp_path):
    code = (
        "import json\nfrom jupyterlab_server.settings_utils import _get_overrides\n"
        "print(json.dumps(_get_overrides('nowhere')[0]))"
    )
    environment = lab.environment() | {"HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[plugin][setting] == value
    assert list(tmp_path.iterdir()) == []
