"""One SQLite file: one process, one thread, one connection, and one transaction for all that is asked at a time.

Several owners may share the file, each with its own part of the schema, which has a version of its own.
"""

import fcntl
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.batch_thread import BatchThread

log = logging.getLogger(__name__)

_REMEDY = "name a file in a folder that this user may write to"
_WAL_BYTES = 16 << 20  # what a checkpoint leaves of the log
_MOST = 500  # pieces of work in one transaction
_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_parts (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]


@dataclass(frozen=True, slots=True)
class SchemaPart:
    """The tables of one owner.

    ``name`` is unique in the file. ``upgrade(db, version)`` makes the tables of ``version`` out of those of the file's
    version (0: there are none). It is called at each start, in a transaction that notes the new version.

    ``in_header``: the version is ``PRAGMA user_version``. At most one part of a file has it there: the one whose files
    are older than this module. The versions of all others are in the table ``schema_parts``.

    ``undone`` is called in the thread when a transaction was rolled back: what the owner remembers of it is wrong.
    """

    name: str
    version: int
    upgrade: Callable[[sqlite3.Connection, int], None]
    in_header: bool = False
    undone: Callable[[], None] | None = None


class SqliteFile:
    """Runs work in transactions. A piece of work is a function of the connection, called in the file's thread.

    What is asked at the same time shares a transaction: a piece of work that raises undoes the others with it, and all
    of them raise. So it looks before it writes, and leaves no constraint to fail.

    Args:
        path: The file; it and its folder are made when missing.
        key: The configuration key that names the file, for messages.
        sync: Have each transaction on the disk (fsync) before it is reported. Without it a crash of this process loses
            nothing, a power cut what came in the last moments.
    """

    def __init__(self, path: Path, *, key: str, sync: bool) -> None:
        self.path = path
        self._key = key
        self._sync = sync
        self._thread: BatchThread[Work, Any] = BatchThread(self._transact, _MOST, "sqlite")
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._parts: dict[str, SchemaPart] = {}
        self._closed = False

    async def open(self, part: SchemaPart) -> None:
        """Open and lock the file for an owner, and bring the owner's tables up to date.

        All owners open the file before the first one closes it. Raises SockudoError when it can't be used.
        """
        await self._thread.call(lambda: self._open(part))

    async def close(self, part: SchemaPart) -> None:
        """An owner ends: the last one finishes what is under way, and lets go of the file. Repeating it is harmless."""
        self._parts.pop(part.name, None)
        if self._parts or self._closed:
            return
        self._closed = True
        await self._thread.call(self._release, last=True)

    async def run(self, work: Callable[[sqlite3.Connection], T], *, patience: float = 0.0) -> T:
        """Do a piece of work in a transaction; returns its answer once it is kept. Raises ``Unavailable``.

        ``patience``: seconds for which it may wait for other work, so that a transaction is spared.
        """
        if self._closed:
            raise Unavailable(f"{self._key}: {self.path} is closed")
        answer: T = await self._thread.ask(work, patience)
        return answer

    def _open(self, part: SchemaPart) -> None:
        try:
            connection = self._connection
            if connection is None:
                self._take_lock()
                connection = self._connection = self._connect()
            _as_one(connection, lambda: self._prepare(connection, part))
        except sqlite3.Error as error:
            self._give_up()
            raise SockudoError(f"{self._key}: {self.path} can't be used: {error}; {_REMEDY}") from error
        except SockudoError:
            self._give_up()
            raise
        self._parts[part.name] = part

    def _take_lock(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SockudoError(
                f"{self._key}: {self.path} is in use by another process; "
                "give each its own file, or use the redis driver for several"
            ) from error
        except OSError as error:
            raise SockudoError(f"{self._key}: {self.path}: {error.strerror}; {_REMEDY}") from error

    def _keep_private(self) -> None:
        """Make the file, which holds payloads of webhooks, private to its owner. SQLite's log files get its mode."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise SockudoError(f"{self._key}: {self.path}: {error.strerror}; {_REMEDY}") from error
        for path in (self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")):
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
            if not mode & 0o077:
                continue
            try:
                path.chmod(0o600)
            except OSError as error:  # such as a file of another user, which this one may write to
                log.warning("%s: %s has mode %04o, others can read it (%s)", self._key, path, mode, error.strerror)
            else:
                log.warning("%s: %s had mode %04o, others could read it; now it has 0600", self._key, path, mode)

    def _connect(self) -> sqlite3.Connection:
        self._keep_private()
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        try:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # holds for a new file, and before anything is written
            connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA secure_delete=OFF")  # some builds write zeros over all that is deleted
            connection.execute(f"PRAGMA synchronous={'FULL' if self._sync else 'NORMAL'}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, part: SchemaPart) -> None:
        version = _version(connection, part)
        if not 0 <= version <= part.version:
            raise SockudoError(
                f"{self._key}: {self.path} is of a newer version ({version}) of the {part.name} than this program "
                f"knows ({part.version}); use the newer program, or another file"
            )
        part.upgrade(connection, version)
        if part.in_header:
            connection.execute(f"PRAGMA user_version={part.version}")
        else:
            connection.execute("INSERT OR REPLACE INTO schema_parts VALUES (?, ?)", (part.name, part.version))

    def _give_up(self) -> None:
        if not self._parts:  # else it is open for others
            self._release()

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _transact(self, works: Sequence[Work]) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise Unavailable(f"{self._key}: {self.path} is not open")
        try:
            return _as_one(connection, lambda: [work(connection) for work in works])
        except BaseException as error:
            for part in tuple(self._parts.values()):
                if part.undone is not None:
                    part.undone()
            if isinstance(error, sqlite3.Error):
                raise Unavailable(f"{self._key}: {self.path} can't be written: {error}") from error
            raise


def _as_one(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    """Do all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        answer = work()
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()
    return answer


def _version(connection: sqlite3.Connection, part: SchemaPart) -> int:
    if part.in_header:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)
    connection.execute(_VERSIONS)
    found = connection.execute("SELECT version FROM schema_parts WHERE name = ?", (part.name,)).fetchone()
    return int(found[0]) if found else 0
