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
    seat: int  # which of the workers it is, from 0 on
    at: socket.socket  # on it others give it connections
    to: tuple[socket.socket, ...]  # on these it gives connections to each of them
    ill: Callable[[], bool]  # whether another worker is not well
