"""The library that reads WebSocket frames, lent to connections instead of given to each.

A ``websockets.protocol.Protocol`` weighs 1.1 KB and takes 4.5 us to make. Between two messages it holds nothing
that belongs to a connection, so one serves them all in turn; a connection keeps it only while a frame or a fragmented
message is incomplete.
"""

import logging

from websockets.frames import Frame
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as FrameReader

__all__ = ["FrameReader", "FrameReaders", "wire_size"]

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
        return FrameReader(SERVER, state=OPEN, max_size=self.max_message_bytes, logger=_log)

    def give_back(self, reader: FrameReader) -> None:
        """Take back a reader that is at rest again."""
        if len(self._waiting) < _KEPT:
            self._waiting.append(reader)


def plain_message(data: bytes | bytearray, start: int, max_bytes: int) -> tuple[str, int] | None:
    """Return the text message whose one frame begins at ``start``, and where that ends; None: it takes a reader.

    Nearly all that clients send is whole, unfragmented and masked text under 64 KB: what a reader does for that costs
    several times as much. Anything else is None, errors too, so that they are told in the library's words.
    """
    end = len(data)
    if end - start < 6 or data[start] != _WHOLE_TEXT:
        return None
    length = data[start + 1] - _MASKED
    start += 2
    if length == 126:
        length = data[start] << 8 | data[start + 1]
        start += 2
    elif not 0 <= length < 126:
        return None
    body = start + 4
    if body + length > end or length > max_bytes:
        return None
    try:
        text = str(apply_mask(data[body : body + length], data[start:body]), "utf-8")
    except UnicodeDecodeError:
        return None
    return text, body + length


def wire_size(frame: Frame) -> int:
    """Return the least bytes in which a client can have sent ``frame``.

    When the frames that a reader gave add up to the bytes it got, it is at rest. A client that encodes lengths longer
    than needed only makes it look busy.
    """
    length = len(frame.data)
    return length + (6 if length < 126 else 8 if length < 65536 else 14)
