"""The queue in a SQLite file: durable on one machine with nothing to install. One process uses a file at a time.

The books (``local/book.py``) are in memory. Every step is written to the file before it is reported done, and a start
makes the books again from the file. Jobs that were in flight when the process died come back then, as after
a lost lease.
"""

from pathlib import Path
from typing import Unpack

from sockudo_py.links.sqlite import SqliteFile
from sockudo_py.queues.base import LONGEST_WAIT
from sockudo_py.queues.local.book_queue import BookOptions, BookQueue
from sockudo_py.queues.sqlite.store import SqliteStore

_POLL = 0.25  # seconds; as the other durable driver


class SqliteQueue(BookQueue):
    """``Queue`` in a SQLite file.

    Args:
        path: The file; it and its folder are made when missing. Or a file that others use, too.
        sync: Wait for the disk (fsync) at each step; without it a power cut may lose the last moments.
        failed_max_len: How many dead jobs are kept; the oldest go first, and are counted. 0: any number.
        longest_wait: Seconds. So long may a retry take that a file of version 1 holds: the clock may have been ahead.

    The other arguments are those of ``BookQueue``. What the file keeps is of the system's time.
    """

    durable = True
    keeps_ledger = True

    def __init__(
        self,
        path: str | Path | SqliteFile,
        *,
        sync: bool = False,
        max_queue_len: int = 1_000_000,
        failed_max_len: int = 0,
        longest_wait: float = LONGEST_WAIT,
        **options: Unpack[BookOptions],
    ) -> None:
        if not isinstance(path, SqliteFile):
            path = SqliteFile(Path(path), key="queue.sqlite.path", sync=sync)
        self._file = path
        super().__init__(
            SqliteStore(self._file, failed_max_len, round(longest_wait * 1000)),
            _POLL,
            max_queue_len=max_queue_len,
            **options,
        )
