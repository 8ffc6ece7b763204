"""What happened: the facts that webhooks are made of.

The node that makes a step decides its ``Change``, once per cluster, and hands it to ``on_change``.
``source`` is the connection that caused the change, None when no client did, or which one is unknown; it bounds what a
client can cause and is never shown to anybody.

A *transition* of a shared adapter has an ``id``, which names it in the whole cluster, and ``time_ms``, the Unix
milliseconds at which it was decided: every report of it, also a repeated one, uses both. The receiver stamps a
transition without them, and every other change.
"""

from collections.abc import Callable, Container
from dataclasses import field
from typing import Final, Protocol, get_args

from sockudo_py.protocol.source import Source
from sockudo_py.protocol.values import value


@value
class ChannelOccupied:
    """A channel went from no subscription to one."""

    app_id: str
    channel: str
    source: Source | None = field(default=None, repr=False, compare=False)
    id: str | None = field(default=None, compare=False)
    time_ms: int | None = field(default=None, compare=False)


@value
class ChannelVacated:
    """A channel lost its last subscription and stayed empty for the vacate delay."""

    app_id: str
    channel: str
    source: Source | None = field(default=None, repr=False, compare=False)
    id: str | None = field(default=None, compare=False)
    time_ms: int | None = field(default=None, compare=False)


@value
class MemberAdded:
    """A user's first connection joined a presence channel. ``user_info`` is JSON text, None when there is none."""

    app_id: str
    channel: str
    user_id: str
    socket_id: str | None = None
    user_info: str | None = None
    source: Source | None = field(default=None, repr=False, compare=False)
    id: str | None = field(default=None, compare=False)
    time_ms: int | None = field(default=None, compare=False)


@value
class MemberRemoved:
    """A user's last connection left a presence channel and stayed away for the vacate delay."""

    app_id: str
    channel: str
    user_id: str
    socket_id: str | None = None
    user_info: str | None = None
    source: Source | None = field(default=None, repr=False, compare=False)
    id: str | None = field(default=None, compare=False)
    time_ms: int | None = field(default=None, compare=False)


@value
class ClientEventSent:
    """A client event was accepted. ``data`` is the string that subscribers receive.

    ``payload`` is the whole message that they receive, as ``codec.client_event`` makes it; empty when nobody kept it.
    """

    app_id: str
    channel: str
    event: str
    data: str
    socket_id: str
    user_id: str | None = None
    payload: bytes = field(default=b"", repr=False, compare=False)
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class CacheMissed:
    """Somebody subscribed to a cache channel that holds no event."""

    app_id: str
    channel: str
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class SubscriptionCountChanged:
    """The number of subscriptions of a channel changed (throttled as the protocol says)."""

    app_id: str
    channel: str
    subscription_count: int
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class ConnectionEstablished:
    """A client connected."""

    app_id: str
    socket_id: str
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class ConnectionTerminated:
    """A client that had connected is gone."""

    app_id: str
    socket_id: str
    source: Source | None = field(default=None, repr=False, compare=False)


Transition = ChannelOccupied | ChannelVacated | MemberAdded | MemberRemoved
Change = (
    Transition | ClientEventSent | CacheMissed | SubscriptionCountChanged | ConnectionEstablished | ConnectionTerminated
)


KINDS: Final[frozenset[type[Change]]] = frozenset(get_args(Change))


class Wanted(Protocol):
    """Which kinds of changes of which apps are wanted. Others need not be made, nor handed on."""

    def get(self, app_id: str, nothing: Container[type[Change]], /) -> Container[type[Change]]:
        """Return the kinds that are wanted of an app, ``nothing`` where none is. The next answer may differ."""


class Everything:
    """Wants every kind of change, a ``Wanted``."""

    def get(self, app_id: str, nothing: Container[type[Change]], /) -> Container[type[Change]]:
        """Return all kinds."""
        return KINDS


class OnChange(Protocol):
    """Takes a change, at once and in order.

    ``stored``, which only transitions come with, is called once: when the change need not be told again. That is when
    the webhook queue has all events about it, or nobody wants them, or they were dropped and counted.
    """

    def __call__(self, change: Change, stored: Callable[[], None] | None = None, /) -> None:
        """Take it. Never blocks, never raises."""
