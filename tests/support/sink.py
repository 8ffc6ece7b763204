"""A client that only remembers what it was sent."""

import json
from typing import Any

from sockudo_py.hub import Encoding
from sockudo_py.protocol.app import App, AppKey
from sockudo_py.protocol.session import Session, Settings
from sockudo_py.ws.framing import text_frame

KEY = AppKey("key", b"secret")


def make_app(app_id: str = "1", **limits: Any) -> App:
    return App(app_id, (KEY,), **limits)


def in_a_list(payload: bytes) -> bytes:
    """Encode a message as no WebSocket does: a line with a JSON list of one string."""
    return b"a" + json.dumps([payload.decode()]).encode() + b"\n"


class RecordingSink:
    """A ``hub.Sink``. ``writes`` are the bytes of each write, ``pings`` how often it was asked for a sign of life,
    ``closed`` is the code it was closed with, ``held`` the reasons for which it is not to be read."""

    def __init__(self, app: App, socket_id: str = "1.1", encoding: Encoding = text_frame) -> None:
        self.encoding = encoding
        self.pings = 0
        self.session = Session(app, socket_id, Settings(error_style="pusher"), 0.0)
        self.writes: list[bytes] = []
        self.closed: int | None = None
        self.held = 0

    def __repr__(self) -> str:
        return f"<sink {self.session.socket_id}>"

    def write(self, data: bytes) -> None:
        assert self.closed is None, "written to after close"
        self.writes.append(data)

    def ping(self) -> None:
        assert self.closed is None, "pinged after close"
        self.pings += 1

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = code

    def hold(self, reason: int) -> None:
        self.held |= reason

    def release(self, reason: int) -> None:
        self.held &= ~reason

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of all messages so far."""
        data = b"".join(self.writes)
        return payloads(data) if self.encoding is text_frame else listed_payloads(data)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages so far."""
        return [json.loads(payload) for payload in self.payloads]

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Event name and data of each message so far; the data of errors is only their code."""
        return [(m["event"], m["data"] if isinstance(m["data"], str) else m["data"]["code"]) for m in self.messages]

    def take(self) -> list[tuple[str, Any]]:
        """Return the events since the last take."""
        events = self.events
        self.writes.clear()
        return events


def listed_payloads(lines: bytes) -> list[bytes]:
    """Split what ``in_a_list`` has encoded."""
    found = []
    for line in lines.splitlines(keepends=True):
        assert line[:2] + line[-2:] == b"a[]\n", f"a line was cut: {line!r}"
        found += [text.encode() for text in json.loads(line[1:])]
    return found


def payloads(frames: bytes) -> list[bytes]:
    """Split whole unmasked WebSocket frames."""
    found = []
    position = 0
    while position < len(frames):
        length = frames[position + 1]
        position += 2
        if length == 126:
            length = int.from_bytes(frames[position : position + 2], "big")
            position += 2
        elif length == 127:
            length = int.from_bytes(frames[position : position + 8], "big")
            position += 8
        found.append(frames[position : position + length])
        position += length
    assert position == len(frames), "a frame was cut"
    return found
