"""Attention: the reference in plain torch, and the Triton kernels with their torch twins.

Names arrive on first use: importing this package loads neither torch nor Triton.
"""

from importlib import import_module

_HOME = {
    "standard_attention": "course_lib.attention.reference",
    "chunked_attention": "course_lib.attention.reference",
    "flash_attention_v1": "course_lib.attention.reference",
    "flash_attention_v2": "course_lib.attention.reference",
    "merge_partials": "course_lib.attention.reference",
    "flash_attention_backward": "course_lib.attention.backward",
    "recomputed_attention": "course_lib.attention.backward",
    "Mask": "course_lib.attention.masks",
    "Meter": "course_lib.attention.meter",
    "record_tiles": "course_lib.attention.meter",
    "flash_attention": "course_lib.attention.select",
    "paged_decode": "course_lib.attention.select",
    "paged_attention": "course_lib.attention.select",
    "store_kv": "course_lib.attention.select",
    "explain": "course_lib.attention.select",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"course_lib.attention has no {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
