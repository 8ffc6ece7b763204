"""A client of the HTTP transports: its session, the request on which it receives, and what waits for the next one.

The client does not say what it has received. What it asks says it: pusher-js comes for the rest when it has read a
response to its end (a poll) or past a length that both sides count (a stream), and answers a heartbeat when it has read
all that came before. Where a response broke off otherwise, and it can't be known that everything was read, the next
request ends the session with 4200: the client connects anew, and nothing is lost or repeated silently.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from sockudo_py.metrics import AppCounters
from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Effect
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import refusal
from sockudo_py.protocol.session import Session
from sockudo_py.xhr import frames
from sockudo_py.xhr.context import XhrContext
from sockudo_py.xhr.sessions import Key

log = logging.getLogger(__name__)

_OPEN: Final = 0
_CLOSING: Final = 1  # nothing follows the close line, which may wait for the next request
_GONE: Final = 2

_SLOW_CODE: Final = 4100
_SLOW_REASON: Final = "Over capacity: messages were not read fast enough"
_SLOW_LINES: Final = frames.message_line(codec.error(_SLOW_CODE, _SLOW_REASON)) + frames.close_line(
    _SLOW_CODE, _SLOW_REASON
)
_TAKEN_LINE: Final = frames.close_line(int(ErrorCode.RECONNECT), "Another request has taken this session over")
_TOO_BIG_CODE: Final = 1009
_TOO_BIG_REASON: Final = "Message too big"
_INTERNAL_CODE: Final = 1011
_REQUEST_BYTES: Final = 512  # that a request to send takes besides its body while it waits
_MESSAGE_BYTES: Final = 64  # that each of its messages takes besides its text


class Receiver(Protocol):
    """One receive request and its response."""

    streaming: bool  # the response goes on after lines were written; else it ends with the first ones

    def write(self, lines: bytes, last: bool = False) -> None:
        """Send lines, or just begin; only for a response that goes on.

        After the ``last`` lines the client is about to give the response up, so not a byte may follow.
        """

    def finish(self, lines: bytes) -> None:
        """Send the last lines, perhaps none, and end the response."""

    def flushed(self) -> bool:
        """Return whether all that was written has left this process."""

    def give_up_unread(self) -> None:
        """Drop an answer that was not read to its end, and call ``XhrClient.broken``.

        Its client asks anew all the same; who did so again and again would fill the memory with answers.
        """

    def abort(self) -> None:
        """Drop the connection."""


Waiting = tuple[list[str], int, "asyncio.Future[None] | None"]  # messages, what they take, who waits for them


class XhrClient:
    """A client's session and its ``hub.Sink``.

    Args:
        context: Shared by all.
        session_id: As the client chose it. It is a secret: who knows it can act as the client.
        transport: ``xhr_streaming`` or ``xhr_polling``, for metrics and the log.
        marks: What all requests of the client have in common; a request with others is refused.
        session: Its session.
        counters: Of its app.
    """

    __slots__ = (
        "_after_ping",
        "_answered",
        "_context",
        "_corked",
        "_counters",
        "_deadline",
        "_doubtful",
        "_due",
        "_full",
        "_held",
        "_inbox",
        "_inbox_bytes",
        "_kept",
        "_kept_bytes",
        "_last",
        "_pinged",
        "_receiver",
        "_sent",
        "_soon",
        "_state",
        "_unsure",
        "key",
        "marks",
        "session",
        "tick",
        "transport",
    )

    encoding = staticmethod(frames.message_line)

    def __init__(
        self,
        context: XhrContext,
        session_id: str,
        transport: str,
        marks: tuple[str | None, ...],
        session: Session,
        counters: AppCounters,
    ) -> None:
        self.key: Key = (session.app.id, session_id)
        self.session = session
        self.transport = transport
        self.marks = marks
        self.tick = 0
        self._context = context
        self._counters = counters
        self._state = _OPEN
        self._receiver: Receiver | None = None
        self._answered: Receiver | None = None  # the last one, when its response was a whole one
        self._sent = 0  # units of the response that goes on
        self._full = False  # it is as long as the client reads
        self._kept: list[bytes] = [frames.OPEN]  # lines for the next response
        self._kept_bytes = 0  # of them, as the context counts them
        self._last = b""  # the close line, while it waits
        self._corked: list[bytes] | None = None  # what is written while one request is worked on
        self._soon = False  # a poll is answered when the loop has turned
        self._due = session.first_check()  # when the session is to be asked
        self._deadline = 0.0  # of the poll; without a receiver, or with a full one, of the session
        self._pinged = False  # a heartbeat went out that was not answered
        self._after_ping = False  # ... and messages after it
        self._unsure = False  # messages went out that may not have been read
        self._doubtful = False  # ... and their response broke off
        self._held = 0  # for which reasons nothing is read, as bits
        self._inbox: deque[Waiting] | None = None  # not worked on yet
        self._inbox_bytes = 0

    # -- receive requests --

    def open(self, receiver: Receiver) -> None:
        """Open the session of a client that the node has connected; ``receiver`` is its first request."""
        context, session = self._context, self.session
        context.sessions.add(self)
        context.open_sessions.add(self.transport)
        session.control_frame(context.clock())  # pings are heartbeats alone
        try:
            context.node.perform(self, session.open())
        except Exception:  # noqa: BLE001 - the top of what this client can cause
            self._crash()
        self.attach(receiver)

    def attach(self, receiver: Receiver) -> None:
        """Go on with a newer receive request. The one before ends with what was written to it."""
        context = self._context
        before = self._receiver
        if before is not None:
            if self._unsure and not before.flushed():
                self._doubtful = True
            if self._doubtful or self._full:
                before.abort()
            else:
                before.finish(_TAKEN_LINE)
        if self._answered is not None:
            self._answered.give_up_unread()
        context.sessions.leave(self)
        self._receiver, self._answered = receiver, None
        self._sent = 0
        self._full = self._unsure = self._pinged = self._after_ping = False
        now = context.clock()
        self.session.last_seen = now
        if self._state == _OPEN and self._doubtful:
            self._drop_kept()
            self._perform(self.session.close(refusal(ErrorCode.RECONNECT)))
            return
        if self._state == _CLOSING:
            self._finish()
            return
        self._deadline = inf if receiver.streaming else now + context.limits.poll_timeout
        context.wheel.schedule(self, min(self._due, self._deadline))
        if self._kept:
            self._pass_on()
        elif receiver.streaming:
            receiver.write(b"")  # the head: a proxy in between may wait for it

    def lost(self, receiver: Receiver, sure: bool) -> None:
        """Note that a receive request has ended without us; ``sure``: the client has read all of its response."""
        if receiver is not self._receiver:
            return
        self._receiver = None
        if self._unsure and not sure:
            self._doubtful = True
        self._wait()

    def broken(self, receiver: Receiver) -> None:
        """Note that not the whole response of a request that was answered has been sent."""
        if receiver is self._answered:
            self._doubtful = True

    def move_on(self, receiver: Receiver) -> None:
        """Send the client elsewhere, since the node of this request begins to close: by a poll's end, or with 4200."""
        if receiver is not self._receiver or self._state != _OPEN:
            return
        if receiver.streaming:
            self._perform(self.session.close(refusal(ErrorCode.RECONNECT)))
        elif self._kept:
            self._pass_on()
        else:
            self._answer(receiver, frames.HEARTBEAT)

    def slow_on(self, receiver: Receiver) -> None:
        """Close a client that doesn't read this stream."""
        if receiver is self._receiver:
            self.slow()

    @property
    def origin(self) -> str | None:
        """The origin of its page, or a digest of it."""
        return self.marks[1]

    @property
    def over(self) -> bool:
        """Whether the session has ended; its last words may wait."""
        return self._state != _OPEN

    def slow(self) -> None:
        """Close a client that doesn't read its stream. Called from within ``write``, so the node hears of it later."""
        if self._state != _OPEN:
            return
        self._counters.slow_consumers_closed += 1
        about = {"app_id": self.session.app.id, "address": self.session.source.shown, "transport": self.transport}
        log.info("socket %s is closed as a slow consumer", self.session.socket_id, extra=about)
        self._drop_kept()
        self._last = _SLOW_LINES
        self._leave("slow")
        self._context.node.tell_closed(self, _SLOW_CODE, _SLOW_REASON)

    # -- the node's side: hub.Sink --

    def write(self, data: bytes) -> None:
        """Send lines, or keep them for the next response."""
        if self._state != _OPEN:
            return
        if self._corked is not None:
            self._corked.append(data)
            return
        receiver = self._receiver
        if receiver is None or self._full or not receiver.streaming:
            self._keep(data)
        else:
            self._stream(receiver, data)

    def ping(self) -> None:
        """Send a heartbeat. A streaming client answers it, a polling one comes again."""
        receiver = self._receiver
        if self._state != _OPEN or receiver is None or self._full:
            return
        if receiver.streaming:
            unsure = self._unsure
            self.write(frames.HEARTBEAT)
            self._pinged, self._after_ping, self._unsure = True, False, unsure
        else:
            self.write(frames.HEARTBEAT)

    def close(self, code: int, reason: str) -> None:
        """Send what is pending, then the code; where no request is there, to the next one that comes."""
        if self._state != _OPEN:
            return
        if self._corked is not None:
            corked, self._corked = self._corked, None
            for data in corked:
                self.write(data)
            if self._state != _OPEN:  # it was too much
                return
        self._last = frames.close_line(code, reason)
        self._leave("closed")

    def hold(self, reason: int) -> None:
        """Work on no more requests to send."""
        self._held |= reason

    def release(self, reason: int) -> None:
        """Take a reason back; after the last one go on."""
        if self._held & reason:
            self._held &= ~reason
            if not self._held:
                self._work_off()

    # -- requests to send --

    def take(self, messages: list[str], size: int) -> "asyncio.Future[None] | bool":
        """Work on the messages of one request.

        Return True when it is done, False when too much waits already, or what is done when the messages are. ``size``
        is the bytes of the body.
        """
        self._counters.received_bytes += size
        self.session.last_seen = self._context.clock()
        if not messages:
            self._heartbeat()
            return True
        if self._held or self._inbox:
            size += _REQUEST_BYTES + _MESSAGE_BYTES * len(messages)
            if self._inbox_bytes + size > self._context.limits.max_kept_bytes:
                return False
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._put_off(messages, size, done)
            return done
        rest = self._work(messages)
        if rest:
            self._put_off(rest, size, None)
        return True

    def _put_off(self, messages: list[str], size: int, done: "asyncio.Future[None] | None") -> None:
        self._inbox = deque() if self._inbox is None else self._inbox
        self._inbox.append((messages, size, done))
        self._inbox_bytes += size

    def _heartbeat(self) -> None:
        if self._pinged:
            self._pinged, self._unsure = False, self._after_ping
        else:  # the client asks for a sign of life
            self.write(frames.NO_MESSAGES)

    def _work_off(self) -> None:
        while self._inbox and not self._held:
            messages, size, done = self._inbox.popleft()
            rest = self._work(messages)
            if rest and self._inbox is not None:
                self._inbox.appendleft((rest, size, done))
                return
            self._inbox_bytes -= size
            if done is not None and not done.done():
                done.set_result(None)
        if not self._inbox:
            self._inbox, self._inbox_bytes = None, 0  # also where the session has ended meanwhile

    def _work(self, messages: list[str]) -> list[str]:
        """Do what messages ask for; return those that have to wait because the client asked for too much."""
        context, session = self._context, self.session
        limit, now = context.limits.max_message_bytes, context.clock()
        perform = context.node.perform
        taken = 0
        context.node.begin_work(alone=len(messages) == 1)
        self._corked = []
        try:
            for message in messages:
                if self._state != _OPEN or self._held:
                    break
                taken += 1
                if len(message) > limit or len(message.encode("utf-8", "surrogatepass")) > limit:
                    self._counters.connection_errors += 1
                    context.node.tell_closed(self, _TOO_BIG_CODE, _TOO_BIG_REASON)
                    self.close(_TOO_BIG_CODE, _TOO_BIG_REASON)
                    break
                effects = session.receive(message, now)
                if effects:
                    perform(self, effects)
        except Exception:  # noqa: BLE001 - as in open
            self._crash()
        finally:
            context.node.end_work()
            self._counters.messages_received += taken
            corked, self._corked = self._corked, None
            if corked:
                self.write(corked[0] if len(corked) == 1 else b"".join(corked))
        if self._state != _OPEN:
            context.node.disconnect(self)
            return []
        return messages[taken:]

    # -- the wheel's side --

    def check(self, now: float) -> float | None:
        """Do what is due: end a session without a request, answer a poll, ask the client for a sign of life."""
        if self._state != _OPEN:
            self._forget()
            return None
        receiver = self._receiver
        listening = receiver is not None and not self._full
        if now >= self._deadline:
            if receiver is None or self._full:
                self._expire()
                return None
            self._answer(receiver, frames.HEARTBEAT)
            listening = False
        if self._held or not listening:
            self.session.last_seen = now  # it may be talking unread; or it can't hear
        try:
            effects, due = self.session.check(now)
            if effects:
                self._context.node.perform(self, effects)
        except Exception:  # noqa: BLE001 - as in open
            self._crash()
            return None
        if self._state != _OPEN or due is None:
            return None  # a wait for the next request is on the wheel already
        self._due = due
        return min(due, self._deadline)

    def abort(self) -> None:
        """Drop the client at once."""
        self._end("aborted")

    # -- the table's side --

    def evict(self) -> None:
        """End the session now: others need its place. Called from within ``write`` of another client."""
        if self._state == _OPEN:
            self._state = _GONE
            self._drop_kept()
            self._context.wheel.cancel(self)  # which would keep it until its time comes
            self._context.sessions.remove(self)
            self._context.forgotten(self.key)
            self._gone("evicted")
            self._context.call_soon(self._disconnect)
        else:
            self._forget()

    # -- within --

    def _stream(self, receiver: Receiver, data: bytes) -> None:
        """Write as much of ``data`` as the client will read of this response, and keep the rest for the next one."""
        room = frames.RESPONSE_UNITS - self._sent
        size = frames.units(data)
        rest = b""
        if size > room:
            end = frames.cut(data, room)
            data, rest = data[:end], data[end:]
            self._full = True
        self._sent += size
        self._unsure = self._after_ping = True
        receiver.write(data, self._full)
        if self._full and self._state == _OPEN:
            self._limit_wait()
            if rest:
                self._keep(rest)

    def _keep(self, data: bytes) -> None:
        context = self._context
        self._kept.append(data)
        self._kept_bytes += len(data)
        context.sessions.keep(len(data))
        if self._kept_bytes > context.limits.max_kept_bytes:
            self.slow()
            return
        while context.sessions.crowded():
            if not context.sessions.evict_oldest():
                self.slow()
                return
        if self._receiver is not None and not self._full and not self._soon:
            self._soon = True
            context.call_soon(self._answer_soon)

    def _answer_soon(self) -> None:
        self._soon = False
        receiver = self._receiver
        if self._state == _OPEN and receiver is not None and self._kept and not receiver.streaming:
            self._pass_on()

    def _pass_on(self) -> None:
        """Write what was kept to the receiver."""
        receiver = self._receiver
        if receiver is None:
            return
        lines = b"".join(self._kept)
        self._drop_kept()
        if receiver.streaming:
            self._stream(receiver, lines)
        else:
            if frames.units(lines) > frames.RESPONSE_UNITS:
                end = frames.cut(lines, frames.RESPONSE_UNITS)
                lines, rest = lines[:end], lines[end:]
                self._receiver = None
                if rest:
                    self._keep(rest)
            self._answer(receiver, lines)

    def _answer(self, receiver: Receiver, lines: bytes) -> None:
        """Answer a poll."""
        self._receiver, self._answered = None, receiver
        receiver.finish(lines)
        self._wait()

    def _wait(self) -> None:
        """Wait for the next receive request."""
        self._limit_wait()
        self._context.sessions.wait(self)

    def _limit_wait(self) -> None:
        context = self._context
        self._deadline = context.clock() + context.limits.session_timeout
        context.wheel.schedule(self, min(self._due, self._deadline) if self._state == _OPEN else self._deadline)

    def _leave(self, reason: str) -> None:
        """Be open no more: ``_last`` goes out now, or with the next request."""
        self._state = _CLOSING
        self._gone(reason)
        if self._receiver is not None and not self._full:
            self._finish()
        else:
            self._limit_wait()
        self._context.call_soon(self._disconnect)

    def _finish(self) -> None:
        """Write what was kept and the close line, and forget the session."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        lines = b"".join(self._kept) + self._last
        self._drop_kept()
        receiver.finish(lines)
        self._forget()

    def _forget(self) -> None:
        """Be nowhere any more, when the node knows already or is about to be told."""
        self._state = _GONE
        self._drop_kept()
        context = self._context
        context.wheel.cancel(self)
        context.sessions.remove(self)
        context.forgotten(self.key)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.abort()

    def _expire(self) -> None:
        about = {"app_id": self.session.app.id, "address": self.session.source.shown, "transport": self.transport}
        log.debug("socket %s: no request came for its session", self.session.socket_id, extra=about)
        self._end("timeout")

    def _end(self, reason: str) -> None:
        """End without a word."""
        if self._state == _OPEN:
            self._gone(reason)
        self._forget()
        self._context.node.disconnect(self)

    def _gone(self, reason: str) -> None:
        context = self._context
        context.open_sessions.add(self.transport, amount=-1)
        context.ended.add(reason)
        self._answer_inbox()

    def _disconnect(self) -> None:
        self._context.node.disconnect(self)

    def _perform(self, effects: Sequence[Effect]) -> None:
        self._context.node.perform(self, effects)

    def _drop_kept(self) -> None:
        self._context.sessions.keep(-self._kept_bytes)
        self._kept, self._kept_bytes = [], 0

    def _answer_inbox(self) -> None:
        """Let go of the requests to send that wait."""
        inbox, self._inbox = self._inbox, None
        self._inbox_bytes = 0
        for _, _, done in inbox or ():
            if done is not None and not done.done():
                done.set_result(None)

    def _crash(self) -> None:
        log.exception("socket %s: unexpected error, the session is closed", self.session.socket_id)
        self._counters.connection_errors += 1
        self.close(_INTERNAL_CODE, "Internal error")
