"""The sockets that all workers of a server listen on. The supervisor binds them, and workers inherit them.

On Linux each worker has a socket of its own on the port (``SO_REUSEPORT``), so that the kernel spreads connections. Its
successor gets the same one, so that no connection is lost that the kernel has for it. Elsewhere all have the same one.
"""

import socket
import sys
from pathlib import Path
from typing import Final

from sockudo_py.config import Config
from sockudo_py.edge.sockets.listening import bind, remedy, shown
from sockudo_py.errors import SockudoError
from sockudo_py.process.unix_socket import UnixListener
from sockudo_py.wiring.drivers.admins import admin_socket_path
from sockudo_py.wiring.serving.admin import MODE as ADMIN_MODE

SPREADS: Final = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


class SharedSockets:
    """Opened once, by ``open``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._unix_files: list[UnixListener] = []
        self._held: list[socket.socket] = []  # bound, so that no other program takes the port when no worker has it
        self.port = config.port
        self.unix: socket.socket | None = None
        self.admin: socket.socket | None = None

    async def open(self) -> None:
        """Take the port and the paths. Raises SockudoError that names the place, the reason and the remedy."""
        config = self._config
        try:
            # Without sharing: else another server of this user that shares its port would share it with this one.
            held = await bind(config.host, config.port)
            self.port = held[0].getsockname()[1]
            if SPREADS:
                _close(held)
                held = await bind(config.host, self.port, reuse_port=True)
            self._held = held
        except OSError as problem:
            where = f"{shown(config.host, config.port)}{config.named('host', 'port')}"
            raise SockudoError(f"can't listen on {where}: {remedy(problem)}") from problem
        unix, admin = config.unix_socket, admin_socket_path(config)
        if unix.enabled:
            self.unix = self._bind_unix(Path(unix.path), unix.mode, config.named("unix_socket.path"))
        if admin is not None and config.queue.driver != "none":
            self.admin = self._bind_unix(admin, ADMIN_MODE, " (webhooks.admin.socket)")

    async def listeners(self) -> list[socket.socket]:
        """Return bound sockets of the port for one more worker. Raises OSError."""
        if SPREADS:
            return await bind(self._config.host, self.port, reuse_port=True)
        return [each.dup() for each in self._held]

    def shared(self) -> tuple[dict[str, int | None], list[socket.socket]]:
        """Return what every worker inherits: the numbers by their use, and the sockets."""
        named = {"unix": self.unix, "admin": self.admin}
        numbers = {name: None if one is None else one.fileno() for name, one in named.items()}
        return numbers, [one for one in named.values() if one is not None]

    def close(self) -> None:
        """Let go of all, and remove the files."""
        _close(self._held)
        for one in (self.unix, self.admin):
            if one is not None:
                one.close()
        for file in self._unix_files:
            file.remove()

    def _bind_unix(self, path: Path, mode: int, named: str) -> socket.socket:
        file = UnixListener(path, mode)
        try:
            bound = file.bind()
        except OSError as problem:
            raise SockudoError(f"can't listen on {path}{named}: {remedy(problem)}") from problem
        self._unix_files.append(file)
        return bound


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
    sockets.clear()
