"""permessage-deflate (RFC 7692): what is agreed on with a client, and how its messages are deflated and inflated.

Neither side keeps a context from one message to the next. So a connection holds nothing between its messages, and a
broadcast is compressed once for all clients that agreed on the same window. There are two windows at most: the usual
one, and the least one for clients that ask for less. Why so: docs/decisions/0039-permessage-deflate.md.
"""

import zlib
from typing import Final

from websockets.exceptions import InvalidHeader, NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CONT, CTRL_OPCODES, Frame
from websockets.headers import build_extension, parse_extension
from websockets.typing import ExtensionName

from sockudo_py.hub import Encoding
from sockudo_py.memo import TwoGenerationCache
from sockudo_py.ws.frames import FrameReaders
from sockudo_py.ws.framing import text_frame

USUAL_BITS: Final = 12  # a window of 4 KB: more makes a message of some KB hardly smaller
LEAST_BITS: Final = 9  # zlib has no less
LEAST_BYTES: Final = 128  # shorter messages are not compressed: they would save less than a tenth

_LEVEL = 6
_MEMORY_LEVEL = 5  # with the usual window 32 KB while a message is compressed
_MOST_BITS = 15  # of a client's window; smaller ones are read as well
_TAIL = b"\x00\x00\xff\xff"  # RFC 7692, section 7.2: not sent, and put back before inflating
_NOTHING_MORE: Final = (b"", b"\x00", _TAIL, b"\x00" + _TAIL)  # after a block that says it is the last
_NAME: Final = ExtensionName("permessage-deflate")

_REMEMBERED = 64  # offers, in each generation; browsers have a handful
_LONGEST = 512  # bytes of an offer that is read; to read 15 KB of commas takes the library tens of milliseconds


class Agreement:
    """What a client and the server agreed on.

    Args:
        bits: Of the window that the server compresses with.
        response: The value of the response's ``Sec-WebSocket-Extensions``.
        encoding: How messages are written to the client; the same function for all with the same ``bits``.
        readers: For frames from the client.
    """

    __slots__ = ("bits", "encoding", "readers", "response")

    def __init__(self, bits: int, response: str, encoding: Encoding, readers: FrameReaders) -> None:
        self.bits = bits
        self.response = response
        self.encoding = encoding
        self.readers = readers


class Compression:
    """Agrees with clients that offer permessage-deflate.

    Args:
        max_message_bytes: Of an inbound message, inflated; a longer one fails the connection with 1009.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._readers = FrameReaders(max_message_bytes, Inflater)
        self._encodings = {bits: _encoding(bits) for bits in (USUAL_BITS, LEAST_BITS)}
        self._known: TwoGenerationCache[str, Agreement] = TwoGenerationCache(_REMEMBERED)

    def agree(self, offered: str) -> Agreement | None:
        """Return what becomes of the value of a ``Sec-WebSocket-Extensions``; None: nothing that is known here.

        What can't be read or met is declined, as the RFC says; the connection then goes on without compression.
        """
        if len(offered) > _LONGEST:
            return None
        known = self._known.find(offered)
        if known is not None:
            return known
        agreement = self._agree(offered)
        return None if agreement is None else self._known.keep(offered, agreement)

    def _agree(self, offered: str) -> Agreement | None:
        try:
            offers = parse_extension(offered)
        except InvalidHeader:
            return None
        for name, parameters in offers:
            if name != _NAME:
                continue
            for bits in (USUAL_BITS, LEAST_BITS):
                factory = ServerPerMessageDeflateFactory(True, True, server_max_window_bits=bits)
                try:
                    answer, agreed = factory.process_request_params(parameters, ())
                except NegotiationError:
                    break
                if agreed.local_max_window_bits == bits:
                    return Agreement(bits, build_extension([(_NAME, answer)]), self._encodings[bits], self._readers)
        return None


class Inflater(Extension):
    """Inflates the frames of one message after the other, never beyond ``max_size`` bytes."""

    name = _NAME

    def __init__(self) -> None:
        self._inflate: zlib._Decompress | None = None  # of a message that goes on

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return the frame with what its data stands for.

        Raises ProtocolError for what can't be inflated, PayloadTooBig when it stands for too much.
        """
        opcode = frame.opcode
        if opcode in CTRL_OPCODES:
            return frame
        if opcode is not CONT:
            if not frame.rsv1:
                return frame
            inflate = zlib.decompressobj(-_MOST_BITS)
        elif self._inflate is None or frame.rsv1:
            return frame  # the library refuses the bit
        else:
            inflate = self._inflate
        data = bytes(frame.data) + _TAIL if frame.fin else bytes(frame.data)
        most = 0 if max_size is None else max_size
        try:
            inflated = inflate.decompress(data, most + 1)  # 0 would be without a bound
        except zlib.error as problem:
            raise ProtocolError("decompression failed") from problem
        if len(inflated) > most:
            raise PayloadTooBig(None, most)
        if inflate.unused_data not in _NOTHING_MORE:
            raise ProtocolError("data after the last block of a compressed message")
        self._inflate = None if frame.fin else inflate
        return Frame(opcode, inflated, frame.fin, False, frame.rsv2, frame.rsv3)

    def encode(self, frame: Frame) -> Frame:
        """Return the frame unchanged: ``Agreement.encoding`` encodes messages to clients."""
        return frame


def deflated_frame(payload: bytes, bits: int) -> bytes:
    """Return the complete frame that carries ``payload``, which is UTF-8, compressed with a window of 2**bits bytes."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, _MEMORY_LEVEL)
    data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return b"\xc1" + text_frame(data[: -len(_TAIL)])[1:]  # FIN, RSV1, opcode 1


def _encoding(bits: int) -> Encoding:
    def smaller_frame(payload: bytes) -> bytes:
        """Return the complete frame that carries ``payload``, compressed where that makes it smaller."""
        plain = text_frame(payload)
        if len(payload) < LEAST_BYTES:
            return plain
        deflated = deflated_frame(payload, bits)
        return deflated if len(deflated) < len(plain) else plain

    return smaller_frame
