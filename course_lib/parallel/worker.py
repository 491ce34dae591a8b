"""A process of a model over several processes: it does what rank 0 says, until rank 0 ends.

Started by `Ranks` as `python -m course_lib.parallel.worker {...}`, so that a notebook or script needs no
`if __name__ == "__main__"`: nothing of it is imported here.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection

AT_THE_DOOR, COME_IN = "rank {} is at the door", "come in"  # keys of the store, before the group is made
HERE = b"here"  # the first message to rank 0; any later one says why this process ends


@dataclass
class Rank:
    """What the functions that rank 0 sends find here: they are called as function(rank, *args)."""

    rank: int
    size: int
    group: object
    model: object = None
    kept: dict = field(default_factory=dict)
    """For these functions: what one leaves for the next."""


def serve(connection, make_group):
    """Calls what rank 0 sends, in this order, until it sends None. make_group: returns the Group of this process.

    An error is told to rank 0 and ends the process, and so does the end of rank 0, wherever this process stands: the
    others would wait for it in vain.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for rank 0
    connection.send_bytes(HERE)
    waiting = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, waiting), daemon=True).start()
    try:
        group = make_group()
        me = Rank(group.rank, group.size, group)
        while (message := waiting.get()) is not None:
            function, args = message
            function(me, *args)
        group.close()
    except BaseException:
        try:
            connection.send_bytes(traceback.format_exc().encode())
        except OSError:
            pass
        os._exit(1)


def _receive(connection, waiting):
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            os._exit(1)  # rank 0 has ended without a word
        except BaseException:
            connection.send_bytes(traceback.format_exc().encode())
            os._exit(1)
        waiting.put(message)
        if message is None:
            return


def main():
    """Reads where the others are from the command line, and serves."""
    how = json.loads(sys.argv[1])
    connection = Connection(how["fd"])

    def make_group():
        import torch.distributed as dist

        from .group import Group

        store = dist.TCPStore("127.0.0.1", how["port"], how["size"], is_master=False)
        timeout = timedelta(seconds=how["timeout_s"])
        store.set(AT_THE_DOOR.format(how["rank"]), "")
        store.wait([COME_IN], timeout)
        return Group(how["rank"], how["size"], how["device"], store, timeout)

    serve(connection, make_group)
    os._exit(0)  # the interpreter would take a second to put torch away


if __name__ == "__main__":
    main()
