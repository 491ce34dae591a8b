"""A NameError in a notebook mostly means a restarted kernel, or a cell above that was not run: it is said."""

import sys

import course_lib

SAID = (
    "{name!r} is not known in this kernel. Was it restarted, or was a cell above not run? Run all cells above this one "
    "(JupyterLab: Run, Run All Above Selected Cell; Colab: Runtime, Run before), then this one again. "
    "Or is the name spelled differently there?"
)
OF_THE_COURSE = "{name} is in course_lib. Run `from course_lib import {name}` first, then this cell again."


def explain_unknown_names():
    """From now on a NameError of a cell is followed by SAID. Does nothing outside a notebook, or twice."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and not shell.custom_exceptions:  # nobody else's handler is replaced
        shell.set_custom_exc((NameError,), _shown)


def _shown(shell, kind, error, traceback, tb_offset=None):
    """A handler as IPython calls it: the error as always, and then the sentence."""
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
    if error.name and not isinstance(error, UnboundLocalError):
        said = OF_THE_COURSE if error.name in course_lib.__all__ else SAID
        print(said.format(name=error.name), file=sys.stderr)
