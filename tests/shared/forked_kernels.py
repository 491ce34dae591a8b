"""Kernels of the tests: one Python imports what every notebook imports, and each kernel is a fork of it.

    kernel_folder(folder)                                  makes a folder for JUPYTER_PATH, with such a kernel
    python -S -E forked_kernels.py -f connection.json      what JupyterLab and nbval start in place of a kernel

Dozens of kernels that import torch and matplotlib take a second and a half each. Only packages are imported before the
fork, nothing of the course: what its modules do when they are imported, and in which order, is up to the notebook.
What is started stands for its kernel: it passes signals on, and ends with it. The Python that is forked is started with
the first kernel, and ends with the tests.
"""

import array
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

IMPORTED = "ipykernel.kernelapp ipykernel.ipkernel torch numpy matplotlib.pyplot ipywidgets anywidget"
STARTS_WITHIN_S = 600
LOOKS_EVERY_S = 2


def kernel_folder(folder, name="python3"):
    """Makes `folder`, a pathlib.Path, with the kernel `name`; returns the JUPYTER_PATH with which it is found."""
    spec = folder / "kernels" / name
    spec.mkdir(parents=True, exist_ok=True)
    forked = [sys.executable, "-S", "-E", os.path.abspath(__file__)]
    plain = [sys.executable, "-m", "ipykernel_launcher"]  # macOS: what torch has imported there does not survive a fork
    argv = [*(forked if sys.platform == "linux" else plain), "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"})
    )
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH")]))


def main(argv):
    """Asks for a kernel, passes signals on to it, and ends with its exit status."""
    address = os.environ["COURSE_FORKED_KERNELS"]
    asked = json.dumps({"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ)}).encode() + b"\n"
    with connected(address) as server:
        files = array.array("i", [0, 1, 2])
        server.sendmsg([asked[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        server.sendall(asked[1:])
        answers = server.makefile()
        pid = int(answers.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: tell(pid, number))
        sys.exit(int(answers.readline() or 1))  # without an answer the server has ended, and its kernels with it


def connected(address):
    """A connection to the server. The first that finds none starts one."""
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(address)
            return one
        except OSError:
            one.close()
        try:
            os.close(os.open(address + ".started", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            time.sleep(0.05)
            continue
        log = open(address + ".log", "w")
        subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            start_new_session=True,
        )  # fmt: skip
    raise SystemExit(f"no kernel was started within {STARTS_WITHIN_S} s; see {address}.log")


def serve():
    """Imports, then forks a kernel for each that asks, until the process COURSE_TESTS_PID is no more."""
    address, tests = os.environ["COURSE_FORKED_KERNELS"], int(os.environ["COURSE_TESTS_PID"])
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it, before matplotlib
    del sys.path[0]  # this file's folder, where a kernel has its notebook's
    for name in IMPORTED.split():
        __import__(name)
    import gc

    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen(64)
    os.rename(address + ".new", address)  # from now on all ask here
    kernels = {}
    while lives(tests) and os.path.exists(address):
        ready, _, _ = select.select([listener, *kernels], [], [], LOOKS_EVERY_S if not kernels else 0.05)
        for one in ready:
            if one is listener:
                asks, _ = listener.accept()
                kernels[asks] = fork(asks, [listener, *kernels])
            else:  # whoever stood for this kernel is gone
                end(one, kernels.pop(one))
        for one, pid in list(kernels.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                one.sendall(b"%d\n" % (status != 0))
                one.close()
                del kernels[one]
    for one, pid in kernels.items():
        end(one, pid)


def fork(asks, others):
    """The pid of a new kernel for the one that `asks`; in the kernel, does not return."""
    data, files = bytearray(), array.array("i")
    while not data.endswith(b"\n"):
        part, more, _, _ = asks.recvmsg(1 << 16, socket.CMSG_LEN(3 * files.itemsize))
        data += part
        for _, _, sent in more:
            files.frombytes(sent)
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        asks.sendall(b"%d\n" % pid)
        return pid
    for one in (asks, *others):
        one.close()
    kernel(json.loads(data), files)


def kernel(asked, files):
    """Runs a kernel as `python -m ipykernel_launcher` does, in what is sent with the question."""
    import random

    import numpy

    os.setsid()
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    random.seed()
    numpy.random.seed()
    from ipykernel.kernelapp import launch_new_instance

    sys.argv = ["ipykernel_launcher", *asked["argv"]]
    launch_new_instance(argv=[*asked["argv"], f"--IPKernelApp.parent_handle={os.getppid()}"])
    sys.exit()


def end(asks, pid):
    asks.close()
    tell(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def tell(pid, number):
    """Sends a signal to a kernel and to what it has started."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:  # so early that it leads no group yet
        os.kill(pid, number)


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main(sys.argv[1:])
