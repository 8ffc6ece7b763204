"""WebSocket frames of a server (RFC 6455): unmasked, unfragmented. Built once, written to every subscriber."""

from typing import Final

from sockudo_py.protocol.effects import cut_reason

_TEXT = 0x81  # FIN, opcode 1
_CLOSE = 0x88  # FIN, opcode 8
_PONG = 0x8A  # FIN, opcode 10
PING_FRAME: Final = b"\x89\x00"  # FIN, opcode 9, nothing in it

_SHORT_HEADERS = tuple(bytes((_TEXT, length)) for length in range(126))


def text_frame(payload: bytes) -> bytes:
    """Return the complete frame that carries ``payload``, which is UTF-8: the ``hub.Encoding`` of WebSocket clients."""
    length = len(payload)
    if length < 126:
        return _SHORT_HEADERS[length] + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return the close frame with this code; the reason is cut to what fits."""
    body = code.to_bytes(2, "big") + cut_reason(reason).encode("utf-8", "replace")
    return bytes((_CLOSE, len(body))) + body


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a ping with this payload, which has at most 125 bytes."""
    return bytes((_PONG, len(payload))) + payload
