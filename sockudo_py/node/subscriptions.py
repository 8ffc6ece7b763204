"""Joining and leaving channels: what the adapter's answers mean to the client and to the others on the channel."""

from collections.abc import Callable, Sequence
from functools import partial

from sockudo_py import logs
from sockudo_py.adapters.base import Adapter, ChannelFull, Joined, Left
from sockudo_py.caches.base import Cache, CachedEvent
from sockudo_py.changes import CacheMissed, Change, SubscriptionCountChanged
from sockudo_py.errors import Unavailable
from sockudo_py.hub import Cursor, Hub, Sink
from sockudo_py.node import trace
from sockudo_py.node.counts import SubscriptionCounts
from sockudo_py.node.misses import CacheMisses
from sockudo_py.protocol import codec
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.table import classify
from sockudo_py.protocol.effects import Effect, Join, Leave, Member
from sockudo_py.protocol.source import Source
from sockudo_py.tap import Tap


class Subscriptions:
    """Carries out ``Join`` and ``Leave``.

    A new subscriber sees, in this order: the confirmation, on cache channels the last event or the news that there is
    none, the subscription count, and then whatever is published from now on.

    This class sends the news of a step only to subscribers on this node; the adapter delivers it to the other nodes.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        adapter: Adapter,
        cache: Cache,
        call_later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        perform: Callable[[Sink, Sequence[Effect]], None],
        on_change: Callable[[Change], None],
        tap: Tap,
    ) -> None:
        """``perform`` carries out what the sessions answer."""
        self._hub = hub
        self._adapter = adapter
        self._cache = cache
        self._perform = perform
        self._on_change = on_change
        self._tap = tap
        self._counts = SubscriptionCounts(self._send_count, call_later)
        self._misses = CacheMisses(clock)

    def join(self, client: Sink, request: Join) -> None:
        """Ask the adapter to count the subscription, and carry out what its answer leads to."""
        session = client.session
        app, member = session.app, request.member
        self._adapter.join(
            app.id,
            request.channel,
            session.source,
            member,
            app.max_presence_members,
            app.subscription_count and member is None,
            partial(self._joined, client, request),
        )

    def leave(self, client: Sink, channel: str, member: Member | None) -> None:
        """Undo a join that was counted; the hub knows of it already."""
        session = client.session
        done = partial(self._left, session.app, channel, member, session.source)
        tell_count = _counts(session.app, member)
        self._adapter.leave(session.app.id, channel, session.source, member, tell_count, done)

    def member_came(self, app_id: str, channel: str, member: Member) -> None:
        """Tell the subscribers here of a new member, wherever in the cluster it is."""
        self._tell(app_id, channel, codec.member_added(channel, member))

    def member_went(self, app_id: str, channel: str, user_id: str) -> None:
        """Tell the subscribers here that a member has left."""
        self._tell(app_id, channel, codec.member_removed(channel, user_id))

    def count_changed(self, app_id: str, channel: str, count: int) -> None:
        """Send the subscribers here a count that a step of another node changed; that node makes the webhook."""
        if channel in self._hub.channels(app_id):
            self._counts.changed(app_id, channel, count, None)

    def _joined(self, client: Sink, request: Join, outcome: Joined | ChannelFull | Unavailable) -> None:
        session, channel, member = client.session, request.channel, request.member
        if type(outcome) is not Joined:
            if isinstance(outcome, ChannelFull):
                self._perform(client, session.join_refused(channel, outcome.limit))
            else:
                self._perform(client, session.join_unavailable(channel))
            return
        app = session.app
        effects = session.joined(channel, outcome.roster)
        if member is not None and outcome.first_of_user:
            # Before the joiner is on the channel, since it is for the others. Also when the joiner is gone already: its
            # leave, which comes next, will tell them of a member removed.
            self.member_came(app.id, channel, member)
        if type(effects[0]) is Leave:  # it is not wanted any more
            self._count(app, channel, member, outcome.subscription_count, session.source)
            self._perform(client, effects)
            return
        # From here on the outbox has its messages; they are written at the end of the turn, after the confirmation.
        self._hub.join(app.id, channel, client)
        if logs.tracing or self._tap.cold:
            trace.subscribed(self._tap, client, channel, member)
        self._perform(client, effects)
        if classify(channel).cached:
            self._replay(client, channel)
        if app.subscription_count:
            self._count(app, channel, member, outcome.subscription_count, session.source)

    def _left(self, app: App, channel: str, member: Member | None, source: Source, outcome: Left) -> None:
        if member is not None and outcome.last_of_user:
            self.member_went(app.id, channel, member.user_id)
        self._count(app, channel, member, outcome.subscription_count, source)

    def _replay(self, client: Sink, channel: str) -> None:
        app_id = client.session.app.id
        share = self._hub.hold(app_id, channel, client)
        if share is not None:
            self._cache.fetch(app_id, channel, partial(self._fetched, client, channel, share))

    def _fetched(self, client: Sink, channel: str, share: Cursor, found: CachedEvent | Unavailable | None) -> None:
        app_id = client.session.app.id
        # While the cache is away clients get a cache miss too, so that they fetch the event elsewhere; webhooks don't,
        # since it may not be a miss.
        payload = found.payload if isinstance(found, CachedEvent) else codec.cache_miss(channel)
        self._hub.release(app_id, channel, client, share, payload)
        if found is None and self._misses.worth_telling(app_id, channel):
            self._on_change(CacheMissed(app_id, channel, client.session.source))

    def _count(self, app: App, channel: str, member: Member | None, count: int, source: Source) -> None:
        if _counts(app, member):
            self._counts.changed(app.id, channel, count, source)

    def _send_count(self, app_id: str, channel: str, count: int, source: Source | None) -> None:
        self._tell(app_id, channel, codec.subscription_count(channel, count))
        if source is not None:
            self._on_change(SubscriptionCountChanged(app_id, channel, count, source))

    def _tell(self, app_id: str, channel: str, payload: bytes) -> None:
        self._hub.publish(app_id, channel, payload, None)


def _counts(app: App, member: Member | None) -> bool:
    """Return whether the app's subscribers get their count. Presence channels have members instead."""
    return app.subscription_count and member is None
