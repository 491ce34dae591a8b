"""Which kernels an answer launches, and whether a compiler would take them."""

import ast
import contextlib
import inspect
import sys
import textwrap

from course_lib.practice.fixtures.placement import machine

from . import running
from .exercise import NotVerified


@contextlib.contextmanager
def launches():
    """A list that gets each kernel that is launched while this lasts, as a function.

    Kernels of the library itself do not count.
    """
    kernels, state = [], machine().triton
    if "triton" not in sys.modules or state == "absent":
        yield kernels
        return
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    kind = InterpretedFunction if state == "interpreted" else JITFunction
    original = kind.run

    def run(kernel, /, *args, **options):
        if not kernel.fn.__module__.startswith("course_lib.attention"):
            kernels.append(kernel.fn)
        return original(kernel, *args, **options)

    kind.run = run
    try:
        yield kernels
    finally:
        kind.run = original


def kernels_of(answer, trials):
    """The kernels that the answer launches, as functions, in order; [] where one of the trials ran without any.

    Raises NotVerified where the answer was stopped by the clock.
    """
    kernels = []
    for one in trials:
        with launches() as found:
            outcome, _ = running.run(lambda one=one: one.act(answer), answer, one.limit_s)
        if isinstance(outcome, running.Raised) and outcome.out_of_time:
            raise NotVerified(f"as your function was stopped after {one.limit_s:g} s.")
        if not found:
            return []
        kernels += found
    return list(dict.fromkeys(kernels))


REFUSED = {ast.Break: "break", ast.Continue: "continue", ast.Try: "try"}
"""What the interpreter runs, because it is Python, and the compiler refuses."""


def refused(kernel):
    """The word in a kernel (a function) that no compiler takes; "" where there is none, or the text is not known."""
    try:
        nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kernel))))
    except (OSError, TypeError, SyntaxError):
        return ""
    return next((word for node in nodes for kind, word in REFUSED.items() if isinstance(node, kind)), "")
