"""What each program of a Triton kernel loads and stores, recorded while the kernel is interpreted: lessons 07 and 08.

Where Triton compiles for a GPU, the kernels inside a recording are interpreted by a second Python: see interpreting.py.

Every tensor that a kernel is given gets an address of its own making, 2 ** 48 bytes away from the next, and the real one is
put back in the moment memory is touched. So a pointer says by itself which argument it came from, however far it has gone
astray, and an access outside its tensor is seen before it happens.

    k_ptr -> | 2**47 bytes of nothing | k | 2**47 bytes of nothing | v_ptr -> ...

Triton is imported when a recording begins.
"""

import linecache
import os
import sys
from contextlib import contextmanager

import numpy as np
import torch

from course_lib.errors import OutOfBounds, ParameterError

from .accesses import OPS, Access, Accesses, Launch, Operand
from .second_python import launches_go_there

APART = 48
_recording = None


@contextmanager
def record_accesses(*, check=True):
    """Records every load and store of the Triton kernels that run inside, by a second Python where Triton compiles. Yields Accesses.

        with record_accesses() as log:
            row_softmax[(len(x),)](x, out, x.stride(0), x.shape[1], BLOCK=8)
        log.launches[0].grid                                  # (3,)
        log.only(program=(1,), op="load").rows("x")           # [1]: program 1 loads row 1 of x and nothing else
        log.read["x"], log.written["out"], log.bytes_read     # bytes, over all programs
        for access in log.only(tensor="x"):                   # in order: program, op, offsets, mask, nbytes, elements, line
            print(access)

    A tensor is called as the kernel's argument, without `_ptr`. check: an access outside its tensor raises OutOfBounds, with
    the kernel, program, tensor and offsets, before memory is touched. With False it is noted, a load gives the mask's `other`
    (or 0) there and a store does nothing; see `outside`. Raises ParameterError without Triton, or inside another recording, and
    beside a GPU for bfloat16 tensors and for kernels that cannot be taken out of their notebook. Outside the block nothing is
    changed and nothing costs anything.
    """
    global _recording
    interpreter, compiles = _interpreter()
    if _recording is not None:
        raise ParameterError(
            "A recording is already running, and one is all there can be. Leave its `with` block first."
        )
    if compiles:
        log = _recording = Accesses()
        try:
            with launches_go_there(log, check):
                yield log
        finally:
            _recording = None
        return
    recorder = _Recorder(interpreter, check)
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
    """The Accesses of the recording that runs now, which fills; None where there is none."""
    return _recording


def _interpreter():
    """(Triton's interpreter as a module, whether Triton compiles here), or a ParameterError that says why nothing is recorded."""
    try:
        from triton.runtime import interpreter

        from course_lib.attention.kernels import online  # first: it decides whether Triton is interpreted
    except ImportError as error:
        raise ParameterError(
            f"Triton is not here ({error}), so no kernel runs that could be recorded. It has packages for "
            "Linux; elsewhere use the torch twins: course_lib.attention.reference.twins."
        ) from None
    return interpreter, not isinstance(online.fold, interpreter.InterpretedFunction)


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
        self.aside = tuple(os.path.dirname(sys.modules[name].__file__) + os.sep for name in ("triton", "numpy")) + (
            __file__,
        )
        executor, builder = interpreter.GridExecutor, interpreter.InterpreterBuilder
        self.patches = [
            (executor, "__call__", self._calls(executor.__call__)),
            (executor, "_init_args_hst", self._moves(executor._init_args_hst)),
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
            raise recorder.error.with_traceback(
                None
            ) from None  # the interpreter has wrapped it, once for each function

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
            if isinstance(
                getattr(value, "base", None), torch.Tensor
            ):  # a TensorDescriptor, or a tensor read as another dtype
                value.base = self._move(name, value.base)
            return value
        real, moved = value.data_ptr(), value.as_subclass(_Moved)
        dtype = str(value.dtype).removeprefix("torch.")
        operand = Operand(name.removesuffix("_ptr"), tuple(value.shape), value.stride(), dtype, value.element_size())
        moved.address = (len(self.places) + 1 << APART) + (1 << APART - 1) + real % 4096  # aligned as the real one
        self.places.append((operand, moved.address, real))
        self.log.launches[-1].tensors[operand.name] = operand
        return moved

    def _loads(recorder, original):
        def create_masked_load(self, ptrs, mask, other, *options, **named):
            size = recorder.interpreter._get_np_dtype(ptrs.get_element_ty()).itemsize
            return original(self, *recorder._real("load", ptrs, size, mask), other, *options, **named)

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
        program = self.interpreter.interpreter_builder.grid_idx[: len(launch.grid)]
        met = (
            np.unique(which[lanes]) if lanes.any() else which.flat[:1]
        )  # with every lane masked, the first says which tensor
        line = self._line()
        for number in met:
            here = which == number
            if not 0 <= number < len(self.places):
                if not lanes.any():
                    continue  # nothing is touched, and there is no tensor to note it with
                self.error = OutOfBounds(
                    f"{launch.kernel}, program {_ids(program)}, {OPS[op]} at an address that is in none of its "
                    f"tensors{_at(line)}. Begin every pointer with one of the kernel's tensors, and add "
                    "offsets to it.",
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
            _told(access), access.kernel, access.program, access.op, access.tensor.name, access.outside.tolist()
        )
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
    return f" in the line `{line}`" if line else ""


def _told(access):
    """An access outside its tensor, in words."""
    tensor, outside = access.tensor, access.outside
    before, past = outside[0] < 0, outside[-1] >= tensor.span
    where = (
        "outside it"
        if before and past
        else "before its start"
        if before
        else "past its end"
        if past
        else "between its numbers"
    )
    lanes = int(np.isin(access.offsets[access.mask], outside).sum())
    listed = ", ".join(f"{x:,}" for x in outside[:4]) + (f" … {outside[-1]:,}" if len(outside) > 4 else "")
    view = "" if tensor.dense else f" and strides {list(tensor.strides)}, with what is of others in between"
    room = f"0 to {tensor.span - 1:,}" if tensor.span else "none"
    return (
        f"{access.kernel}, program {_ids(access.program)}, {OPS[access.op]} {tensor.name} {where}{_at(access.line)}: at "
        f"offset{'s' * (len(outside) > 1)} {listed}, in {lanes:,} of {access.mask.size:,} lanes. {tensor.name} has shape "
        f"{list(tensor.shape)}{view}; its offsets are {room}. A GPU would not say so: it reads or overwrites what lies "
        "there. Mask these lanes (`mask=`), or correct what the pointer is made of: start, strides, offsets."
    )
