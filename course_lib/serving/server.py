"""Starts the server, and ends it: uvicorn in the main thread for `course serve`, or in a thread for a notebook.

SIGTERM and Ctrl-C: no connection is taken any more, running requests get their whole answers, then the server ends. A
second signal ends it at once.
"""

import socket
import threading

import uvicorn

from course_lib.errors import CourseError


class Server(uvicorn.Server):
    """uvicorn's server, which a second signal of any kind ends at once."""

    def handle_exit(self, sig, frame):
        """Called by a signal."""
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)


def config_for(app, *, log_level="info"):
    """The uvicorn.Config of all our servers."""
    return uvicorn.Config(app, log_level=log_level, access_log=False, timeout_keep_alive=30, server_header=False)


def bind(host, port):
    """A listening socket. Raises CourseError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except (OSError, OverflowError, UnicodeError) as error:
        listening.close()
        raise CourseError(
            f"No server can listen at {host}:{port}: {error}. Is another one running there? Choose another --port; 0 "
            f"is any free one."
        ) from None
    return listening


def serve(app, host="127.0.0.1", port=8000, *, on_start=None):
    """Serves until a signal comes. on_start: called with the address, such as http://127.0.0.1:8000, before that."""
    listening = bind(host, port)
    if on_start is not None:
        on_start(address(listening))
    try:
        Server(config_for(app)).run(sockets=[listening])
    finally:
        listening.close()


def address(listening):
    """The address of a listening socket, for a client."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class BackgroundServer:
    """A server in a thread, for a notebook or a test.

    with BackgroundServer(make_app(engine, "tale")) as server:
        httpx.get(f"{server.url}/v1/models")
    """

    def __init__(self, app, host="127.0.0.1", port=0):
        self._listening = bind(host, port)
        self.url = address(self._listening)
        self.app = app
        self._server = Server(config_for(app, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, args=([self._listening],), daemon=True)

    def start(self):
        """Starts, and returns when requests are taken."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.01)
        if not self._server.started:
            self._listening.close()
            raise CourseError("The server ended before it took a request; what it printed says why.")
        return self

    def stop(self):
        """Takes no more requests, lets running ones end, and ends."""
        self._server.should_exit = True
        if self._thread.ident is not None:  # it was started
            self._thread.join()
        self._listening.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()
