"""A client of the HTTP transports that reads responses as pusher-js 8.6 does, over connections that tests make."""

import json
from collections.abc import Callable
from typing import Any

from httptools import HttpResponseParser

BUFFER = 256 * 1024  # units after which pusher-js asks anew


def utf16_units(text: str) -> int:
    """Return the length of a text in JavaScript."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class Response:
    """A response as it arrives, piece by piece: its text so far, as an XMLHttpRequest shows it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    @property
    def status(self) -> int:
        """The status code."""
        code: int = self._parser.get_status_code()
        return code

    @property
    def text(self) -> str:
        """Everything so far; half a character at the end is a replacement character, or left out."""
        return self.body.decode("utf-8", "replace")


class PusherJsSocket:
    """What pusher-js's ``HTTPSocket`` does with responses.

    Args:
        ask: Makes the next receive request.
        streaming: Which of the two transports it is.
        buffer: Units after which it asks anew.
    """

    def __init__(self, ask: Callable[[], None], *, streaming: bool, buffer: int = BUFFER) -> None:
        self.messages: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.opened = False
        self.heartbeats = 0
        self.requests = 0
        self._ask = ask
        self._streaming = streaming
        self._buffer = buffer
        self.response = Response()
        self._lines = 0
        self._again()

    def feed(self, data: bytes) -> None:
        """Take bytes of the present response."""
        self.response.feed(data)
        if self.response.body:
            self._read()
        if self.response.complete and self.closed is None and self.response.body.endswith(b"\n"):
            self._finished()

    def cut_off(self) -> None:
        """Ask anew, as pusher-js would not, after the connection broke off."""
        self._again()

    def _finished(self) -> None:
        if self._streaming:
            self.closed = (1006, "Connection interrupted")
        else:
            self._again()

    def _again(self) -> None:
        self.response = Response()
        self._lines = 0
        self.requests += 1
        self._ask()

    def _read(self) -> None:
        response = self.response
        *lines, rest = response.text.split("\n")
        for line in lines[self._lines :]:
            self._lines += 1
            self._line(line)
            if self.closed is not None:
                return
        if not rest and utf16_units(response.text) > self._buffer:
            self._again()

    def _line(self, line: str) -> None:
        kind, rest = line[:1], line[1:]
        match kind:
            case "o":
                if self.opened:
                    self.closed = (1006, "Server lost session")
                self.opened = True
            case "a":
                if self.opened:
                    self.messages += [json.loads(message) for message in json.loads(rest)]
            case "h":
                self.heartbeats += 1
            case "c":
                code, reason = json.loads(rest)
                self.closed = (code, reason)
            case _:
                raise AssertionError(f"no line of the protocol: {line!r}")
