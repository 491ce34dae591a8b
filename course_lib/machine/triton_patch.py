"""A repair of Triton's interpreter, for Triton before 3.7 together with NumPy 2.4 or newer.

That Triton reads the bounds of `for i in range(0, n, BLOCK)` with int() of an array of one number, which that NumPy
refuses. The repair reads them with `.item()`, which all versions have. This module imports Triton, so TRITON_INTERPRET
must be set before.
"""

from triton.runtime import interpreter


def mend():
    """Applies the repair; a second call does nothing. Compiled kernels are not affected."""
    original = interpreter._patch_lang_tensor
    if getattr(original, "reads_bounds", False):
        return

    def patch_lang_tensor(tensor, *scope):
        original(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    patch_lang_tensor.reads_bounds = True
    interpreter._patch_lang_tensor = patch_lang_tensor
