"""Events about occupied and vacated channels and about members, and their entries in the ledger."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import TypeGuard

from sockudo_py.changes import Change, ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved, Transition
from sockudo_py.queues.base import Append, Occupancy
from sockudo_py.webhooks.endpoints.registry import Route, Routes
from sockudo_py.webhooks.events import EVENT_NAMES, shares, texts_of
from sockudo_py.webhooks.intake.ledger import Key, Ledger, Owed
from sockudo_py.webhooks.metrics import WebhookMetrics

_new = tuple.__new__  # as in intake.py


class Occupancies:
    """Makes the events that the ledger goes with.

    Args:
        ledger: What is noted.
        routes: Of every app, as ``EndpointRegistry.routes``; the registry knows that there is a ledger.
        metrics: Where to count.
        put: Gets the events of one endpoint, in order.
        clock: Unix seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        routes: Mapping[str, Routes],
        metrics: WebhookMetrics,
        *,
        put: Callable[[str, list[Append]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._routes = routes
        self._metrics = metrics
        self._put = put
        self._clock = clock
        self._id_prefix = f"dl_{secrets.token_hex(8)}_"
        self._made = 0

    def settle(self, wanted: tuple[Route, ...], run: Sequence[Transition], time_ms: int) -> None:
        """Note changes of one kind in one app, and put the events about them."""
        begins = type(run[0]) in (ChannelOccupied, MemberAdded)
        told = [route for route in wanted if route.told]
        name = EVENT_NAMES[type(run[0])]
        if told:
            self._metrics.events.add(run[0].app_id, name, amount=len(run))
        everywhere = all(route.test is None for route in wanted)
        hearing = [route.endpoint for route in told]
        texts = texts_of(run, time_ms) if told else repeat(b"")
        lines: dict[str, list[Append]] = {}
        filtered = 0
        for change, text in zip(run, texts, strict=False):
            app_id, channel = change.app_id, change.channel
            if not everywhere:
                passing = [route for route in wanted if route.test is None or route.test(channel)]
                hearing = [route.endpoint for route in passing if route.told]
                filtered += len(told) - len(hearing)
                if not passing:
                    continue
            user_id = socket_id = None
            if isinstance(change, MemberAdded | MemberRemoved):
                user_id, socket_id = change.user_id, change.socket_id
            key = (app_id, channel, user_id)
            if begins:
                ids = self._fresh_ids(hearing)
                self._ledger.begin(key, socket_id, ids)
            else:
                ids = self._ledger.end(key, hearing) or self._fresh_ids(hearing)
            if hearing:
                solo = not shares(name, channel)
                for ident, endpoint in zip(ids, hearing, strict=True):
                    fields = (ident, endpoint, app_id, text, time_ms, solo, True, change.source)
                    line = lines.get(endpoint)
                    if line is None:
                        line = lines[endpoint] = []
                    line.append(_new(Append, fields))
        if filtered:
            self._metrics.filtered.add(amount=filtered)
        for endpoint, events in lines.items():
            self._put(endpoint, events)

    def wanted(self, key: Key) -> list[str] | None:
        """Return the endpoints that want to hear of an end; None when nobody wants to hear of what is meant at all."""
        app_id, channel, user_id = key
        kind = ChannelVacated if user_id is None else MemberRemoved
        routes = self._routes.get(app_id, {}).get(kind, ())
        passing = [route for route in routes if route.test is None or route.test(channel)]
        return [route.endpoint for route in passing if route.told] if passing else None

    def owe(self, owed: Iterable[Owed]) -> None:
        """Put the events about ends that an earlier run did not send to all endpoints."""
        time_ms = int(self._clock() * 1000)
        for occupancy, endpoint, ident in owed:
            change = ending(occupancy)
            text, solo = texts_of((change,), time_ms)[0], not shares(EVENT_NAMES[type(change)], occupancy.channel)
            self._put(endpoint, [Append(ident, endpoint, occupancy.app_id, text, time_ms, solo, True)])

    def _fresh_ids(self, endpoints: Sequence[str]) -> list[str]:
        self._made += 1
        prefix = f"{self._id_prefix}{self._made}_"
        return [prefix + str(number) for number in range(len(endpoints))]


def ending(occupancy: Occupancy) -> ChannelVacated | MemberRemoved:
    """Return the change that ends an occupancy."""
    _, app_id, channel, user_id, socket_id, _ = occupancy
    if user_id is None:
        return ChannelVacated(app_id, channel)
    return MemberRemoved(app_id, channel, user_id, socket_id)


def transitions(run: list[Change]) -> TypeGuard[list[Transition]]:
    """Return whether the ledger goes with this run, which is of one kind."""
    return type(run[0]) in _TRANSITIONS


_TRANSITIONS = frozenset({ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved})
