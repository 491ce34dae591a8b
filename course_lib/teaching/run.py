"""Runs a submission for nbgrader: no cell takes the others with it, and each answer is graded by itself."""

import ast
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade
from traitlets import Integer

from course_lib.errors import CourseError
from course_lib.practice.judge import registry
from course_lib.practice.judge.limits import patience

from .outputs import Room, cleaned, error, failed, without_misreadings, without_our_lines

BEGIN = "from course_lib.practice import grading; grading.begin(); del grading"
PUT_BACK = "__import__('course_lib.practice.grading', fromlist=['_']).put_back()"
SEEN_BY_STUDENTS = (
    "PATH PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH LANG LC_ALL LC_CTYPE TZ TMPDIR TEMP TMP SYSTEMROOT PATHEXT CUDA_HOME "
    "CUDA_VISIBLE_DEVICES OMP_NUM_THREADS JUPYTER_PLATFORM_DIRS PYDEVD_DISABLE_FILE_VALIDATION NBGRADER_EXECUTION"
).split()
"""The environment variables that the code of a student gets. Others may hold names and keys of whoever grades."""

LOOK_S = 5
"""So often, in seconds, it is looked whether a cell has had its time."""


class Work:
    """Whether a process has worked so many seconds from now on. On a busy machine it has more time on the clock.

    longer: at most so many times as much.
    """

    def __init__(self, pid, seconds, longer):
        self.process, self.seconds, self.longer = psutil.Process(pid), seconds, longer
        self.began, self.worked = time.monotonic(), self._work()

    def _work(self):
        try:
            times = self.process.cpu_times()
            return times.user + times.system
        except psutil.Error:
            return float("inf")

    def is_done(self):
        """Also where the process waits for long, and where it is no longer there."""
        passed = time.monotonic() - self.began
        return max(min(passed, self._work() - self.worked), passed / min(self.longer, patience())) >= self.seconds


class GradedRun(Execute):
    """nbgrader's Execute, for code that may do anything.

    - A cell that does not end is stopped. If it cannot be stopped, or has ended the kernel, a new kernel runs the cells
      before it again and goes on behind it.
    - A check brings points only where the course's own check has run and found the answer right.
    - Where it did not, the cells below it run on the course's answer, and the check says so.
    - The kernel's home is empty, and the outputs name no folder of this machine.
    """

    check_seconds = Integer(120, help="A cell that grades is stopped after so many seconds of work.").tag(config=True)
    cell_seconds = Integer(30, help="Any other cell is stopped after so many seconds of work.").tag(config=True)
    start_seconds = Integer(120, help="The kernel may take so many seconds to import the course.").tag(config=True)

    def preprocess(self, nb, resources, km=None):
        """Runs all cells of `nb` in place. km: not used, each run has kernels of its own."""
        NotebookClient.__init__(self, nb, None, kernel_manager_class=AsyncKernelManager)
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        self.shutdown_kernel, self.timeout = "immediate", self.start_seconds
        self.timeout_func, self.extra_arguments = lambda cell: LOOK_S, ["--log-level=ERROR"]
        self.ran, self.failing, self.replaced, self.last = [], [], set(), []
        with tempfile.TemporaryDirectory(prefix="course-graded-", ignore_cleanup_errors=True) as home:
            self.home = Path(home)
            try:
                self.start()
                for index, cell in enumerate(nb.cells):
                    if cell.cell_type == "code" and cell.source.strip():
                        self.run(cell, index)
            finally:
                self.stop()
        folder = Path(self.resources["metadata"]["path"])
        places = [home, sys.prefix, *(str(one) for one in (folder, *folder.parents[:3]) if one.name)]
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = cleaned(cell.outputs, places)
        return nb, resources

    def run(self, cell, index):
        """Runs one cell; if it grades, what comes after depends on how it ended."""
        if is_grade(cell):
            self.grade(cell, index)
            return
        for exercise_id in self.failing:
            self.replace(exercise_id)
        self.failing = []
        if self.execute_one(cell, index):
            self.ran.append(cell.source)

    def grade(self, cell, index):
        """Runs a cell that grades, on what the course itself is made of."""
        ids, before = checked(cell.source), self.attempts()
        if not ids and self.replaced.intersection(self.last):
            said = f"The answer to {', '.join(self.last)} did not pass, and the course's answer is in its place here."
            cell.outputs = [error("NotGraded", said)]
            return
        self.hidden(PUT_BACK)
        self.execute_one(cell, index)
        unseen = [one for one in ids if self.attempts().get(one, 0) == before.get(one, 0)]
        if unseen and not failed(cell):
            cell.outputs.append(error("NotChecked", f"The course's check of {', '.join(unseen)} did not run."))
        if not failed(cell):
            cell.outputs = without_misreadings(cell.outputs, number=not ids)
        elif ids:
            self.failing += ids
            names = ", ".join(f"`{registry.find(one).name}`" for one in ids)
            said = f"No points here. The cells below run on the course's {names}, so that nothing else is lost.\n"
            cell.outputs = [*without_our_lines(cell.outputs), new_output("stream", name="stdout", text=said)]
        self.last = ids or self.last

    def replace(self, exercise_id):
        """The course's answer takes the place of one that did not pass."""
        solution = registry.solution_of(registry.find(exercise_id))
        self.replaced.add(exercise_id)
        if self.hidden(solution):
            self.ran.append(solution)

    def execute_one(self, cell, index):
        """Runs a cell in the kernel; says whether the kernel is still the same one."""
        self.room, seconds = Room(), self.check_seconds if is_grade(cell) else self.cell_seconds
        said = f"stopped: not done after {seconds} s. Does the loop end?"
        self.error_on_timeout = {"ename": "OutOfTime", "evalue": said, "traceback": [f"OutOfTime: {said}"]}
        if not self.is_alive():  # the cell before this one has ended it behind its back
            self.restart()
        self.work = Work(self.km.provisioner.pid, seconds, longer=10 if is_grade(cell) else 4)
        try:
            self.execute_cell(cell, index)
            if is_grade(cell) or not any(output.get("ename") == "MemoryError" for output in cell.outputs):
                return True  # otherwise what has filled the memory is still there
        except CellTimeoutError:
            cell.outputs.append(error("OutOfTime", said))
        except DeadKernelError:
            cell.outputs.append(error("KernelEnded", "This cell has ended the Python that ran it."))
        self.restart()
        return False

    async def _async_handle_timeout(self, timeout, cell=None):
        """nbclient asks every LOOK_S; only code that has worked for its seconds is interrupted."""
        if cell is not None and not self.work.is_done():
            await asyncio.sleep(0.1)
            return None
        return await super()._async_handle_timeout(timeout, cell)

    def output(self, outs, msg, display_id, cell_index):
        """Keeps an output, where the cell has not shown too much already."""
        had_room = self.room.is_left
        if self.room.fits(msg["content"]):
            return super().output(outs, msg, display_id, cell_index)
        if had_room:
            outs.append(new_output("stream", name="stdout", text="\n… more output, which is left out here.\n"))
        return None

    def attempts(self):
        """{exercise id: how often its check has run} in this notebook."""
        try:
            state = json.loads((self.home / "course" / "progress.json").read_text(encoding="utf-8"))
            return {key: entry.get("attempts", 0) for key, entry in state["exercises"].items()}
        except (OSError, ValueError, LookupError, AttributeError):
            return {}

    def start(self):
        """A kernel that has imported the course and run nothing of the student's."""
        kept = {name: os.environ[name] for name in SEEN_BY_STUDENTS if name in os.environ}
        folders = dict.fromkeys(("HOME", "USERPROFILE", "IPYTHONDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"), str(self.home))
        graded = {"COURSE_GRADED_HOME": str(self.home / "course"), "HF_HUB_OFFLINE": "1"}
        self.km = self.create_kernel_manager()
        self.start_new_kernel(env=kept | folders | graded)
        self.start_new_kernel_client()
        if not self.hidden(BEGIN, may_fail=False):
            raise CourseError(
                "The course cannot be imported where submissions run, so this one has no mark. Try in a terminal: "
                f"{sys.executable} -c 'import course_lib.practice.grading'"
            )

    def stop(self):
        """Ends the kernel, whatever it is doing."""
        if self.km is not None:
            self._cleanup_kernel()

    def restart(self):
        """A new kernel, in which all cells so far have run but those that ended theirs."""
        waiting, self.ran = self.ran, []
        self.stop()
        self.start()
        while waiting:
            source = waiting.pop(0)
            if self.hidden(source):
                self.ran.append(source)
            else:  # it ends this kernel too
                waiting, self.ran = self.ran + waiting, []
                self.stop()
                self.start()

    def hidden(self, code, may_fail=True):
        """Runs code without showing it; says whether the kernel has answered. may_fail: also with an error."""
        try:
            reply = self.wait_for_reply(self.kc.execute(code, silent=True, store_history=False))
        except DeadKernelError:
            return False
        return reply is not None and self.is_alive() and (may_fail or reply["content"]["status"] == "ok")

    def is_alive(self):
        """Whether the kernel's process is there."""
        return self.km is not None and run_sync(self.km.is_alive)()


def checked(source):
    """The ids of the exercises that the code of a cell checks: those in check("01.greedy", ...)."""
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    except SyntaxError:
        return []
    checks = [call.args[0] for call in calls if ast.unparse(call.func) in ("check", "course_lib.check")]
    return [name.value for name in checks if isinstance(name, ast.Constant) and name.value in registry.ids()]
