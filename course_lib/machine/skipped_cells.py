"""A lesson on a system that lacks something: a cell that needs it ends in a sentence, and the cells below run.

Without this, "Run All" would stop at the first kernel of lesson 07 on macOS and Windows.
"""

import ast
import platform
import sys
from importlib.util import find_spec

from course_lib.errors import NotHere

KEPT = "This cell was not run to its end, and the cells below go on. Its output is kept in the notebook on GitHub."


def has_triton():
    """Whether Triton can be imported. Nothing is imported to find out."""
    return find_spec("triton") is not None


def system_name():
    """Windows, macOS, Linux: as people call it."""
    return {"win32": "Windows", "darwin": "macOS"}.get(sys.platform, platform.system())


def without_triton():
    """A NotHere that says why Triton is not installed."""
    why = "`pip install triton` adds it" if sys.platform == "linux" else f"it has no package for {system_name()}"
    return NotHere(
        f"Triton is not installed here ({why}), so no kernel can run. In an exercise, write the function in plain "
        "torch: that is rung 1, and complete in itself."
    )


def skip_what_is_not_here():
    """In IPython: from now on a cell that raises NotHere, or needs a name of such a cell, ends in a sentence."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and not isinstance(getattr(shell, "course_skips", None), SkippedCells):
        shell.course_skips = SkippedCells(shell)


class SkippedCells:
    """The cells of one IPython shell that were skipped. names: what they would have defined."""

    def __init__(self, shell):
        self.shell, self.names, self._skips = shell, set(), False
        self._others, self._tell_others = shell.custom_exceptions, shell.CustomTB  # such as practice/unknown_names.py
        shell.set_custom_exc((*self._others, NotHere, NameError, ImportError), self._tell)
        shell.events.register("post_run_cell", self._end)

    def _tell(self, shell, kind, error, traceback, tb_offset=None):
        reason = self.reason(error)
        if reason is not None:
            print(f"{reason}\n{KEPT}")
            self._skips = True
        elif isinstance(error, self._others):
            self._tell_others(kind, error, traceback, tb_offset=tb_offset)
        else:
            shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)

    def reason(self, error):
        """Why the cell that raised `error` is skipped; None: it is not, the error is one of the cell's own."""
        if isinstance(error, NotHere):
            return str(error)
        if isinstance(error, NameError):
            return f"`{error.name}` comes from a cell that was skipped." if error.name in self.names else None
        is_triton = (error.name or "").split(".")[0] == "triton" and not has_triton()
        return str(without_triton()) if is_triton else None

    def _end(self, result):
        """After each cell. A skipped one counts as run, since an error would stop "Run All"."""
        if not self._skips:
            return
        self._skips, result.error_in_exec = False, None
        self.names |= set(_defined(ast.parse(self.shell.transform_cell(result.info.raw_cell))))


def _defined(tree):
    """The names that a cell defines for other cells: nothing from inside its functions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        waiting += ast.iter_child_nodes(node)
