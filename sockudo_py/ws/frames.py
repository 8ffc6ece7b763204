"""The library that reads WebSocket frames, lent to connections instead of given to each.

A ``websockets.protocol.Protocol`` weighs 1.1 KB and takes 4.5 us to make. Between two messages it holds nothing
that belongs to a connection, so one serves them all in turn; a connection keeps it only while a frame or a fragmented
message is incomplete.
"""

import logging
from codecs import getincrementaldecoder
from collections.abc import Callable, Generator

from websockets.exceptions import ProtocolError
from websockets.extensions import Extension
from websockets.frames import CLOSE, PING, PONG, TEXT, Frame
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.streams import StreamReader

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C extension on this platform
    from websockets.utils import apply_mask

_WHOLE_TEXT = 0x81  # FIN, opcode 1, nothing reserved
_MASKED = 0x80
_HEAD, _LENGTH, _REST = range(3)  # what of a frame the library reads next
_KEPT = 16  # readers waiting for work; more were only needed for an instant

# The connection itself reports or logs what the library says about a peer. Left here are the library's own faults.
_log = logging.getLogger(f"{__name__}.library")
_log.setLevel(logging.ERROR)

_utf8 = getincrementaldecoder("utf-8")

Received = str | bytes | Frame  # a message, or a control frame


class _Stream(StreamReader):
    """What the library reads frames from. It refuses lengths that are not in their shortest form; the library does not.

    ``begin`` has to be called after every frame.
    """

    def __init__(self) -> None:
        super().__init__()
        self._part = _HEAD

    def begin(self) -> None:
        """Take what is read next for the beginning of a frame."""
        self._part = _HEAD

    @property
    def at_rest(self) -> bool:
        """Whether a frame begins with the next byte to come."""
        return self._part == _HEAD and not self.buffer

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """Read what the library asks for: a frame's first two bytes, perhaps a longer length, then the rest."""
        data = yield from super().read_exact(n)
        if self._part == _HEAD:
            self._part = _LENGTH if data[1] & ~_MASKED >= 126 else _REST
        elif self._part == _LENGTH:
            if int.from_bytes(data) < (126 if n == 2 else 65536):
                raise ProtocolError("length not in its shortest form")
            self._part = _REST
        return data


class FrameReader(Protocol):
    """The library's reader, which also makes messages of frames and knows when it is at rest.

    What the library leaves to its user is done here frame by frame, while it reads, so that it makes no difference in
    which pieces the bytes come. Pings are left to the connection, which answers them in their place among its answers.

    Args:
        max_message_bytes: A longer message fails the connection with 1009.
        extension: Decodes frames before they are looked at.
    """

    def __init__(self, max_message_bytes: int, extension: Extension | None = None) -> None:
        super().__init__(SERVER, state=OPEN, max_size=max_message_bytes, logger=_log)
        if extension is not None:
            self.extensions = [extension]
        self.reader = self._stream = _Stream()
        self.parser = self.parse()  # the one that was begun reads from another stream
        next(self.parser)
        self.frames_read = 0  # that were read, by everybody it was lent to
        self._received: list[Received] = []
        self._fragments: bytearray | None = None
        self._fragments_are_text = False
        self._check = _utf8()

    @property
    def at_rest(self) -> bool:
        """Whether no frame and no message is incomplete."""
        return self._stream.at_rest and self._fragments is None

    def read(self, data: bytes) -> list[Received]:
        """Return the messages and control frames that ``data`` completes, text as str, binary messages as bytes.

        What breaks the protocol fails the reader: its ``state`` says so, and its ``data_to_send`` has the close frame.
        """
        self.receive_data(data)
        self.events_received()  # all frames, which the library keeps until somebody asks
        received, self._received = self._received, []
        return received

    def recv_frame(self, frame: Frame) -> None:
        """Take a whole frame from the library's parser, which turns what is raised here into a close frame."""
        self._stream.begin()
        self.frames_read += 1
        opcode = frame.opcode
        if opcode is PING:
            self._received.append(frame)
            return
        if opcode is CLOSE:
            self.current_size = None  # a close is allowed within a message, as all control frames are
        super().recv_frame(frame)
        if opcode is PONG or opcode is CLOSE:
            self._received.append(frame)
            return
        message = self._message(frame)
        if message is not None:
            self._received.append(message)

    def _message(self, frame: Frame) -> str | bytes | None:
        """Return the message that ends with this data frame; None when it goes on.

        Raises UnicodeDecodeError when it ought to be text and can't become it any more.
        """
        data = frame.data
        if self._fragments is None:
            is_text = frame.opcode is TEXT
            if frame.fin:
                return str(data, "utf-8") if is_text else bytes(data)
            self._fragments = bytearray()
            self._fragments_are_text = is_text
            self._check.reset()
        self._fragments += data
        if self._fragments_are_text:
            try:
                self._check.decode(data)
            except UnicodeDecodeError:
                self._fragments.decode()  # fails as well, and tells the position within the message
                raise
        if not frame.fin:
            return None
        data, self._fragments = self._fragments, None
        return str(data, "utf-8") if self._fragments_are_text else bytes(data)


class FrameReaders:
    """Readers at rest: open, nothing buffered, no message begun.

    Args:
        max_message_bytes: A longer message, in one frame or in fragments, fails the connection with 1009.
        extension: Makes what decodes the frames of one reader. It holds nothing between two messages.
    """

    __slots__ = ("_extension", "_waiting", "max_message_bytes")

    def __init__(self, max_message_bytes: int, extension: Callable[[], Extension] | None = None) -> None:
        self.max_message_bytes = max_message_bytes
        self._extension = extension
        self._waiting: list[FrameReader] = []

    def take(self) -> FrameReader:
        """Return a reader at rest."""
        if self._waiting:
            return self._waiting.pop()
        return FrameReader(self.max_message_bytes, None if self._extension is None else self._extension())

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
            if length < 126:  # not in its shortest form
                break
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
        if length < 126:
            return None
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
        length = data[start + 2] << 8 | data[start + 3] if size > 3 else 126
        if length < 126:
            return False
        head = 8
    elif not 0 <= length < 126:
        return False
    return size < head + length and length <= max_bytes
