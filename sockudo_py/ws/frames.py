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

_KEPT = 16  # readers waiting for work; more were only needed for an instant

# What the library says about a connection is told to the client or logged by the connection; left: its own faults.
_log = logging.getLogger(f"{__name__}.library")
_log.setLevel(logging.ERROR)


class FrameReaders:
    """Readers at rest: open, nothing buffered, no message begun.

    Args:
        max_message_bytes: A longer message, in one frame or in fragments, fails the connection with 1009.
    """

    __slots__ = ("_max_message_bytes", "_waiting")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._waiting: list[FrameReader] = []

    def take(self) -> FrameReader:
        """Return a reader at rest."""
        if self._waiting:
            return self._waiting.pop()
        return FrameReader(SERVER, state=OPEN, max_size=self._max_message_bytes, logger=_log)

    def give_back(self, reader: FrameReader) -> None:
        """Take back a reader that is at rest again."""
        if len(self._waiting) < _KEPT:
            self._waiting.append(reader)


def wire_size(frame: Frame) -> int:
    """Return the least bytes in which a client can have sent ``frame``.

    When the frames that a reader gave add up to the bytes it got, it is at rest. A client that encodes lengths longer
    than needed only makes it look busy.
    """
    length = len(frame.data)
    return length + (6 if length < 126 else 8 if length < 65536 else 14)
