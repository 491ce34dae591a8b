"""What a recording holds: launches, their tensor arguments, and each load and store of each program. No Triton."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np

from course_lib.errors import ParameterError

OPS = {"load": "loads", "store": "stores", "atomic": "loads and stores"}
"""The kinds of access, and the verb for each in a message."""


@dataclass(frozen=True)
class Operand:
    """A tensor argument of a kernel."""

    name: str  # of the kernel's argument, without _ptr
    shape: tuple
    strides: tuple  # in elements
    dtype: str
    itemsize: int  # bytes of an element

    @cached_property
    def numel(self):
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def _index_at(self):
        """For each offset in memory, the index of the element there, or -1; None where offset and index are the same.

        Where several elements share a place, as after `x.expand`, it is the first of them.
        """
        place, strides = 1, []
        for size in reversed(self.shape):
            strides.insert(0, place)
            place *= size
        if self.numel == 0 or all(size == 1 or a == b for size, a, b in zip(self.shape, self.strides, strides)):
            return None
        places = sum(
            np.arange(size).reshape([-1] + [1] * after) * stride
            for after, (size, stride) in enumerate(zip(reversed(self.shape), reversed(self.strides)))
        ).ravel()
        table = np.full(int(places[-1]) + 1, -1, np.int64)
        table[places[::-1]] = np.arange(self.numel)[::-1]  # backwards: the first one is written last
        return table

    @property
    def dense(self):
        """Whether its elements lie side by side in order, as in a contiguous tensor."""
        return self._index_at is None

    @property
    def span(self):
        """The number of places from its first to its last element: more than numel in a view with gaps."""
        return self.numel if self.dense else len(self._index_at)

    def lies_at(self, offsets):
        """As `index`, but places before the start and past the end, in further rows, are counted on: -1, numel, ...

        Places that are of no row are left out.
        """
        offsets = np.asarray(offsets, np.int64)
        if self.dense:
            return offsets
        row = self.numel // max(1, self.shape[0])
        rest = Operand(self.name, self.shape[1:], self.strides[1:], self.dtype, self.itemsize)
        if row and rest.dense and self.strides[0] >= row:
            rows, columns = np.divmod(offsets, self.strides[0])
            return (rows * row + columns)[columns < row]
        return self.index(offsets)[self.index(offsets) >= 0]

    def index(self, offsets):
        """Indices into the flattened tensor for offsets in memory; -1 where it has no element."""
        offsets = np.asarray(offsets, np.int64)
        within = (offsets >= 0) & (offsets < self.span)
        if self.dense:
            return np.where(within, offsets, -1)
        return np.where(within, self._index_at[np.where(within, offsets, 0)], -1)


@dataclass
class Launch:
    """One kernel[grid](...)."""

    kernel: str
    grid: tuple = ()
    tensors: dict = field(default_factory=dict)  # name -> Operand

    @property
    def programs(self):
        """All program ids of the grid, in the order in which the interpreter runs them."""
        return list(product(*map(range, self.grid)))


@dataclass(frozen=True)
class Access:
    """One tl.load, tl.store or atomic of one program."""

    launch: int
    kernel: str
    program: tuple
    op: str  # load | store | atomic
    tensor: Operand
    offsets: np.ndarray  # int64, one a lane, shaped as the kernel's block: in elements from the tensor's first one
    mask: np.ndarray  # bool, the same shape: the lanes that access memory
    itemsize: int  # bytes a lane
    line: str  # the kernel's line of source; "" where it cannot be found

    @cached_property
    def elements(self):
        """The elements of the flattened tensor that are accessed: int64, sorted, each once; none from outside."""
        found = _each_once(self.tensor.index(self.offsets[self.mask]))
        return found[found >= 0]

    @cached_property
    def outside(self):
        """The offsets that are accessed and lie outside the tensor: int64, sorted, each once."""
        offsets = self.offsets[self.mask]
        return _each_once(offsets[self.tensor.index(offsets) < 0])

    @cached_property
    def nbytes(self):
        """Bytes that have to move: an element that many lanes ask for counts once."""
        return len(_each_once(self.offsets[self.mask])) * self.itemsize

    def record(self):
        """As plain data; see Accesses.record."""
        return {
            "program": list(self.program),
            "op": self.op,
            "tensor": self.tensor.name,
            "touched": _runs(self.elements),
            "masked": _runs(_each_once(self.tensor.lies_at(self.offsets[~self.mask]))),
            "lanes": int(self.mask.size),
            "masked_lanes": int(self.mask.size - self.mask.sum()),
            "bytes": self.nbytes,
            "line": self.line,
        }

    def __repr__(self):
        lanes = f"{int(self.mask.sum())} of {self.mask.size} lanes"
        what = f"{self.kernel}{list(self.program)} {OPS[self.op]} {self.tensor.name}"
        return f"{what}: {lanes}, {self.nbytes} bytes    {self.line}"


def _each_once(numbers):
    """The numbers, sorted, each once. Mostly they are so already, which is seen in less time than np.unique takes."""
    return numbers if (numbers[1:] > numbers[:-1]).all() else np.unique(numbers)


def _runs(sorted_numbers):
    """[3, 4, 5, 9] -> [[3, 6], [9, 10]]."""
    cut = np.flatnonzero(np.diff(sorted_numbers) != 1) + 1
    return [[int(run[0]), int(run[-1]) + 1] for run in np.split(sorted_numbers, cut) if len(run)]


class Accesses:
    """All loads and stores of a recording, in order. Iterating gives each Access; `only` selects some of them.

    launches: list of Launch. read, written: Counter {name of the tensor: bytes}, as in Meter; an atomic counts as both.
    """

    def __init__(self, launches=(), accesses=()):
        self.launches, self._accesses = list(launches), list(accesses)

    def __iter__(self):
        return iter(self._accesses)

    def __len__(self):
        return len(self._accesses)

    def __getitem__(self, index):
        return self._accesses[index]

    def only(self, *, kernel=None, program=None, op=None, tensor=None, launch=None):
        """The accesses of one kernel, program (a tuple, or an int for a grid of one dimension), op, tensor, launch."""
        if op not in (None, *OPS):
            raise ParameterError(f"op is {op!r}; it is one of {', '.join(OPS)}.")
        program = (program,) if isinstance(program, int) else program
        self._known(tensor)
        wanted = [("kernel", kernel), ("program", program), ("op", op), ("launch", launch)]
        return Accesses(
            self.launches,
            (
                a
                for a in self
                if (tensor is None or a.tensor.name == tensor)
                and all(want is None or getattr(a, name) == want for name, want in wanted)
            ),
        )

    @property
    def read(self):
        return self._summed(("load", "atomic"))

    @property
    def written(self):
        return self._summed(("store", "atomic"))

    def _summed(self, ops):
        sums = Counter()
        for access in self:
            if access.op in ops:
                sums[access.tensor.name] += access.nbytes
        return sums

    @property
    def bytes_read(self):
        return sum(self.read.values())

    @property
    def bytes_written(self):
        return sum(self.written.values())

    @property
    def outside(self):
        """The accesses outside their tensor. There can only be some after record_accesses(check=False)."""
        return [access for access in self if len(access.outside)]

    def _known(self, tensor):
        names = dict.fromkeys(name for launch in self.launches for name in launch.tensors)
        if tensor is not None and tensor not in names:
            raise ParameterError(
                f"No kernel that was recorded has a tensor {tensor!r}; there are {', '.join(names) or 'none'}."
            )

    def elements(self, tensor):
        """The elements of the flattened `tensor` that were accessed: sorted list of int."""
        return sorted({int(i) for access in self.only(tensor=tensor) for i in access.elements})

    def rows(self, tensor, dim=0):
        """The indices along `dim` of `tensor` that were accessed: tokens of a q, blocks of a k_cache. Sorted list."""
        found = set()
        for access in self.only(tensor=tensor):
            shape = access.tensor.shape
            if not -len(shape) <= dim < len(shape):
                raise ParameterError(
                    f"{tensor} has shape {list(shape)}, so there is no dimension {dim}; they are counted from 0."
                )
            found.update(np.unravel_index(access.elements, shape)[dim].tolist())
        return sorted(found)

    def record(self, launch=0):
        """One launch as plain data, which `course_lib.viz.programs_view` draws: a dict of lists, numbers and strings.

        kernel, grid; tensors: {name: shape, itemsize}; accesses: program, op, tensor, `touched` and `masked` (runs
        [start, end) of the flattened tensor; a masked one can lie before or past it), lanes, masked_lanes, bytes, line.
        Raises ParameterError for a launch that was not recorded.
        """
        if not 0 <= launch < len(self.launches):
            raise ParameterError(
                f"There is no launch {launch!r}; {len(self.launches)} were recorded, counted from 0. Run a "
                "kernel inside the `with` block."
            )
        one = self.launches[launch]
        return {
            "kernel": one.kernel,
            "grid": list(one.grid),
            "tensors": {t.name: {"shape": list(t.shape), "itemsize": t.itemsize} for t in one.tensors.values()},
            "accesses": [access.record() for access in self.only(launch=launch)],
        }

    def __str__(self):
        """A line for each kernel and tensor: bytes loaded, bytes stored, and the size of the tensor."""
        lines = [f"{'kernel':<20}{'tensor':<16}{'bytes loaded':>14}{'bytes stored':>14}{'bytes of tensor':>17}"]
        for name in dict.fromkeys(launch.kernel for launch in self.launches):
            mine = self.only(kernel=name)
            tensors = {t.name: t for launch in self.launches if launch.kernel == name for t in launch.tensors.values()}
            read, written = mine.read, mine.written
            lines += [
                f"{name:<20}{t.name:<16}{read[t.name]:>14,}{written[t.name]:>14,}{t.numel * t.itemsize:>17,}"
                for t in tensors.values()
                if read[t.name] or written[t.name]
            ]
        return "\n".join(lines)
