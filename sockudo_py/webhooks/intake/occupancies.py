"""What the ledger has to do with events about occupied and vacated channels and about members."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.queues.base import Append, Occupancy
from sockudo_py.webhooks.endpoints.registry import Routes
from sockudo_py.webhooks.events import EVENT_NAMES, encode, event_of, shares
from sockudo_py.webhooks.intake.ledger import Key, Ledger, Owed

BEGINS = frozenset({ChannelOccupied, MemberAdded})
ENDS = frozenset({ChannelVacated, MemberRemoved})


class Occupancies:
    """Notes in the ledger what begins and what ends.

    Args:
        ledger: What is noted.
        routes: Of every app, as ``EndpointRegistry.routes``; the registry knows that there is a ledger.
        put: Gets the events of one endpoint, in order.
        clock: Unix seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        routes: Mapping[str, Routes],
        *,
        put: Callable[[str, list[Append]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._routes = routes
        self._put = put
        self._clock = clock

    def begin(self, change: ChannelOccupied | MemberAdded, event_ids: Iterable[str]) -> None:
        """Note a beginning, which these events report."""
        if type(change) is MemberAdded:
            self._ledger.begin((change.app_id, change.channel, change.user_id), change.socket_id, event_ids)
        else:
            self._ledger.begin((change.app_id, change.channel, None), None, event_ids)

    def end(self, change: ChannelVacated | MemberRemoved, endpoints: Sequence[str]) -> list[str] | None:
        """Note an end, and return the ids of the events that tell these endpoints; None: the beginning is unknown."""
        user_id = change.user_id if type(change) is MemberRemoved else None
        return self._ledger.end((change.app_id, change.channel, user_id), endpoints)

    def wanted(self, key: Key) -> Sequence[str] | None:
        """Return the endpoints that want the event of an end; None when no endpoint wants its kind at all."""
        app_id, channel, user_id = key
        audience = self._routes.get(app_id, {}).get(ChannelVacated if user_id is None else MemberRemoved)
        return None if audience is None else audience.hearing(channel)

    def owe(self, owed: Iterable[Owed]) -> None:
        """Put the events about ends that an earlier run did not send to all endpoints."""
        time_ms = int(self._clock() * 1000)
        for occupancy, endpoint, ident in owed:
            change = ending(occupancy)
            text = encode(event_of(change, time_ms))
            solo = not shares(EVENT_NAMES[type(change)], occupancy.channel)
            self._put(endpoint, [Append(ident, endpoint, occupancy.app_id, text, time_ms, solo, True)])


def ending(occupancy: Occupancy) -> ChannelVacated | MemberRemoved:
    """Return the change that ends an occupancy."""
    _, app_id, channel, user_id, socket_id, _ = occupancy
    if user_id is None:
        return ChannelVacated(app_id, channel)
    return MemberRemoved(app_id, channel, user_id, socket_id)
