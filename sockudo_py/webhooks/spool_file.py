"""Events that the queue has not taken, on disk from a shutdown to the next start."""

import asyncio
import base64
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from sockudo_py.errors import SockudoError
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.metrics import WebhookMetrics

log = logging.getLogger(__name__)

_LINES_TOLD = 10  # of those that hold no event


class SpoolFile:
    """The spool file of a process: read at start, tidied once the queue has its events, written at shutdown.

    ``path`` None: there is no file, and what would be written is lost, with a line in the log and counted.
    """

    def __init__(self, path: Path | None, metrics: WebhookMetrics) -> None:
        self._path = path
        self._metrics = metrics
        self.there = False  # the file exists, with events of the last shutdown ...
        self._trimmed = False  # ... and only those that the queue refused
        self._working: asyncio.Task[None] | None = None  # what was done with the file last

    async def read(self) -> list[Append]:
        """Return the events of the last shutdown. They stay in the file until ``tidy``.

        Raises SockudoError when the file is there and can't be read.
        """
        path = self._path
        if path is None:
            return []
        kept = path.with_name(path.name + ".bad")
        try:
            events, bad = await asyncio.to_thread(read_spool, path)
            if bad:
                await asyncio.to_thread(set_aside, path, events, bad, kept)
        except OSError as error:  # to go on would overwrite at the stop what can't be read now
            raise SockudoError(
                f"webhooks.spool.path: {error.filename or path}: {error.strerror}; the events of the last shutdown are"
                " there: make it readable, or move it away"
            ) from error
        if bad:
            first = "; ".join(f"line {line.number}: {line.problem}" for line in bad[:_LINES_TOLD])
            log.error("%s: lines that hold no event were moved to %s: %s", path, kept, first, extra={"lines": len(bad)})
        self.there = bool(events or bad)
        return events

    async def tidy(self, left: Sequence[Append]) -> None:
        """Leave in the file only what the queue refused, so that a kill brings nothing back that it took."""
        path = self._path
        if path is None or (left and self._trimmed):
            return
        try:
            if left:
                self._trimmed = True
                await self._work(partial(write_spool, path, left))
            else:
                self.there = False
                await self._work(partial(path.unlink, missing_ok=True))
        except OSError as error:
            log.warning("the webhook spool file can't be written, it stays as it was", extra={"error": str(error)})

    async def write(self, events: Sequence[Append]) -> None:
        """Write down what is left at shutdown. What can't be written is lost: logged and counted."""
        path = self._path
        if path is None:
            log.error(
                "webhook events are lost at shutdown: the queue did not take them and webhooks.spool.path is not set",
                extra={"events": len(events)},
            )
            self._count_lost(events)
            return
        try:
            await self._work(partial(write_spool, path, events))
        except OSError as error:
            log.error(
                "webhook events are lost at shutdown: the spool file can't be written",
                extra={"events": len(events), "error": str(error)},
            )
            self._count_lost(events)
            return
        log.warning("webhook events were written to the spool file", extra={"events": len(events)})

    async def _work(self, work: Callable[[], None]) -> None:
        """Do something with the file, after what is under way: a thread goes on when its caller is cancelled."""
        if self._working is not None:
            await asyncio.wait({self._working})
        self._working = asyncio.create_task(asyncio.to_thread(work), name="webhook-spool-file")
        await asyncio.shield(self._working)

    def _count_lost(self, events: Iterable[Append]) -> None:
        for event in events:
            self._metrics.spool_dropped.add(event.app_id)


def write_spool(path: Path, events: Iterable[Append]) -> None:
    """Write events to a file, one JSON object a line. The file is whole or not there. Raises OSError."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        for event in events:
            fields = {
                "id": event.id,
                "endpoint": event.endpoint,
                "app_id": event.app_id,
                "event": base64.b64encode(event.event).decode(),
                "created_ms": event.created_ms,
                "solo": event.solo,
            }
            file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a spool file that is no event: which one, what is wrong with it, and its bytes."""

    number: int
    problem: str
    text: bytes


def read_spool(path: Path) -> tuple[list[Append], list[BadLine]]:
    """Return the events of a file (none when there is no file) and the lines that hold none. Raises OSError."""
    try:
        lines: Sequence[bytes] = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    events: list[Append] = []
    bad: list[BadLine] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            events.append(_event(line))
        except ValueError as problem:
            bad.append(BadLine(number, str(problem), line))
    return events, bad


def set_aside(path: Path, events: Iterable[Append], bad: Iterable[BadLine], kept: Path) -> None:
    """Move the bad lines of a file to the end of ``kept``, so that the file holds only ``events``. Raises OSError."""
    with open(kept, "ab") as file:
        file.writelines(line.text + b"\n" for line in bad)
        file.flush()
        os.fsync(file.fileno())
    write_spool(path, events)


_TYPES = {"id": str, "endpoint": str, "app_id": str, "event": str, "created_ms": int, "solo": bool}
_LATEST_MS = 10**16 - 1  # what every queue can hold


def _event(line: bytes) -> Append:
    """Return the event of a line; raise ValueError with what is wrong. A person may have written it."""
    try:
        fields = orjson.loads(line)
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("is not a JSON object")
    for name, kind in _TYPES.items():
        if type(fields.get(name)) is not kind:
            raise ValueError(f"{name} is missing or of another type than {kind.__name__}")
        if fields[name] == "":
            raise ValueError(f"{name} is empty")
    if not 0 <= fields["created_ms"] <= _LATEST_MS:
        raise ValueError("created_ms is not a Unix time in milliseconds")
    try:
        event = base64.b64decode(fields["event"], validate=True)
        sound = isinstance(orjson.loads(event), dict)
    except ValueError:
        sound = False
    if not sound:  # it would spoil the whole batch that it becomes a part of
        raise ValueError("event is not a JSON object in base64")
    return Append(fields["id"], fields["endpoint"], fields["app_id"], event, fields["created_ms"], fields["solo"])
