"""What each program of a Triton kernel loads and stores, recorded while the kernel is interpreted: lessons 07 and 08.

Every tensor that a kernel is given gets an address of its own making, 2 ** 48 bytes away from the next, and the real one is
put back in the moment memory is touched. So a pointer says by itself which argument it came from, however far it has gone
astray, and an access outside its tensor is seen before it happens.

    k_ptr -> | 2**47 bytes of nothing | k | 2**47 bytes of nothing | v_ptr -> ...

Triton is imported when a recording begins.
"""

import linecache
import os
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np
import torch

from ..errors import OutOfBounds, ParameterError

APART = 48
_recording = False


@dataclass(frozen=True)
class Operand:
    """A tensor that a kernel was given."""

    name: str  # of the kernel's argument, without _ptr
    shape: tuple
    strides: tuple  # in numbers
    dtype: str
    itemsize: int  # bytes of a number

    @cached_property
    def numel(self):
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def _index_at(self):
        """For each offset in memory, which element of the tensor lies there, or -1; None where the two are the same."""
        place, strides = 1, []
        for size in reversed(self.shape):
            strides.insert(0, place)
            place *= size
        if self.numel == 0 or all(size == 1 or a == b for size, a, b in zip(self.shape, self.strides, strides)):
            return None
        span = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        table = torch.full((span,), -1, dtype=torch.int64)
        table.as_strided(self.shape, self.strides).copy_(torch.arange(self.numel).reshape(self.shape))
        return table.numpy()

    @property
    def span(self):
        """How many numbers lie from its first to its last one: more than numel in a view with gaps."""
        return self.numel if self._index_at is None else len(self._index_at)

    def index(self, offsets):
        """Offsets in memory -> indices into the flattened tensor; -1 where it has no element."""
        offsets = np.asarray(offsets, np.int64)
        within = (offsets >= 0) & (offsets < self.span)
        if self._index_at is None:
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
    offsets: np.ndarray  # int64, a number a lane, shaped as the kernel's block: in numbers from the tensor's first one
    mask: np.ndarray  # bool, the same shape: the lanes that touch memory
    itemsize: int  # bytes a lane
    line: str  # the kernel's line of source, where it can be found

    @cached_property
    def elements(self):
        """Which elements of the flattened tensor are touched: int64, sorted, each once; what lies outside is left out."""
        found = np.unique(self.tensor.index(self.offsets[self.mask]))
        return found[found >= 0]

    @cached_property
    def outside(self):
        """The offsets that are touched and lie outside the tensor: int64, sorted, each once."""
        offsets = np.unique(self.offsets[self.mask])
        return offsets[self.tensor.index(offsets) < 0]

    @cached_property
    def nbytes(self):
        """Bytes that have to move: a number that many lanes ask for counts once."""
        return len(np.unique(self.offsets[self.mask])) * self.itemsize

    def __repr__(self):
        lanes = f"{int(self.mask.sum())} of {self.mask.size} lanes"
        return f"{self.kernel}{list(self.program)} {self.op}s {self.tensor.name}: {lanes}, {self.nbytes} bytes    {self.line}"


class Accesses:
    """What was loaded and stored, in order. Iterate over it for every Access; `only` picks; the sums are those of Meter.

    launches: list of Launch. read, written: Counter {name of the tensor: bytes}; an atomic is both.
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
        """The accesses of one kernel, program (a tuple, or a number for a grid of one dimension), op, tensor, launch."""
        program = (program,) if isinstance(program, int) else program
        self._known(tensor)
        wanted = [("kernel", kernel), ("program", program), ("op", op), ("launch", launch)]
        return Accesses(self.launches, (a for a in self if (tensor is None or a.tensor.name == tensor)
                                        and all(want is None or getattr(a, name) == want for name, want in wanted)))

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
        """The accesses that left their tensor: only after record_accesses(check=False) can there be any."""
        return [access for access in self if len(access.outside)]

    def _known(self, tensor):
        names = dict.fromkeys(name for launch in self.launches for name in launch.tensors)
        if tensor is not None and tensor not in names:
            raise ParameterError(f"No kernel that was recorded has a tensor {tensor!r}; there are {', '.join(names) or 'none'}.")

    def elements(self, tensor):
        """The elements of the flattened `tensor` that were touched: sorted list of int."""
        return sorted({int(i) for access in self.only(tensor=tensor) for i in access.elements})

    def rows(self, tensor, dim=0):
        """Which indices along `dim` of `tensor` were touched: tokens of a q, blocks of a k_cache. Sorted list of int."""
        return sorted({int(i) for access in self.only(tensor=tensor) for i in np.unravel_index(access.elements, access.tensor.shape)[dim]})

    def __str__(self):
        """A line for each kernel and tensor: bytes loaded and stored, and how much of it is distinct."""
        lines = [f"{'kernel':<20}{'tensor':<16}{'bytes loaded':>14}{'bytes stored':>14}{'bytes of tensor':>17}"]
        for name in dict.fromkeys(launch.kernel for launch in self.launches):
            mine = self.only(kernel=name)
            sizes = {t.name: t.numel * t.itemsize for launch in self.launches if launch.kernel == name for t in launch.tensors.values()}
            read, written = mine.read, mine.written
            lines += [f"{name:<20}{t:<16}{read[t]:>14,}{written[t]:>14,}{size:>17,}" for t, size in sizes.items() if read[t] or written[t]]
        return "\n".join(lines)


@contextmanager
def record_accesses(*, check=True):
    """Records every load and store of the Triton kernels that run inside, which have to be interpreted. Yields Accesses.

        with record_accesses() as log:
            row_softmax[(len(x),)](x, out, x.stride(0), x.shape[1], BLOCK=8)
        log.launches[0].grid                                  # (3,)
        log.only(program=(1,), op="load").rows("x")           # [1]: program 1 loads row 1 of x and nothing else
        log.read["x"], log.written["out"], log.bytes_read     # bytes, over all programs
        for access in log.only(tensor="x"):                   # in order: program, op, offsets, mask, nbytes, elements, line
            print(access)

    A tensor is called as the kernel's argument, without `_ptr`. check: an access outside its tensor raises OutOfBounds, with
    the kernel, program, tensor and offsets, before memory is touched. With False it is noted, a load gives the mask's `other`
    (or 0) there and a store does nothing; see `outside`. Raises ParameterError where kernels are compiled, or inside another
    recording. Outside the block nothing is changed and nothing costs anything.
    """
    global _recording
    interpreter = _interpreter()
    if _recording:
        raise ParameterError("A recording is already running, and one is all there can be. Leave its `with` block first.")
    recorder = _Recorder(interpreter, check)
    before = [(home, name, getattr(home, name)) for home, name, _ in recorder.patches]
    _recording = True
    try:
        for home, name, hook in recorder.patches:
            setattr(home, name, hook)
        yield recorder.log
    finally:
        for home, name, original in before:
            setattr(home, name, original)
        _recording = False


def _interpreter():
    """Triton's interpreter as a module, or a ParameterError that says why kernels cannot be recorded here."""
    try:
        from . import online  # noqa: F401  (first: it decides whether Triton is interpreted)
        import triton
        from triton.runtime import interpreter
    except ImportError as error:
        raise ParameterError(f"Triton is not here ({error}), so no kernel runs that could be recorded. It has packages for "
                             "Linux; elsewhere use the torch twins: course_lib.attention.twins.") from None
    if not triton.knobs.runtime.interpret:
        raise ParameterError("Only interpreted kernels can be recorded, and here Triton compiles them for the GPU. Set "
                             "TRITON_INTERPRET=1 in the environment before Python starts.")
    return interpreter


class _Moved(torch.Tensor):
    """A tensor that gives its address as another one."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def data_ptr(self):
        return self.address


class _Recorder:
    """What stands in for a few methods of the interpreter while a recording runs."""

    def __init__(self, interpreter, check):
        self.interpreter, self.check, self.log, self.error = interpreter, check, Accesses(), None
        self.places = []  # of this launch: (Operand, made-up address, real address); the top bits of an address say which
        self.aside = tuple(os.path.dirname(sys.modules[name].__file__) + os.sep for name in ("triton", "numpy")) + (__file__,)
        executor, builder = interpreter.GridExecutor, interpreter.InterpreterBuilder
        self.patches = [(executor, "__call__", self._calls(executor.__call__)),
                        (executor, "_init_args_hst", self._moves(executor._init_args_hst)),
                        (builder, "create_masked_load", self._loads(builder.create_masked_load)),
                        (builder, "create_masked_store", self._stores(builder.create_masked_store)),
                        (builder, "create_atomic_cas", self._swaps(builder.create_atomic_cas)),
                        (builder, "create_atomic_rmw", self._modifies(builder.create_atomic_rmw))]

    def _calls(recorder, original):
        def __call__(self, *args, **options):
            launch = Launch(self.fn.__name__)
            recorder.log.launches.append(launch)
            recorder.places, recorder.error = [], None
            ask = self.grid if callable(self.grid) else lambda meta, grid=self.grid: grid

            def grid(meta):
                launch.grid = tuple(ask(meta))
                return launch.grid
            self.grid = grid
            try:
                return original(self, *args, **options)
            except recorder.interpreter.InterpreterError:
                if recorder.error is None:
                    raise
            raise recorder.error.with_traceback(None) from None  # the interpreter has wrapped it, once for each function
        return __call__

    def _moves(recorder, original):
        def _init_args_hst(self, args, options):
            args, options = original(self, args, options)
            args = [recorder._move(name, value) for name, value in zip(self.arg_names, args)]
            return args, {name: recorder._move(name, value) for name, value in options.items()}
        return _init_args_hst

    def _move(self, name, value):
        """An argument as the kernel is to see it: tensors, also inside tuples and descriptors, at their made-up address."""
        if isinstance(value, tuple):
            moved = [self._move(f"{name.removesuffix('_ptr')}[{i}]", one) for i, one in enumerate(value)]
            return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
        if not isinstance(value, torch.Tensor):
            if isinstance(getattr(value, "base", None), torch.Tensor):  # a TensorDescriptor, or a tensor read as another dtype
                value.base = self._move(name, value.base)
            return value
        real, moved = value.data_ptr(), value.as_subclass(_Moved)
        operand = Operand(name.removesuffix("_ptr"), tuple(value.shape), value.stride(), str(value.dtype).removeprefix("torch."), value.element_size())
        moved.address = (len(self.places) + 1 << APART) + (1 << APART - 1) + real % 4096  # aligned as the real one
        self.places.append((operand, moved.address, real))
        self.log.launches[-1].tensors[operand.name] = operand
        return moved

    def _loads(recorder, original):
        def create_masked_load(self, ptrs, mask, other, *options):
            size = recorder.interpreter._get_np_dtype(ptrs.get_element_ty()).itemsize
            return original(self, *recorder._real("load", ptrs, size, mask), other, *options)
        return create_masked_load

    def _stores(recorder, original):
        def create_masked_store(self, ptrs, value, mask, *options):
            ptrs, mask = recorder._real("store", ptrs, value.data.itemsize, mask)
            return original(self, ptrs, value, mask, *options)
        return create_masked_store

    def _swaps(recorder, original):
        def create_atomic_cas(self, ptr, expected, value, *options):
            everywhere = recorder._handle(np.ones(ptr.data.shape, bool), recorder.interpreter.tl.int1)
            real, safe = recorder._real("atomic", ptr, value.data.itemsize, everywhere)
            if not safe.data.all():  # it knows no mask, so that here nothing can be left out
                recorder._refuse(recorder.log[-1])
            return original(self, real, expected, value, *options)
        return create_atomic_cas

    def _modifies(recorder, original):
        def create_atomic_rmw(self, operation, ptr, value, mask, *options):
            ptr, mask = recorder._real("atomic", ptr, value.data.itemsize, mask)
            return original(self, operation, ptr, value, mask, *options)
        return create_atomic_rmw

    def _handle(self, data, dtype):
        return self.interpreter.TensorHandle(data, dtype)

    def _real(self, op, ptrs, size, mask):
        """(pointers, mask) with the real addresses, after noting what is touched."""
        made_up = np.asarray(ptrs.data)
        lanes = np.broadcast_to(np.asarray(mask.data, bool), made_up.shape)
        which = (made_up >> np.uint64(APART)).astype(np.int64) - 1
        real, safe = made_up.copy(), lanes.copy()
        launch = self.log.launches[-1]
        program = self.interpreter.interpreter_builder.grid_idx[:len(launch.grid)]
        met = np.unique(which[lanes]) if lanes.any() else which.flat[:1]  # with every lane masked, the first says which tensor
        line = self._line()
        for number in met:
            here = which == number
            if not 0 <= number < len(self.places):
                self.error = OutOfBounds(f"{launch.kernel}, program {_ids(program)}, {op}s at an address that is of none of its tensors{_at(line)}. "
                                         "A pointer is an argument of the kernel plus an offset.", launch.kernel, program, op)
                raise self.error
            operand, begin, address = self.places[number]
            offsets = np.where(here, (made_up - np.uint64(begin)).astype(np.int64) // operand.itemsize, 0)
            access = Access(len(self.log.launches) - 1, launch.kernel, program, op, operand, offsets, lanes & here, size, line)
            if self.check and len(access.outside):
                self._refuse(access)
            self.log._accesses.append(access)
            safe &= ~here | (operand.index(offsets) >= 0)
            real[here] = made_up[here] - np.uint64(begin) + np.uint64(address)
        return self._handle(real, ptrs.dtype), self._handle(safe, self.interpreter.tl.int1)

    def _refuse(self, access):
        self.error = OutOfBounds(_told(access), access.kernel, access.program, access.op, access.tensor.name, access.outside.tolist())
        raise self.error

    def _line(self):
        """The line of the kernel that is running."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(self.aside):
            frame = frame.f_back
        return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame else ""


def _ids(program):
    return str(program[0]) if len(program) == 1 else str(program)


def _at(line):
    return f" in `{line}`" if line else ""


def _told(access):
    """An access outside its tensor, in words."""
    operand, outside = access.tensor, access.outside
    where = "before its start" if outside[-1] < 0 else "past its end" if outside[0] >= operand.span else "between its numbers"
    if outside[0] < 0 and outside[-1] >= 0 or outside[0] < operand.span <= outside[-1]:
        where = "outside it"
    several = f"offsets {', '.join(f'{x:,}' for x in outside[:4])}{' …' if len(outside) > 4 else ''}"
    if len(outside) > 4:
        several += f" up to {outside[-1]:,}"
    lanes = int(np.isin(access.offsets[access.mask], outside).sum())
    gaps = "" if operand._index_at is None else f" with strides {list(operand.strides)}, a view whose numbers do not lie side by side"
    return (f"{access.kernel}, program {_ids(access.program)}, {access.op}s {operand.name} {where}: {several}, in {lanes} of {access.mask.size} "
            f"lanes{_at(access.line)}. {operand.name} has shape {list(operand.shape)}{gaps}: its offsets go from 0 to {operand.span - 1:,}. On a GPU "
            f"this reads or overwrites what belongs to others. Mask these lanes (`mask=`), or correct the strides and starts that the "
            "pointer is made of.")
