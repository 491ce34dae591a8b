"""Repairs of Triton's interpreter. This module imports Triton, so TRITON_INTERPRET must be set before.

Triton before 3.7, together with NumPy 2.4 or newer, reads the bounds of `for i in range(0, n, BLOCK)` with int() of an
array of one number, which that NumPy refuses. The repair reads them with `.item()`, which all versions have.

Three others leave out work that changes no result, about half of the time of a kernel that is interpreted:

    once_a_launch           while a kernel runs, the functions of `triton.language` are replaced by interpreted ones.
                            Triton looks through all of them again in each call of a function, such as `tl.sum`
    without_discarded_sums  each sum of integers is computed again in 64 bits, to see whether it overflows. Only in
                            debug mode, which the interpreter is not in, is that looked at
    with_known_dtypes       the table of NumPy's dtypes is made anew for each operation
"""

import functools
from dataclasses import replace

from triton.runtime import interpreter


def mend():
    """Applies the repairs; a second call does nothing. Compiled kernels are not affected."""
    if not getattr(interpreter._patch_lang_tensor, "reads_bounds", False):
        read_bounds()
    if not getattr(interpreter._patch_lang, "once_a_launch", False):
        once_a_launch()
        without_discarded_sums()
        with_known_dtypes()


def read_bounds():
    original = interpreter._patch_lang_tensor

    def patch_lang_tensor(tensor, *scope):
        original(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    patch_lang_tensor.reads_bounds = True
    interpreter._patch_lang_tensor = patch_lang_tensor


def once_a_launch():
    executor, tl = interpreter.GridExecutor, interpreter.tl
    launch, original = executor.__call__, interpreter._patch_lang
    replaced = []
    """For each launch that runs: which of `tl` and `tl.core` hold interpreted functions."""

    def patch_lang(fn):
        used = {one.__name__ for one in fn.__globals__.values() if one is tl or one is tl.core}
        if replaced and used and used <= replaced[-1]:
            return interpreter._LangPatchScope()  # the launch puts back what it replaced when it ends
        scope = original(fn)
        if replaced:
            replaced[-1].update(used)
        return scope

    @functools.wraps(launch)
    def call(self, *args, **options):
        replaced.append(set())
        try:
            return launch(self, *args, **options)
        finally:
            replaced.pop()

    patch_lang.once_a_launch = True
    interpreter._patch_lang, executor.__call__ = patch_lang, call


def without_discarded_sums():
    builder = interpreter.interpreter_builder
    if not builder.options.debug:
        builder.options = replace(builder.options, sanitize_overflow=False)


def with_known_dtypes():
    original, known = interpreter._get_np_dtype, {}

    def get_np_dtype(dtype):
        of = dtype.element_ty if isinstance(dtype, interpreter.tl.block_type) else dtype
        if isinstance(of, interpreter.tl.pointer_type):
            return original(of)
        if of.name not in known:
            known[of.name] = original(of)
        return known[of.name]

    interpreter._get_np_dtype = get_np_dtype
