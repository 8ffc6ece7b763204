"""One channel on this node: its subscribers, and the outbox in which messages wait for the end of the loop turn.

Why so, and what else was thought of: docs/decisions/0002-channel-outbox.md.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from sockudo_py.hub.sink import Encoding, Sink
from sockudo_py.metrics import AppCounters

SLICE_BYTES: Final = 1024 * 1024  # that one slice hands to the kernel: 0.3 ms of copying
HELD_BYTES: Final = 1024 * 1024  # for one subscriber whose cached event is on its way


class Cursor:
    """The part of the outbox that one subscriber gets, where that is not all of it."""

    __slots__ = ("held", "held_bytes", "since", "skips")

    def __init__(self, since: int) -> None:
        self.since = since  # number of the first message that is for it
        self.skips: list[int] = []  # messages that it is excluded from
        self.held: list[bytes] | None = None  # a list: the messages gather here until ``Hub.release``
        self.held_bytes = 0

    def of(self, frames: list[bytes], base: int) -> list[bytes]:
        """Return its part of ``frames``; the first of them has the number ``base``."""
        if not self.skips:
            return frames[max(self.since - base, 0) :]
        if len(frames) == 1 and self.skips[0] == base:  # the sender of a client event, at low load
            return []
        since, skips = self.since, frozenset(self.skips)
        return [frame for number, frame in enumerate(frames, base) if number >= since and number not in skips]


class Flush:
    """A flush in progress: ``data`` on its way to ``left`` subscribers, slice by slice.

    While no subscriber comes or goes it walks over the dict of subscribers itself. Copying it, taking from the copy
    and writing would touch each of a thousand connections three times, and each time the kernel's work has driven them
    out of the processor's caches.
    """

    __slots__ = ("_rest", "_walk", "data", "left")

    def __init__(self, data: bytes, subscribers: dict[Sink, None]) -> None:
        self.data = data
        self.left = len(subscribers)
        self._walk = iter(subscribers)
        self._rest: dict[Sink, None] | None = None  # instead of the walk, once a subscriber came or went

    def serve(self, count: int) -> None:
        """Write to ``count`` of the subscribers that are left."""
        count = min(count, self.left)
        self.left -= count
        data, rest = self.data, self._rest
        sinks: Iterable[Sink] = islice(self._walk, count) if rest is None else [rest.popitem()[0] for _ in range(count)]
        for sink in sinks:  # the inner loop of every fan-out: nothing else belongs here
            write = sink.write  # Python 3.11 has no fast way to call what lies in a slot, but one to fetch it
            write(data)

    def settle(self) -> dict[Sink, None]:
        """Return the subscribers that are left to write to; call it before the subscribers change."""
        if self._rest is None:
            self._rest = dict.fromkeys(self._walk)
        return self._rest

    def take_out(self, sink: Sink) -> bool:
        """Return whether the subscriber was left; it is not any more."""
        rest = self.settle()
        if sink not in rest:
            return False
        del rest[sink]
        self.left -= 1
        return True


class Outbox:
    """The subscribers of one channel whose transports have the same encoding, and the messages that wait for them.

    ``frames`` are encoded messages. ``other`` is the channel's outbox for the next encoding: None where all subscribers
    are WebSocket clients. ``excluded`` is who gets none of the messages that wait: the sender of client events, or
    nobody. ``shares`` has those whose part is neither everything nor nothing. ``round`` is the flush in progress, if
    one is.
    """

    __slots__ = (
        "base",
        "counters",
        "encoding",
        "excluded",
        "frames",
        "other",
        "queued",
        "round",
        "shares",
        "size",
        "subscribers",
    )

    def __init__(self, encoding: Encoding, counters: AppCounters) -> None:
        self.encoding = encoding
        self.other: Outbox | None = None
        self.counters = counters
        self.subscribers: dict[Sink, None] = {}
        self.frames: list[bytes] = []
        self.base = 0  # number of frames[0], counted since the channel came to be
        self.size = 0  # bytes in frames
        self.excluded: Sink | None = None
        self.shares: dict[Sink, Cursor] | None = None
        self.round: Flush | None = None
        self.queued = False

    def beside(self, encoding: Encoding) -> "Outbox":
        """Return the channel's outbox for another encoding, from this one on; it is made when there is none."""
        outbox = self
        while outbox.encoding is not encoding:
            if outbox.other is None:
                outbox.other = Outbox(encoding, self.counters)
            outbox = outbox.other
        return outbox

    def forget(self, empty: "Outbox") -> None:
        """Take an outbox that follows this one out of the channel."""
        before = self
        while before.other is not None:
            if before.other is empty:
                before.other = empty.other
                return
            before = before.other

    def publish(self, frame: bytes, exclude: Sink | None) -> None:
        """Append a message to the outbox."""
        frames = self.frames
        if exclude is not self.excluded:
            if frames:
                self._spell_out()
                if exclude is not None and exclude in self.subscribers:
                    self.share(exclude, 0).skips.append(self.base + len(frames))
            else:
                self.excluded = exclude
        frames.append(frame)
        self.size += len(frame)

    def share(self, sink: Sink, since: int) -> Cursor:
        """Return the subscriber's own share, made with ``since`` when it had none."""
        if self.shares is None:
            self.shares = {}
        share = self.shares.get(sink)
        if share is None:
            share = self.shares[sink] = Cursor(since)
        return share

    def join(self, sink: Sink) -> None:
        """Add a subscriber; nothing that was published before is for it."""
        if self.round is not None:
            self.round.settle()
        self.subscribers[sink] = None
        if self.frames:
            self.share(sink, 0).since = self.base + len(self.frames)

    def drop(self, sink: Sink) -> None:
        """Remove a subscriber, with what waits for it."""
        if self.round is not None:
            self.round.take_out(sink)
        del self.subscribers[sink]
        if self.shares:
            self.shares.pop(sink, None)

    def catch_up(self, sink: Sink) -> None:
        """Write everything that waits for this subscriber, ahead of the flush."""
        if self.round is not None and self.round.take_out(sink):
            sink.write(self.round.data)
        if self.frames:
            self._spell_out()
            share = self.share(sink, 0)
            self.give(sink, share, share.of(self.frames, self.base))
            share.since = self.base + len(self.frames)

    def give(self, sink: Sink, share: Cursor, frames: list[bytes]) -> None:
        """Write ``frames`` to a subscriber that has its own share, or hold them for it."""
        if share.held is not None and frames:
            share.held += frames
            share.held_bytes += sum(map(len, frames))
            if share.held_bytes <= HELD_BYTES:
                return
            # The answer of the cache is too late: all this is newer than anything that it could replay.
            frames, share.held = share.held, None
        if frames:
            data = b"".join(frames)
            self.counters.messages_sent += len(frames)
            self.counters.sent_bytes += len(data)
            sink.write(data)

    def flush(self, slice_size: int, flush_bytes: int) -> int:
        """Write the next slice; return what it costs, in writes. ``round`` and ``frames`` say whether there is more."""
        written = 0
        round_ = self.round
        if round_ is None:
            if not self.frames:
                return 0
            if not self.shares and self.size <= flush_bytes and len(self.subscribers) <= slice_size:
                return self._flush_to_all()
            written, round_ = self._take(flush_bytes)
        before = round_.left
        round_.serve(min(slice_size, max(1, SLICE_BYTES // len(round_.data))))
        if round_.left:
            self.round = round_
            return written + slice_size
        self.round = None
        return written + before

    def send(self, data: bytes, count: int, excluded: Sink | None) -> int:
        """Write ``data``, which is ``count`` messages, to all but ``excluded``; return to how many.

        For channels on which nothing waits and no subscriber has a share: the usual case of small ones.
        """
        subscribers = self.subscribers
        written = len(subscribers) - (excluded in subscribers)
        for sink in subscribers:
            if sink is not excluded:
                write = sink.write  # as in Flush.serve
                write(data)
        counters = self.counters
        counters.messages_sent += count * written
        counters.sent_bytes += len(data) * written
        return written

    def _flush_to_all(self) -> int:
        frames, excluded = self.frames, self.excluded
        count = len(frames)
        data = frames[0] if count == 1 else b"".join(frames)
        frames.clear()
        self.excluded = None
        self.base += count
        self.size = 0
        return self.send(data, count, excluded)

    def _spell_out(self) -> None:
        """Put down in its share what ``excluded`` is excluded from, since it isn't simply everything any more."""
        excluded, self.excluded = self.excluded, None
        if excluded is not None and excluded in self.subscribers:
            self.share(excluded, 0).skips += range(self.base, self.base + len(self.frames))

    def _take(self, flush_bytes: int) -> tuple[int, Flush]:
        """Take messages from the outbox and serve those with a share of their own.

        Return how many these were, and what the others have to get.
        """
        self._spell_out()
        frames = self.frames
        if self.size <= flush_bytes or len(frames) == 1:
            self.frames = []
            taken = self.size
        else:
            count, taken = 1, len(frames[0])
            while taken + len(frames[count]) <= flush_bytes:
                taken += len(frames[count])
                count += 1
            self.frames = frames[count:]
            frames = frames[:count]
        base = self.base
        self.base += len(frames)
        self.size -= taken
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        todo = self.subscribers
        written = 0
        if self.shares:
            todo = todo.copy()
            shares, self.shares = self.shares, {}
            for sink, share in shares.items():
                del todo[sink]
                part = share.of(frames, base)
                if part:
                    written += 1
                    self.give(sink, share, part)
                if share.skips:
                    share.skips = [number for number in share.skips if number >= self.base]
                if share.held is not None or share.skips or share.since > self.base:
                    self.shares[sink] = share
        self.counters.messages_sent += len(frames) * len(todo)
        self.counters.sent_bytes += taken * len(todo)
        return written, Flush(data, todo)
