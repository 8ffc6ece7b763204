"""The sockets of this node, and the channels that each is on. Pure: its maker gives it a way to be called soon.

A broadcast is not written at once. It waits in the channel's outbox, and what has gathered there is joined and written
once per subscriber, because the kernel call per write is what a fan-out costs. Channels with few subscribers are
flushed when the bytes that were read together have been worked on, larger ones by one call at the end of the loop turn.
What each subscriber receives is still exactly what was published while it was subscribed, in order.

Messages come as payloads. They are encoded once for each encoding that a channel's subscribers have, nearly always one,
and each encoding has its own outbox.
"""

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from sockudo_py.hub.outbox import Cursor, Outbox
from sockudo_py.hub.sink import Sink
from sockudo_py.metrics import AppCounters, Metrics

SLICE: Final = 100  # writes before other work of the loop gets its turn: 0.6 ms of kernel calls
FEW: Final = 16  # subscribers of a channel that doesn't wait for the end of the turn
FLUSH_BYTES: Final = 256 * 1024  # one write to one subscriber, unless a single message is larger
BACKLOG_BYTES: Final = 8 * 1024 * 1024  # in all outboxes of the node; past it everything is written on the spot


class _LocalApp:
    """What this node has of one app."""

    __slots__ = ("channels", "counters", "sockets")

    def __init__(self, counters: AppCounters) -> None:
        self.counters = counters
        self.sockets: dict[str, Sink] = {}
        self.channels: dict[str, Outbox] = {}  # each the first of its channel, see Outbox.other


_NO_SOCKETS: Final[Mapping[str, Sink]] = MappingProxyType({})


class Hub:
    """Sockets and subscriptions by app. Channels that begin with ``#`` are our own; they don't count."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        metrics: Metrics,
        *,
        slice_size: int = SLICE,
        flush_bytes: int = FLUSH_BYTES,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        """``call_soon`` runs a function once, after the work at hand; an event loop's own will do."""
        self._call_soon = call_soon
        self._metrics = metrics
        self._slice_size = slice_size
        self._few_at_most = min(FEW, slice_size)
        self._flush_bytes = flush_bytes
        self._backlog_bytes = backlog_bytes
        self._apps: dict[str, _LocalApp] = {}
        self._total = 0
        self._few: deque[Outbox] = deque()  # to be flushed, with few subscribers when they were queued ...
        self._many: deque[Outbox] = deque()  # ... and the others
        self._armed = False
        self._working = False
        self._alone = False
        self.backlog = 0  # bytes in all outboxes

    def add(self, app_id: str, client: Sink) -> None:
        """Count a socket in."""
        local = self._apps.get(app_id) or self._local(app_id)
        local.sockets[client.session.socket_id] = client
        local.counters.connections += 1
        self._total += 1

    def remove(self, app_id: str, client: Sink) -> bool:
        """Count a socket out; return False when it wasn't there. Its subscriptions are for ``drop``."""
        local = self._apps.get(app_id)
        socket_id = client.session.socket_id
        if local is None or local.sockets.get(socket_id) is not client:
            return False
        del local.sockets[socket_id]
        local.counters.connections -= 1
        self._total -= 1
        self._forget_if_empty(app_id, local)
        return True

    def has(self, app_id: str, client: Sink) -> bool:
        """Return whether this very socket is counted in."""
        return self.sockets(app_id).get(client.session.socket_id) is client

    def sockets(self, app_id: str) -> Mapping[str, Sink]:
        """Return the sockets of an app by socket id: a view, copy it before changing anything."""
        local = self._apps.get(app_id)
        return _NO_SOCKETS if local is None else local.sockets

    def all_sockets(self) -> list[Sink]:
        """Return every socket of this node."""
        return [client for local in self._apps.values() for client in local.sockets.values()]

    def connections(self, app_id: str | None = None) -> int:
        """Return the number of sockets of one app, or of all."""
        return self._total if app_id is None else len(self.sockets(app_id))

    def channels(self, app_id: str) -> Container[str]:
        """Return the names of the app's channels with subscribers here, as a live view."""
        local = self._apps.get(app_id)
        return () if local is None else local.channels

    def subscribers(self, app_id: str, channel: str) -> list[Sink]:
        """Return the channel's subscribers on this node."""
        local = self._apps.get(app_id)
        found = None if local is None else local.channels.get(channel)
        everybody: list[Sink] = []
        while found is not None:
            everybody += found.subscribers
            found = found.other
        return everybody

    def subscribed(self, app_id: str, channel: str, client: Sink) -> bool:
        """Return whether the socket is on the channel."""
        found = self._find(app_id, channel, client)
        return found is not None and client in found.subscribers

    def join(self, app_id: str, channel: str, client: Sink) -> bool:
        """Put a socket on a channel; return False when it was there. Only what is published from now on is for it."""
        local = self._apps.get(app_id) or self._local(app_id)
        counters = local.counters
        counted = not channel.startswith("#")
        encoding = client.encoding
        found = local.channels.get(channel)
        if found is None:
            found = local.channels[channel] = Outbox(encoding, counters)
            counters.channels += counted
        else:
            if found.encoding is not encoding:
                found = found.beside(encoding)
            if client in found.subscribers:
                return False
        found.join(client)
        counters.subscriptions += counted
        return True

    def leave(self, app_id: str, channel: str, client: Sink) -> bool:
        """Take a socket off a channel after writing what was published while it was on; return False when it wasn't."""
        found = self._find(app_id, channel, client)
        if found is None or client not in found.subscribers:
            return False
        found.catch_up(client)
        return self.drop(app_id, channel, client)

    def drop(self, app_id: str, channel: str, client: Sink) -> bool:
        """Take a socket that is gone off a channel, with what waits for it; return False when it wasn't on it."""
        local = self._apps.get(app_id)
        found = self._find(app_id, channel, client)
        if local is None or found is None or client not in found.subscribers:
            return False
        found.drop(client)
        local.counters.subscriptions -= not channel.startswith("#")
        if not found.subscribers:
            self.backlog -= found.size
            found.frames, found.size = [], 0
            self._forget_outbox(app_id, local, channel, found)
        return True

    def publish(
        self, app_id: str, channel: str, payload: bytes, exclude: Sink | None = None, at_once: bool = False
    ) -> None:
        """Send a message to all subscribers of the channel on this node, but ``exclude``: after what is worked on, or
        at the end of the loop turn. ``at_once``: now, where subscribers are few and nothing waits for them.
        """
        local = self._apps.get(app_id)
        if local is None:
            return
        found = local.channels.get(channel)
        while found is not None:
            encoding = found.encoding  # as in Flush.serve
            frame = encoding(payload)
            if not found.queued:
                if len(found.subscribers) > self._few_at_most:
                    self._many.append(found)
                    self._arm()
                elif (at_once or self._alone) and not found.shares and not self._few:
                    found.send(frame, 1, exclude)
                    found = found.other
                    continue
                else:
                    self._few.append(found)
                    if not self._working:
                        self._arm()
                found.queued = True
            found.publish(frame, exclude)
            self.backlog += len(frame)
            if self.backlog > self._backlog_bytes:
                self.flush()
            found = found.other

    def begin_work(self, *, alone: bool = False) -> None:
        """Let channels with few subscribers wait for ``end_work``, which must follow within the same turn.

        ``alone`` says that it is a single message that is worked on: nothing can gather, so nothing need wait.
        """
        self._working = True
        self._alone = alone

    def end_work(self) -> None:
        """Write what gathered for channels with few subscribers."""
        self._working = self._alone = False
        if self._few:
            self._flush_some(self._few)
            if self._few or self._many:  # a channel whose subscribers are many by now
                self._arm()

    def hold(self, app_id: str, channel: str, client: Sink) -> Cursor | None:
        """Keep the channel's messages from a subscriber until ``release``.

        Return what to release, or None when it isn't on the channel.
        """
        found = self._find(app_id, channel, client)
        if found is None or client not in found.subscribers:
            return None
        share = found.share(client, 0)
        share.held = []
        return share

    def release(self, app_id: str, channel: str, client: Sink, share: Cursor, first: bytes) -> None:
        """Write the message ``first`` and then what was held. Without effect when that subscription has ended.

        When ``first`` is among what was held (the cache already knew it), it goes out only there.
        """
        found = self._find(app_id, channel, client)
        if found is None or found.shares is None or found.shares.get(client) is not share:
            return
        found.catch_up(client)
        held = share.held
        if held is None:  # too much had gathered, see Outbox.give
            return
        share.held = None
        frame = found.encoding(first)
        found.give(client, share, held if frame in held else [frame, *held])
        if not found.frames:
            del found.shares[client]

    def catch_up(self, app_id: str, channels: Iterable[str], client: Sink) -> None:
        """Write what waits for a socket on these channels now, since it is about to be closed."""
        if self._few or self._many:
            for channel in channels:
                found = self._find(app_id, channel, client)
                if found is not None and client in found.subscribers:
                    found.catch_up(client)

    def flush(self) -> None:
        """Write everything that waits, without a break for others."""
        while self._few or self._many:
            self._flush_some(self._few or self._many)

    def _flush_turn(self) -> None:
        self._armed = False
        try:
            self._flush_some(self._few)
            self._flush_some(self._many)
        finally:
            if self._few or self._many:
                self._arm()

    def _flush_some(self, queue: deque[Outbox]) -> None:
        """Flush outboxes of ``queue``, a slice of writes in all."""
        budget = self._slice_size
        while queue and budget > 0:
            outbox = queue.popleft()
            size = outbox.size
            budget -= outbox.flush(self._slice_size, self._flush_bytes)
            self.backlog -= size - outbox.size
            if outbox.round is not None or outbox.frames:
                self._many.append(outbox)
            else:
                outbox.queued = False

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._call_soon(self._flush_turn)

    def _local(self, app_id: str) -> _LocalApp:
        local = self._apps.get(app_id)
        if local is None:
            local = self._apps[app_id] = _LocalApp(self._metrics.app(app_id))
        return local

    def _find(self, app_id: str, channel: str, client: Sink) -> Outbox | None:
        """Return the channel's outbox with the client's encoding, whether the client is on the channel or not."""
        local = self._apps.get(app_id)
        found = None if local is None else local.channels.get(channel)
        while found is not None and found.encoding is not client.encoding:
            found = found.other
        return found

    def _forget_outbox(self, app_id: str, local: _LocalApp, channel: str, empty: Outbox) -> None:
        first = local.channels[channel]
        if first is not empty:
            first.forget(empty)
        elif empty.other is not None:
            local.channels[channel] = empty.other
        else:
            del local.channels[channel]
            local.counters.channels -= not channel.startswith("#")
            self._forget_if_empty(app_id, local)

    def _forget_if_empty(self, app_id: str, local: _LocalApp) -> None:
        if not local.sockets and not local.channels:
            del self._apps[app_id]
