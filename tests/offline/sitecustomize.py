"""No test may need a network: this refuses every connection that would leave the machine.

Python imports a module of this name at start-up, so a folder on PYTHONPATH is enough to hold for
kernels, servers and commands that the tests start as well. tests/conftest.py puts it there.
"""

import ipaddress
import socket
import sys

# jsonschema tells an IRI by it where it is there. To import it compiles 38 grammars: a second in each of dozens of
# processes, and no notebook holds an IRI that anybody asks about.
sys.modules["rfc3987_syntax"] = None


class LeavesThisMachine(OSError):
    """A connection or a look-up that is not of this machine."""


def is_local(host):
    """Whether `host` is this machine: a loopback address or its usual names."""
    if isinstance(host, bytes):
        host = host.decode()
    if not host or host in ("localhost", "localhost.localdomain", "0.0.0.0", "::", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(host):
    raise LeavesThisMachine(f"the tests run with the network off, and something asked for {host!r}")


def _guard(name):
    original = getattr(socket.socket, name)

    def guarded(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            target = rest[-1] if name == "sendto" and rest else address
            if not is_local(target[0]):
                _refuse(target[0])
        return original(self, address, *rest)

    setattr(socket.socket, name, guarded)


_look_up = socket.getaddrinfo


def _local_look_up(host, *rest, **options):
    if not is_local(host):
        _refuse(host)
    return _look_up(host, *rest, **options)


for _name in ("connect", "connect_ex", "sendto"):
    _guard(_name)
socket.getaddrinfo = _local_look_up
