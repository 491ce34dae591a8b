"""The processes of a model: how they start, what rank 0 sends them, and how they end.

    rank 0     the process of the user: scheduler, ledger, text        sends (function, arguments) to all
    rank 1 ..  course_lib.parallel.worker                              call them, and answer only if they break off

Rank 0 starts the others itself, or torchrun started all of them. A rank that ends ends the engine; no process is left
behind. A rank that stops without ending is noticed after TIMEOUT.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import torch
import torch.distributed as dist

from course_lib.errors import CourseError, NotHere, ParallelError, ParameterError

from .group import Group, check_no_group
from .worker import AT_THE_DOOR, COME_IN, HERE, serve

TIMEOUT = timedelta(minutes=5)
PATIENCE_S = 5.0  # seconds that a process is given to end by itself
ROOT = Path(__file__).parents[2]


class Ranks:
    """Rank 0 and its helpers. size: the number of processes. device: "cuda" (a GPU each) or "cpu".

    `group` is the Group of rank 0. Under torchrun, this makes no object in the other processes: they serve rank 0 until
    it closes, and then leave the program. Raises NotHere on Windows, ParameterError where there are too few GPUs, and
    ParallelError where a process ends at its start.
    """

    def __init__(self, size, device="cpu"):
        self.size, self.device = size, torch.device(device).type
        _check_machine(size, self.device)
        check_no_group()
        self.processes, self.connections, self.group = {}, {}, None  # rank -> Popen, Connection
        self.end_with_engine = False  # True: an engine started them for itself
        self._ended, self._closing, self._here = None, False, {r: threading.Event() for r in range(1, size)}
        self._num_threads = torch.get_num_threads()
        weakref.finalize(self, _end_all, self.processes, self.connections)  # at the end of the program, for example
        try:
            (self._join_torchrun if is_torchrun() else self._start)()
        except BaseException:
            self.close(patience=0)
            raise

    def _start(self):
        store = dist.TCPStore("127.0.0.1", 0, self.size, is_master=True, wait_for_workers=False)
        threads = max(1, self._num_threads // self.size) if self.device == "cpu" else self._num_threads
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": paths}
        for rank in range(1, self.size):
            ours, theirs = socket.socketpair()
            how = dict(rank=rank, size=self.size, device=_device(self.device, rank), port=store.port)
            how |= dict(fd=theirs.fileno(), timeout_s=TIMEOUT.total_seconds())
            self.processes[rank] = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker", json.dumps(how)], env=environment,
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
            theirs.close()
            self._watch(rank, Connection(ours.detach()))
        for here in self._here.values():
            while not here.wait(0.2):
                self.check()
        at_the_door = [AT_THE_DOOR.format(rank) for rank in self.processes]
        while not store.check(at_the_door):  # while a group is made, nobody hears that a rank has ended
            time.sleep(0.01)
            self.check()
        store.set(COME_IN, "")
        torch.set_num_threads(threads)
        try:
            self.group = Group(0, self.size, _device(self.device, 0), store, TIMEOUT)
        except Exception as error:
            raise self.broken(error) from error
        self.group.is_open = False

    def _join_torchrun(self):
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if size != self.size:
            raise ParameterError(
                f"torchrun started {size} processes, and tensor_parallel is {self.size}. Make the two equal: "
                f"torchrun --nproc-per-node {self.size}."
            )
        group = Group(rank, size, _device(self.device, int(os.environ["LOCAL_RANK"])), timeout=TIMEOUT)
        key = os.urandom(16)
        listener = Listener(authkey=key) if rank == 0 else None
        told = [(listener.address, key) if listener else None]
        dist.broadcast_object_list(told, src=0)
        if rank:
            serve(Client(told[0][0], authkey=told[0][1]), lambda: group)
            raise SystemExit(0)
        for other in range(1, size):
            self._watch(other, listener.accept())
        self.group, group.is_open = group, False

    def _watch(self, rank, connection):
        self.connections[rank] = connection
        args = weakref.ref(self), rank, connection
        threading.Thread(target=_listen, args=args, daemon=True, name=f"rank {rank}").start()

    def send(self, function, *args):
        """Each other rank calls function(its Rank, *args). function: of a module, so that they can import it."""
        for connection in self.connections.values():
            connection.send((function, args))

    @contextmanager
    def together(self):
        """In here all ranks compute: the model may be called, after `send` has told the others to do the same.

        An interrupt waits for the end, since the others cannot be interrupted. Raises ParallelError where a rank has
        ended; then all are ended.
        """
        self.check()
        with _interrupted_later():
            self.group.is_open = True
            try:
                yield
            except CourseError:
                self.check()
                raise
            except Exception as error:
                raise self.broken(error) from error
            finally:
                self.group.is_open = False

    def check(self):
        """Raises ParallelError if a rank has ended, or if `close` was called."""
        if self._ended is not None:
            self.close()
            raise ParallelError(self._ended)
        if self._closing:
            raise ParallelError("The processes of this model have been ended by close(). Load it again to go on.")

    def broken(self, error):
        """The ParallelError for what broke off here: mostly because another rank has ended, which is known soon."""
        until = time.monotonic() + PATIENCE_S
        while self._ended is None and isinstance(error, (RuntimeError, OSError)) and time.monotonic() < until:
            time.sleep(0.02)
            if isinstance(error, torch.OutOfMemoryError):
                break
        if self._ended is None:
            self._ended = (
                f"Rank 0 of {self.size}, this process, broke off in a step: {type(error).__name__}: {error}. The other "
                f"processes wait for its part of the step, so all of them were ended. Load the model again; if memory "
                f"was short, with fewer blocks (num_blocks) or tokens a step (max_num_batched_tokens)."
            )
        self.close()
        return ParallelError(self._ended)

    def _has_ended(self, rank, said):
        """Called by the thread that listens to a rank, when it has ended."""
        if self._closing or self._ended is not None:
            return
        process, said = self.processes.get(rank), said.decode(errors="replace").strip()
        code = _exit_code(process)
        if said and any((other.poll() or 0) < 0 for other in self.processes.values()):
            return  # it only missed another one, which is named instead
        if said:
            how = f"broke off with {said.splitlines()[-1]} (all of it at the end)"
        elif code is not None and code < 0:
            how = f"was ended by the signal {signal.Signals(-code).name}"
        else:
            how = "has ended" + ("" if code is None else f" with exit code {code}")
        who = f"Rank {rank} of {self.size}" + ("" if process is None else f" (process {process.pid})")
        if self.group is not None and self.device == "cuda":
            self.group.close(abort=True)  # the GPU waits for the other one
        self._ended = (
            f"{who} {how}. Its part of the weights and of the KV cache is gone, so this engine cannot go on; the other "
            f"processes were ended too. Make a new engine. If the system ended the process for want of memory, give "
            f"the cache fewer blocks (num_blocks), or take a smaller model." + (f"\n\n{said}" if said else "")
        )

    def close(self, patience=PATIENCE_S):
        """Ends the other processes. It may be called twice. patience: seconds in which they may end by themselves."""
        if self._closing:
            return
        self._closing = True
        for connection in self.connections.values():
            try:
                connection.send(None)
            except OSError:
                pass
        if self.group is not None:
            self.group.close(abort=self._ended is not None)
        _end_all(self.processes, self.connections, 0 if self._ended is not None else patience)
        torch.set_num_threads(self._num_threads)

    def __repr__(self):
        return f"Ranks({self.size}, {self.device!r})"


def is_torchrun():
    """Whether torchrun, or what works like it, started this process beside others."""
    return dist.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", 1)) > 1


def _check_machine(size, device):
    if sys.platform == "win32":
        raise NotHere("tensor_parallel above 1 needs Linux or macOS. On Windows, run the course in WSL.")
    if device not in ("cuda", "cpu"):
        raise ParameterError(f'device is {device!r}; several processes run on "cuda", a GPU each, or on "cpu".')
    if device == "cuda" and torch.cuda.device_count() < size:
        raise ParameterError(
            f"tensor_parallel={size} needs {size} GPUs, one for each process, and torch sees "
            f'{torch.cuda.device_count()}. Choose a smaller number, or device="cpu".'
        )


def _device(kind, rank):
    return f"cuda:{rank}" if kind == "cuda" else "cpu"


def _exit_code(process):
    try:
        return None if process is None else process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None


def _listen(ranks, rank, connection):
    """In a thread: what a rank says, until it has ended. ranks: a weak reference, so that a lost model is ended."""
    said = b""
    try:
        while True:
            said = connection.recv_bytes()
            if said == HERE:
                said = b""
                if (found := ranks()) is not None:
                    found._here[rank].set()
                del found
    except (EOFError, OSError):
        pass
    if (found := ranks()) is not None:
        found._has_ended(rank, said)


def _end_all(processes, connections, patience=0.0):
    """Ends the processes: by themselves if they do so in time, since their connection is closed."""
    until = time.monotonic() + patience
    for process in processes.values():
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for connection in connections.values():
        try:
            connection.close()
        except OSError:
            pass
    connections.clear()


@contextmanager
def _interrupted_later():
    """An interrupt (Ctrl-C, or Jupyter's stop button) comes at the end of this block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda *args: came.append(args))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
