"""Tells systemd how a service does (``Type=notify``); elsewhere it does nothing."""

import os
import socket
from contextlib import suppress
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"


def notify(*lines: str) -> None:
    """Send lines such as ``READY=1`` to the service manager that started this process, if one wants to know.

    It never blocks and never fails: the server runs without a listener, too.
    """
    address = os.environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(address)
        sock.send("\n".join(lines).encode())
