"""What a worker gets from its supervisor: sockets that all workers of a server listen on, and news of the others."""

import socket
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one worker. The supervisor has the files of Unix sockets, and the metrics port."""

    worker: str  # its name
    listeners: tuple[socket.socket, ...]  # bound to the port
    unix: socket.socket | None
    admin: socket.socket | None
    ill: Callable[[], bool]  # whether another worker is not well
