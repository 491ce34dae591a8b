"""Which kernels an answer launches, and whether a compiler would take them."""

import ast
import contextlib
import inspect
import sys
import textwrap

from course_lib.practice.fixtures.placement import machine

from . import running


@contextlib.contextmanager
def launches():
    """A list that meanwhile fills with each kernel that is launched, as functions. Those of the library itself do not count."""
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
    """The kernels that the answer launches, as functions, in order; [] where one of the trials ran without any."""
    kernels = []
    for one in trials:
        with launches() as found:
            running.run(lambda: one.act(answer), answer, one.limit_s)
        if not found:
            return []
        kernels += found
    return list(dict.fromkeys(kernels))


REFUSED = {ast.Break: "break", ast.Continue: "continue", ast.Try: "try"}
"""What the interpreter runs, being Python, and the compiler refuses."""


def refused(kernel):
    """The word in a kernel, a function, that no compiler takes; "" where there is none, or where its text is not to be had."""
    try:
        nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kernel))))
    except (OSError, TypeError, SyntaxError):
        return ""
    return next((word for node in nodes for kind, word in REFUSED.items() if isinstance(node, kind)), "")
