"""A second Python that interprets kernels where this one compiles them, so that they can be recorded beside a GPU too.

Whether Triton compiles or interprets is settled when it is imported, for its own functions as well: one process cannot do both.

    here, with a GPU                                  there, with TRITON_INTERPRET=1 and no GPU
    kernel[grid](q, k, out, ...)
        source of the kernel and what it uses   ->    the same kernel in an empty module
        memory of the tensors, on the CPU       ->    record_accesses(): kernel[grid](...)
        the same memory, written to             <-    every access, what was printed, what went wrong

Run as `python -m course_lib.attention.recording.second_python` it is that second Python: one request after another from stdin.
"""

import atexit
import contextlib
import copy
import inspect
import io
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace

import torch

from course_lib.errors import OutOfBounds, ParameterError
from course_lib.source.extract import NotAlone, revive, with_needs
from course_lib.source.show import function_of


class KernelFailed(RuntimeError):
    """A kernel that was recorded in the second Python raised an error of its own."""


@contextlib.contextmanager
def launches_go_there(log, check):
    """Meanwhile kernels that are launched run there and are recorded: `log`, an Accesses, fills. check: as of record_accesses."""
    from triton.runtime.jit import JITFunction

    original = JITFunction.run

    def run(kernel, /, *args, grid, warmup=False, **options):
        if warmup:
            return original(kernel, *args, grid=grid, warmup=warmup, **options)
        signature = inspect.signature(kernel.fn)
        options = {
            name: value for name, value in options.items() if name in signature.parameters
        }  # without num_warps and the like
        given = signature.bind(*args, **options)
        given.apply_defaults()
        grid = tuple(grid(given.arguments) if callable(grid) else grid)
        _launch(kernel.fn, grid, args, options, check, log)

    JITFunction.run = run
    try:
        yield
    finally:
        JITFunction.run = original


def _launch(function, grid, args, options, check, log):
    memory = {}  # address -> (where it is, a copy of its bytes on the CPU)
    given = _without_memory([*args], memory), _without_memory(options, memory)
    try:
        if function.__closure__:
            raise NotAlone(
                "it is made inside another function, and uses what is there. Define it at the top of a cell."
            )
        request = _packed(
            (*with_needs(function, function.__name__), grid, *given, [copied for _, copied in memory.values()], check)
        )
    except (NotAlone, pickle.PicklingError, AttributeError, TypeError) as reason:  # the last three: what cannot be sent
        raise ParameterError(
            f"{function.__name__} cannot be recorded here, where it has to run in a second Python: {reason}"
        ) from None
    written, launches, accesses, printed, error = _other.ask(request)
    if printed:
        print(printed, end="")
    for (storage, _), copied in zip(memory.values(), written):
        storage.copy_(copied.untyped_storage())
    number = len(log.launches)
    log.launches += launches
    log._accesses += [replace(access, launch=number) for access in accesses]
    if isinstance(error, dict):
        raise OutOfBounds(**error)
    if error:
        raise KernelFailed(error)


@dataclass(frozen=True)
class _View:
    """A tensor without its memory."""

    memory: int
    dtype: torch.dtype
    offset: int
    shape: tuple
    strides: tuple

    def over(self, memories):
        return torch.empty(0, dtype=self.dtype).set_(
            memories[self.memory].untyped_storage(), self.offset, self.shape, self.strides
        )


def _each(value, of_tensor):
    """The value, with of_tensor(…) for each tensor in it: also in lists, tuples and dicts, under descriptors and other dtypes."""
    if isinstance(value, (torch.Tensor, _View)):
        return of_tensor(value)
    if isinstance(value, dict):
        return {name: _each(one, of_tensor) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_each(one, of_tensor) for one in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(getattr(value, "base", None), (torch.Tensor, _View)):
        value = copy.copy(value)
        value.base = of_tensor(value.base)
        if "data" in vars(value):
            value.data = value.base
    return value


def _without_memory(value, memory):
    def view(tensor):
        if tensor.dtype == torch.bfloat16:
            raise ParameterError(
                "Interpreted Triton computes bfloat16 wrongly, without a word, so a kernel with bfloat16 tensors "
                "is not recorded. Convert them to float32 first."
            )
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in memory:
            memory[storage.data_ptr()] = storage, torch.empty(0, dtype=torch.uint8).set_(storage.cpu())
        return _View(
            list(memory).index(storage.data_ptr()),
            tensor.dtype,
            tensor.storage_offset(),
            tuple(tensor.shape),
            tensor.stride(),
        )

    return _each(value, view)


class _OtherPython:
    """Started with the first request, and again where it was ended."""

    process = None

    def ask(self, request):
        if self.process is None:
            path = os.pathsep.join(str(place) for place in sys.path if place)
            env = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
            )
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
            while not select.select([self.process.stdout], [], [], 0.1)[0]:
                pass  # in Python, so that whoever limits the time of a check gets through
            return _unpacked(self.process.stdout)
        except (
            BaseException
        ) as error:  # a Ctrl-C too: half of an answer may be on its way, so the next request takes a new one
            self.end()
            if isinstance(error, (EOFError, BrokenPipeError)):
                raise KernelFailed(
                    "The second Python, in which kernels are recorded, has ended. Its message is above, or in the "
                    "terminal that JupyterLab was started from."
                ) from None
            raise

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            self.process = None


_other = _OtherPython()
atexit.register(_other.end)


def _packed(message):
    packed = io.BytesIO()
    torch.save(message, packed)
    return len(packed.getbuffer()).to_bytes(8, "little") + packed.getvalue()


def _unpacked(stream):
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    return torch.load(io.BytesIO(stream.read(int.from_bytes(size, "little"))), weights_only=False)


def own_error(error):
    """What a kernel raised, without the errors that the interpreter wraps around it, one for each function."""
    while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:
        error = error.__cause__
    return error


def _answer(request, kernels):
    """(memories, launches, accesses, printed text, error) of one request; kernels: those that came before, by their source."""
    import triton

    from .recorder import record_accesses

    name, source, grid, args, options, memories, check = request
    args, options = (_each(given, lambda view: view.over(memories)) for given in (args, options))
    printed, error = io.StringIO(), None
    with contextlib.redirect_stdout(printed), record_accesses(check=check) as log:
        try:
            if source not in kernels:
                kernels[source] = triton.jit(function_of(revive(source, name, f"kernel {len(kernels)}")))
            kernels[source][grid](*args, **options)
        except OutOfBounds as found:
            error = {"message": str(found), **vars(found)}
        except Exception as found:
            found = own_error(found)
            error = f"{type(found).__name__}: {found}"
    return memories, log.launches, list(log), printed.getvalue(), error


def _serve():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C goes to both, and the first ends the second
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    answers, kernels = os.fdopen(os.dup(1), "wb"), {}
    os.dup2(2, 1)  # whatever prints past Python must not get between the answers
    with contextlib.suppress(EOFError):
        while True:
            answers.write(_packed(_answer(_unpacked(sys.stdin.buffer), kernels)))
            answers.flush()


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    from .second_python import _serve  # under the name that what is sent knows it by

    _serve()
