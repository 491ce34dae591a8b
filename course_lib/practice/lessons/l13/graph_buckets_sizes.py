"""Trials of the sizes of 13.graph_buckets."""

from course_lib.practice.judge.common_mistakes import as_python
from course_lib.practice.judge.exercise import Trial

OTHER = "the other object has its own sizes"


def sizes(most):
    """The Trial of the list of sizes."""
    story = [f"buffers = GraphBuffers(most={most}, width=2)", "buffers.sizes"]
    return Trial(story, lambda answer: whole(answer(most, 2).sizes), size=most)


def size_for(most, n, note=""):
    """The Trial of one size."""
    story = [f"buffers = GraphBuffers(most={most}, width=2)", f"buffers.size_for({n})"]
    return Trial(story, lambda answer: as_python(answer(most, 2).size_for(n)), note=note, size=100 * most + n)


def sizes_beside(most, other, n=None):
    """The Trial of the sizes of an object, or of one size, after another object was made."""
    lines = [f"buffers = GraphBuffers(most={most}, width=2)", f"GraphBuffers(most={other}, width=2)"]

    def act(answer):
        buffers = answer(most, 2)
        answer(other, 2)
        return whole(buffers.sizes) if n is None else as_python(buffers.size_for(n))

    asked = "buffers.sizes" if n is None else f"buffers.size_for({n})"
    return Trial([*lines, asked], act, note=OTHER, size=most + other)


def whole(value):
    return [as_python(one) for one in value] if isinstance(value, list) else value
