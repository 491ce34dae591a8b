"""Records what each program of a Triton kernel loads and stores while the kernel is interpreted: lessons 07 and 08.

Where Triton compiles for a GPU, a second Python interprets the kernels inside a recording: see second_python.py.

Every tensor argument of a kernel gets a made-up address, 2 ** 48 bytes away from the next one. The real address is put
back when memory is accessed. So every pointer tells which argument it was made from, however wrong its offset is, and
an access outside its tensor is found before it happens.

    k_ptr -> | 2**47 bytes unused | k | 2**47 bytes unused | v_ptr -> ...

Triton is imported when a recording begins.
"""

import linecache
import os
import sys
from contextlib import contextmanager

import numpy as np
import torch

from course_lib.errors import OutOfBounds, ParameterError
from course_lib.machine.skipped_cells import has_triton, without_triton

from .accesses import OPS, Access, Accesses, Launch, Operand
from .second_python import launches_go_there

APART = 48
ORDERS = {  # of the programs of a grid, given their number
    "in order": range,
    "reversed": lambda count: range(count)[::-1],
    "shuffled": lambda count: np.random.default_rng(count).permutation(count),
}
_recording = None


@contextmanager
def record_accesses(*, check=True, order="in order"):
    """Records every load and store of the Triton kernels that run inside the block. Yields Accesses.

        with record_accesses() as log:
            row_softmax[(len(x),)](x, out, x.stride(0), x.shape[1], BLOCK=8)
        log.launches[0].grid                                  # (3,)
        log.only(program=(1,), op="load").rows("x")           # [1]: program 1 loads row 1 of x and nothing else
        log.read["x"], log.written["out"], log.bytes_read     # bytes, over all programs
        for access in log.only(tensor="x"):                   # in order; see Access
            print(access)

    A tensor has the name of the kernel's argument, without `_ptr`. check: an access outside its tensor raises
    OutOfBounds, with the kernel, program, tensor and offsets, before memory is accessed. With False it is recorded, a
    load gives the mask's `other` (or nan) there and a store does nothing; see Accesses.outside. order: of the programs,
    which a GPU runs in any order: "in order", "reversed" or "shuffled".
    Raises NotHere without Triton, ParameterError inside another recording, and with a GPU also for bfloat16 tensors
    and for kernels that cannot be copied out of their notebook. Outside the block Triton is unchanged.
    """
    global _recording
    interpreter, compiles = _interpreter()
    if _recording is not None:
        raise ParameterError(
            "A recording is already running, and there can be only one at a time. Leave its `with` block first."
        )
    if compiles:
        log = _recording = Accesses()
        try:
            with launches_go_there(log, check, order):
                yield log
        finally:
            _recording = None
        return
    recorder = _Recorder(interpreter, check, order)
    before = [(home, name, getattr(home, name)) for home, name, _ in recorder.patches]
    _recording = recorder.log
    try:
        for home, name, hook in recorder.patches:
            setattr(home, name, hook)
        yield recorder.log
    finally:
        for home, name, original in before:
            setattr(home, name, original)
        _recording = None


def recording():
    """The Accesses of the recording that runs now; None where none runs."""
    return _recording


def _interpreter():
    """(Triton's interpreter module, whether Triton compiles here). Raises NotHere without Triton."""
    try:
        # This comes before Triton: it decides whether Triton interprets.
        from course_lib.attention.kernels.online import fold  # noqa: I001
        from triton.runtime import interpreter
    except ImportError:
        if has_triton():
            raise
        raise without_triton() from None
    return interpreter, not isinstance(fold, interpreter.InterpretedFunction)


class _Moved(torch.Tensor):
    """A tensor that reports a made-up address."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def data_ptr(self):
        return self.address


class _Recorder:
    """Replacements for a few methods of the interpreter while a recording runs."""

    def __init__(self, interpreter, check, order):
        self.interpreter, self.check, self.log, self.error = interpreter, check, Accesses(), None
        self.order = ORDERS[order]
        self.places = []  # of this launch: (Operand, made-up address, real address); an address's top bits say which
        folders = [os.path.dirname(sys.modules[name].__file__) + os.sep for name in ("triton", "numpy")]
        self.not_of_kernel = (*folders, __file__)  # where the kernel's line is not looked for
        executor, builder = interpreter.GridExecutor, interpreter.InterpreterBuilder
        self.patches = [
            (executor, "__call__", self._calls(executor.__call__)),
            (executor, "_init_args_hst", self._moves(executor._init_args_hst)),
            (builder, "set_grid_idx", self._orders(builder.set_grid_idx)),
            (builder, "create_masked_load", self._loads(builder.create_masked_load)),
            (builder, "create_masked_store", self._stores(builder.create_masked_store)),
            (builder, "create_atomic_cas", self._swaps(builder.create_atomic_cas)),
            (builder, "create_atomic_rmw", self._modifies(builder.create_atomic_rmw)),
        ]

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
            raise recorder.error.with_traceback(None) from None  # without the interpreter's errors around it

        return __call__

    def _orders(recorder, original):
        def set_grid_idx(self, *program):
            other = recorder.order(int(np.prod(self.grid_dim)))[np.ravel_multi_index(program, self.grid_dim)]
            return original(self, *map(int, np.unravel_index(other, self.grid_dim)))

        return set_grid_idx

    def _moves(recorder, original):
        def _init_args_hst(self, args, options):
            args, options = original(self, args, options)
            args = [recorder._move(name, value) for name, value in zip(self.arg_names, args)]
            return args, {name: recorder._move(name, value) for name, value in options.items()}

        return _init_args_hst

    def _move(self, name, value):
        """The argument with tensors at made-up addresses, also those inside tuples and descriptors."""
        if isinstance(value, tuple):
            moved = [self._move(f"{name.removesuffix('_ptr')}[{i}]", one) for i, one in enumerate(value)]
            return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
        if not isinstance(value, torch.Tensor):
            if isinstance(getattr(value, "base", None), torch.Tensor):  # a descriptor, or read as another dtype
                value.base = self._move(name, value.base)
            return value
        real, moved = value.data_ptr(), value.as_subclass(_Moved)
        dtype = str(value.dtype).removeprefix("torch.")
        operand = Operand(name.removesuffix("_ptr"), tuple(value.shape), value.stride(), dtype, value.element_size())
        moved.address = (len(self.places) + 1 << APART) + (1 << APART - 1) + real % 4096  # as aligned as the real one
        self.places.append((operand, moved.address, real))
        self.log.launches[-1].tensors[operand.name] = operand
        return moved

    def _loads(recorder, original):
        def create_masked_load(self, ptrs, mask, other, *options, **named):
            dtype = recorder.interpreter._get_np_dtype(ptrs.get_element_ty())
            if other is None and np.issubdtype(dtype, np.floating):  # such a lane can hold anything
                other = recorder._handle(np.full(np.shape(ptrs.data), np.nan, dtype), ptrs.get_element_ty())
            return original(self, *recorder._real("load", ptrs, dtype.itemsize, mask), other, *options, **named)

        return create_masked_load

    def _stores(recorder, original):
        def create_masked_store(self, ptrs, value, mask, *options, **named):
            ptrs, mask = recorder._real("store", ptrs, value.data.itemsize, mask)
            return original(self, ptrs, value, mask, *options, **named)

        return create_masked_store

    def _swaps(recorder, original):
        def create_atomic_cas(self, ptr, expected, value, *options):
            everywhere = recorder._handle(np.ones(ptr.data.shape, bool), recorder.interpreter.tl.int1)
            real, safe = recorder._real("atomic", ptr, value.data.itemsize, everywhere)
            if not safe.data.all():  # a compare-and-swap has no mask, so an access outside cannot be left out
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
        """(pointers, mask) with the real addresses; records the access. The mask leaves out what is outside."""
        made_up = np.asarray(ptrs.data)
        lanes = np.broadcast_to(np.asarray(mask.data, bool), made_up.shape)
        which = (made_up >> np.uint64(APART)).astype(np.int64) - 1
        real, safe = made_up.copy(), lanes.copy()
        launch = self.log.launches[-1]
        program = self.interpreter.interpreter_builder.grid_idx[: len(launch.grid)]
        # Where every lane is masked, the first one tells which tensor it would have been.
        seen = which[lanes] if lanes.any() else which.reshape(-1)[:1]
        numbers = seen[:1] if (seen == seen[:1]).all() else np.unique(seen)  # nearly always one: np.unique is slow
        line = self._line()
        for number in numbers:
            here = which == number
            if not 0 <= number < len(self.places):
                if not lanes.any():
                    continue  # no memory is accessed, and there is no tensor to record it for
                self.error = OutOfBounds(
                    f"{launch.kernel}, program {_ids(program)}, {OPS[op]} at an address that is in none of its "
                    f"tensors{_at(line)}. Make every pointer from a tensor argument of the kernel plus an offset.",
                    launch.kernel,
                    program,
                    op,
                )
                raise self.error
            operand, begin, address = self.places[number]
            offsets = np.where(here, (made_up - np.uint64(begin)).astype(np.int64) // operand.itemsize, 0)
            access = Access(
                len(self.log.launches) - 1, launch.kernel, program, op, operand, offsets, lanes & here, size, line
            )
            if self.check and len(access.outside):
                self._refuse(access)
            self.log._accesses.append(access)
            safe &= ~here | (operand.index(offsets) >= 0)
            real[here] = made_up[here] - np.uint64(begin) + np.uint64(address)
        return self._handle(real, ptrs.dtype), self._handle(safe, self.interpreter.tl.int1)

    def _refuse(self, access):
        self.error = OutOfBounds(
            _in_words(access), access.kernel, access.program, access.op, access.tensor.name, access.outside.tolist()
        )
        raise self.error

    def _line(self):
        """The line of the kernel that is running."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(self.not_of_kernel):
            frame = frame.f_back
        return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame else ""


def _ids(program):
    return str(program[0]) if len(program) == 1 else str(program)


def _at(line):
    return f" in the line `{line}`" if line else ""


WHERE = {
    (True, True): "before its start and past its end",
    (True, False): "before its start",
    (False, True): "past its end",
    (False, False): "between its elements",
}
"""Where an access is, by (whether it is before the tensor's start, whether it is past its end)."""


def _in_words(access):
    """The message for an access outside its tensor."""
    tensor, outside = access.tensor, access.outside
    where = WHERE[bool(outside[0] < 0), bool(outside[-1] >= tensor.span)]
    lanes = int(np.isin(access.offsets[access.mask], outside).sum())
    listed = ", ".join(f"{x:,}" for x in outside[:4]) + (f" … {outside[-1]:,}" if len(outside) > 4 else "")
    gaps = "" if tensor.dense else f" and strides {list(tensor.strides)}, with other data between its elements"
    offsets = f"0 to {tensor.span - 1:,}" if tensor.span else "none"
    return (
        f"{access.kernel}, program {_ids(access.program)}, {OPS[access.op]} {tensor.name} {where}{_at(access.line)}: "
        f"at offset{'s' * (len(outside) > 1)} {listed}, in {lanes:,} of {access.mask.size:,} lanes. {tensor.name} has "
        f"shape {list(tensor.shape)}{gaps}; its offsets are {offsets}. A GPU reports no error here: it reads or "
        "overwrites other data. Mask these lanes (`mask=`), or correct the start, strides or offsets of the pointer."
    )
