"""Strangers who do what makes webhooks as fast as they can: ``python -m tests.faults.flood PORT SECONDS KIND...``.

One process, one task for each kind. They keep to the protocol, and read what they are sent.
"""

import argparse
import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import cast

from tests.support.server import TestApp

APP = TestApp()
_REQUEST = (
    f"GET /app/{APP.key}?protocol=7&client=js&version=8 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
_ID = b'socket_id\\":\\"'


def frame(text: str) -> bytes:
    """Return a client's text frame. A mask of zeros is legal."""
    payload = text.encode()
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Flooder(asyncio.Protocol):
    """A connection that reads nothing but its socket id."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.established: asyncio.Future[str] = loop.create_future()
        self._head = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self.transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        if not self.established.done():
            self._head += data
            _, found, rest = self._head.partition(_ID)
            if found and b"\\" in rest:
                self.established.set_result(rest.partition(b"\\")[0].decode())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._writable.set()
        if not self.established.done():
            self.established.cancel()

    async def write(self, data: bytes) -> None:
        """Write as soon as the server reads."""
        self.transport.write(data)
        await self._writable.wait()
        await asyncio.sleep(0)
        if self.lost:
            raise ConnectionError


async def dial(port: int) -> Flooder:
    """Return a connection that is established."""
    _, flooder = await asyncio.get_running_loop().create_connection(Flooder, "127.0.0.1", port)
    await flooder.established
    return flooder


def _ask(event: str, **data: str) -> bytes:
    fields = ",".join(f'"{name}":"{value}"' for name, value in data.items())
    return frame(f'{{"event":"pusher:{event}","data":{{{fields}}}}}')


def _sign(*parts: str) -> str:
    return f"{APP.key}:{hmac.digest(APP.secret.encode(), ':'.join(parts).encode(), hashlib.sha256).hex()}"


def _join(socket_id: str, channel: str, user: str) -> bytes:
    data = f'{{"user_id":"{user}"}}'
    return _ask(
        "subscribe", channel=channel, auth=_sign(socket_id, channel, data), channel_data=data.replace('"', '\\"')
    )


async def _loop(port: int, prefix: str) -> None:
    """Subscribe to new channels and leave them again."""
    client = await dial(port)
    for number in count():
        names = [f"{prefix}{number}-{one}" for one in range(30)]
        await client.write(
            b"".join(_ask("subscribe", channel=name) + _ask("unsubscribe", channel=name) for name in names)
        )


async def subscribing(port: int) -> None:
    """Subscribe and unsubscribe in a loop."""
    await _loop(port, "loop-")


async def cache_misses(port: int) -> None:
    """Subscribe to cache channels that hold nothing."""
    await _loop(port, "cache-")


async def client_events(port: int) -> None:
    """Send client events."""
    client = await dial(port)
    channel = "private-flood"
    await client.write(_ask("subscribe", channel=channel, auth=_sign(client.established.result(), channel)))
    await asyncio.sleep(0.1)
    burst = frame(f'{{"event":"client-flood","channel":"{channel}","data":"x"}}') * 30
    while True:
        await client.write(burst)


async def sign_ins(port: int) -> None:
    """Sign in, again and again."""
    client = await dial(port)
    user = '{"id":"flood"}'
    auth = _sign(client.established.result(), "", "user", "", user)
    burst = _ask("signin", auth=auth, user_data=user.replace('"', '\\"')) * 30
    while True:
        await client.write(burst)


async def presence(port: int) -> None:
    """Join presence channels and leave them."""
    client = await dial(port)
    socket_id = client.established.result()
    for number in count():
        names = [f"presence-{number}-{one}" for one in range(10)]
        steps = [_join(socket_id, name, "u") + _ask("unsubscribe", channel=name) for name in names]
        await client.write(b"".join(steps))


async def connecting(port: int) -> None:
    """Connect and go, on some connections at a time."""

    async def again() -> None:
        while True:
            (await dial(port)).transport.close()

    await asyncio.gather(*(again() for _ in range(16)))


async def fresh(port: int) -> None:
    """Use up the burst of new connections, one after the other."""

    async def again(task: int) -> None:
        for number in count():
            client = await dial(port)
            names = [f"fresh-{task}-{number}-{one}" for one in range(500)]
            await client.write(b"".join(_ask("subscribe", channel=name) for name in names))
            client.transport.close()

    await asyncio.gather(*(again(task) for task in range(4)))


async def storms(port: int) -> None:
    """Subscribe to as many channels as a connection may have, then leave them all at once."""
    for number in count():
        client = await dial(port)
        for one in range(100):
            await client.write(b"".join(_ask("subscribe", channel=f"storm-{number}-{one}-{at}") for at in range(100)))
        client.transport.close()


KINDS: dict[str, Callable[[int], Awaitable[None]]] = {
    kind.__name__: kind
    for kind in (subscribing, client_events, sign_ins, presence, cache_misses, connecting, fresh, storms)
}


async def _keep_at_it(kind: Callable[[int], Awaitable[None]], port: int) -> None:
    while True:
        try:
            await kind(port)
        except (OSError, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            await asyncio.sleep(0.01)  # it was closed, or not let in: a stranger tries again


async def flood(port: int, seconds: float, kinds: list[str]) -> None:
    """Let each kind do its worst."""
    tasks = [asyncio.create_task(_keep_at_it(KINDS[kind], port)) for kind in kinds]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("kinds", nargs="+", choices=list(KINDS))
    given = parser.parse_args()
    begun = time.monotonic()
    try:
        import uvloop

        uvloop.run(flood(given.port, given.seconds, given.kinds))
    except ImportError:
        asyncio.run(flood(given.port, given.seconds, given.kinds))
