"""What happened: the facts that webhooks are made of.

A ``Change`` is decided once per cluster by whoever made the step, and handed to ``on_change`` of the node.
Times are not in here: the receiver of a change stamps it. ``source`` is the connection that caused the change, None
when no client did or nobody knows; it bounds what a client can cause and is never told to anybody.
"""

from dataclasses import field

from sockudo_py.protocol.source import Source
from sockudo_py.protocol.values import value


@value
class ChannelOccupied:
    """A channel went from no subscription to one."""

    app_id: str
    channel: str
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class ChannelVacated:
    """A channel lost its last subscription and stayed empty for the vacate delay."""

    app_id: str
    channel: str
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class MemberAdded:
    """A user's first connection joined a presence channel. ``user_info`` is JSON text, None when there is none."""

    app_id: str
    channel: str
    user_id: str
    socket_id: str | None = None
    user_info: str | None = None
    source: Source | None = field(default=None, repr=False, compare=False)


@value
class MemberRemoved:
    """A user's last connection left a presence channel and stayed away for the vacate delay."""

    app_id: str
    channel: str
    user_id: str
    socket_id: str | None = None
    user_info: str | None = None
    source: Source | None = field(default=None, repr=False, compare=False)


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


Change = (
    ChannelOccupied
    | ChannelVacated
    | MemberAdded
    | MemberRemoved
    | ClientEventSent
    | CacheMissed
    | SubscriptionCountChanged
    | ConnectionEstablished
    | ConnectionTerminated
)
