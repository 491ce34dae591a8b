"""A second Python that interprets kernels where this one compiles them, so that they can be recorded beside a GPU too.

Whether Triton compiles or interprets is settled when it is imported, for its own functions as well: one process cannot do both.

    here, with a GPU                                  there, with TRITON_INTERPRET=1 and no GPU
    kernel[grid](q, k, out, ...)
        source of the kernel and what it uses   ->    the same kernel in an empty module
        tensors, copied to the CPU              ->    record_accesses(): kernel[grid](...)
        memory written, copied to the GPU       <-    memory of the tensors, every access, what was printed

Run as `python -m course_lib.attention.interpreting` it is that second Python: one request after another from stdin.
"""

import atexit
import contextlib
import inspect
import io
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import torch

from ..errors import OutOfBounds, ParameterError
from ..taking import NotAlone, revive, with_needs

_started = None


class KernelFailed(RuntimeError):
    """A kernel that was recorded in the second Python raised an error of its own."""


@contextlib.contextmanager
def launches_go_there(log, check):
    """Meanwhile kernels that are launched run there and are recorded: `log`, an Accesses, fills. check: as of record_accesses."""
    from triton.runtime.jit import JITFunction
    original = JITFunction.run

    def run(kernel, *args, grid, warmup=False, **options):
        if warmup:
            return original(kernel, *args, grid=grid, warmup=warmup, **options)
        signature = inspect.signature(kernel.fn)
        options = {name: value for name, value in options.items() if name in signature.parameters}  # without num_warps and the like
        given = signature.bind(*args, **options)
        given.apply_defaults()
        grid = tuple(grid(given.arguments) if callable(grid) else grid)
        _launch(_source(kernel), grid, args, options, check, log)

    JITFunction.run = run
    try:
        yield
    finally:
        JITFunction.run = original


def _source(kernel):
    try:
        return with_needs(kernel.fn, kernel.fn.__name__)
    except NotAlone as reason:
        raise ParameterError(f"{kernel.fn.__name__} cannot be recorded here, where it has to run in a second Python: {reason}") from None


def _launch(source, grid, args, options, check, log):
    for name, value in [*enumerate(args), *options.items()]:
        if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
            raise ParameterError("Interpreted Triton computes bfloat16 wrongly, without a word, so a kernel with bfloat16 tensors "
                                 "is not recorded. Convert them to float32 first.")
    memory = {}
    sent = [_on_cpu(value, memory) for value in args], {name: _on_cpu(value, memory) for name, value in options.items()}
    kept, launch, accesses, printed, error = _other_python().ask((*source, grid, *sent, check))
    if printed:
        print(printed, end="")
    for (here, _), there in zip(memory.values(), kept):
        here.copy_(there)
    number = len(log.launches)
    log.launches += launch
    log._accesses += [replace(access, launch=number) for access in accesses]
    if isinstance(error, dict):
        raise OutOfBounds(**error)
    if error:
        raise KernelFailed(error)


def _on_cpu(value, memory):
    """The value for the other Python; of a tensor, a view of its memory copied to the CPU. Tensors that share memory still do."""
    if not isinstance(value, torch.Tensor):
        return value
    storage = value.untyped_storage()
    _, copied = memory.setdefault(storage.data_ptr(), (storage, storage.cpu()))
    return torch.empty(0, dtype=value.dtype).set_(copied, value.storage_offset(), value.shape, value.stride())


class _OtherPython:
    def __init__(self):
        env = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def ask(self, request):
        try:
            _send(self.process.stdin, request)
            return _receive(self.process.stdout)
        except BaseException as error:  # a Ctrl-C too: half of an answer may be on its way, so the next request takes a new one
            self.end()
            if isinstance(error, (EOFError, BrokenPipeError)):
                raise KernelFailed("The second Python, in which kernels are recorded, has ended. Its message is above, or in the "
                                   "terminal that JupyterLab was started from.") from None
            raise

    def end(self):
        global _started
        _started = None
        self.process.kill()
        self.process.wait()


def _other_python():
    global _started
    if _started is None:
        _started = _OtherPython()
        atexit.register(_started.end)
    return _started


def _send(stream, message):
    packed = io.BytesIO()
    torch.save(message, packed, pickle_protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(packed.getbuffer()).to_bytes(8, "little"))
    stream.write(packed.getbuffer())
    stream.flush()


def _receive(stream):
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    return torch.load(io.BytesIO(stream.read(int.from_bytes(size, "little"))), weights_only=False)


def _answer(request, kernels):
    from .recorder import record_accesses
    name, source, grid, args, options, check = request
    printed, error = io.StringIO(), None
    with contextlib.redirect_stdout(printed), record_accesses(check=check) as log:
        try:
            if source not in kernels:
                kernels[source] = revive(source, name, f"kernel {len(kernels)}")
            kernels[source][grid](*args, **options)
        except OutOfBounds as found:
            error = {"message": str(found), "kernel": found.kernel, "program": found.program, "op": found.op, "tensor": found.tensor,
                     "offsets": found.offsets}
        except Exception as found:
            while type(found).__name__ == "InterpreterError" and found.__cause__ is not None:
                found = found.__cause__
            error = f"{type(found).__name__}: {found}"
    kept = {}
    for value in [*args, *options.values()]:
        if isinstance(value, torch.Tensor):
            kept.setdefault(value.untyped_storage().data_ptr(), value.untyped_storage())
    return list(kept.values()), log.launches, list(log), printed.getvalue(), error


def _serve():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C goes to both, and the first ends the second
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints past Python must not get between the answers
    kernels = {}
    with contextlib.suppress(EOFError):
        while True:
            _send(answers, _answer(_receive(requests), kernels))


if __name__ == "__main__":
    _serve()
