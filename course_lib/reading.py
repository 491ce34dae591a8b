"""Shows a piece of the library in a lesson, straight from its file."""

import inspect
from pathlib import Path

from .errors import ParameterError


def show(thing):
    """The source of a class, function or module of the course, with its place; displays itself in a notebook."""
    try:
        lines, first = inspect.getsourcelines(thing)
        path = Path(inspect.getsourcefile(thing))
    except (TypeError, OSError):
        raise ParameterError(
            f"{thing!r} has no source to show. Pass a class, a function or a module, such as "
            f"show(generate_naive), not the result of a call.") from None
    parts = path.parts
    if "course_lib" in parts:
        path = Path(*parts[parts.index("course_lib"):])
    return Source("".join(lines), f"{path.as_posix()}, line {max(first, 1)}")


class Source:
    """Code with its place. In a notebook it is coloured; elsewhere it is plain text."""

    def __init__(self, code, place):
        self.code, self.place = code.rstrip() + "\n", place

    def __str__(self):
        return f"# {self.place}\n{self.code}"

    __repr__ = __str__

    def _repr_markdown_(self):
        return f"`{self.place}`\n\n```python\n{self.code}```"
