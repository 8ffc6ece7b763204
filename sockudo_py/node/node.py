"""The node: carries out what sessions ask for, publishes, and answers the questions of the HTTP API."""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final, assert_never

from sockudo_py import logs
from sockudo_py.adapters.base import (
    Adapter,
    ChannelStats,
    CountChanged,
    Envelope,
    MemberCame,
    MemberWent,
    Publication,
    UserMessage,
    UserStatus,
    UserTermination,
)
from sockudo_py.caches.base import Cache, CachedEvent
from sockudo_py.changes import (
    ClientEventSent,
    ConnectionEstablished,
    ConnectionTerminated,
    Everything,
    OnChange,
    Wanted,
)
from sockudo_py.errors import Unavailable
from sockudo_py.hub import Hub, Sink
from sockudo_py.metrics import Metrics
from sockudo_py.node import trace
from sockudo_py.node.departures import Departures
from sockudo_py.node.held_clients import HeldClients
from sockudo_py.node.paced import Paced
from sockudo_py.node.slices import in_slices
from sockudo_py.node.subscriptions import Subscriptions
from sockudo_py.node.users import Users, user_channel
from sockudo_py.node.view import ClientsView
from sockudo_py.process.watermarks import Watermarks
from sockudo_py.protocol import codec
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels import classify, user_of
from sockudo_py.protocol.effects import (
    Close,
    Effect,
    Join,
    Leave,
    Member,
    Pause,
    Ping,
    RefuseSubscription,
    Relay,
    Reply,
    SignIn,
)
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import Refusal, refusal
from sockudo_py.protocol.source import Source
from sockudo_py.tap import Tap

CLOSE_SLICE: Final = 500  # connections closed at once when many have to go ...
CLOSE_INTERVAL: Final = 0.05  # ... and the seconds before the next ones
TELL_INTERVAL: Final = 10.0  # seconds between two lines about clients that subscribe too fast
DRAIN_SLICE_MIN: Final = 50  # below it, spreading a drain would only make a small node slow to stop

log = logging.getLogger(__name__)

_ERROR: Final = b'{"event":"pusher:error"'


class Node:
    """This process in the cluster.

    A shell calls ``connect`` once per client, ``perform`` with whatever its session returns, and ``disconnect`` when
    the socket is gone. It reads between ``begin_work`` and ``end_work``: messages to small channels are written at
    ``end_work`` instead of in the next loop turn. Nothing here raises for reasons of a client or of the cluster, except
    the ``async`` questions.
    """

    def __init__(
        self,
        *,
        adapter: Adapter,
        cache: Cache,
        metrics: Metrics,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        max_connections: int | None,
        on_change: OnChange,
        wanted: Wanted | None = None,
        on_full: Callable[[], None] = lambda: None,
        watermarks: Watermarks | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Make a node and start its adapter. The caller opens it, and stops it after ``drain``.

        Args:
            adapter: Not started yet.
            cache: Of the last events of cache channels.
            metrics: Where to count.
            call_soon: Runs a function in the next turn of the event loop.
            call_later: Runs a function after a number of seconds.
            clock: Seconds, never going back.
            max_connections: Of this node, all apps together; None is no limit.
            on_change: Told of everything that webhooks may want to know, at once and in order.
            wanted: Which of the changes that the node itself makes ``on_change`` wants; None: all.
            on_full: Told when a client is refused because ``max_connections`` are here.
            watermarks: Say when no more clients are to be taken; None: there are none.
            tap: Gets what happens, for its followers.
        """
        self._tap = tap = Tap() if tap is None else tap
        self._adapter = adapter
        self._alone = adapter.alone
        self._cache = cache
        self._metrics = metrics
        self._refused = metrics.counter(
            "subscriptions_refused_total", "Subscriptions that were refused", ("app_id", "reason")
        )
        self._errors = metrics.counter("client_errors_total", "Errors that clients were told", ("app_id", "code"))
        self._call_later = call_later
        self._max_connections = max_connections
        self._on_change = on_change
        self._wanted: Wanted = Everything() if wanted is None else wanted
        self._on_full = on_full
        self._watermarks = watermarks
        self._hub = Hub(call_soon, metrics)
        self.begin_work, self.end_work = self._hub.begin_work, self._hub.end_work
        self._users = Users(self._hub, adapter, self.perform)
        self._subscriptions = Subscriptions(
            hub=self._hub,
            adapter=adapter,
            cache=cache,
            call_later=call_later,
            clock=clock,
            perform=self.perform,
            on_change=on_change,
            tap=tap,
        )
        self._departures = Departures(self._depart, call_soon)
        self._held = HeldClients(self._hub, call_later)
        self._paced = Paced(call_later, clock)
        self._steps: dict[type[Effect], Callable[[Sink, Any], None]] = {
            Reply: self._reply,
            RefuseSubscription: self._refuse_subscription,
            Ping: self._ping,
            Close: self._close,
            Join: self._subscriptions.join,
            Leave: self._leave,
            Relay: self.relay,
            SignIn: self._users.sign_in,
            Pause: self._pause,
        }
        self.view = ClientsView(self._hub, self.perform, clock)
        self._clock = clock
        self._pause_told = -math.inf
        self.draining = False
        adapter.start(self._deliver, on_change)

    # -- clients --

    def connect(self, client: Sink) -> Refusal | None:
        """Count a client in and return None, or return why it can't stay; then it needs no ``disconnect``."""
        app = client.session.app
        counters = self._metrics.app(app.id)
        if self.draining:
            code = ErrorCode.RECONNECT
        elif self._max_connections is not None and self._hub.connections() >= self._max_connections:
            code = ErrorCode.OVER_CAPACITY
            self._on_full()
        elif self._watermarks is not None and self._watermarks.past(self._hub.connections()):
            code = ErrorCode.OVER_CAPACITY
        elif app.max_connections is not None and self._hub.connections(app.id) >= app.max_connections:
            code = ErrorCode.OVER_QUOTA
        else:
            self._hub.add(app.id, client)
            counters.new_connections += 1
            if ConnectionEstablished in self._wanted.get(app.id, ()):
                session = client.session
                self._on_change(ConnectionEstablished(app.id, session.socket_id, session.source))
            return None
        counters.connection_errors += 1
        return refusal(code)

    def perform(self, client: Sink, effects: Sequence[Effect]) -> None:
        """Carry out effects in order. ``Close`` disconnects as well, since a peer may take its time to close."""
        steps = self._steps
        if len(effects) == 1:  # as nearly always
            effect = effects[0]
            steps[type(effect)](client, effect)
            return
        if effects and type(effects[-1]) is Close:
            self._catch_up(client)  # before the error that comes with it: nothing follows that but the close
        for effect in effects:
            steps[type(effect)](client, effect)

    def relay(self, client: Sink, event: Relay, at_once: bool = False) -> None:
        """Carry out a client event. ``at_once``: it came alone, so nothing can gather, and nothing need wait."""
        session = client.session
        app_id, channel, payload = session.app.id, event.channel, event.payload
        if logs.tracing or self._tap.on:
            trace.client_event(self._tap, client, channel, event.event, payload, event.user_id or session.user_id)
        self._metrics.app(app_id).client_events += 1
        self._hub.publish(app_id, channel, payload, client, at_once)
        if not self._alone:
            self._adapter.publish(Publication(app_id, channel, payload, session.socket_id))
        if ClientEventSent in self._wanted.get(app_id, ()):
            data, socket_id, user_id = event.data, session.socket_id, event.user_id
            self._on_change(
                ClientEventSent(app_id, channel, event.event, data, socket_id, user_id, payload, session.source)
            )

    def tell_closed(self, client: Sink, code: int, message: str) -> None:
        """Take note that the transport itself closes the client; the dashboard then knows why."""
        self._errors.add(client.session.app.id, str(code))
        trace.closed(self._tap, client, code, message)

    def disconnect(self, client: Sink) -> None:
        """Let a client that is gone leave everything; where many go, over some turns of the loop.

        Without effect on clients that aren't counted (any more).
        """
        session = client.session
        if self._hub.remove(session.app.id, client):
            session.end()
            self._departures.add(client)

    def hold(self, sources: Collection[Source]) -> None:
        """Don't read the clients of these sources from now on, and read all others (again)."""
        self._held.set(sources)

    def here(self, source: Source) -> bool:
        """Return whether the client of this source is here."""
        return self._held.find(source) is not None

    def connections(self, app_id: str | None = None) -> int:
        """Return the number of clients here, of one app or all."""
        return self._hub.connections(app_id)

    # -- the backend --

    def publish(
        self, app: App, channels: Sequence[str], event: str, data: str, exclude_socket: str | None = None
    ) -> None:
        """Send an event to the subscribers of the channels except ``exclude_socket``; cache channels remember it.

        A name that occurs twice counts once. ``#server-to-user-ID`` reaches each signed-in connection of the user.
        """
        app_id, hub = app.id, self._hub
        exclude = None if exclude_socket is None else hub.sockets(app_id).get(exclude_socket)
        self._metrics.apps[app_id].published_events += 1
        if self._tap.on:
            trace.published(self._tap, app_id, channels, event, data, exclude_socket)
        one, alone, here = len(channels) == 1, self._alone, hub.channels(app_id)
        parts = None if one else (codec.json_string(event), codec.json_string(data))
        for channel in channels if one else dict.fromkeys(channels):
            cached = classify(channel).cached
            if alone and not cached and channel not in here:
                continue  # it has no receiver
            payload = codec.server_event(event, data, channel) if parts is None else codec.event(channel, *parts)
            if cached:
                self._cache.store(app_id, channel, payload, app.cache_ttl)
            hub.publish(app_id, channel, payload, exclude)
            if alone:
                continue
            user_id = user_of(channel)
            if user_id is None:
                self._adapter.publish(Publication(app_id, channel, payload, exclude_socket))
            else:
                self._adapter.publish(UserMessage(app_id, user_id, payload, exclude_socket))

    def terminate_user(self, app: App, user_id: str, *, reconnect: bool = False) -> None:
        """Close all signed-in connections of a user in the cluster, with 4009: they are to stay away.

        With ``reconnect`` it is 4200: they are to come back at once.
        """
        self._users.terminate(app.id, user_id, reconnect)
        self._adapter.publish(UserTermination(app.id, user_id, reconnect))

    async def app_connections(self, app: App) -> int:
        """Return how many clients of the app are connected to the cluster. Raises Unavailable."""
        return self._hub.connections(app.id) + await self._adapter.connections_elsewhere(app.id)

    async def channel(self, app: App, name: str) -> ChannelStats | None:
        """Return the figures of a channel in the cluster, or None when it is not occupied. Raises Unavailable."""
        return await self._adapter.channel(app.id, name)

    async def channels(self, app: App, prefix: str) -> dict[str, ChannelStats]:
        """Return the occupied channels of the cluster whose names begin with ``prefix``. Raises Unavailable."""
        return await self._adapter.channels(app.id, prefix)

    async def members(self, app: App, name: str) -> list[str]:
        """Return the user ids of a presence channel. Raises Unavailable."""
        return await self._adapter.members(app.id, name)

    async def cached(self, app: App, name: str) -> CachedEvent | None:
        """Return the last event of a cache channel. Raises Unavailable."""
        answer: asyncio.Future[CachedEvent | Unavailable | None] = asyncio.get_running_loop().create_future()
        self._cache.fetch(app.id, name, lambda found: None if answer.done() else answer.set_result(found))
        found = await answer
        if isinstance(found, Unavailable):
            raise found
        return found

    # -- the operator --

    def app_changed(self, old: App | None, new: App | None) -> None:
        """Give live sessions the new App; close them when it is gone (4001) or disabled (4003)."""
        if old is None:
            return
        clients = list(self._hub.sockets(old.id).values())
        if new is None or new.id != old.id:
            reason = refusal(ErrorCode.UNKNOWN_APP)
        else:
            for client in clients:
                client.session.app = new
            if new.enabled:
                return
            reason = refusal(ErrorCode.APP_DISABLED)
        in_slices(
            clients,
            partial(self._end, reason=reason),
            size=CLOSE_SLICE,
            interval=CLOSE_INTERVAL,
            call_later=self._call_later,
        )

    async def drain(self, seconds: float) -> None:
        """Refuse new clients, and close all that are here with 4200; return when all are closed.

        Where other nodes take them, it is spread over ``seconds``, so that they don't come back all at once. A lone
        node hurries: they can't come back before it is gone, and its successor has begun.
        """
        self.draining = True
        clients = self._hub.all_sockets()
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slices = max(seconds, CLOSE_INTERVAL) / CLOSE_INTERVAL
        in_slices(
            clients,
            partial(self._end, reason=refusal(ErrorCode.RECONNECT)),
            size=CLOSE_SLICE if self._alone else max(DRAIN_SLICE_MIN, math.ceil(len(clients) / slices)),
            interval=0 if self._alone else CLOSE_INTERVAL,
            call_later=self._call_later,
            done=lambda: None if closed.done() else closed.set_result(None),
        )
        await closed
        await self._departures.finish()

    # -- what effects lead to --

    def _reply(self, client: Sink, effect: Reply) -> None:
        payload = effect.payload
        if payload.startswith(_ERROR):
            code = trace.error(self._tap, client, payload)
            self._errors.add(client.session.app.id, code)
        self._send(client, payload)

    def _send(self, client: Sink, payload: bytes) -> None:
        data = client.encoding(payload)
        counters = self._metrics.app(client.session.app.id)
        counters.messages_sent += 1
        counters.sent_bytes += len(data)
        client.write(data)

    def _refuse_subscription(self, client: Sink, effect: RefuseSubscription) -> None:
        self._refused.add(client.session.app.id, effect.reason)
        trace.refused(self._tap, client, effect.reason, effect.channel, effect.payload)
        self._send(client, effect.payload)

    def _ping(self, client: Sink, effect: Ping) -> None:
        client.ping()

    def _leave(self, client: Sink, effect: Leave) -> None:
        if logs.tracing or self._tap.cold:
            trace.client(self._tap, client, "unsubscribe", "client unsubscribed", effect.channel)
        self._hub.leave(client.session.app.id, effect.channel, client)
        self._subscriptions.leave(client, effect.channel, effect.member)

    def _depart(self, client: Sink) -> Iterator[None]:
        """Let a client that is gone leave everything; one step is one channel."""
        session = client.session
        app_id = session.app.id
        self._users.sign_out(client)
        for channel, member in session.subscriptions():
            self._hub.drop(app_id, channel, client)
            self._subscriptions.leave(client, channel, member)
            yield
        if logs.tracing or self._tap.cold:
            trace.client(self._tap, client, "disconnect", "client disconnected")
        self._metrics.app(app_id).new_disconnections += 1
        if ConnectionTerminated in self._wanted.get(app_id, ()):
            self._on_change(ConnectionTerminated(app_id, session.socket_id, session.source))

    def _pause(self, client: Sink, pause: Pause) -> None:
        session = client.session
        self._metrics.app(session.app.id).reads_paused += 1
        self._paced.pause(client, pause.seconds)
        now = self._clock()
        if now - self._pause_told >= TELL_INTERVAL:
            self._pause_told = now
            log.warning(
                "a client subscribes faster than max_subscribes_per_second and subscribe_burst of its app allow: it is "
                "read more slowly, without an error (the metric reads_paused_total counts such pauses)",
                extra={"app_id": session.app.id, "socket_id": session.socket_id, "address": session.source.shown},
            )

    def _catch_up(self, client: Sink) -> None:
        session = client.session
        channels = [channel for channel, _ in session.subscriptions()]
        if session.user_id is not None:
            channels.append(user_channel(session.user_id))
        self._hub.catch_up(session.app.id, channels, client)

    def _close(self, client: Sink, effect: Close) -> None:
        self._catch_up(client)
        client.close(effect.code, effect.reason)
        self.disconnect(client)

    def _end(self, client: Sink, reason: Refusal) -> None:
        self.perform(client, client.session.close(reason))

    # -- the cluster --

    def _deliver(self, envelope: Envelope) -> None:
        """Send the clients here what another node sent, or the news of its steps."""
        match envelope:
            case Publication(app_id, channel, payload, exclude_socket):
                self._publish_here(app_id, channel, payload, exclude_socket)
            case UserMessage(app_id, user_id, payload, exclude_socket):
                self._publish_here(app_id, user_channel(user_id), payload, exclude_socket)
            case UserTermination(app_id, user_id, reconnect):
                self._users.terminate(app_id, user_id, reconnect)
            case UserStatus(app_id, user_id, online):
                self._users.tell_watchers(app_id, user_id, online)
            case MemberCame(app_id, channel, user_id, user_info):
                self._subscriptions.member_came(app_id, channel, Member(user_id, user_info))
            case MemberWent(app_id, channel, user_id):
                self._subscriptions.member_went(app_id, channel, user_id)
            case CountChanged(app_id, channel, count):
                self._subscriptions.count_changed(app_id, channel, count)
            case _:
                assert_never(envelope)

    def _publish_here(self, app_id: str, channel: str, payload: bytes, exclude_socket: str | None) -> None:
        exclude = None if exclude_socket is None else self._hub.sockets(app_id).get(exclude_socket)
        self._hub.publish(app_id, channel, payload, exclude)
