"""Source code as a lesson shows it."""

import pytest

from course_lib.decoding import generate_naive
from course_lib.errors import ParameterError
from course_lib.source.show import show, wrapped


def test_show_gives_source_and_place_and_refuses_values():
    shown = show(generate_naive)
    assert shown.code.splitlines()[1].startswith("def generate_naive(")
    assert shown.place.startswith("course_lib/decoding/generate.py, line ")
    assert "```python" in shown._repr_markdown_()
    with pytest.raises(ParameterError, match="no source to show"):
        show(42)


def test_wrapped_keeps_paragraphs():
    text = "one two three four\n\nfive"
    assert wrapped(text, width=9) == "one two\nthree\nfour\n\nfive"
