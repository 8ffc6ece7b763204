"""Events that the queue has not taken, on disk from the shutdown of one process to the start of another.

Each process has a file of its own, ``PATH.<random id>``, which it holds locked. A start adopts every file that nobody
holds: a lock ends with its process, whatever the names of hosts and containers are. An adopted file stays, locked,
until the queue has its events: a kill at any moment loses none. What is read twice is handed over under the same id.
"""

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sockudo_py.errors import SockudoError
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.file import SpoolFile, Written, adopt, candidates, create
from sockudo_py.webhooks.spool.lines import BadLine

log = logging.getLogger(__name__)

_LINES_TOLD = 10  # damaged lines named in the log
_FILES_AT_ONCE = 100  # each holds a descriptor until its events are taken
_FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class SpoolDisk:
    """The spool files of ``path``, for one process: ``open``, then ``read`` and ``tidy`` in turns, then ``close``.

    ``path`` None: there are no files, and what would be written is lost, with a line in the log and counted.
    """

    def __init__(self, path: Path | None, metrics: WebhookMetrics) -> None:
        self._path = path
        self._metrics = metrics
        self._own: SpoolFile | None = None
        self._left: deque[Path] = deque()  # files of others that were not looked at yet
        self._reading: SpoolFile | None = None
        self._adopted: list[SpoolFile] = []  # read to the end; the queue does not have all their events yet
        self._read_back: list[Append] = []  # and not returned yet
        self._being_read = False  # a thread is reading what the caller of ``read`` does not have yet
        self.trimmed = False  # what had been taken is not on disk any more
        self._working: asyncio.Task[Any] | None = None  # the last piece of work

    async def open(self, most: int, most_bytes: int) -> list[Append]:
        """Make the file of this process; return what ``read`` returns.

        Raises SockudoError, which names the file, when that can't be done. A disk that is full now is tried again at
        ``close``.
        """
        if self._path is None:
            return []
        await self._work(partial(self._open, self._path, most, most_bytes))
        return self._returned()

    @property
    def unread(self) -> bool:
        """Whether there may be something to ``read`` now."""
        return (self._reading is not None or bool(self._left)) and len(self._adopted) < _FILES_AT_ONCE

    @property
    def all_read(self) -> bool:
        """Whether ``open`` and ``read`` have returned all events that earlier shutdowns left."""
        return not (self._being_read or self._reading is not None or self._left)

    @property
    def untidy(self) -> bool:
        """Whether there are events on disk that have been read, so that ``tidy`` has something to do."""
        return bool(self._adopted) or (self._own is not None and bool(self._own.ids))

    async def read(self, most: int, most_bytes: int) -> list[Append]:
        """Return the next events that other processes left, within these bounds. They stay on disk until ``tidy``.

        A file that can't be read stays as it is, which is logged.
        """
        self._being_read = True
        await self._work(partial(self._read, most, most_bytes, strict=False))
        self._being_read = False
        return self._returned()

    async def tidy(self, left: Sequence[Append]) -> None:
        """Leave on disk only what is ``left``, so that a kill brings nothing back that the queue took.

        That happens once, and again when all of it has been read.
        """
        if self._path is None:
            return
        try:
            await self._work(partial(self._tidy, self._path, left))
        except OSError as error:
            log.warning("the webhook spool file can't be written, it stays as it was", extra={"error": str(error)})

    async def close(self, left: Sequence[Append]) -> None:
        """Write the events that are left, as far as they fit, and close the files. Log and count the lost ones."""
        lost = left
        if self._path is not None:
            left, lost = await self._work(partial(self._close, self._path, left))
            self._metrics.spool_kept.add(amount=len(left) - len(lost))
        elif left:
            log.error(
                "webhook events are lost at shutdown: the queue did not take them and webhooks.spool.path is not set",
                extra={"events": len(left)},
            )
        for event in lost:
            self._metrics.spool_dropped.add(event.app_id)

    async def _work(self, work: Callable[[], T]) -> T:
        """Do something in a thread, after what is under way: a thread goes on when its caller is cancelled."""
        if self._working is not None:
            await asyncio.wait({self._working})
        self._working = task = asyncio.create_task(asyncio.to_thread(work), name="webhook-spool-disk")
        return await asyncio.shield(task)

    def _returned(self) -> list[Append]:
        events, self._read_back = self._read_back, []
        return events

    # What follows is done in threads, one step at a time.

    def _open(self, path: Path, most: int, most_bytes: int) -> None:
        try:
            self._left.extend(candidates(path))
            self._own = create(path)
        except OSError as error:
            if error.errno not in _FULL:
                raise SockudoError(
                    f"webhooks.spool.path: {error.filename or path}: {error.strerror}; name a file in a folder that "
                    "this user may write to, on a disk that knows locks"
                ) from error
            log.warning("the disk of the webhook spool file is full", extra={"error": str(error)})
        try:
            self._read(most, most_bytes, strict=True)
        except OSError as error:
            self._let_go()
            raise SockudoError(
                f"webhooks.spool.path: {error.filename or path}: {error.strerror}; events of an earlier shutdown are "
                "there: make it readable and writable, or move it away"
            ) from error

    def _read(self, most: int, most_bytes: int, *, strict: bool) -> None:
        size = 0
        while self.unread and len(self._read_back) < most and size < most_bytes:
            path = self._reading.path if self._reading is not None else self._left[0]
            try:
                size += self._read_some(most - len(self._read_back), most_bytes - size)
            except OSError as error:
                if strict:
                    raise
                log.error("a webhook spool file can't be read", extra={"file": str(path), "error": str(error)})
                if self._reading is not None:
                    self._reading.close()
                    self._reading = None

    def _read_some(self, most: int, most_bytes: int) -> int:
        """Read on in the file at hand, or begin with the next one. Return how many bytes that were. Raises OSError."""
        file = self._reading
        if file is None:
            file = self._reading = adopt(self._left.popleft())
            if file is None:
                return 0
        before = file.size
        events, bad = file.read(most, most_bytes)
        if bad:
            self._set_aside(file, bad)
        known = [other.ids for other in self._files() if other is not file]  # a kill during ``_rewrite`` leaves copies
        self._read_back += [event for event in events if not any(event.id in ids for ids in known)]
        if file.complete:
            self._adopted.append(file)
            self._reading, self.trimmed = None, False
        return file.size - before

    def _set_aside(self, file: SpoolFile, bad: list[BadLine]) -> None:
        kept = file.path.with_name(f"{self._path.name if self._path else ''}.bad")
        first = "; ".join(f"line {line.number}: {line.problem}" for line in bad[:_LINES_TOLD])
        lines = {"lines": len(bad)}
        try:
            with open(kept, "ab") as end:
                end.writelines(line.text + b"\n" for line in bad)
                end.flush()
                os.fsync(end.fileno())
        except OSError as error:
            file.kept = True
            log.error(
                "%s: lines that hold no event, and can't be moved away (%s): %s", file.path, error, first, extra=lines
            )
            return
        log.error("%s: lines that hold no event were moved to %s: %s", file.path, kept, first, extra=lines)

    def _files(self) -> list[SpoolFile]:
        """Return the files that this process holds."""
        return [file for file in (*self._adopted, self._reading, self._own) if file is not None]

    def _tidy(self, path: Path, left: Sequence[Append]) -> None:
        on_disk = self._on_disk() if left else set()
        waiting = [event for event in left if event.id in on_disk]
        if waiting:
            if not self.trimmed:
                self.trimmed = True  # also when it fails: don't keep trying a full disk
                self._rewrite(path, waiting)
            return
        self.trimmed = False
        old, self._adopted = self._adopted, []
        _remove(old)
        if self._own is not None:
            self._own.clear()

    def _on_disk(self) -> set[str]:
        """Return the ids of the events that were read, or written, and can be read again."""
        return {ident for file in self._files() if file.there() for ident in file.ids}

    def _rewrite(self, path: Path, left: Sequence[Append]) -> None:
        """Have these events, and no others that were read, in a new file. Raises OSError: nothing has changed then."""
        new = create(path)
        written = new.append(left)
        if written.error is not None:
            _remove([new])
            raise written.error
        old = [file for file in (*self._adopted, self._own) if file is not None]
        self._adopted, self._own = [], new
        _remove(old)

    def _close(self, path: Path, left: Sequence[Append]) -> tuple[Sequence[Append], Sequence[Append]]:
        """Return all that was left, and what of it is lost."""
        left = [*self._read_back, *left]
        lost: Sequence[Append] = ()
        if left:
            lost = self._write_down(path, left)
        else:
            try:
                self._tidy(path, ())
            except OSError as error:
                log.warning("the webhook spool file can't be removed", extra={"error": str(error)})
        self._let_go()
        return left, lost

    def _write_down(self, path: Path, left: Sequence[Append]) -> Sequence[Append]:
        on_disk = self._on_disk()
        try:
            if on_disk:
                self._rewrite(path, left)
                on_disk.update(event.id for event in left)
        except OSError:  # the disk may be full: what is there stays, and what is not is added
            pass
        new = [event for event in left if event.id not in on_disk]
        written = self._append(path, new)
        lost = new[written.count :]
        if lost:
            log.error(
                "webhook events are lost at shutdown: the spool file can't be written",
                extra={"events": len(lost), "kept": len(left) - len(lost), "error": str(written.error)},
            )
        elif written.error is not None:
            log.error(
                "webhook events were written to the spool file, but the disk did not confirm it",
                extra={"events": len(left), "error": str(written.error)},
            )
        else:
            log.warning("webhook events were written to the spool file", extra={"events": len(left)})
        return lost

    def _append(self, path: Path, events: Sequence[Append]) -> Written:
        """Write events to the file of this process; its descriptor is there even when no other can be had."""
        if self._own is None or not self._own.there():
            try:
                new = create(path)
            except OSError as error:
                return Written(0, error)
            if self._own is not None:
                self._own.close()
            self._own = new
        return self._own.append(events)

    def _let_go(self) -> None:
        for file in self._files():
            if file.size:
                file.close()
            else:
                _remove([file])


def _remove(files: Iterable[SpoolFile]) -> None:
    for file in files:
        try:
            file.remove()
        except OSError as error:
            log.warning("a webhook spool file can't be removed", extra={"file": str(file.path), "error": str(error)})
