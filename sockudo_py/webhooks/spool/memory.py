"""Events that the queue has not taken yet, bounded in memory."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sockudo_py.queues.base import Append, event_of
from sockudo_py.webhooks.spool.noise import OVERHEAD, Cuts, size_of, totals_of

_SPARE = 32  # a look for noisy clients may drop one part in 32 of the spool: it costs 20 ms then


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much may wait in memory, and where it goes at shutdown: files whose names begin so (None: it is lost)."""

    max_events: int = 100_000
    max_bytes: int = 67_108_864
    path: Path | None = None


class Spool:
    """First in, first out per endpoint, in turn between endpoints.

    Endpoints whose events the queue refused are *held back*: ``take`` passes them over, ``probe`` asks for some of one.
    When the spool is full, the noisiest connections lose their oldest events, then the noisiest addresses
    (``noise.py``), then the app that has most, of its endpoint that has most.
    """

    __slots__ = (
        "_bytes",
        "_calm",
        "_held",
        "_lines",
        "_mark",
        "_mark_bytes",
        "_mark_events",
        "_max_bytes",
        "_max_events",
        "count",
    )

    def __init__(self, limits: SpoolLimits) -> None:
        self._lines: dict[str, deque[Append]] = {}
        self._held: dict[str, deque[Append]] = {}
        self._bytes = 0
        self._max_events, self._max_bytes = limits.max_events, limits.max_bytes
        self._calm = 0  # events that may be dropped before the next look for noisy clients, since there were none
        self.count = 0
        self.mark = 1.0

    @property
    def mark(self) -> float:
        """The share from which on ``put`` tells; 1.0, or more: only when it is too full."""
        return self._mark

    @mark.setter
    def mark(self, share: float) -> None:
        self._mark = min(1.0, share)
        self._mark_events = int(self._max_events * self._mark)
        self._mark_bytes = int(self._max_bytes * self._mark)

    @property
    def share(self) -> float:
        """How full it is: 1.0 is as much as it may hold."""
        return max(self.count / self._max_events, self._bytes / self._max_bytes)

    @property
    def nearly_full(self) -> bool:
        """Whether events that the queue has room for fill three quarters of the spool."""
        return self.count * 4 > self._max_events * 3 and (self.count - self.held_back) * 4 > self._max_events * 3

    @property
    def in_bytes(self) -> bool:
        """Whether the limit of bytes will be reached before that of events."""
        return self._bytes * self._max_events > self.count * self._max_bytes

    @property
    def whole(self) -> int:
        """How many events, or bytes where it is ``in_bytes``, it may hold."""
        return self._max_bytes if self.in_bytes else self._max_events

    @property
    def too_full(self) -> bool:
        """Whether there is more than it may hold: call ``overflow`` then."""
        return self.count > self._max_events or self._bytes > self._max_bytes

    def put(self, event: Append) -> bool:
        """Add an event. Return True when it is fuller than its mark."""
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
        return self.count > self._mark_events or self._bytes > self._mark_bytes

    def room(self) -> tuple[int, int]:
        """Return how many events and bytes are missing for the spool to be half full; at most 0: it is."""
        return (self._max_events + 1) // 2 - self.count, (self._max_bytes + 1) // 2 - self._bytes

    def overflow(self) -> list[Append]:
        """Drop the oldest events of the noisiest until the rest fits; return them.

        More goes than must, so that a flood does not have to look for the noisiest at every event: of the noisy a 32nd
        of what may be here, and where no client is noisy a thousandth.
        """
        dropped: list[Append] = []
        if self._calm <= 0:
            self._drop_noisy(dropped)
            if not dropped:
                self._calm = self._max_events // _SPARE
        if self.too_full:
            self._drop_oldest(dropped)
        self._calm -= len(dropped)
        self._lines = {endpoint: line for endpoint, line in self._lines.items() if line}
        return dropped

    def _drop_noisy(self, dropped: list[Append]) -> None:
        in_bytes, whole = self.in_bytes, self.whole
        excess = self._bytes - self._max_bytes if in_bytes else self.count - self._max_events
        cuts = Cuts(totals_of(self.all(), in_bytes=in_bytes), excess + whole // _SPARE, whole)
        for lines in (self._lines, self._held):
            for endpoint in sorted(lines, key=lambda one: -len(lines[one])):
                if cuts.left > 0:
                    lines[endpoint] = self._cut(lines[endpoint], cuts, dropped, in_bytes=in_bytes)

    def _cut(self, line: deque[Append], cuts: Cuts, dropped: list[Append], *, in_bytes: bool) -> deque[Append]:
        kept: deque[Append] = deque()
        for event in line:
            if cuts.takes(event.source, size_of(event) if in_bytes else 1):
                self.count -= 1
                self._bytes -= size_of(event)
                dropped.append(event)
            else:
                kept.append(event)
        return kept

    def _drop_oldest(self, dropped: list[Append]) -> None:
        count = self.count - self.count // 1000
        while self.count and (self.count >= count or self.too_full):
            line = self._noisiest()
            while line and (self.count >= count or self.too_full):
                dropped.append(self._pop(line))

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
            self._bytes += size_of(event)
        for endpoint, older in refused.items():
            line = self._lines.pop(endpoint, None)
            if line is None:
                line = self._held.get(endpoint, deque())
            line.extendleft(reversed(older))
            self._held[endpoint] = line
        return self.count > self._mark_events or self._bytes > self._mark_bytes

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
        """Return the longest line of the app that has the most events."""
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
        self._bytes -= size_of(event)
        return event


def _size(events: Sequence[Append]) -> int:
    if len(events) == 1:
        return len(events[0].event) + OVERHEAD
    return sum(map(len, map(event_of, events))) + OVERHEAD * len(events)
