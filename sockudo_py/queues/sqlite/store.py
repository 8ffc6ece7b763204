"""The file of the SQLite queue: one thread, one connection, and one transaction for all that is asked at a time."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.batch_thread import BatchThread
from sockudo_py.queues.sqlite.rows import Db
from sockudo_py.queues.sqlite.schema import VERSION, prepare

_REMEDY = "name a file in a folder that this user may write to"
_WAL_BYTES = 16 << 20  # what a checkpoint leaves of the log
_MOST = 500  # pieces of work in one transaction

T = TypeVar("T")
Work = Callable[[Db], Any]


class SqliteStore:
    """Runs work in transactions. A piece of work is a function of the connection.

    ``sync``: have each transaction on the disk (fsync) before it is reported. Without it a crash of this process loses
    nothing, a power cut what came in the last moments.
    """

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._thread: BatchThread[Work, Any] = BatchThread(self._transact, _MOST, "queue-sqlite")
        self._connection: Db | None = None
        self._lock: int | None = None
        self._closed = False

    async def open(self) -> None:
        """Open, lock and prepare the file. Raises SockudoError when it can't be used."""
        await self._thread.call(self._open)

    async def close(self) -> None:
        """Finish what is under way, and let go of the file. Once is enough; more does no harm."""
        if self._closed:
            return
        self._closed = True
        await self._thread.call(self._close, last=True)

    async def run(self, work: Callable[[Db], T]) -> T:
        """Do a piece of work in a transaction; returns its answer once it is kept. Raises ``Unavailable``."""
        if self._closed:
            raise Unavailable(f"the queue in {self._path} is closed")
        answer: T = await self._thread.ask(work)
        return answer

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._unlock()
            raise SockudoError(
                f"queue.sqlite.path: {self._path} is in use by another process; "
                "give each its own file, or use the redis driver for several"
            ) from error
        except OSError as error:
            self._unlock()
            raise SockudoError(f"queue.sqlite.path: {self._path}: {error.strerror}; {_REMEDY}") from error
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=5.0, factory=Db)
            self._connection = connection
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # holds for a new file, and before anything is written
            connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA secure_delete=OFF")  # some builds write zeros over all that is deleted
            connection.execute(f"PRAGMA synchronous={'FULL' if self._sync else 'NORMAL'}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if not 0 <= version <= VERSION:
                raise SockudoError(f"queue.sqlite.path: {self._path} is of a newer version ({version})")
            prepare(connection, version)
        except sqlite3.Error as error:
            self._close()
            raise SockudoError(f"queue.sqlite.path: {self._path} can't be used: {error}; {_REMEDY}") from error
        except SockudoError:
            self._close()
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _transact(self, works: Sequence[Work]) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise Unavailable(f"the queue in {self._path} is not open")
        try:
            connection.execute("BEGIN IMMEDIATE")
            answers = [work(connection) for work in works]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"the queue in {self._path} can't be written: {error}") from error
        finally:
            if connection.in_transaction:
                connection.rollback()
                connection.dead = None
        return answers
