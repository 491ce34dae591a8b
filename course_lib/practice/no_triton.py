"""Stand-ins for `triton` and `triton.language` where Triton is not installed: a kernel can be written down, and not launched.

    try:
        import triton
        import triton.language as tl
    except ImportError:
        from course_lib.practice.no_triton import tl, triton
"""

import sys

from ..errors import CourseError


class Absent:
    """Any name may be taken from it (`tl.float32`); calling one raises CourseError, save for what stands around a kernel."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args, **kwargs):
        why = "pip install triton adds it" if sys.platform == "linux" else f"it has no package for {sys.platform}"
        raise CourseError(f"Triton is not installed here ({why}), so no kernel can run. Write the function in plain torch: that "
                          "is rung 1, and complete in itself.")

    def __getitem__(self, grid):
        return self  # kernel[grid], which is then called

    def jit(self, function=None, **options):
        """@triton.jit and @triton.jit(...): the function goes, its launch says why it cannot be."""
        return self if function is not None else lambda function: self

    def autotune(self, *args, **options):
        """@triton.autotune(configs=[triton.Config(...)], ...), and so for @triton.heuristics(...): above @triton.jit."""
        return self.jit

    heuristics = autotune

    def Config(self, *args, **options):
        return self

    def constexpr(self, value):
        """FACTOR = tl.constexpr(2.0), beside a kernel."""
        return value


triton = tl = Absent()
