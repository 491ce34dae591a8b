"""Raises ImportError, with the reason, where kernels in Gluon cannot run. Import this module before Gluon.

Gluon comes with Triton, changes from one Triton to the next, and has no interpreter for the kernels here.
"""

from . import triton_start  # noqa: F401, I001  (before Triton)
import triton

if triton.knobs.runtime.interpret:
    raise ImportError("Triton interprets kernels here, and a kernel in Gluon can only be compiled.")
if not (3, 6) <= tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 8):
    raise ImportError(f"The kernels in Gluon are written for Triton 3.6 and 3.7, and this is {triton.__version__}.")
