"""Requests that follow one with ``Upgrade: h2c`` or the like, which aiohttp would lose."""

import asyncio
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

AGAIN: Final = 0.01  # seconds


class _Lengths:
    """The parser's callbacks: they keep the length of the last body."""

    def __init__(self) -> None:
        self.body = 0

    def on_message_begin(self) -> None:
        self.body = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-length":
            self.body = int(value)


class Behind(asyncio.Protocol):
    """Passes everything on to a protocol of aiohttp's, in pieces that keep within such an offer.

    aiohttp ignores ``Upgrade: h2c`` as it should, but also the bytes behind that request which it has received with it.
    So this protocol parses the stream as well, only to find where such a request ends. (It does not see the end of a
    body in chunks; ``http.app`` closes after the answer.)
    """

    __slots__ = ("_body", "_held", "_lengths", "_parser", "_protocol", "_transport")

    _transport: asyncio.Transport

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._lengths = _Lengths()
        self._parser: HttpRequestParser | None = HttpRequestParser(self._lengths)
        self._body = 0  # bytes still missing of the body of a request with such an offer
        self._held = b""  # bytes behind such an offer, until aiohttp has read what came before

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on in pieces."""
        if self._held:
            self._held += data
        else:
            self._pass_on(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._held = b""
        self._protocol.connection_lost(exc)

    def _pass_on(self, data: bytes) -> None:
        while data:
            end = self._end_of_offer(data)
            self._protocol.data_received(data[:end])
            data = data[end:]
            if (
                data and not self._body and not self._transport.is_reading()
            ):  # aiohttp has enough and would keep the pieces as one
                self._held = data
                self._wait()
                return

    def _end_of_offer(self, data: bytes) -> int:
        """Return where the head or the body of a request with an offer ends, or else the length of ``data``."""
        if self._body:
            end = min(self._body, len(data))
            self._body -= end
            return end
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._parser = HttpRequestParser(self._lengths)
            self._body = self._lengths.body
            head_end: int = offer.args[0]
            return head_end
        except HttpParserError:
            self._parser = None  # aiohttp will see it, too, and close
        return len(data)

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(AGAIN, self._go_on)

    def _go_on(self) -> None:
        if self._held and not self._transport.is_reading():
            self._wait()
            return
        data, self._held = self._held, b""
        self._pass_on(data)
