"""The flight recorder: the last refusals of each app, and the last rows of the connections that are looked into."""

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sockudo_py.tap.row import Row

MOST_REFUSALS: Final = 100  # kept for each app; equal ones are counted in one
MOST_APPS: Final = 1000
MOST_TEXT: Final = 1200  # characters of what a client was told
MOST_FLIGHTS: Final = 500  # connections whose rows are kept
FLIGHT_BYTES: Final = 1024  # of rows for each of them
FLIGHT_SECONDS: Final = 600.0  # after a refusal, or after an operator asked
_LONGEST_ROW: Final = 300


@dataclass(slots=True)
class Refusal:
    """One refusal, or several equal ones. Times are Unix milliseconds."""

    what: str
    reason: str
    error: str
    app_id: str
    socket_id: str | None
    channel: str | None
    address: str
    more: Mapping[str, object]
    first_ms: int
    last_ms: int
    count: int = 1


@dataclass(slots=True)
class Flight:
    """The rows of one connection, as JSON, oldest first. ``watched``: an operator asked for it."""

    until: float
    watched: bool = False
    rows: deque[bytes] = field(default_factory=deque)
    size: int = 0


class Recorder:
    """Keeps refusals and flights, within bounds.

    Args:
        clock: Unix seconds.
        changed: Called when ``flights`` or ``watched`` has changed.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._refusals: OrderedDict[str, OrderedDict[tuple[object, ...], Refusal]] = OrderedDict()
        self.flights: OrderedDict[str, Flight] = OrderedDict()
        self.watched = 0

    # -- refusals

    def refused(
        self,
        what: str,
        reason: str,
        error: str,
        app_id: str,
        socket_id: str | None,
        channel: str | None,
        address: str,
        more: Mapping[str, object],
    ) -> None:
        """Keep a refusal; one that is like an earlier one, of the same origin, is counted there."""
        now = int(self._clock() * 1000)
        kept = self._refusals.get(app_id)
        if kept is None:
            if len(self._refusals) >= MOST_APPS:
                self._refusals.popitem(last=False)
            kept = self._refusals[app_id] = OrderedDict()
        key = (what, reason, channel, address)
        found = kept.get(key)
        if found is None:
            if len(kept) >= MOST_REFUSALS:
                kept.popitem(last=False)
            kept[key] = Refusal(what, reason, error, app_id, socket_id, channel, address, more, now, now)
            return
        kept.move_to_end(key)
        found.error, found.socket_id, found.more = error, socket_id, more
        found.last_ms = now
        found.count += 1

    def refusals(self, app_id: str | None = None) -> list[Refusal]:
        """Return the refusals of an app, or all, the last one first."""
        kept = self._refusals.values() if app_id is None else [self._refusals.get(app_id, OrderedDict())]
        return sorted((one for some in kept for one in some.values()), key=lambda one: one.last_ms, reverse=True)

    # -- flights

    def begin(self, socket_id: str) -> None:
        """Keep the rows of a connection from now on, for FLIGHT_SECONDS: it was refused something."""
        self._keep(socket_id, watched=False)

    def watch(self, socket_id: str) -> None:
        """Keep all rows of a connection from now on, with its messages: an operator looks at it."""
        self._keep(socket_id, watched=True)

    def _keep(self, socket_id: str, *, watched: bool) -> None:
        until = self._clock() + FLIGHT_SECONDS
        flight = self.flights.get(socket_id)
        if flight is None:
            self._expire()
            if len(self.flights) >= MOST_FLIGHTS:
                self._drop(next(iter(self.flights)))
            flight = self.flights[socket_id] = Flight(until)
        flight.until = until
        self.flights.move_to_end(socket_id)
        if watched and not flight.watched:
            flight.watched = True
            self.watched += 1
        self._changed()

    def note(self, row: Row) -> None:
        """Keep a row, if its connection is recorded."""
        socket_id = row.socket_id or ""
        flight = self.flights.get(socket_id)
        if flight is None:
            return
        now = self._clock()
        if now > flight.until:
            self._drop(socket_id)
            self._changed()
            return
        shown: dict[str, Any] = {"at": int(now * 1000), "kind": row.kind}
        if row.channel is not None:
            shown["channel"] = row.channel[:100]
        for name, value in row.details().items():
            if value not in (None, ""):
                shown[name] = value[:160] if isinstance(value, str) else value
        text = json.dumps(shown, separators=(",", ":")).encode()
        if len(text) > _LONGEST_ROW:
            least = {name: shown[name] for name in ("at", "kind", "reason") if name in shown}
            text = json.dumps({**least, "cut": True}, separators=(",", ":")).encode()
        flight.rows.append(text)
        flight.size += len(text)
        while flight.size > FLIGHT_BYTES:
            flight.size -= len(flight.rows.popleft())

    def flight(self, socket_id: str) -> list[Any]:
        """Return the rows of a connection, oldest first; none where it is not recorded."""
        flight = self.flights.get(socket_id)
        return [] if flight is None else [json.loads(row) for row in flight.rows]

    def expire(self) -> None:
        """Forget the flights that are over."""
        if self._expire():
            self._changed()

    def _expire(self) -> bool:
        now = self._clock()
        over = [socket_id for socket_id, flight in self.flights.items() if flight.until < now]
        for socket_id in over:
            self._drop(socket_id)
        return bool(over)

    def _drop(self, socket_id: str) -> None:
        if self.flights.pop(socket_id).watched:
            self.watched -= 1
