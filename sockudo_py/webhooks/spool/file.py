"""One spool file: its name, its lock, its lines. Blocking: for a thread."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from sockudo_py.queues.base import Append
from sockudo_py.webhooks.spool.lines import BadLine, event_in, line_of

_ID_BYTES = 8
_NAME = re.compile(rf"(\.[0-9a-f]{{{2 * _ID_BYTES}}})?(\.part)?")  # what may follow PATH; older versions: "" and .part
_AT_ONCE = 256  # lines in one write


@dataclass(frozen=True, slots=True)
class Written:
    """How many of the events, from the first on, are in the file as whole lines, and what went wrong.

    With an error and a full count the lines were written, but the disk did not confirm that it has them.
    """

    count: int
    error: OSError | None = None


class SpoolFile:
    """A file that this process holds locked until ``remove`` or ``close``. When the process dies the lock is gone.

    ``ids``: of the events that are known to be in it. ``size``: bytes that were read or written. ``complete``: ``read``
    has reached the end. ``kept``: it has lines that are nowhere else, so ``remove`` leaves it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.ids: set[str] = set()
        self.complete = False
        self.kept = False
        self._file = open(descriptor, "rb")  # noqa: SIM115
        self._descriptor = descriptor
        self._lines = enumerate(self._file, 1)
        self.size = 0

    def there(self) -> bool:
        """Return whether the file still has its name: otherwise no start finds it."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except OSError:
            return False

    def read(self, most: int, most_bytes: int) -> tuple[list[Append], list[BadLine]]:
        """Return the next events, and the lines between them that hold none. Raises OSError.

        Stops after ``most`` events or ``most_bytes`` of lines, whichever comes first.
        """
        events: list[Append] = []
        bad: list[BadLine] = []
        end = self.size + most_bytes
        for number, line in self._lines:
            self.size += len(line)
            if line.strip():
                try:
                    events.append(event_in(line))
                except ValueError as problem:
                    bad.append(BadLine(number, str(problem), line.rstrip(b"\n")))
            if len(events) >= most or self.size >= end:
                break
        self.complete = self.size >= os.fstat(self._descriptor).st_size
        self.ids.update(event.id for event in events)
        return events, bad

    def append(self, events: Sequence[Append]) -> Written:
        """Append events: whole lines, as far as they fit."""
        count = 0
        error: OSError | None = None
        while count < len(events) and error is None:
            some = events[count : count + _AT_ONCE]
            whole, error = self._write([line_of(event) for event in some])
            self.ids.update(event.id for event in some[:whole])
            count += whole
        try:
            os.fsync(self._descriptor)
        except OSError as problem:
            error = error or problem
        return Written(count, error)

    def _write(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """Return how many of the lines are in the file now, and what stopped it."""
        data = memoryview(b"".join(lines))
        done = 0
        error: OSError | None = None
        try:
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], self.size + done)
        except OSError as problem:
            error = problem
        ends = list(accumulate(map(len, lines)))
        whole = bisect_right(ends, done)
        self.size += ends[whole - 1] if whole else 0
        if error is not None:
            with contextlib.suppress(OSError):  # a reader logs a line that is cut off, and reads the others
                os.ftruncate(self._descriptor, self.size)
        return whole, error

    def clear(self) -> None:
        """Remove all that is in the file. Raises OSError."""
        os.ftruncate(self._descriptor, 0)
        self.size = 0
        self.ids.clear()

    def remove(self) -> None:
        """Remove the file, unless it is ``kept`` or has grown since it was read, and close it. Raises OSError."""
        try:
            if not self.kept and self.there() and os.fstat(self._descriptor).st_size == self.size:
                self.path.unlink(missing_ok=True)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file, for another process to adopt. More than once does no harm."""
        self._file.close()


def create(base: Path) -> SpoolFile:
    """Make and lock a file for this process, ``base.<random id>``; its folder is made when missing. Raises OSError."""
    base.parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = base.with_name(f"{base.name}.{secrets.token_hex(_ID_BYTES)}")
        file = _locked(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if file is not None:  # else another process, starting at this moment, took it for one that was left behind
            return file


def adopt(path: Path) -> SpoolFile | None:
    """Lock a file that another process left behind; None when it is in use, or gone. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # to write: NFS locks only what may be written
    except FileNotFoundError:
        return None
    return _locked(path, descriptor)


def candidates(base: Path) -> list[Path]:
    """Return the files that belong to ``base``, also those in use, the oldest first. Raises OSError."""
    found: list[tuple[int, Path]] = []
    try:
        with os.scandir(base.parent) as entries:
            for entry in entries:
                if entry.name.startswith(base.name) and _NAME.fullmatch(entry.name, len(base.name)):
                    with contextlib.suppress(FileNotFoundError):  # its owner has stopped
                        found.append((entry.stat().st_mtime_ns, base.with_name(entry.name)))
    except FileNotFoundError:
        return []
    return [path for _, path in sorted(found)]


def _locked(path: Path, descriptor: int) -> SpoolFile | None:
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a file", str(path))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file = SpoolFile(path, descriptor)
        if file.there():  # else it was removed between the opening and the locking
            return file
        file.close()
        return None
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise OSError(error.errno, error.strerror, str(path)) from error
