"""When two outcomes are the same: the same kinds and values, and floating point within what rounding may change.

Two right answers sum in different orders, and so do two processors. A sum is off by a few roundings of the numbers that
went into it, not of its own value, which may be close to 0. The numbers that were summed are not known here; the
largest number of the same row tells their size, as all numbers of a row are sums of the same kind. So two numbers are
the same when they differ by no more than a share of their own size and of their row's. The share is 1 part in 10,000,
and four roundings of a dtype that is coarser than that, such as float16.
"""

import math
from dataclasses import dataclass
from typing import Any

from .running import Raised

SHARE = 1e-4
"""How far two floats may be apart, as a share of their size."""
LEAST = 1e-5
"""How far two numbers in tensors may always be apart."""
LEAST_ALONE = 1e-6
"""How far two Python floats, which have 53 bits, may always be apart."""
WIDER = 10
"""So many times as far may an answer be from a known mistake that it makes. See alike."""


def agree(a, b, times=1, whole=False):
    """Whether two outcomes are the same: same types, same values, floats within rounding.

    Two exceptions agree when they are of one type: their wording is the learner's own. times: how many times the usual
    difference may be there. whole: see differing.
    """
    if isinstance(a, Raised) or isinstance(b, Raised):
        return isinstance(a, Raised) and isinstance(b, Raised) and a.kind == b.kind
    if isinstance(a, dict) and isinstance(b, dict):  # a Counter, a defaultdict and the like are dicts
        return a.keys() == b.keys() and all(agree(a[k], b[k], times, whole) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):  # a NamedTuple is a tuple
        return len(a) == len(b) and all(agree(x, y, times, whole) for x, y in zip(a, b))
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(agree(x, y, times, whole) for x, y in zip(a, b))
    if isinstance(a, float):
        near = math.isclose(a, b, rel_tol=times * SHARE, abs_tol=times * LEAST_ALONE)
        return near or (math.isnan(a) and math.isnan(b))
    if isinstance(a, Near):
        return a.agrees(b, times)
    if is_tensor(a):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        return a.equal(b) or not differing(a, b, times=times, whole=whole).any()  # mostly equal, which is seen at once
    try:
        return bool(a == b)
    except Exception:  # arrays and the like compare elementwise
        return False


def alike(a, b, times=1):
    """Whether an answer and a known mistake do the same. Wider than agree: a mistake can make rounding larger.

    Scores that are scaled wrongly are 16 times as large, and so is what is rounded away; and where large numbers
    cancel, a whole row is small. So the size that counts is that of the whole tensor. Two mistakes differ by far
    more than this.
    """
    return agree(a, b, times * WIDER, whole=True)


def differ_in_floats_only(a, b):
    """Whether two outcomes are the same but for the values of finite floats, however far apart these are."""
    return agree(a, b, times=1e30)


def differing(expected, got, *, within=None, times=1, whole=False):
    """Which numbers of two tensors of one shape are not the same: a tensor of bools. nan is the same as nan.

    within: the share that two numbers may be apart, where the usual one does not fit. whole: the size that counts is
    the largest number of the tensor, not of its row. Two Nears bring both.
    """
    if isinstance(expected, Near):
        return differing(expected.tensor, got.tensor, within=expected.within, times=times, whole=True)
    if not (expected.is_floating_point() or got.is_floating_point()):
        return expected != got
    import numpy as np
    import torch

    share = times * (within or max(share_of(expected.dtype), share_of(got.dtype)))
    # NumPy is asked, which takes a third of the time of torch for tensors as small as these.
    a, b = expected.double().numpy(force=True), got.double().numpy(force=True)
    with np.errstate(all="ignore"):
        size = abs(b) + np.minimum(largest(a, whole), largest(b, whole))
        near = np.isfinite(a) & np.isfinite(b) & (abs(a - b) <= times * LEAST + share * size)
        return torch.as_tensor(~(near | (a == b) | (np.isnan(a) & np.isnan(b))))


def rounding_of_exp(size):
    """For Trial.rounding: how many times the usual difference may be there, where numbers up to `size` go into exp.

    A float32 of 1000 is off by 0.00003, and exp of it by as large a share; a few roundings come together.
    """
    return max(1.0, size / 100)


EXACT = 1e-6
"""For Trial.rounding: plain arithmetic in float64, in which two right answers agree to 10 digits. float32 has 7."""
ALSO_IN_FLOAT32 = 1e-2
"""For Trial.rounding: plain arithmetic, in which two right answers agree to 1 part in a million, also in float32."""


def share_of(dtype):
    """The share of their size that two numbers of a torch dtype may be apart; 0 for integers, which are not rounded."""
    import torch

    return max(SHARE, 4 * torch.finfo(dtype).eps) if dtype.is_floating_point else 0.0


def largest(x, whole=False):
    """The largest finite number of each row of an array (its last dimension), or of all of it, without its sign."""
    import numpy as np

    sizes = np.where(np.isfinite(x), abs(x), 0.0)
    if not x.ndim or not x.size:
        return sizes
    return sizes.max() if whole else sizes.max(-1, keepdims=True)


def is_tensor(value):
    """Whether a value is a tensor of torch, found out without importing torch."""
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "allclose")


@dataclass(frozen=True, eq=False)
class Near:
    """A tensor as an outcome that need not be as exact as others: 16-bit floats, or scores of hundreds in float32."""

    tensor: Any
    within: float
    """Two are the same where they differ by no more than this share of a number's size and of the largest one's."""

    def agrees(self, other, times=1):
        """Whether two Nears are the same; see agree."""
        a, b = self.tensor, other.tensor
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return a.equal(b) or not differing(self, other, times=times).any()


def near(value, within=None):
    """The value, as a Near where it is a tensor and `within` is given, or where its floats have 16 bits."""
    if not is_tensor(value):
        return value
    import torch

    if within is None and value.dtype not in (torch.float16, torch.bfloat16):
        return value
    return Near(value, within or share_of(value.dtype))
