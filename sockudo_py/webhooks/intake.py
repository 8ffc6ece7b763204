"""Changes in, events for the endpoints that want them out. ``add`` is called at every join, leave and client event.

What comes together is worked on together: a *run* is of changes of one kind, in one app and one millisecond. So time,
routes, metrics and limits cost something once per run, and each event only what is its own.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from itertools import repeat
from operator import attrgetter

from sockudo_py.changes import Change
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.events import CONNECTION_EVENTS, EVENT_NAMES, shares, texts_of
from sockudo_py.webhooks.filters import ChannelTest
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.registry import Route, Routes

LONGEST_RUN = 256  # changes; they are in memory beyond the bounds of the spool

_new = tuple.__new__  # a call of ``Append`` takes twice as long, and it is made for each event
_TRUE, _FALSE = repeat(True), repeat(False)
_NUMBERS = tuple(map(str, range(LONGEST_RUN)))
_CHANNEL: Callable[[Change], str] = attrgetter("channel")


class Intake:
    """Makes events of changes.

    Args:
        routes: Of every app, as ``EndpointRegistry.routes``.
        metrics: Where to count.
        put: Gets the events of one endpoint, in order. At ``settle``, or when the next run begins.
        wake: Called when a run begins: ``settle`` is to be called soon.
        clock: Unix seconds.
    """

    def __init__(
        self,
        routes: dict[str, Routes],
        metrics: WebhookMetrics,
        *,
        put: Callable[[str, list[Append]], None],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._routes = routes
        self._metrics = metrics
        self._put = put
        self._wake = wake
        self._clock = clock
        self._run: list[Change] = []
        self._wanted: tuple[Route, ...] | None = None  # by whom; an object of this app and this kind of change alone
        self._time_ms, self._since, self._until = 0, 0.0, 0.0
        self._id_prefix = f"dl_{secrets.token_hex(8)}_"
        self._groups = 0

    def add(self, change: Change) -> None:
        """Make an event for every endpoint that wants to hear of ``change``. Never blocks, never raises."""
        routes = self._routes.get(change.app_id)
        if routes is None:
            return
        wanted = routes.get(type(change))
        if wanted is None:
            return
        now = self._clock()
        if wanted is not self._wanted or not self._since <= now < self._until or len(self._run) == LONGEST_RUN:
            self.settle()
            self._time_ms = time_ms = int(now * 1000)
            self._since, self._until = time_ms / 1000, (time_ms + 1) / 1000
            self._wanted = wanted
            self._wake()
        self._run.append(change)

    def settle(self) -> None:
        """End the run: put its events."""
        wanted, run = self._wanted, self._run
        if wanted is None:
            return
        self._wanted, self._run = None, []
        name, time_ms = EVENT_NAMES[type(run[0])], self._time_ms
        self._metrics.events.add(run[0].app_id, name, amount=len(run))
        all_texts: list[bytes] | None = None
        for route in wanted:
            heard = run if route.test is None or name in CONNECTION_EVENTS else self._filtered(route.test, run)
            if heard is run:
                texts = all_texts = all_texts or texts_of(run, time_ms)
            else:
                texts = texts_of(heard, time_ms)
            if heard:
                self._put(route.endpoint, self._appends(route.endpoint, name, heard, texts, time_ms))

    def _filtered(self, test: ChannelTest, run: list[Change]) -> list[Change]:
        """Return those of a run, which have a channel, that pass a filter; the very list when all do."""
        passing = {channel for channel in set(map(_CHANNEL, run)) if test(channel)}
        heard = [change for change in run if _CHANNEL(change) in passing]
        if len(heard) == len(run):
            return run
        self._metrics.filtered.add(amount=len(run) - len(heard))
        return heard

    def _appends(
        self, endpoint: str, name: str, changes: list[Change], texts: list[bytes], time_ms: int
    ) -> list[Append]:
        self._groups += 1
        prefix = f"{self._id_prefix}{self._groups}_"
        app_id = changes[0].app_id
        return [
            _new(Append, (prefix + number, endpoint, app_id, text, time_ms, solo, True))
            for number, text, solo in zip(_NUMBERS, texts, _solos(name, changes), strict=False)
        ]


def _solos(name: str, changes: list[Change]) -> Iterable[bool]:
    """Return for each of these changes whether its event must be alone; it may go on after them."""
    if name in CONNECTION_EVENTS:
        return _TRUE
    for channel in set(map(_CHANNEL, changes)):
        if not shares(name, channel):
            return [not shares(name, _CHANNEL(change)) for change in changes]
    return _FALSE
