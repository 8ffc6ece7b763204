"""One WebSocket connection after its handshake: frames in, effects to the node, frames out.

What the messages mean is the session's business, what follows from them the node's. Here: reading in bounded slices,
writing without a detour, the closing handshake, and what happens to clients that don't read.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from websockets.frames import CLOSE, PING, CloseCode, Frame
from websockets.protocol import OPEN as READABLE

from sockudo_py.metrics import AppCounters
from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Effect, Relay
from sockudo_py.protocol.session import Session
from sockudo_py.ws.context import ConnectionContext
from sockudo_py.ws.frames import FrameReader, FrameReaders, Received, begins_plain, only_message, plain_messages
from sockudo_py.ws.framing import PING_FRAME, close_frame, pong_frame, text_frame
from sockudo_py.ws.turns import TURN

log = logging.getLogger(__name__)

# Reading: a client may send thousands of tiny frames in one packet; after these the loop serves other clients.
_SLICE_BYTES = 2048
_FRAMES_PER_TURN = 64
_LARGE_ANSWER = 16_384  # bytes; 64 rosters of a presence channel are not kept for one ``send()``

_OPEN: Final = 0
_CLOSING: Final = 1  # our close frame is out, the peer's is awaited
_DISCARDING: Final = 2  # nothing that comes is looked at any more; the end of the stream is awaited
_LOST: Final = 3

_GO_ON, _PEER_CLOSED, _FAILED = range(3)  # what reading came to

_SLOW_CODE = 4100
_SLOW_REASON = "Over capacity: messages were not read fast enough"
_TOO_BIG_CODE = CloseCode.MESSAGE_TOO_BIG
_TOO_BIG_REASON = "Message too big"
_SLOW_FRAMES = text_frame(codec.error(_SLOW_CODE, _SLOW_REASON)) + close_frame(_SLOW_CODE, _SLOW_REASON)


def discard(frames: bytes) -> None:
    """Take the place of ``write`` when nothing more may be written."""


class WebSocketConnection(asyncio.Protocol):
    """A client's connection and its ``hub.Sink``.

    ``write`` is an attribute and changes with the state: the transport's own ``write`` while the connection is open, a
    list's ``append`` while inbound messages are worked on (their answers leave as one ``send()``), ``discard`` after
    ``close``. So fetch it from the connection for each write; never keep it.

    A peer that ends its stream is closed by the transport: it could not finish a closing handshake.
    """

    __slots__ = (
        "_begun",
        "_context",
        "_counters",
        "_done",
        "_held",
        "_reader",
        "_state",
        "_transport",
        "_waiting",
        "session",
        "tick",
        "write",
    )

    encoding = staticmethod(text_frame)

    def __init__(
        self, context: ConnectionContext, transport: asyncio.Transport, session: Session, counters: AppCounters
    ) -> None:
        self.session = session
        self.tick = 0
        self.write: Callable[[bytes], None] = discard
        self._context = context
        self._transport = transport
        self._counters = counters
        self._state = _OPEN
        self._reader: FrameReader | None = None
        self._begun: bytearray | None = None  # the beginning of a plain message
        self._held = 0  # reasons to read nothing, as bits; while there is one, the transport pauses
        self._waiting = b""  # received and not worked on yet ...
        self._done = 0  # ... apart from this many bytes at its beginning

    def start(self, prelude: bytes, received: bytes) -> None:
        """Open the session of a client that the node has connected.

        Args:
            prelude: Bytes to write before anything else: the handshake's answer.
            received: What came after the handshake's request.
        """
        context = self._context
        transport = self._transport
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=context.max_unsent_bytes)
        answers = [prelude]
        self.write = answers.append
        try:
            session = self.session
            context.node.perform(self, session.open())
            context.wheel.schedule(self, session.first_check())
        except Exception:  # noqa: BLE001 - the top of what this client can cause
            self._crash()
        if self._state == _OPEN:
            self.write = transport.write
        transport.write(b"".join(answers))
        if received:
            self.data_received(received)

    # -- the node's side: hub.Sink --

    def ping(self) -> None:
        """Send a ping frame."""
        self.write(PING_FRAME)

    def close(self, code: int, reason: str) -> None:
        """Send what is pending, then a close frame, and give the client some seconds for its own."""
        if self._state == _OPEN:
            self.write(close_frame(code, reason))
            self._leave(_CLOSING, self._context.close_timeout)

    def hold(self, reason: int) -> None:
        """Read nothing more, what came already included."""
        if self._state == _OPEN or reason == TURN:
            if not self._held:
                self._transport.pause_reading()
                if self._begun is not None:
                    self._waiting, self._done, self._begun = bytes(self._begun), 0, None
            self._held |= reason

    def release(self, reason: int) -> None:
        """Take a reason back; after the last one go on where reading stopped."""
        if not self._held & reason:
            return
        self._held &= ~reason
        if self._held:
            return
        data, self._waiting = self._waiting, b""
        if len(data) > self._done and self._state < _DISCARDING:
            self._work(data, self._done)
        if not self._held and self._state != _LOST:
            self._transport.resume_reading()

    # -- the wheel's side --

    def check(self, now: float) -> float | None:
        """Do what is due: ask the session for signs of life, or end a closing handshake that takes too long."""
        if self._state != _OPEN:
            self.abort()
            return None
        if self._held:
            self.session.last_seen = now  # it may be talking: nobody listens
        try:
            effects, due = self.session.check(now)
            if effects:
                self._perform_corked(effects)
        except Exception:  # noqa: BLE001 - as in start
            self._crash()
            return None
        return due if self._state == _OPEN else None

    def abort(self) -> None:
        """Drop the connection at once, with whatever was not sent yet."""
        if self._state != _LOST:
            self._state = _DISCARDING
            self.write = discard
            self._transport.abort()

    # -- the transport's side --

    def data_received(self, data: bytes) -> None:
        """Work on what came, up to a bound; the rest waits for the next turn of the loop."""
        if self._state >= _DISCARDING:
            return
        self._counters.received_bytes += len(data)
        if self._held:
            self._waiting, self._done = self._waiting[self._done :] + data, 0
            return
        if self._begun is not None:
            self._begun += data
            if begins_plain(self._begun, 0, self._context.readers.max_message_bytes):
                return
            data, self._begun = bytes(self._begun), None
        if self._state == _OPEN and self._reader is None:
            text = only_message(data, self._context.readers.max_message_bytes)
            if text is not None:
                self._take_only(text)
                return
        self._work(data)

    def pause_writing(self) -> None:
        """Close a client that doesn't read: past the bound nothing waits for it, so nothing delays the others."""
        if self._state != _OPEN:
            return
        self._counters.slow_consumers_closed += 1
        about = {"app_id": self.session.app.id, "address": self.session.source.shown}
        log.info("socket %s is closed as a slow consumer", self.session.socket_id, extra=about)
        self._leave(_CLOSING, self._context.slow_timeout)
        self._transport.write(_SLOW_FRAMES)
        self._context.node.tell_closed(self, _SLOW_CODE, _SLOW_REASON)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the node, once."""
        if self._state == _LOST:
            return
        self._state = _LOST
        self.write = discard
        self._held, self._waiting = 0, b""
        self._reader = self._begun = None
        self._context.open.leave()
        self._context.wheel.cancel(self)
        self._context.node.disconnect(self)

    # -- within --

    @property
    def _readers(self) -> FrameReaders:
        return self._context.readers

    def _take_only(self, text: str) -> None:
        """Do what a message asks for that came alone, as most do."""
        context = self._context
        self._counters.messages_received += 1
        try:
            effects = self.session.receive(text, context.clock())
            if effects:
                first = effects[0]
                if type(first) is Relay and len(effects) == 1:  # nothing of it comes back to this client
                    context.node.relay(self, first, True)
                else:
                    self._perform_corked(effects)
        except Exception:  # noqa: BLE001 - as in start
            self._crash()

    def _perform_corked(self, effects: list[Effect]) -> None:
        """Carry out the effects of at most one message; all writes to this client leave together."""
        node = self._context.node
        answers: list[bytes] = []
        node.begin_work(alone=True)
        self.write = answers.append
        try:
            node.perform(self, effects)
        except Exception:  # noqa: BLE001 - as in start
            self._crash()
        node.end_work()
        if self._state == _OPEN:
            self.write = self._transport.write
        if answers:
            self._pour(answers)

    def _work(self, data: bytes, start: int = 0) -> None:
        context = self._context
        if context.turns.left <= 0:
            self._work_later(data, start)
            return
        answers: list[bytes] = []
        context.node.begin_work()
        if self._state == _OPEN:
            self.write = answers.append
            if self._reader is None:
                start = self._read_plain(data, start, answers)
                if start == len(data):
                    self._uncork(answers)
                    return
        reader = self._reader or self._readers.take()
        verdict = _GO_ON
        try:
            verdict = self._read(reader, data[start:], answers)
        except Exception:  # noqa: BLE001 - as in start
            self._reader = reader
            self._crash()
        else:
            if verdict != _GO_ON:
                self._reader = None
            elif reader.at_rest and self._state == _OPEN:
                self._reader = None
                self._readers.give_back(reader)
            else:
                self._reader = reader
        finally:
            self._uncork(answers)
        if verdict != _GO_ON:
            if verdict == _FAILED and reader.close_sent is not None and reader.close_sent.code == _TOO_BIG_CODE:
                context.node.tell_closed(self, _TOO_BIG_CODE, _TOO_BIG_REASON)
            self._end(half=verdict == _FAILED)

    def _read_plain(self, data: bytes, start: int, answers: list[bytes]) -> int:
        """Handle complete plain messages; return the offset of the first byte that needs a FrameReader."""
        context, receive, perform = self._context, self.session.receive, self._context.node.perform
        limit = context.readers.max_message_bytes
        now = context.clock()
        texts, end = plain_messages(data, start, _FRAMES_PER_TURN, limit)
        frames = 0
        try:
            for text in texts:
                if self._state != _OPEN:
                    break
                frames += 1
                effects = receive(text, now)
                if effects:
                    perform(self, effects)
                    if answers and len(answers[-1]) > _LARGE_ANSWER:
                        self._pour(answers)
                    if self._held:
                        break
        except Exception:  # noqa: BLE001 - as in start
            self._crash()
        finally:
            self._counters.messages_received += frames
            if frames > 1:
                context.turns.left -= frames
        if self._held:
            self._waiting, self._done = data, plain_messages(data, start, frames, limit)[1]
            return len(data)
        if end < len(data) and self._state == _OPEN:
            if len(texts) == _FRAMES_PER_TURN:
                self._work_later(data, end)
                return len(data)
            if begins_plain(data, end, limit):  # most chunks of a stream end within a frame
                self._begun = bytearray(data[end:])
                return len(data)
        return end

    def _read(self, reader: FrameReader, data: bytes, answers: list[bytes]) -> int:
        """Read frames from ``data`` and handle them, slice by slice. Return the state of the connection."""
        begun = reader.frames_read
        try:
            return self._read_some(reader, data, answers, begun + _FRAMES_PER_TURN)
        finally:
            frames = reader.frames_read - begun
            if frames > 1:
                self._context.turns.left -= frames

    def _read_some(self, reader: FrameReader, data: bytes, answers: list[bytes], last: int) -> int:
        start, size = 0, len(data)
        while True:
            piece = data if size <= _SLICE_BYTES else data[start : start + _SLICE_BYTES]
            start += len(piece)
            now = self._context.clock()
            for received in reader.read(piece):
                if isinstance(received, Frame) and received.opcode is CLOSE:
                    if self._state == _OPEN:
                        answers += reader.data_to_send()
                    return _PEER_CLOSED
                if self._state == _OPEN:
                    self._take(received, now)
                if answers and len(answers[-1]) > _LARGE_ANSWER:
                    self._pour(answers)
            if self._state == _OPEN:
                answers += reader.data_to_send()
            if reader.state is not READABLE:
                return _FAILED
            if self._held:
                self._waiting, self._done = data, start
                return _GO_ON
            if start >= size or self._state > _CLOSING:
                return _GO_ON
            if reader.frames_read >= last:
                self._work_later(data, start)
                return _GO_ON

    def _take(self, received: Received, now: float) -> None:
        """Do what a message, a ping or a pong asks for."""
        if isinstance(received, Frame):
            if received.opcode is PING:
                self.write(pong_frame(bytes(received.data)))
                self.session.control_frame(now)
            else:
                self.session.last_seen = now
            return
        self._counters.messages_received += 1
        session = self.session
        effects = session.receive(received, now) if isinstance(received, str) else session.receive_binary(now)
        if effects:
            self._context.node.perform(self, effects)

    def _work_later(self, data: bytes, start: int) -> None:
        self._waiting, self._done = data, start
        self.hold(TURN)
        self._context.turns.wait(self)

    def _pour(self, answers: list[bytes]) -> None:
        """Write the answers so far; close a client that doesn't read them before it causes more."""
        if self._state != _LOST:
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        answers.clear()

    def _uncork(self, answers: list[bytes]) -> None:
        self._context.node.end_work()
        if self._state == _OPEN:
            self.write = self._transport.write
        if answers:
            self._pour(answers)

    def _crash(self) -> None:
        log.exception("socket %s: unexpected error, the connection is closed", self.session.socket_id)
        self._counters.connection_errors += 1
        self.close(CloseCode.INTERNAL_ERROR, "Internal error")

    def _end(self, *, half: bool) -> None:
        """Close; or half, so that a client that is still sending gets to read the close frame and not a reset."""
        self._leave(_DISCARDING, self._context.close_timeout)
        if not half:
            self._transport.close()
            return
        self._counters.connection_errors += 1
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _leave(self, state: int, seconds: float) -> None:
        self._state = state
        self.write = discard
        if self._held:  # but the client's part of the closing handshake has to be read, in a moment
            if not self._held & TURN:
                self._context.turns.wait(self)
            self._held = TURN
        self._context.wheel.schedule(self, self._context.clock() + seconds)
