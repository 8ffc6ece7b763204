"""A Unix socket to listen on: private from the first moment, in place of a dead server's, removed at the end."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

LONGEST = 100  # bytes of a path; the kernel's structure has room for 108, on some systems 104
_IN_USE = "a running server uses it; stop that one or choose another path"


class UnusablePathError(OSError):
    """A path that can't be a socket here; the text says why and what to do."""


class UnixListener:
    """A listening socket at a path.

    Args:
        path: Where; its folder must be there.
        mode: File mode of the socket.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._inode: int | None = None

    def bind(self) -> socket.socket:
        """Return the bound socket, which does not listen yet. Raises OSError."""
        self._remove_stale()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The mode must hold from the first moment, so it can't be changed after the file is there.
            before = os.umask(0o777 & ~self._mode)
            try:
                with reachable(self.path) as short:
                    listener.bind(short)
            finally:
                os.umask(before)
            self._inode = self.path.lstat().st_ino
        except OSError:
            listener.close()
            raise
        return listener

    def remove(self) -> None:
        """Remove the file, unless it is a successor's by now."""
        inode, self._inode = self._inode, None
        with contextlib.suppress(OSError):
            if inode is not None and self.path.lstat().st_ino == inode:
                self.path.unlink()

    def _remove_stale(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise UnusablePathError(
                errno.EEXIST, "the file is there and is no socket; remove it or choose another path"
            )
        if is_answered(self.path):
            raise UnusablePathError(errno.EADDRINUSE, _IN_USE)
        self.path.unlink(missing_ok=True)


def is_answered(path: Path) -> bool:
    """Return whether a process listens on a socket. Raises OSError when that can't be found out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            with reachable(path) as short:
                probe.connect(short)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:  # its backlog is full, so a process listens on it
            return True
    return True


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield a name of a socket that the kernel has room for. Raises OSError when there is none."""
    name = str(path)
    if len(os.fsencode(name)) <= LONGEST:
        yield name
        return
    if not os.path.isdir("/proc/self/fd"):
        raise UnusablePathError(errno.ENAMETOOLONG, f"the path has more than {LONGEST} bytes; choose a shorter one")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = f"/proc/self/fd/{folder}/{path.name}"
        if len(os.fsencode(short)) > LONGEST:
            raise UnusablePathError(
                errno.ENAMETOOLONG, "the name of the file is too long for a socket; choose a shorter one"
            )
        yield short
    finally:
        os.close(folder)
