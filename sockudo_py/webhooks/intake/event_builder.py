"""Changes in, events for the endpoints that want them out. ``add`` is called at every join, leave and client event.

What comes together is worked on together: a *run* is of changes of one kind, in one app and one millisecond. So time,
routes, metrics and limits cost something once per run, and each event only what is its own.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from itertools import compress, repeat
from operator import attrgetter

from sockudo_py.changes import Change, Transition
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.endpoints.filters import ChannelTest
from sockudo_py.webhooks.endpoints.registry import Route, Routes
from sockudo_py.webhooks.events import CONNECTION_EVENTS, EVENT_NAMES, shares, texts_of
from sockudo_py.webhooks.intake.occupancies import Occupancies, transitions
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.metrics import WebhookMetrics

LONGEST_RUN = 256  # changes; they are in memory beyond the bounds of the spool

_new = tuple.__new__  # a call of ``Append`` takes twice as long, and it is made for each event
_TRUE, _FALSE = repeat(True), repeat(False)
_NUMBERS = tuple(map(str, range(LONGEST_RUN)))
_CHANNEL: Callable[[Change], str] = attrgetter("channel")
_SOURCE: Callable[[Change], Source | None] = attrgetter("source")


class EventBuilder:
    """Makes events of changes.

    Args:
        routes: Of every app, as ``EndpointRegistry.routes``.
        metrics: Where to count.
        put: Gets the events of one endpoint, in order. At ``settle``, or when the next run begins.
        wake: Called when a run begins: ``settle`` is to be called soon.
        receipts: Gets to know what is to be called when the queue has the events of a change.
        occupancies: What deals with those kinds that the ledger goes with, where there is one.
        clock: Unix seconds.
    """

    def __init__(
        self,
        routes: dict[str, Routes],
        metrics: WebhookMetrics,
        *,
        put: Callable[[str, list[Append]], None],
        wake: Callable[[], None],
        receipts: Receipts,
        occupancies: Occupancies | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._occupancies = occupancies
        self._routes = routes
        self._metrics = metrics
        self._put = put
        self._wake = wake
        self._receipts = receipts
        self._clock = clock
        self._run: list[Change] = []
        self._wanted: tuple[Route, ...] | None = None  # routes of the run; identity means same app and same kind
        self._time_ms, self._since, self._until = 0, 0.0, 0.0
        self._id_prefix = f"dl_{secrets.token_hex(8)}_"
        self._groups = 0

    def add(self, change: Change, stored: Callable[[], None] | None = None, /) -> None:
        """Make an event for every endpoint that wants to hear of ``change``. Never blocks, never raises.

        ``stored`` is called when the queue has them all, see ``OnChange``.
        """
        routes = self._routes.get(change.app_id)
        if routes is None or (wanted := routes.get(type(change))) is None:
            if stored is not None:
                stored()
            return
        if stored is not None and isinstance(change, Transition):
            self._add_transition(wanted, change, stored)
            return
        now = self._clock()
        if wanted is not self._wanted or not self._since <= now < self._until or len(self._run) == LONGEST_RUN:
            self.settle()
            self._time_ms = time_ms = int(now * 1000)
            self._since, self._until = time_ms / 1000, (time_ms + 1) / 1000
            self._wanted = wanted
            self._wake()
        self._run.append(change)

    def _add_transition(self, wanted: tuple[Route, ...], change: Transition, stored: Callable[[], None]) -> None:
        """Put the events of a change that somebody answers for until ``stored``: they keep its id and its time."""
        self.settle()  # what came before goes before
        channel, name = change.channel, EVENT_NAMES[type(change)]
        hearing = [route.endpoint for route in wanted if route.test is None or route.test(channel)]
        self._metrics.events.add(change.app_id, name)
        if len(hearing) < len(wanted):
            self._metrics.filtered.add(amount=len(wanted) - len(hearing))
        if not hearing:
            stored()
            return
        time_ms = int(self._clock() * 1000) if change.time_ms is None else change.time_ms
        text, solo = texts_of((change,), time_ms)[0], not shares(name, channel)
        events = [
            Append(f"t_{change.id}_{endpoint}", endpoint, change.app_id, text, time_ms, solo, True, change.source)
            for endpoint in hearing
        ]
        self._receipts.expect([event.id for event in events], stored)
        for event in events:
            self._put(event.endpoint, [event])
        self._wake()

    def settle(self) -> None:
        """End the run: put its events."""
        wanted, run = self._wanted, self._run
        if wanted is None:
            return
        self._wanted, self._run = None, []
        if self._occupancies is not None and transitions(run):
            self._occupancies.settle(wanted, run, self._time_ms)
            return
        name, time_ms = EVENT_NAMES[type(run[0])], self._time_ms
        self._metrics.events.add(run[0].app_id, name, amount=len(run))
        if len(run) == 1:
            self._settle_one(wanted, run[0], name)
            return
        passing = [None if name in CONNECTION_EVENTS else _passing(route.test, run) for route in wanted]
        heard = _heard(run, passing)
        texts = texts_of(heard, time_ms)  # once: endpoints share them, so that many of them cost little memory
        solos = _solos(name, heard)
        for route, channels in zip(wanted, passing, strict=True):
            if channels is None:
                events = self._appends(route.endpoint, run[0].app_id, heard, texts, solos)
            else:
                passes = [channel in channels for channel in map(_CHANNEL, heard)]
                passing_ones = (compress(heard, passes), compress(texts, passes), compress(solos, passes))
                events = self._appends(route.endpoint, run[0].app_id, *passing_ones)
                self._metrics.filtered.add(amount=len(run) - len(events))
            if events:
                self._put(route.endpoint, events)

    def _settle_one(self, wanted: tuple[Route, ...], change: Change, name: str) -> None:
        """Put the events of a run of one change, as when kinds alternate: what many share would cost it double."""
        channel = None if name in CONNECTION_EVENTS else _CHANNEL(change)
        app_id, time_ms = change.app_id, self._time_ms
        text: bytes | None = None
        solo = False
        for route in wanted:
            if channel is not None and route.test is not None and not route.test(channel):
                self._metrics.filtered.add()
                continue
            if text is None:
                text, solo = texts_of((change,), time_ms)[0], not shares(name, channel)
            self._groups += 1
            ident = f"{self._id_prefix}{self._groups}_0"
            fields = (ident, route.endpoint, app_id, text, time_ms, solo, True, change.source)
            self._put(route.endpoint, [_new(Append, fields)])

    def _appends(
        self, endpoint: str, app_id: str, changes: Iterable[Change], texts: Iterable[bytes], solos: Iterable[bool]
    ) -> list[Append]:
        self._groups += 1
        prefix, time_ms = f"{self._id_prefix}{self._groups}_", self._time_ms
        return [
            _new(Append, (prefix + number, endpoint, app_id, text, time_ms, solo, True, source))
            for number, text, solo, source in zip(_NUMBERS, texts, solos, map(_SOURCE, changes), strict=False)
        ]


def _passing(test: ChannelTest | None, run: list[Change]) -> set[str] | None:
    """Return the channels of a run that pass a filter; None when all do."""
    if test is None:
        return None
    channels = set(map(_CHANNEL, run))
    passing = {channel for channel in channels if test(channel)}
    return None if len(passing) == len(channels) else passing


def _heard(run: list[Change], passing: list[set[str] | None]) -> list[Change]:
    """Return the changes of a run that at least one endpoint hears of."""
    somewhere: set[str] = set()
    for channels in passing:
        if channels is None:
            return run
        somewhere |= channels
    return [change for change in run if _CHANNEL(change) in somewhere]


def _solos(name: str, changes: list[Change]) -> Iterable[bool]:
    """Return for each of these changes whether its event must be alone; it may go on after them."""
    if name in CONNECTION_EVENTS:
        return _TRUE
    for channel in set(map(_CHANNEL, changes)):
        if not shares(name, channel):
            return [not shares(name, _CHANNEL(change)) for change in changes]
    return _FALSE
