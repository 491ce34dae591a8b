"""LLM inference, page by page: one small engine, and the lessons that build it.

Names arrive on first use, so that `import course_lib` stays quick and pulls in
neither Jupyter nor Triton nor transformers.
"""

from importlib import import_module

_HOME = {
    "setup": "course_lib.device",
    "load_model": "course_lib.models",
    "SamplingParams": "course_lib.decoding",
    "Engine": "course_lib.engine",
    "EngineConfig": "course_lib.engine",
    "check": "course_lib.practice",
    "hint": "course_lib.practice",
    "solution": "course_lib.practice",
    "progress": "course_lib.practice",
    "predict": "course_lib.practice",
    "workbook": "course_lib.practice",
    "show": "course_lib.reading",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"course_lib has no {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
