"""Events that gather, as they lie in the file of the SQLite queue: in packs. Pure.

A pack is one row with events that one call of ``append`` added to one lane. They become jobs in their order, so it is
enough to know how many of them are left. When none is, the row goes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from operator import itemgetter

import orjson

from sockudo_py.queues.base import Append, event_of

_MARKS = itemgetter(0, 4, 5)  # id, created_ms and solo of an event
MOST = 100  # events in a pack
_MOST_BYTES = 65_536  # of their texts; one event may be longer


class Packs:
    """Which rows hold the events that gather, lane by lane, in the order in which they become jobs."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[tuple[int, int]]] = {}  # row, and how many events are left

    def add(self, endpoint: str, row: int, left: int) -> None:
        """Note a pack at the end of its lane."""
        self._lanes.setdefault(endpoint, deque()).append((row, left))

    def take(self, endpoint: str, number: int) -> tuple[tuple[int, int], ...]:
        """Note that the next events of a lane have become a job. Returns rows, and how many events are left in each."""
        lane = self._lanes[endpoint]
        changed: list[tuple[int, int]] = []
        while number:
            row, left = lane.popleft()
            changed.append((row, max(0, left - number)))
            if left > number:
                lane.appendleft(changed[-1])
                break
            number -= left
        if not lane:
            del self._lanes[endpoint]
        return tuple(changed)


def portions(events: Sequence[Append]) -> Iterator[Sequence[Append]]:
    """Yield events of one lane as they go into packs."""
    most = MOST
    if len(events) > 1:
        size = sum(map(len, map(event_of, events)))
        most = max(1, min(MOST, len(events) * _MOST_BYTES // max(1, size)))
    for start in range(0, len(events), most):
        yield events[start : start + most]


def pack(events: Sequence[Append]) -> tuple[bytes, bytes]:
    """Return marks and text of a pack.

    The marks are a JSON array of two: ``[id, created_ms, solo]`` for each event, and the bytes of each event's text.
    The text is those of the events, one after the other.
    """
    texts = list(map(event_of, events))
    return orjson.dumps((list(map(_MARKS, events)), list(map(len, texts)))), b"".join(texts)


def unpack(endpoint: str, app_id: str, left: int, marks: bytes, text: bytes) -> list[Append]:
    """Return the events of a pack that are left."""
    events = []
    start = 0
    for (ident, created_ms, solo), size in zip(*orjson.loads(marks), strict=True):
        events.append(Append(ident, endpoint, app_id, text[start : start + size], created_ms, solo))
        start += size
    return events[-left:]
