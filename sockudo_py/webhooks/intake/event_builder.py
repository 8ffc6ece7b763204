"""Changes in, events for the endpoints that want them out. ``add`` is called at every join, leave and client event.

What comes together is worked on together, whatever its kinds and apps: ``add`` only stamps a change and keeps it in the
*run*; ``settle`` makes the events of a run, so that its loop and its metrics cost something once, and each event only
what is its own.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count, islice
from operator import itemgetter

from sockudo_py.changes import Change, Transition
from sockudo_py.queues.base import Append, make_append
from sockudo_py.webhooks.endpoints.registry import Audience, Routes
from sockudo_py.webhooks.events import ENCRYPTED_PREFIX, TextWriter
from sockudo_py.webhooks.intake.occupancies import BEGINS, ENDS, Occupancies
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.metrics import WebhookMetrics

_audience_of: Callable[[tuple[float, Audience, Change]], Audience] = itemgetter(1)
LONGEST_RUN = 256  # changes; they are in memory beyond the bounds of the spool


class EventBuilder:
    """Makes events of changes.

    Args:
        routes: Of every app, as ``EndpointRegistry.routes``.
        metrics: Where to count.
        put: Gets the events of one endpoint, in order. At ``settle``, or when the run is full.
        wake: Called when a run begins: ``settle`` is to be called soon. True: as soon as possible; called then at each
            such change.
        receipts: Gets to know what is to be called when the queue has the events of a change.
        occupancies: Gets to know what begins and what ends, where there is a ledger.
        clock: Unix seconds.
    """

    def __init__(
        self,
        routes: dict[str, Routes],
        metrics: WebhookMetrics,
        *,
        put: Callable[[str, list[Append]], None],
        wake: Callable[[bool], None],
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
        self._run: list[tuple[float, Audience, Change]] = []
        self._writer = TextWriter()
        self._ids = map(f"dl_{secrets.token_hex(8)}_".__add__, map(str, count()))

    def add(self, change: Change, stored: Callable[[], None] | None = None, /) -> None:
        """Make an event of ``change`` for every endpoint that wants it. Never blocks, never raises.

        ``stored`` is called when the queue has them all, see ``OnChange``.
        """
        routes = self._routes.get(change.app_id)
        if routes is None or (audience := routes.get(type(change))) is None:
            if stored is not None:
                stored()
            return
        if stored is not None and isinstance(change, Transition):
            self._add_transition(audience, change, stored)
            return
        run = self._run
        if len(run) == LONGEST_RUN:
            self.settle()
            self._wake(True)
            run = self._run
        if audience.urgent:
            self._wake(True)
        elif not run:
            self._wake(False)
        run.append((self._clock(), audience, change))

    def _add_transition(self, audience: Audience, change: Transition, stored: Callable[[], None]) -> None:
        """Put the events of a change that its adapter keeps until ``stored``: they have its id and its time."""
        self.settle()  # what came before goes before
        channel = change.channel
        hearing = audience.hearing(channel) or ()
        self._metrics.events.add(change.app_id, audience.name)
        if len(hearing) < len(audience.routes):
            self._metrics.filtered.add(amount=len(audience.routes) - len(hearing))
        if not hearing:
            stored()
            return
        time_ms = int(self._clock() * 1000) if change.time_ms is None else change.time_ms
        text, solo = self._writer.text(change, time_ms), channel.startswith(ENCRYPTED_PREFIX)
        events = [
            Append(f"t_{change.id}_{endpoint}", endpoint, change.app_id, text, time_ms, solo, True, change.source)
            for endpoint in hearing
        ]
        self._receipts.expect([event.id for event in events], stored)
        for event in events:
            self._put(event.endpoint, [event])
        self._wake(True)

    def settle(self) -> None:
        """End the run: put its events."""
        run = self._run
        if not run:
            return
        self._run = []
        occupancies, write, fresh_ids = self._occupancies, self._writer.text, self._ids
        lines: dict[str, list[Append]] = {}  # so endpoints share a text: many of them cost little memory
        filtered = 0
        tested: tuple[Audience, str] | None = None  # whose filters were asked about which channel last
        passing: tuple[str, ...] | None = None  # the answer
        for now, audience, change in run:
            hearing = audience.everybody
            if audience.has_channel:
                channel: str = change.channel  # type: ignore[union-attr]
                solo = channel.startswith(ENCRYPTED_PREFIX)
                if audience.filters:
                    if tested != (audience, channel):
                        tested, passing = (audience, channel), audience.hearing(channel)
                    hearing = passing or ()
                    filtered += len(audience.everybody) - len(hearing)
                    if passing is None:
                        continue
            else:
                solo = True
            ids: Sequence[str] | None = None
            if occupancies is not None:
                kind = type(change)
                if kind in ENDS:
                    ids = occupancies.end(change, hearing)  # type: ignore[arg-type]
                elif kind in BEGINS:
                    ids = list(islice(fresh_ids, len(hearing)))
                    occupancies.begin(change, ids)  # type: ignore[arg-type]
            if not hearing:
                continue
            time_ms = int(now * 1000)
            text, app_id, source = write(change, time_ms), change.app_id, change.source
            named = fresh_ids if ids is None else iter(ids)
            for endpoint in hearing:  # ``zip`` would take longer: most have one endpoint
                event = make_append((next(named), endpoint, app_id, text, time_ms, solo, True, source))
                line = lines.get(endpoint)
                if line is None:
                    lines[endpoint] = [event]
                else:
                    line.append(event)
        self._count(Counter(map(_audience_of, run)), filtered)
        for endpoint, events in lines.items():
            self._put(endpoint, events)

    def _count(self, happened: dict[Audience, int], filtered: int) -> None:
        for audience, number in happened.items():
            if audience.everybody:
                self._metrics.events.add(audience.app_id, audience.name, amount=number)
        if filtered:
            self._metrics.filtered.add(amount=filtered)
