"""The contract of adapters: occupancy and messages between the nodes of a cluster.

An adapter holds what is true for the whole cluster: how many connections are subscribed to a channel, which users
are members of a presence channel, which users are signed in. A node tells it about the steps of its own sockets, and
the adapter says what each step meant (first, last, who is there). It also delivers what other nodes published, and
what their steps changed.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from sockudo_py.changes import ChannelVacated, MemberRemoved, OnChange
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
class SignedIn:
    """A sign-in that counts. ``first`` is True when the user was not signed in anywhere in the cluster before.

    ``online`` is who of the watchlist is signed in now, the user itself included.
    """

    first: bool
    online: frozenset[str] = frozenset()


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


@value
class MemberCame:
    """Envelope of the news that a user became a member of a presence channel. ``user_info`` is JSON text."""

    app_id: str
    channel: str
    user_id: str
    user_info: str = "null"


@value
class MemberWent:
    """Envelope of the news that a user is no member of a presence channel any more."""

    app_id: str
    channel: str
    user_id: str


@value
class CountChanged:
    """Envelope of the news how many subscriptions a channel has in the cluster."""

    app_id: str
    channel: str
    subscription_count: int


Message = Publication | UserMessage | UserTermination  # what nodes publish
News = UserStatus | MemberCame | MemberWent | CountChanged  # what only adapters deliver
Envelope = Message | News
JoinDone = Callable[[Joined | ChannelFull | Unavailable], None]
LeaveDone = Callable[[Left], None]
SignInDone = Callable[[SignedIn | Unavailable], None]
SignOutDone = Callable[[bool], None]


class Adapter(Protocol):
    """Occupancy of the cluster, and the way to the other nodes.

    **Life.** ``start`` by the node, then ``open``; at the end ``stop``, and ``close`` when the webhook queue has what
    ``stop`` told. ``close`` may be called without the others.

    **Steps** (``join``, ``leave``, ``sign_in``, ``sign_out``) are atomic in the cluster. Those of one node on one
    channel, or for one user, are answered in the order in which they were asked. ``done`` is called exactly once per
    step, on the event loop, perhaps before the method returns. A join or sign-in that can't be carried out is answered
    with ``Unavailable`` and was not counted. A leave or sign-out always takes effect: while the cluster is away its
    answer waits, and may come when the client is long gone. No method blocks or raises for reasons of the service
    behind it, except ``open`` and the ``async`` queries, which raise ``Unavailable``.

    **Order.** What an adapter delivers before it answers a step is contained in the answer (roster, count, who is
    online); what it delivers later is not. So the node holds nothing back: it shows what is delivered to the clients
    that are subscribed by then, and a client subscribes when its join is answered.

    **News.** What a step changed for clients (a member came or went, the count, a user's status) is known to its own
    node by the answer. To the others with subscribers or watchers the adapter delivers it, in the order in which the
    steps took effect in the cluster. So it does with steps that no node asked for, such as those of a node that died.

    **Transitions** (``ChannelOccupied``, ``ChannelVacated``, ``MemberAdded``, ``MemberRemoved``) go to ``on_change`` of
    one node, once per cluster: the occupied and added ones at once, before ``done``; the vacated and removed ones after
    the vacate delay. Who comes back within the delay cancels the pending change and causes no opposite one. A change
    names the ``source`` of the step that it comes from, where that was a step on this node. A shared adapter gives each
    an ``id`` and a ``time_ms``, and remembers it until ``stored`` (see ``OnChange``) is called: should the node die
    before, another one is told of it, with the same id and time.
    """

    alone: bool  # there can be no other nodes: ``publish`` need not be called. False with every shared adapter

    def start(self, deliver: Callable[[Envelope], None], on_change: OnChange) -> None:
        """Begin. ``deliver`` receives what *other* nodes sent and did, ``on_change`` the transitions."""

    async def open(self) -> None:
        """Connect, check the service, and be a node. Raises SockudoError with key and remedy when it is not usable."""

    async def stop(self) -> None:
        """Leave the cluster: no further steps, no deliveries.

        The last node of a cluster reports pending changes without waiting for their time; else the nodes that stay do.
        """

    async def close(self) -> None:
        """Close the connections, after the transitions that webhooks have stored were removed."""

    def join(
        self,
        app_id: str,
        channel: str,
        source: Source,
        member: Member | None,
        max_members: int,
        tell_count: bool,
        done: JoinDone,
    ) -> None:
        """Count one subscription of this node. With a member: as one more connection of that user.

        A user who is already a member is admitted past ``max_members``; the info shown is that of the user's first
        connection. With ``tell_count`` other nodes that have subscribers learn the new count.
        """

    def leave(
        self, app_id: str, channel: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        """Undo one join. Must not be called without a join that was answered ``Joined``."""

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        """Count one signed-in connection of a user, which watches the users of ``watchlist`` from now on."""

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        """Undo one sign_in; answer True when the user is not signed in anywhere any more.

        Must not be called without a sign-in that was answered ``SignedIn``.
        """

    def publish(self, message: Message) -> None:
        """Send to all other nodes that have receivers for it. At most once, in order per channel or user."""

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

        They stay pending, so a client that comes back cancels them. ``tell_put_off`` reports those that wait.
        """

    def tell_put_off(self, most: int) -> bool:
        """Tell the oldest changes that were put off; return whether there are more."""

    def healthy(self) -> bool:
        """Return False while the cluster can't be reached; cheap, asked by ``GET /up``."""


@value
class Held:
    """What receivers of webhooks hold to be true: a channel is occupied or, with a ``user_id``, a member is there.

    ``user_info`` is JSON text; None: there is none, or it is not known.
    """

    channel: str
    user_id: str | None = None
    user_info: str | None = None


@runtime_checkable
class Tells(Protocol):
    """An adapter that says what receivers of webhooks hold to be true. Every adapter does."""

    def held(self, app_id: str) -> AsyncIterator[tuple[int | None, list[Held]]]:
        """Yield it in slices, each with the Unix milliseconds at which it was so; None: now, until the next turn.

        What is pending is in it: nobody was told yet that it is over, and it may come back without anybody being told.
        What begins and ends meanwhile may be in it or not; of what is there all the time nothing is missing, and a
        channel comes before its members. Raises ``Unavailable``.
        """


@runtime_checkable
class Restorable(Protocol):
    """An adapter whose occupancy ends with its process, and that can take over what an earlier process left behind."""

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


@runtime_checkable
class Measured(Protocol):
    """An adapter of a cluster, with figures for operators."""

    def usage(self) -> Mapping[str, float]:
        """Return what this node knows of the cluster without asking anybody, by name: the section of ``/usage``."""


@runtime_checkable
class Sweeping(Protocol):
    """An adapter whose nodes take out what a dead one of them held."""

    def names(self) -> Sequence[str]:
        """Return the names that this node has at present among the others."""

    def expire(self, names: Sequence[str]) -> bool:
        """Count nodes as dead from now on, before their time: the caller knows that their process has ended.

        Returns False when that can't be done now.
        """
