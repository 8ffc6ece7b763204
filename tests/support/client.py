"""A raw Pusher client for tests: it sends whatever a test wants and shows every frame that came back.

Every frame it receives is held against the promise of section 0 of the protocol reference: ``data`` is a string,
except in ``pusher:error`` and in ``pusher:subscription_error``.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed
from websockets.frames import PING as CONTROL_PING
from websockets.frames import Frame as ControlFrame

from tests.support.server import Server, TestApp

DEADLINE = 60.0  # seconds until a frame that must come is given up
OBJECT_DATA = frozenset({"pusher:error", "pusher:subscription_error"})
PING = '{"event":"pusher:ping","data":{}}'


def hmac_hex(secret: str, text: str | bytes) -> str:
    """Return the lower-case hex HMAC-SHA256, made without any code of the server."""
    raw = text if isinstance(text, bytes) else text.encode()
    return hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def channel_auth(app: TestApp, socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """Return the ``auth`` of a subscription, as an app's backend makes it."""
    parts = [socket_id, channel] + ([] if channel_data is None else [channel_data])
    return f"{app.key}:{hmac_hex(app.secret, ':'.join(parts))}"


def user_auth(app: TestApp, socket_id: str, user_data: str) -> str:
    """Return the ``auth`` of a sign-in."""
    return f"{app.key}:{hmac_hex(app.secret, f'{socket_id}::user::{user_data}')}"


def member(user_id: str | int, **user_info: Any) -> str:
    """Return compact ``channel_data`` of a user."""
    data: dict[str, Any] = {"user_id": user_id}
    if user_info:
        data["user_info"] = user_info
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message from the server: the text as it came and its parts."""

    raw: str
    message: dict[str, Any]

    @property
    def event(self) -> str:
        """The name of the event."""
        return str(self.message["event"])

    @property
    def channel(self) -> str | None:
        """The channel, or None when the frame has none."""
        return self.message.get("channel")

    @property
    def data(self) -> Any:
        """What ``data`` says: the parsed document of a string-JSON, or the object of an error."""
        data = self.message["data"]
        return json.loads(data) if isinstance(data, str) else data

    @property
    def text(self) -> str:
        """``data`` as it stands in the frame, which must be a string."""
        assert isinstance(self.message["data"], str), self.raw
        return str(self.message["data"])


def parse_frame(raw: str | bytes) -> Frame:
    """Return the frame; fails when it breaks what every official client relies on."""
    assert isinstance(raw, str), f"the server sent a binary frame: {raw!r}"
    message: dict[str, Any] = json.loads(raw)
    assert isinstance(message, dict), raw
    event, data = message["event"], message["data"]
    assert isinstance(event, str), raw
    wanted: type[Any] = dict if event in OBJECT_DATA else str
    assert isinstance(data, wanted), raw
    if event == "pusher:error":
        assert set(message) == {"event", "data"}, raw
        assert set(data) == {"code", "message"}, raw
        assert isinstance(data["message"], str), raw
        assert data["message"], raw
    return Frame(raw, message)


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended."""

    code: int
    reason: str


class Client:
    """One WebSocket connection."""

    def __init__(self, connection: websockets.asyncio.client.ClientConnection, app: TestApp) -> None:
        self.connection = connection
        self.app = app
        self.socket_id = ""
        self.activity_timeout = 0
        self.frames: list[Frame] = []  # everything received, in order
        self.control_pings = 0  # that came
        self.answers_control_pings = True
        self._answer = connection.protocol.recv_frame
        connection.protocol.recv_frame = self._take_frame  # type: ignore[method-assign]

    @classmethod
    async def open(cls, url: str, app: TestApp | None = None, **options: Any) -> Self:
        """Do the WebSocket handshake only. ``options`` go to ``websockets.connect``."""
        settings: dict[str, Any] = {
            "ping_interval": None,
            "compression": None,
            "proxy": None,
            "max_queue": None,
            **options,
        }
        connection = await websockets.asyncio.client.connect(url, open_timeout=DEADLINE, close_timeout=2, **settings)
        return cls(connection, app or TestApp())

    async def established(self) -> Frame:
        """Take ``pusher:connection_established``, which must be the next frame."""
        frame = await self.expect("pusher:connection_established")
        self.socket_id = frame.data["socket_id"]
        self.activity_timeout = frame.data["activity_timeout"]
        return frame

    async def send(self, message: Mapping[str, Any] | list[Any] | str | bytes) -> None:
        """Send a message: text as it is, bytes as a binary frame, anything else as JSON."""
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def send_at_once(self, *messages: Mapping[str, Any]) -> None:
        """Send messages in one write, so that the server reads them together, whatever the machine does meanwhile."""
        for message in messages:
            self.connection.protocol.send_text(json.dumps(message).encode())
        self.connection.transport.write(b"".join(self.connection.protocol.data_to_send()))

    async def receive(self, deadline: float = DEADLINE) -> Frame:
        """Return the next frame; fails when none comes in ``deadline`` seconds."""
        try:
            raw = await asyncio.wait_for(self.connection.recv(), deadline)
        except TimeoutError:
            raise AssertionError(f"no frame within {deadline} s; so far: {[f.raw for f in self.frames]}") from None
        frame = parse_frame(raw)
        self.frames.append(frame)
        return frame

    async def expect(self, event: str, channel: str | None = None, deadline: float = DEADLINE) -> Frame:
        """Return the next frame, which must be this event (and of this channel, if one is given)."""
        frame = await self.receive(deadline)
        assert frame.event == event, f"wanted {event}, got {frame.raw}"
        assert channel is None or frame.channel == channel, frame.raw
        return frame

    async def expect_error(self, text: str = "", code: int | None = None) -> Frame:
        """Return the next frame, which must be a ``pusher:error`` with this code and ``text`` in its message."""
        frame = await self.expect("pusher:error")
        assert frame.data["code"] == code, frame.raw
        assert text in frame.data["message"], frame.raw
        return frame

    async def expect_refused(self, channel: str, text: str = "", status: int = 401) -> Frame:
        """Take the two frames of a refused subscription (error style ``both``), in either order."""
        pair = [await self.receive(), await self.receive()]
        frames = {frame.event: frame for frame in pair}
        assert set(frames) == OBJECT_DATA, [frame.raw for frame in pair]
        assert frames["pusher:error"].data["code"] is None, frames["pusher:error"].raw
        assert text in frames["pusher:error"].data["message"], frames["pusher:error"].raw
        refusal = frames["pusher:subscription_error"]
        assert refusal.channel == channel, refusal.raw
        assert refusal.data["status"] == status, refusal.raw
        return refusal

    async def barrier(self) -> list[Frame]:
        """Return every frame that comes before the answer to the second of two pings.

        A channel's messages leave at the end of the loop turn in which they came up: the answer to a ping that is read
        in that same turn may overtake them, the answer to one sent afterwards can't. So what the server did before the
        call has reached us. To see what *another* connection caused, pass that one's barrier first.
        """
        seen: list[Frame] = []
        for _ in range(2):
            await self.send(PING)
            while (frame := await self.receive()).event != "pusher:pong":
                seen.append(frame)
        return seen

    async def quiet(self) -> None:
        """Fail when anything came before the answer to a ping."""
        seen = await self.barrier()
        assert seen == [], [frame.raw for frame in seen]

    def _take_frame(self, frame: ControlFrame) -> None:
        if frame.opcode is CONTROL_PING:
            self.control_pings += 1
            if not self.answers_control_pings:
                return
        self._answer(frame)

    async def closed(self, deadline: float = DEADLINE) -> Closed:
        """Wait for the server's close; fails when a frame or nothing comes instead."""
        try:
            raw = await asyncio.wait_for(self.connection.recv(), deadline)
        except TimeoutError:
            raise AssertionError(f"not closed within {deadline} s") from None
        except ConnectionClosed as error:
            frame = error.rcvd
        else:
            raise AssertionError(f"wanted a close, got {raw!r}")
        assert frame is not None, "the connection was lost without a close frame"
        return Closed(frame.code, frame.reason)

    async def expect_fatal(self, code: int, text: str = "") -> Frame:
        """Take ``pusher:error`` with ``code`` and then the close frame that says the same."""
        frame = await self.expect_error(text, code)
        closed = await self.closed()
        assert closed.code == code
        assert frame.data["message"].encode()[:123].decode(errors="ignore") == closed.reason
        return frame

    def auth(self, channel: str, channel_data: str | None = None) -> str:
        """Return a right ``auth`` for this connection."""
        return channel_auth(self.app, self.socket_id, channel, channel_data)

    def request(self, channel: str, channel_data: str | None = None, auth: str | None = None) -> dict[str, Any]:
        """Return ``pusher:subscribe``, rightly signed where the channel needs it."""
        data: dict[str, Any] = {"channel": channel}
        if auth is None and channel.startswith(("private-", "presence-")):
            auth = self.auth(channel, channel_data)
        if auth is not None:
            data["auth"] = auth
        if channel_data is not None:
            data["channel_data"] = channel_data
        return {"event": "pusher:subscribe", "data": data}

    async def ask(self, channel: str, channel_data: str | None = None, auth: str | None = None) -> None:
        """Send ``pusher:subscribe`` (see ``request``) and don't wait."""
        await self.send(self.request(channel, channel_data, auth))

    async def subscribe(self, channel: str, channel_data: str | None = None, auth: str | None = None) -> Frame:
        """Subscribe and return ``subscription_succeeded``, which must be the next frame."""
        await self.ask(channel, channel_data, auth)
        return await self.expect("pusher_internal:subscription_succeeded", channel)

    async def unsubscribe(self, channel: str) -> None:
        """Send ``pusher:unsubscribe``, which has no answer."""
        await self.send({"event": "pusher:unsubscribe", "data": {"channel": channel}})

    async def sign_in(self, user_id: str, **more: Any) -> Frame:
        """Sign in and return ``signin_success``, which must be the next frame."""
        user_data = json.dumps({"id": user_id, **more})
        auth = user_auth(self.app, self.socket_id, user_data)
        await self.send({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})
        return await self.expect("pusher:signin_success")

    async def trigger(self, channel: str, event: str, data: Any = None, **extra: Any) -> None:
        """Send a client event."""
        await self.send({"event": event, "channel": channel, "data": {} if data is None else data, **extra})

    async def close(self) -> None:
        """Say goodbye properly."""
        await self.connection.close()

    def abort(self) -> None:
        """Drop the TCP connection without a word."""
        self.connection.transport.abort()


@asynccontextmanager
async def connected(
    server: Server, app: TestApp, *, query: str = "protocol=7&client=js&version=8.6.0&flash=false", **options: Any
) -> AsyncIterator[Client]:
    """Connect, take ``connection_established``, and close at the end of the block."""
    url = server.ws_url(f"{server.path_prefix}/app/{quote(app.key)}{'?' if query else ''}{query}")
    client = await Client.open(url, app, **options)
    try:
        await client.established()
        yield client
    finally:
        await client.close()


async def eventually(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait until ``condition()`` holds; fails with ``what`` after ``deadline`` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        await asyncio.sleep(0.01)  # polls, with a deadline
