"""Mends Triton's interpreter where an older Triton meets a newer NumPy. Imports Triton, so what decides how that runs comes first.

Before 3.7, Triton reads the bounds of `for i in range(0, n, BLOCK)` by int() of an array that holds one number, which NumPy
refuses from 2.4 on. A number is read in a way that both know instead.
"""

from triton.runtime import interpreter


def mend():
    """Once is enough, and more do no harm. Compiled kernels are not touched."""
    original = interpreter._patch_lang_tensor
    if getattr(original, "reads_bounds", False):
        return

    def patch_lang_tensor(tensor, *scope):
        original(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    patch_lang_tensor.reads_bounds = True
    interpreter._patch_lang_tensor = patch_lang_tensor
