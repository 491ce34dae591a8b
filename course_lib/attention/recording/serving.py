"""The second Python itself: takes kernels from stdin, interprets and records them, and answers; see second_python.py.

Run as `python -m course_lib.attention.recording.serving`.
"""

import contextlib
import io
import os
import signal
import sys
import threading
import time

from course_lib.errors import OutOfBounds
from course_lib.source.extract import revive
from course_lib.source.show import function_of

from .messages import packed, unpacked, with_memory
from .recorder import record_accesses
from .second_python import own_error


def answer(request, kernels):
    """(memories, launches, accesses, printed text, error) of one request. kernels: {source: kernel} of earlier ones."""
    import triton

    name, source, grid, args, options, memories, (check, order) = request
    args, options = with_memory(args, memories), with_memory(options, memories)
    printed, error = io.StringIO(), None
    with contextlib.redirect_stdout(printed), record_accesses(check=check, order=order) as log:
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


def serve():
    """Answers requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes, and the first one ends this one
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    answers, kernels = os.fdopen(os.dup(1), "wb"), {}
    os.dup2(2, 1)  # what C code prints must not get between the answers
    with contextlib.suppress(EOFError):
        while True:
            answers.write(packed(answer(unpacked(sys.stdin.buffer), kernels)))
            answers.flush()


def _end_with(parent):
    """Ends this process when its parent has ended, also where the parent was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    serve()
