"""The contract of adapters: occupancy and messages between the nodes of a cluster.

An adapter holds what is true for the whole cluster: how many connections are subscribed to a channel, which users
are members of a presence channel, which users are signed in. A node tells it about the steps of its own sockets, and
the adapter says what each step meant (first, last, who is there).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from sockudo_py.changes import Change, ChannelVacated, MemberRemoved
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source
from sockudo_py.protocol.values import value


@value
class Joined:
    """A join that counts. ``first_of_user`` is True when the user was no member before (presence channels).

    ``roster`` maps user id to user_info as JSON text and includes the new member; it is a view that is valid only
    until the callback returns. None on other channels.
    """

    subscription_count: int
    first_of_user: bool = False
    roster: Mapping[str, str] | None = None


@value
class Left:
    """A leave that was counted. ``last_of_user`` is True when the user is no member any more (presence channels)."""

    subscription_count: int
    last_of_user: bool = False


@value
class ChannelFull:
    """The join was refused: the presence channel already has ``limit`` other users. Nothing was counted."""

    limit: int


@value
class ChannelStats:
    """Figures of one occupied channel. ``user_count`` is None unless it is a presence channel."""

    subscription_count: int
    user_count: int | None = None


@value
class Publication:
    """Envelope of a message to the subscribers of a channel. ``payload`` is the unframed JSON message."""

    app_id: str
    channel: str
    payload: bytes
    exclude_socket: str | None = None


@value
class UserMessage:
    """Envelope of a message to all signed-in connections of a user."""

    app_id: str
    user_id: str
    payload: bytes
    exclude_socket: str | None = None


@value
class UserTermination:
    """Envelope of the order to close all signed-in connections of a user; with ``reconnect`` they come back at once."""

    app_id: str
    user_id: str
    reconnect: bool = False


@value
class UserStatus:
    """Envelope of the news that a user came online (first connection signed in) or went offline (last one left)."""

    app_id: str
    user_id: str
    online: bool


Envelope = Publication | UserMessage | UserTermination | UserStatus
JoinDone = Callable[[Joined | ChannelFull | Unavailable], None]
LeaveDone = Callable[[Left | Unavailable], None]


class Adapter(Protocol):
    """Occupancy of the cluster, and the way to the other nodes.

    Atomicity: each step is atomic in the cluster, and steps of one channel are answered in the order in which they took
    effect. ``done`` is called exactly once per step, on the event loop, perhaps before the method returns; a join or
    leave that can't be carried out is answered with ``Unavailable`` and was not counted. No method blocks or raises for
    reasons of the service behind it, except the ``async`` queries, which raise ``Unavailable``.

    Transitions (``ChannelOccupied``, ``ChannelVacated``, ``MemberAdded``, ``MemberRemoved``) go to ``on_change``,
    once per cluster:
    the occupied and added ones at once, before ``done``; the vacated and removed ones after the vacate delay. Who comes
    back within the delay cancels the pending change and causes no opposite one. A change names the ``source`` of the
    step that it comes from, where that was a step on this node.
    """

    alone: bool  # there are no other nodes, ever: ``publish`` does nothing, and need not be called

    def start(self, deliver: Callable[[Envelope], None], on_change: Callable[[Change], None]) -> None:
        """Begin. ``deliver`` receives what *other* nodes sent, ``on_change`` the transitions."""

    async def stop(self) -> None:
        """Emit pending vacates and removals that belong to this node, then let go of everything."""

    def join(
        self,
        app_id: str,
        channel: str,
        source: Source,
        member: Member | None,
        max_members: int,
        done: JoinDone,
    ) -> None:
        """Count one subscription of this node. With a member: as one more connection of that user.

        A user who is already a member is admitted past ``max_members``; the info shown is that of the user's first
        connection.
        """

    def leave(self, app_id: str, channel: str, source: Source, member: Member | None, done: LeaveDone) -> None:
        """Undo one join. Must not be called without a join that was answered ``Joined``."""

    def sign_in(self, app_id: str, user_id: str, done: Callable[[bool | Unavailable], None]) -> None:
        """Count one signed-in connection of a user; answer True when it is the first in the cluster."""

    def sign_out(self, app_id: str, user_id: str, done: Callable[[bool | Unavailable], None]) -> None:
        """Undo one sign_in; answer True when it was the last in the cluster."""

    def online(
        self, app_id: str, user_ids: Collection[str], done: Callable[[frozenset[str] | Unavailable], None]
    ) -> None:
        """Answer which of the users are signed in somewhere in the cluster."""

    def publish(self, envelope: Envelope) -> None:
        """Send to all other nodes that have somebody who wants it. At most once, in order per channel or user."""

    async def channels(self, app_id: str, prefix: str = "") -> dict[str, ChannelStats]:
        """Return the occupied channels whose names begin with ``prefix``."""

    async def channel(self, app_id: str, channel: str) -> ChannelStats | None:
        """Return the figures of one channel, or None when it is not occupied."""

    async def members(self, app_id: str, channel: str) -> list[str]:
        """Return the user ids of a presence channel, in the order in which they came."""

    async def connections_elsewhere(self, app_id: str) -> int:
        """Return how many clients of the app are connected to the other nodes, as of their last heartbeats."""

    def put_off(self, waits: Callable[[Source], bool] | None) -> None:
        """Let vacates and removals that are due wait where ``waits`` says so of their source; None: no more.

        They go on being pending, so whoever comes back cancels them. Those that wait are told by ``tell_put_off``.
        """

    def tell_put_off(self, most: int) -> bool:
        """Tell the oldest of what was put off; return whether there is more."""

    def healthy(self) -> bool:
        """Return False while the cluster can't be reached; cheap, asked by ``GET /up``."""


@runtime_checkable
class Restorable(Protocol):
    """An adapter whose occupancy ends with its process, and that can be told what an earlier process left behind."""

    def restore(
        self,
        changes: Iterable[ChannelVacated | MemberRemoved],
        delay: float,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        """Take these as pending for ``delay`` seconds: who is back by then cancels them, as any pending change.

        What they name must not be occupied. When their time has come they are told in this order, a few at a time, and
        only while ``ready()`` is True.
        """

    def present(self, app_id: str) -> Iterator[tuple[str, str | None]]:
        """Yield occupied channels, with None, and members, with their user id; those that are pending, too.

        Each is so when it is yielded, also when much has changed since the one before.
        """
