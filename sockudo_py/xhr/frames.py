"""The lines of pusher-js's HTTP transports, and what a request to send holds. Pure.

A receive request is answered with lines that end in a line feed: ``o``, the session is open; ``a`` and an array of
messages; ``h``, a heartbeat; ``c`` with a code and a reason, the session is over.
"""

from typing import Final

from orjson import JSONDecodeError, dumps, loads

from sockudo_py.protocol.effects import Close, Reply
from sockudo_py.protocol.readers.opening import Refusal, refusal_effects

OPEN: Final = b"o\n"
HEARTBEAT: Final = b"h\n"
NO_MESSAGES: Final = b"a[]\n"  # a sign of life that, unlike a heartbeat, a streaming client does not answer

# pusher-js gives a response up, and asks for the next one, at the first end of a line that lies beyond this many UTF-16
# code units. It ignores whatever comes after that, so nothing may.
RESPONSE_UNITS: Final = 256 * 1024

MOST_MESSAGES: Final = 100  # of one request: 3 ms of work

_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))  # of characters in UTF-8
_FIRST_OF_FOUR: Final = bytes(range(0xF0, 0xF8))  # of characters that take two units


class BadBody(Exception):
    """A body that is no request to send. The client may read the message."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def message_line(payload: bytes) -> bytes:
    """Return the line that carries ``payload``, which is UTF-8: the ``hub.Encoding`` of these clients."""
    return b"a[" + dumps(payload.decode()) + b"]\n"


def close_line(code: int, reason: str) -> bytes:
    """Return the line that ends a session."""
    return b"c" + dumps([code, reason.encode("utf-8", "replace").decode()]) + b"\n"


def refusal_lines(refused: Refusal) -> bytes:
    """Return the lines for a client that gets no session.

    The session is opened first: pusher-js takes a code before that for a failed transport, and tries again for ever.
    """
    lines = OPEN
    for effect in refusal_effects(refused):
        match effect:
            case Reply(payload):
                lines += message_line(payload)
            case Close(code, reason):
                lines += close_line(code, reason)
            case _:
                raise TypeError(f"a refusal leads to messages and a close, not to {effect!r}")
    return lines


def units(data: bytes) -> int:
    """Return how many UTF-16 code units ``data`` has, which is UTF-8: what JavaScript calls its length."""
    if data.isascii():
        return len(data)
    begun = data.translate(None, _CONTINUATIONS)
    return 2 * len(begun) - len(begun.translate(None, _FIRST_OF_FOUR))


def cut(lines: bytes, room: int) -> int:
    """Return where the first line ends with which ``lines`` have more than ``room`` units. They must have more."""
    if lines.isascii():
        return lines.index(b"\n", room) + 1
    end = 0
    while room >= 0:
        begin, end = end, lines.index(b"\n", end) + 1
        room -= units(lines[begin:end])
    return end


def read_messages(body: bytes) -> list[str]:
    """Return the messages of a request to send: a JSON array of strings. Raises BadBody."""
    try:
        parsed = loads(body)
    except JSONDecodeError:
        raise BadBody("The body must be a JSON array of strings") from None
    if type(parsed) is not list or not all(type(message) is str for message in parsed):
        raise BadBody("The body must be a JSON array of strings")
    if len(parsed) > MOST_MESSAGES:
        raise BadBody(f"One request can send at most {MOST_MESSAGES} messages", 413)
    return parsed
