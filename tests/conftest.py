"""What holds for every test, and for every kernel, server and command that a test starts."""

import gc
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

OFFLINE = Path(__file__).parent / "offline"

# Set before anything of the course is imported, and inherited by xdist's workers and by nbval's kernels.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell starts what runs in the background like this
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Several test processes share the cores: two that both want all of them wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # older kernels warn at length that nobody can debug them
# As in an activated environment: nbgrader calls `alembic` by name.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
for unwanted in ("TRITON_INTERPRET", "NBGRADER_EXECUTION"):
    os.environ.pop(unwanted, None)
import torch  # noqa: E402

torch.set_num_threads(1)  # whatever OMP_NUM_THREADS was: on small matrices several threads only wait for each other

if not torch.cuda.is_available():  # as setup() does, and before transformers imports Triton: afterwards it is too late
    os.environ["TRITON_INTERPRET"] = "1"

# How long an example takes says how busy the machine is.
settings.register_profile("without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without a clock")

# Nobody's own progress is read or touched. The folder is made once, by the process that pytest was started in.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _home = tempfile.TemporaryDirectory(prefix="course-tests-")
    os.environ["COURSE_HOME"] = _home.name

sys.path.insert(0, str(OFFLINE))
import sitecustomize  # noqa: E402,F401  (the offline guard, in this process too)

sys.path[:0] = [str(Path(__file__).parent / "browser"), str(Path(__file__).parent / "shared")]
from forked_kernels import kernel_folder  # noqa: E402
from lab import find_chromium  # noqa: E402

if "PYTEST_XDIST_WORKER" not in os.environ:  # for nbval: --nbval-kernel-name forked
    _kernels = tempfile.TemporaryDirectory(prefix="course-kernels-")
    os.environ["COURSE_FORKED_KERNELS"], os.environ["COURSE_TESTS_PID"] = f"{_kernels.name}/asked", str(os.getpid())
    os.environ["JUPYTER_PATH"] = kernel_folder(Path(_kernels.name), "forked")

# These take minutes. They go first, so that no process ends long after the others.
SLOW_FILES = (
    "kernels_compile/",
    "browser/test_lessons.py",
    "browser/test_exercises.py",
    "browser/",
    "practice/test_cases.py",
    "engine/test_engine_fuzz.py",
    "engine/test_soak.py",
    "kvcache/test_manager_fuzz.py",
    "kvcache/test_block_table_fuzz.py",
    "02_kv_cache.ipynb",
    "01_naive_decoding.ipynb",
)


def pytest_addoption(parser):
    parser.addoption("--record-verified", choices=["cpu", "colab"], help="note in docs/verified.json which lessons ran")


def pytest_configure(config):
    kind = config.getoption("--record-verified")
    if kind and not hasattr(config, "workerinput"):
        from record_verified import Recorder

        config.pluginmanager.register(Recorder(kind))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """To collect is to make millions of objects that stay: walking through them again and again takes a third of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # nor are they walked through while the tests run
        gc.enable()


def pytest_collection_modifyitems(items):
    by_chance = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if by_chance:  # pytest-xdist would say at length that its processes found different tests
        raise pytest.UsageError(f"The name of this test holds an address in memory: {by_chance[0]}")
    items.sort(key=place)


OF_AN_EXERCISE = "practice/test_cases.py", "practice/test_rounding.py", "practice/test_right_answers.py"
"""What the reference and the known mistakes do in all trials is looked at in each of these files."""


def place(item):
    """(how early the file runs, the exercise): the tests of one exercise follow each other, of whatever file."""
    exercise = exercise_of(item.nodeid)
    file = OF_AN_EXERCISE[0] if exercise else item.nodeid
    slow = next((place for place, slow_file in enumerate(SLOW_FILES) if slow_file in file), len(SLOW_FILES))
    return slow, exercise


def exercise_of(nodeid):
    """The exercise of a test in one of OF_AN_EXERCISE, or ""."""
    file, _, test = nodeid.partition("::")
    found = re.search(r"\[(\d\d\.\w+)", test) if file.endswith(OF_AN_EXERCISE) else None
    return found[1] if found else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """--dist loadfile, where the long files are handed out in parts: a notebook, or an exercise."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Parts(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return part(nodeid)

    return Parts(config, log)


def part(nodeid):
    """What one process runs in one go: a file, a notebook in the browser, or all tests of one exercise."""
    file = nodeid.partition("::")[0]
    if file.endswith(("browser/test_lessons.py", "browser/test_exercises.py")):
        return nodeid
    if "browser/" in file:  # small files, in one page of JupyterLab
        return file.rpartition("/")[0]
    return exercise_of(nodeid) or file


ALONE = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
"""For Chromium: every other machine is one that does not exist."""


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium that reaches no other machine.

    One for all tests of a process: Playwright allows no second one beside it.
    """
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium found: install one (Debian: apt install chromium), or name it in CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules={ALONE}"]
        )
        yield found
        found.close()


def pytest_terminal_summary(terminalreporter):
    """Says plainly, last before the counts, when the lessons were not tried in a browser."""
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if report.nodeid.startswith(("tests/browser", "tests/viz"))
    ]
    if skipped and find_chromium() is None:
        terminalreporter.section("browser tests were NOT run", red=True)
        terminalreporter.line(
            "No Chromium was found, so no lesson was opened in JupyterLab. "
            "Install one (Debian: apt install chromium) or name it: CHROMIUM=/path/to/chrome make test"
        )
