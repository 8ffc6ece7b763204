"""Ports for servers that are told where to listen, and for those that must come back where they were.

A port that the kernel gives out (port 0) may be given to somebody else as soon as it is let go. These are below the
range that it gives out from, and each worker process of the test run has a share of its own.
"""

import os
import random
import socket
from itertools import count

_FIRST, _SHARE, _SHARES = 10_000, 1_000, 20  # up to 30,000; Linux gives out 32,768 and more
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
_steps = count(random.randrange(_SHARE))  # somebody else on this machine may run the tests, too


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that no other call has returned lately."""
    for _ in range(_SHARE):
        port = _FIRST + _worker * _SHARE + next(_steps) % _SHARE
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def free_ports(number: int) -> list[int]:
    """Return so many of them, each a different one."""
    return [free_port() for _ in range(number)]
