"""Installs the course as a learner on Colab does, into the environment that runs this file.

    .venv-colab/bin/python tests/shared/install_as_on_colab.py

A notebook's own cell does it, beside a stand-in for google.colab. Only the address in it becomes a copy of this
checkout: pip builds a wheel of that and installs it. No other package may come, go or change, and what is imported
afterwards must be the wheel's.
"""

import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
COURSE = "llm-inference-course"


def main():
    """Raises SystemExit with what went wrong."""
    pip("uninstall", "--yes", COURSE)
    before = packages()
    with tempfile.TemporaryDirectory() as folder:
        run_cell(install_cell(), copy_of_checkout(Path(folder)))
    after = packages()
    changed = {line for line in before ^ after if not line.startswith(COURSE)}
    if changed:
        raise SystemExit(f"Installing the course on Colab changed other packages: {sorted(changed)}")
    where = run(sys.executable, "-c", "import course_lib; print(course_lib.__file__)", cwd="/")
    if "site-packages" not in where:
        raise SystemExit(f"The course is imported from {where.strip()}, not from the wheel that was installed.")


def install_cell():
    """The source of the cell that installs the course on Colab."""
    cells = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4).cells
    [cell] = [cell.source for cell in cells if cell.source.startswith("# On Colab this cell installs the course.")]
    return cell


def copy_of_checkout(folder):
    """What a wheel is built from, copied: a build leaves files behind."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "course_lib", folder / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_cell(source, checkout):
    """Runs the cell with google.colab imported, and the folder `checkout` for the address that it installs from."""
    given = subprocess.run

    def from_checkout(command, **options):
        *start, address = command
        if not address.startswith("git+https://"):
            raise SystemExit(f"The cell was to install from an address, but its command is {command}.")
        return given([*start, str(checkout)], **options)

    sys.modules["google.colab"] = types.ModuleType("google.colab")
    subprocess.run = from_checkout
    try:
        exec(source, {})
    finally:
        subprocess.run = given
        del sys.modules["google.colab"]


def packages():
    """{"name==version"} of what is installed."""
    return set(pip("list", "--format=freeze").split())


def pip(*arguments):
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


if __name__ == "__main__":
    main()
