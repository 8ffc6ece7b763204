"""Messages between the supervisor and a worker: JSON objects, each behind its length in four bytes.

Each side has ``say`` in its messages, a word of these lists, and ignores words that it does not know: after an upgrade
a new worker may be that of an older supervisor.

| the supervisor says | with |
|---|---|
| ``start`` | ``worker``, ``content`` and ``path`` of the configuration, ``options``, numbers of the sockets |
| ``ask`` | ``what``: ``state`` or ``metrics`` |
| ``others`` | ``ill``: whether another worker is not well |
| ``reload`` | ``content`` of the configuration |
| ``expire`` | ``names`` of nodes whose process has ended |
| ``retire`` | |

| the worker says | with |
|---|---|
| ``ready`` | ``lines`` of the banner, and what ``state`` has |
| ``failed`` | ``problems``, ``unusable``: the configuration is wrong |
| ``state`` | ``names`` of its node, ``ill``: parts that are not well |
| ``metrics`` | ``families`` |
| ``reloaded`` | ``done`` |
| ``expired`` | ``names`` |
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson

MOST: Final = 256 * 1024 * 1024  # bytes of a message: the figures of a hundred thousand apps
_LENGTH: Final = 4

Said = Mapping[str, Any]


class Wire(asyncio.Protocol):
    """One end.

    Args:
        hear: Gets each message.
        ended: Called once when the other process has ended or closed its end.
    """

    def __init__(self, hear: Callable[[Said], None], ended: Callable[[], None]) -> None:
        self._hear = hear
        self._ended = ended
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def say(self, word: str, **values: Any) -> None:
        """Send a message. What is said after the end is lost."""
        if self._transport is not None and not self._transport.is_closing():
            text = orjson.dumps({"say": word, **values})
            self._transport.write(len(text).to_bytes(_LENGTH, "big") + text)

    def close(self) -> None:
        """Close this end when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    @property
    def unsent(self) -> int:
        """How many bytes wait because the other process does not read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._received += data
        while len(self._received) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH], "big")
            if end > MOST:
                raise ValueError(f"a message of {end} bytes")
            if len(self._received) < end:
                return
            text = bytes(self._received[_LENGTH:end])
            del self._received[:end]
            self._hear(orjson.loads(text))

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = None
        self._ended()
