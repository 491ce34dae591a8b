"""Views over plain data: step, step back, play and scrub in the browser, a picture and a table everywhere else.

A view computes nothing and imports neither engine nor kvcache nor torch. Names arrive on first use, so that
importing this package pulls in neither Jupyter nor matplotlib.
"""

from importlib import import_module

_HOME = {
    "recomputation_triangle": "course_lib.viz.triangle",
    "next_token_probabilities": "course_lib.viz.probabilities",
    "cache_filling": "course_lib.viz.filling",
    "kv_calculator": "course_lib.viz.calculator",
    "reserved_against_used": "course_lib.viz.reserved",
    "memory_view": "course_lib.viz.memory",
    "tiles_view": "course_lib.viz.tiles",
    "roofline": "course_lib.viz.roofs",
    "View": "course_lib.viz.base",
    "bare_page": "course_lib.viz.page",
    "Picture": "course_lib.viz.static",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"course_lib.viz has no {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
