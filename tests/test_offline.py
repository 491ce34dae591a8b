"""The guard that keeps tests off the network really guards, here and in what the tests start."""

import socket
import subprocess
import sys

import pytest

ELSEWHERE = "192.0.2.1"  # an address reserved for documentation: no machine answers there


def test_a_connection_to_another_machine_is_refused_at_once():
    with pytest.raises(OSError, match="network off"):
        socket.create_connection((ELSEWHERE, 80), timeout=5)


def test_a_name_is_not_even_looked_up():
    with pytest.raises(OSError, match="network off"):
        socket.getaddrinfo("example.org", 443)


def test_this_machine_can_still_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_a_python_that_a_test_starts_is_guarded_too():
    code = f"import socket; socket.create_connection(({ELSEWHERE!r}, 80), timeout=5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "network off" in done.stderr
