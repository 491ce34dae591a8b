"""Shows source code of the library in a lesson, and wraps long texts."""

import inspect
import textwrap
from pathlib import Path

from course_lib.errors import ParameterError


def show(thing):
    """The Source of `thing`, a class, function or module; a notebook displays it. Raises ParameterError for others."""
    try:
        bare = function_of(inspect.unwrap(thing) if callable(thing) else thing)  # without decorators' wrappers
        lines, first = inspect.getsourcelines(bare)
        path = Path(inspect.getsourcefile(bare))
    except (TypeError, OSError):
        raise ParameterError(
            f"{thing!r} has no source to show. Pass a class, a function or a module, such as "
            f"show(generate_naive), not the result of a call."
        ) from None
    parts = path.parts
    if "course_lib" in parts:
        path = Path(*parts[parts.index("course_lib") :])
    return Source("".join(lines), f"{path.as_posix()}, line {max(first, 1)}")


def function_of(value):
    """The function under `@triton.jit` and similar decorators; any other value unchanged."""
    while type(value).__module__.startswith("triton.runtime.") and hasattr(value, "fn"):
        value = value.fn
    return value


class Source:
    """Code with its file and line. Highlighted in a notebook, plain text elsewhere."""

    def __init__(self, code, place):
        self.code, self.place = code.rstrip() + "\n", place

    def __str__(self):
        return f"# {self.place}\n{self.code}"

    __repr__ = __str__

    def _repr_markdown_(self):
        # JupyterLab breaks long lines even inside words; a block as wide as its longest line scrolls sideways instead
        wide = '<div style="overflow-x: auto"><div style="width: max-content; min-width: 100%">'
        return f"`{self.place}`\n\n{wide}\n\n```python\n{self.code}```\n\n</div></div>"


def wrapped(text, width=100):
    """The text in lines of at most `width` characters, paragraphs kept. Notebooks break longer lines inside words."""
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in text.split("\n\n"))
