"""Events that the queue has not taken yet, bounded in memory."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sockudo_py.queues.base import Append, event_of

_OVERHEAD = 280  # bytes that an event costs besides its text, as measured by tests/unit/test_memory.py


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much may wait in memory, and where it goes at shutdown: files whose names begin so (None: it is lost)."""

    max_events: int = 100_000
    max_bytes: int = 67_108_864
    path: Path | None = None


class Spool:
    """First in, first out per endpoint, in turn between endpoints.

    Endpoints whose events the queue refused are *held back*: ``take`` passes them over, ``probe`` asks for some of one.
    When the spool is full, the app that has most loses the oldest events of its endpoint that has most.
    """

    __slots__ = ("_bytes", "_held", "_lines", "_max_bytes", "_max_events", "count")

    def __init__(self, limits: SpoolLimits) -> None:
        self._lines: dict[str, deque[Append]] = {}
        self._held: dict[str, deque[Append]] = {}
        self._bytes = 0
        self._max_events, self._max_bytes = limits.max_events, limits.max_bytes
        self.count = 0

    def put(self, event: Append) -> bool:
        """Add an event. Return True when that is more than the spool may hold: call ``overflow`` then."""
        return self.extend(event.endpoint, (event,))

    def extend(self, endpoint: str, events: Sequence[Append]) -> bool:
        """Add events of one endpoint. Return as ``put`` does."""
        line = self._lines.get(endpoint)
        if line is None:
            line = self._held.get(endpoint)
            if line is None:
                line = self._lines[endpoint] = deque()
        line.extend(events)
        self.count += len(events)
        self._bytes += _size(events)
        return self._over()

    def _over(self) -> bool:
        return self.count > self._max_events or self._bytes > self._max_bytes

    def room(self) -> tuple[int, int]:
        """Return how many events and bytes are missing for the spool to be half full; at most 0: it is."""
        return (self._max_events + 1) // 2 - self.count, (self._max_bytes + 1) // 2 - self._bytes

    def overflow(self) -> list[Append]:
        """Drop the oldest events of the noisiest until the rest fits; return them.

        A thousandth more goes than must, so that a flood does not have to look for the noisiest at every event.
        """
        dropped: list[Append] = []
        count = self.count - self.count // 1000
        while self.count and (self.count >= count or self._over()):
            line = self._noisiest()
            while line and (self.count >= count or self._over()):
                dropped.append(self._pop(line))
        self._lines = {endpoint: line for endpoint, line in self._lines.items() if line}
        return dropped

    def take(self, limit: int) -> list[Append]:
        """Remove and return up to ``limit`` events; every endpoint that is not held back gets its share."""
        if self.count <= limit and not self._held:
            return self.drain()
        taken: list[Append] = []
        share = max(1, limit // max(1, len(self._lines)))
        for endpoint in list(self._lines):
            line = self._lines.pop(endpoint)
            taken += self._pop_many(line, min(share, limit - len(taken)))
            if line:  # to the end of the turn
                self._lines[endpoint] = line
            if len(taken) >= limit:
                break
        return taken

    def hold_back(self, events: Iterable[Append]) -> bool:
        """Put refused events back where they were, before what came since. Return as ``put`` does."""
        refused: dict[str, list[Append]] = {}
        for event in events:
            refused.setdefault(event.endpoint, []).append(event)
            self.count += 1
            self._bytes += len(event.event) + _OVERHEAD
        for endpoint, older in refused.items():
            line = self._lines.pop(endpoint, None)
            if line is None:
                line = self._held.get(endpoint, deque())
            line.extendleft(reversed(older))
            self._held[endpoint] = line
        return self._over()

    @property
    def held_back(self) -> int:
        """How many events are held back."""
        return sum(map(len, self._held.values()))

    def held(self, endpoint: str) -> int:
        """Return how many events of an endpoint are held back."""
        return len(self._held.get(endpoint, ()))

    def probe(self, endpoint: str, limit: int) -> list[Append]:
        """Remove and return up to ``limit`` events of an endpoint that is held back, and goes on being it."""
        line = self._held[endpoint]
        return self._pop_many(line, limit)

    def free(self, endpoint: str) -> None:
        """Hold an endpoint back no longer."""
        line = self._held.pop(endpoint)
        if line:
            self._lines[endpoint] = line

    def all(self) -> list[Append]:
        """Return all there is, the events of each endpoint in their order."""
        return list(chain.from_iterable((*self._lines.values(), *self._held.values())))

    def drain(self) -> list[Append]:
        """Remove and return all there is, as ``all`` does."""
        events = self.all()
        self._lines, self._held, self._bytes, self.count = {}, {}, 0, 0
        return events

    def _noisiest(self) -> deque[Append]:
        """Return the fullest line of the app that has most."""
        lines = [line for line in (*self._lines.values(), *self._held.values()) if line]
        apps: Counter[str] = Counter()
        for line in lines:
            apps[line[0].app_id] += len(line)
        app_id = apps.most_common(1)[0][0]
        return max((line for line in lines if line[0].app_id == app_id), key=len)

    def _pop_many(self, line: deque[Append], most: int) -> list[Append]:
        events = [line.popleft() for _ in range(min(most, len(line)))]
        self.count -= len(events)
        self._bytes -= _size(events)
        return events

    def _pop(self, line: deque[Append]) -> Append:
        event = line.popleft()
        self.count -= 1
        self._bytes -= len(event.event) + _OVERHEAD
        return event


def _size(events: Sequence[Append]) -> int:
    if len(events) == 1:
        return len(events[0].event) + _OVERHEAD
    return sum(map(len, map(event_of, events))) + _OVERHEAD * len(events)
