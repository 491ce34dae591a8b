"""Decides whether Triton interprets or compiles here, and repairs it where needed. Import this module before Triton.

Without a GPU kernels can only be interpreted, and TRITON_INTERPRET must be set before Triton is imported. This module
imports Triton itself.
"""

import os
import sys

import torch

if "triton" not in sys.modules and not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from .triton_patch import mend

mend()
