"""Events that the queue could not take yet: bounded in memory, and on disk over a shutdown."""

import base64
import os
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from sockudo_py.queues.base import Append

_OVERHEAD = 200  # bytes that an event costs besides its text


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much may wait in memory, and where the rest of it goes at shutdown (None: nowhere, it is lost)."""

    max_events: int = 100_000
    max_bytes: int = 67_108_864
    path: Path | None = None


class Spool:
    """First in, first out per app, in turn between apps. When it is full, the app that has most loses its oldest."""

    __slots__ = ("_apps", "_bytes", "_limits", "count")

    def __init__(self, limits: SpoolLimits) -> None:
        self._apps: dict[str, deque[Append]] = {}
        self._bytes = 0
        self._limits = limits
        self.count = 0

    def put(self, event: Append) -> bool:
        """Add an event. Return True when that is more than the spool may hold: call ``overflow`` then."""
        waiting = self._apps.get(event.app_id)
        if waiting is None:
            waiting = self._apps[event.app_id] = deque()
        waiting.append(event)
        self.count = count = self.count + 1
        self._bytes = size = self._bytes + len(event.event) + _OVERHEAD
        return count > self._limits.max_events or size > self._limits.max_bytes

    def _over(self) -> bool:
        return self.count > self._limits.max_events or self._bytes > self._limits.max_bytes

    def overflow(self) -> Counter[str]:
        """Drop the oldest events of the noisiest apps until the rest fits; return how many, by app.

        A thousandth more goes than must, so that a flood does not have to look for the noisiest app at every event.
        """
        dropped: Counter[str] = Counter()
        count = self.count - self.count // 1000
        while self._apps and (self.count >= count or self._over()):
            app_id = max(self._apps, key=lambda key: len(self._apps[key]))
            while app_id in self._apps and (self.count >= count or self._over()):
                self._pop(app_id)
                dropped[app_id] += 1
        return dropped

    def take(self, limit: int) -> list[Append]:
        """Remove and return up to ``limit`` events; every app gets its share."""
        taken: list[Append] = []
        share = max(1, limit // max(1, len(self._apps)))
        for app_id in list(self._apps):
            for _ in range(min(share, limit - len(taken))):
                taken.append(self._pop(app_id))
                if app_id not in self._apps:
                    break
            if app_id in self._apps:  # to the end of the line
                self._apps[app_id] = self._apps.pop(app_id)
            if len(taken) >= limit:
                break
        return taken

    def _pop(self, app_id: str) -> Append:
        waiting = self._apps[app_id]
        event = waiting.popleft()
        if not waiting:
            del self._apps[app_id]
        self.count -= 1
        self._bytes -= len(event.event) + _OVERHEAD
        return event


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


def read_spool(path: Path) -> tuple[list[Append], int]:
    """Return the events of a file (none when there is no file) and the number of unreadable lines. Raises OSError."""
    try:
        lines: Sequence[bytes] = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], 0
    events: list[Append] = []
    bad = 0
    for line in lines:
        try:
            fields = orjson.loads(line)
            events.append(
                Append(
                    id=fields["id"],
                    endpoint=fields["endpoint"],
                    app_id=fields["app_id"],
                    event=base64.b64decode(fields["event"], validate=True),
                    created_ms=int(fields["created_ms"]),
                    solo=bool(fields["solo"]),
                )
            )
        except (ValueError, KeyError, TypeError):
            bad += 1
    return events, bad
