"""The distribution of one measured quantity: all its values, or, where there are too many, counts of nearly equal ones.

Both count, sum and rank the same way; `CountedSample` needs a memory that does not grow with the number of values.
"""

import math
from array import array

import numpy as np


class Sample:
    """All values, in order. Percentiles are exact: linear interpolation between the two nearest, as numpy's default."""

    def __init__(self, values=()):
        self._values = array("d", values)

    def add(self, values):
        """More values: a list or array of numbers."""
        extend(self._values, values)

    @property
    def values(self):
        """float64 [count]."""
        return np.array(self._values)

    @property
    def count(self):
        return len(self._values)

    @property
    def mean(self):
        """None of no values, as std and percentile."""
        return float(self.values.mean()) if self.count else None

    @property
    def std(self):
        """Of these values (numpy's default, as in vLLM), not an estimate for all that they were drawn from."""
        return float(self.values.std()) if self.count else None

    def percentile(self, p):
        """The value below which p per cent of the values lie; p from 0 to 100."""
        return float(np.percentile(self.values, p)) if self.count else None


class CountedSample:
    """How many values lie in each of many narrow bins. Each bin is 1 % wide, so a percentile is off by 0.5 % at most.

    count, mean and std are exact (but for rounding). Values are at least 0. Source: DDSketch (arXiv 1908.10693).
    """

    WIDTH = 1.01
    """The end of a bin over its beginning."""
    SMALLEST = 1e-9
    """Values below count as 0."""
    TOGETHER = 4096
    """So many values are counted together, which is quicker."""

    def __init__(self):
        self._counts = {}  # number of the bin -> values in it; None: those that count as 0
        self._sum = self._squares = 0.0
        self._counted, self._new = 0, array("d")  # values that are in the counts, and values that are not yet

    def add(self, values):
        """More values: a list or array of numbers."""
        extend(self._new, values)
        if len(self._new) >= self.TOGETHER:
            self._count_new()

    def _count_new(self):
        values, self._new = np.array(self._new), array("d")
        self._counted += len(values)
        self._sum += float(values.sum())
        self._squares += float(values @ values)
        large = values[values >= self.SMALLEST]
        if len(large) < len(values):
            self._counts[None] = self._counts.get(None, 0) + len(values) - len(large)
        bins = np.floor(np.log(large) / math.log(self.WIDTH)).astype(np.int64)
        for number, times in counted(bins):
            self._counts[number] = self._counts.get(number, 0) + times

    @property
    def count(self):
        if self._new:
            self._count_new()
        return self._counted

    @property
    def mean(self):
        return self._sum / self.count if self.count else None

    @property
    def std(self):
        return math.sqrt(max(0.0, self._squares / self.count - self.mean**2)) if self.count else None

    def percentile(self, p):
        """The middle of the bins where the two nearest values lie, interpolated between them as in Sample."""
        if not self.count:
            return None
        at = (self.count - 1) * p / 100
        low, high = self._value_at(math.floor(at)), self._value_at(math.ceil(at))
        return low + (high - low) * (at - math.floor(at))

    def _value_at(self, rank):
        """The value of this rank, from 0."""
        seen = self._counts.get(None, 0)
        if rank < seen:
            return 0.0
        for number in sorted(number for number in self._counts if number is not None):
            seen += self._counts[number]
            if rank < seen:
                return self.WIDTH ** (number + 0.5)
        raise IndexError(f"There are {self.count} values, and none has the rank {rank}.")


def extend(kept, values):
    """More values at the end of an array of floats. Those of a numpy array are copied together, which is quicker."""
    if isinstance(values, np.ndarray):
        kept.frombytes(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    else:
        kept.extend(values)


def counted(numbers):
    """(number, how often it comes) of whole numbers, int64 [n], that lie close together: without sorting them."""
    if not len(numbers):
        return
    least = int(numbers.min())
    counts = np.bincount(numbers - least)
    at = np.flatnonzero(counts)
    yield from zip((at + least).tolist(), counts[at].tolist())
