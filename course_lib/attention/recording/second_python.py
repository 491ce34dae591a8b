"""A second Python that interprets kernels where this one compiles them, so that they can be recorded beside a GPU too.

Triton decides at its import whether it compiles or interprets, also for its own functions: one process cannot do both.

    this Python, with a GPU                               the second, with TRITON_INTERPRET=1 and no GPU

    kernel[grid](q, k, out, ...)
        source of the kernel and of what it uses    ->    the same kernel in an empty module
        memory of the tensors, copied to the CPU    ->    record_accesses(): kernel[grid](...)
        the same memory, as the kernel left it      <-    every access, what was printed, the error if there was one

This module is the side with the GPU; serving.py is the other side.
"""

import atexit
import contextlib
import inspect
import os
import pickle
import select
import subprocess
import sys
from dataclasses import replace

from course_lib.errors import OutOfBounds, ParameterError
from course_lib.source.extract import NotAlone, with_needs

from .messages import packed, unpacked, without_memory


class KernelFailed(RuntimeError):
    """A kernel that was recorded in the second Python raised an error of its own."""


@contextlib.contextmanager
def launches_go_there(log, check, order):
    """Inside the block, kernels that are launched run in the second Python and are recorded.

    log: the Accesses that fills. check, order: as of record_accesses.
    """
    from triton.runtime.jit import JITFunction

    original = JITFunction.run

    def run(kernel, /, *args, grid, warmup=False, **options):
        if warmup:
            return original(kernel, *args, grid=grid, warmup=warmup, **options)
        signature = inspect.signature(kernel.fn)
        # num_warps and the like are for the compiler
        options = {name: value for name, value in options.items() if name in signature.parameters}
        given = signature.bind(*args, **options)
        given.apply_defaults()
        grid = tuple(grid(given.arguments) if callable(grid) else grid)
        _launch(kernel.fn, grid, args, options, (check, order), log)

    JITFunction.run = run
    try:
        yield
    finally:
        JITFunction.run = original


def _launch(function, grid, args, options, how, log):
    if "PDL" in options:  # nothing starts early there: one kernel runs after the other
        options = {name: value for name, value in options.items() if name != "launch_pdl"} | {"PDL": False}
    memory = {}  # address -> (storage, a copy of its bytes on the CPU)
    given = without_memory([*args], memory), without_memory(options, memory)
    try:
        if function.__closure__:
            raise NotAlone(
                "it is made inside another function and uses variables of it. Define it at the top of a cell."
            )
        request = packed(
            (*with_needs(function, function.__name__), grid, *given, [copied for _, copied in memory.values()], how)
        )
    except (NotAlone, pickle.PicklingError, AttributeError, TypeError) as reason:  # the last three: cannot be pickled
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


class _OtherPython:
    """The second Python. It starts with the first request, and again after it has ended."""

    process = None

    def ask(self, request):
        """The answer to one request. Raises KernelFailed where the second Python has ended."""
        if self.process is None:
            self._start()
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
            while not select.select([self.process.stdout], [], [], 0.1)[0]:
                pass  # back in Python ten times a second, so that the time limit of a check can stop this
            return unpacked(self.process.stdout)
        except BaseException as error:  # also Ctrl-C: half an answer may be in the pipe, so the process cannot stay
            self.end()
            if isinstance(error, (EOFError, BrokenPipeError)):
                raise KernelFailed(
                    "The second Python, in which kernels are recorded, has ended. Its message is above, or in the "
                    "terminal that JupyterLab was started from."
                ) from None
            raise

    def _start(self):
        path = os.pathsep.join(str(place) for place in sys.path if place)
        env = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
        command = [sys.executable, "-m", f"{__package__}.serving"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

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


def own_error(error):
    """The error that a kernel raised, without the InterpreterErrors around it, one for each function."""
    while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:
        error = error.__cause__
    return error
