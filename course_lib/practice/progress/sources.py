"""Takes a learner's answer out of their notebook, so that later lessons can run on it."""

import inspect

from course_lib.practice.judge.blame import unwrapped
from course_lib.source.extract import NotAlone, revive, with_needs

from .moved import renewed


def take(answer, default_name):
    """(name, source) of a learner's answer, where `source` runs alone: it is tried in an empty module.

    Raises NotAlone with the reason.

    The source begins with the imports, constants and helpers that the answer uses.
    """
    core = unwrapped(answer)
    if getattr(core, "__closure__", None):
        raise NotAlone("it is made inside another function. Define it at the top of a cell.")
    if not inspect.isclass(core) and not inspect.isroutine(core):
        raise NotAlone(
            f"it is an object of class {type(core).__name__}, and its class is not saved with it. "
            f"Define a function: `def {default_name}(…):`."
        )
    wanted = getattr(core, "__name__", default_name)
    name, source = with_needs(core, default_name if wanted == "<lambda>" else wanted)
    source = renewed(source)
    try:
        revive(source, name, "saved source")
    except BaseException as error:  # anything at all: it is the learner's code at its top level
        if isinstance(error, KeyboardInterrupt):
            raise
        raise NotAlone(f"alone in a fresh module it raises {type(error).__name__}: {error}.") from error
    return name, source
