"""The library that reads WebSocket frames, lent to connections instead of given to each.

A ``websockets.protocol.Protocol`` weighs 1.1 KB and takes 4.5 us to make. Between two messages it holds nothing
that belongs to a connection, so one serves them all in turn; a connection keeps it only while a frame or a fragmented
message is incomplete.
"""

import logging
from typing import cast

from websockets.frames import CONT, TEXT, Frame
from websockets.protocol import OPEN, SERVER, Protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C extension on this platform
    from websockets.utils import apply_mask

_WHOLE_TEXT = 0x81  # FIN, opcode 1, nothing reserved
_MASKED = 0x80
_KEPT = 16  # readers waiting for work; more were only needed for an instant

# What the library says about a connection is told to the client or logged by the connection; left: its own faults.
_log = logging.getLogger(f"{__name__}.library")
_log.setLevel(logging.ERROR)


class FrameReader(Protocol):
    """The library's reader, which also gathers fragments and knows when it is at rest."""

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(SERVER, state=OPEN, max_size=max_message_bytes, logger=_log)
        self._unread = 0  # bytes that came and are not frames yet
        self._fragments: bytearray | None = None
        self._fragments_are_text = False

    @property
    def at_rest(self) -> bool:
        """Whether no frame and no message is incomplete."""
        return self._unread == 0 and self._fragments is None

    def frames(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes."""
        self.receive_data(data)
        frames = cast("list[Frame]", self.events_received())
        self._unread += len(data) - sum(map(wire_size, frames))
        return frames

    def message(self, frame: Frame) -> str | bytes | None:
        """Return the message that ends with this data frame, binary ones as bytes; None when it goes on.

        Raises UnicodeDecodeError when it ought to be text and isn't.
        """
        data = frame.data
        is_text = frame.opcode is TEXT
        if frame.opcode is CONT:
            if self._fragments is None:  # not to be had: the library fails on a continuation of nothing
                return None
            self._fragments += data
            if not frame.fin:
                return None
            data, self._fragments = self._fragments, None
            is_text = self._fragments_are_text
        elif not frame.fin:
            self._fragments = bytearray(data)
            self._fragments_are_text = is_text
            return None
        return str(data, "utf-8") if is_text else bytes(data)


class FrameReaders:
    """Readers at rest: open, nothing buffered, no message begun.

    Args:
        max_message_bytes: A longer message, in one frame or in fragments, fails the connection with 1009.
    """

    __slots__ = ("_waiting", "max_message_bytes")

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._waiting: list[FrameReader] = []

    def take(self) -> FrameReader:
        """Return a reader at rest."""
        if self._waiting:
            return self._waiting.pop()
        return FrameReader(self.max_message_bytes)

    def give_back(self, reader: FrameReader) -> None:
        """Take back a reader that is at rest again."""
        if len(self._waiting) < _KEPT:
            self._waiting.append(reader)


def plain_messages(data: bytes, start: int, most: int, max_bytes: int) -> tuple[list[str], int]:
    """Return the text messages, ``most`` at most, whose whole frames follow from ``start`` on, and where they end.

    Nearly all that clients send is whole, unfragmented and masked text under 64 KB: what a reader does for that costs
    several times as much. They end where anything else begins, errors too, so that these are told in the library's
    words.
    """
    texts: list[str] = []
    size = len(data)
    while size - start >= 6 and data[start] == _WHOLE_TEXT and len(texts) < most:
        length = data[start + 1] - _MASKED
        body = start + 6
        if length == 126:
            length = data[start + 2] << 8 | data[start + 3]
            body = start + 8
        elif not 0 <= length < 126:
            break
        end = body + length
        if end > size or length > max_bytes:
            break
        try:
            texts.append(apply_mask(data[body:end], data[body - 4 : body]).decode())
        except UnicodeDecodeError:
            break
        start = end
    return texts, start


def only_message(data: bytes, max_bytes: int) -> str | None:
    """Return the text message whose one frame is all of ``data``, when ``plain_messages`` would read it; else None."""
    size = len(data)
    if size < 6 or data[0] != _WHOLE_TEXT:
        return None
    length = data[1] - _MASKED
    body = 6
    if length == 126:
        length = data[2] << 8 | data[3]
        body = 8
    elif not 0 <= length < 126:
        return None
    if size != body + length or length > max_bytes:
        return None
    try:
        return apply_mask(data[body:], data[body - 4 : body]).decode()
    except UnicodeDecodeError:
        return None


def begins_plain(data: bytes | bytearray, start: int, max_bytes: int) -> bool:
    """Return whether what ``data`` has from ``start`` on is the beginning of a frame that ``plain_messages`` reads."""
    size = len(data) - start
    if size < 1 or data[start] != _WHOLE_TEXT:
        return False
    length = data[start + 1] - _MASKED if size > 1 else 0
    head = 6
    if length == 126:
        length = data[start + 2] << 8 | data[start + 3] if size > 3 else 0
        head = 8
    elif not 0 <= length < 126:
        return False
    return size < head + length and length <= max_bytes


def wire_size(frame: Frame) -> int:
    """Return the least bytes in which a client can have sent ``frame``.

    When the frames that a reader gave add up to the bytes it got, it is at rest. A client that encodes lengths longer
    than needed only makes it look busy.
    """
    length = len(frame.data)
    return length + (6 if length < 126 else 8 if length < 65536 else 14)
