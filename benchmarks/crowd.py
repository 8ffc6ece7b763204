"""``python -m benchmarks.crowd PORT[,PORT] COUNT``: clients that come back after their server has gone, as pusher-js does.

They run in a process of their own, so that whoever stops and starts the server may wait meanwhile. It prints ``ready``
once all of them are subscribed, and one JSON object (``Returned``) when all but one in a hundred are back, or after
``PATIENCE`` seconds without anybody who comes back.

With several ports the clients are spread over them, as a balancer does it; a client that was lost or refused goes to the
next one. They are on many channels then (``Spread``), all of them come back, and they stay until the standard input ends.
"""

import asyncio
import math
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from benchmarks.load import client_frame, handshake, subscribe
from benchmarks.subjects import APP_KEY

AT_ONCE: Final = 0.0  # seconds until pusher-js tries again after a close code of 4200 to 4299 ...
SOON: Final = 1.0  # ... after 4100 to 4199, and after a connection that was lost without a code
NOBODY_THERE: Final = 1.0  # after an attempt that nobody answered (pusher-js itself: once its 15 s are over)
STARTED_AT_ONCE: Final = 100
PATIENCE: Final = 60.0
RECONNECT: Final = b'"code":42'
BACK_OFF: Final = b'"code":41'


@dataclass(slots=True)
class Returned:
    """How a crowd came back. Times are those of ``time.monotonic``, which all processes of a machine share."""

    back_at: list[float] = field(default_factory=list)  # of each who is back and subscribed, in order
    told: int = 0  # clients that were closed with 4200 while they were subscribed
    lost: int = 0  # connections that ended without a word
    refused: int = 0  # answers 4200 or 4100 to attempts
    most_refused: int = 0  # of one client
    unanswered: int = 0  # attempts that found nobody
    load_cpu: float = 0.0  # seconds of CPU that the crowd itself used

    def until(self, share: float) -> float:
        """Return the time at which this share of those who came back was back; infinity when nobody was."""
        return self.back_at[min(len(self.back_at) - 1, int(share * len(self.back_at)))] if self.back_at else math.inf


class Spread:
    """Where the clients of several nodes are: each channel but the lone ones has clients on all nodes."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    def channel(self, number: int) -> str:
        """Return the channel of a client: of ten, eight are on shared channels, one is in a room, one is alone."""
        group = number // self.nodes
        match group % 10:
            case 0:
                return f"presence-{group // 100}"
            case 1:
                return f"lone-{number}"
            case _:
                return f"shared-{group // 50}"

    def subscribe(self, number: int, socket_id: str) -> bytes:
        """Return the frame with which a client subscribes."""
        channel = self.channel(number)
        data = f'{{"user_id":"u{number}"}}' if channel.startswith("presence-") else None
        return subscribe(channel, socket_id, data)


class Crowd:
    """``count`` clients of one channel. ``come`` brings them; they bring themselves back until they ``leave``.

    ``ports``: several, for clients on the channels of a ``Spread``.
    """

    def __init__(
        self,
        port: int,
        count: int,
        key: str = APP_KEY,
        tls: ssl.SSLContext | None = None,
        ports: Sequence[int] = (),
    ) -> None:
        self.count = count
        self.port = port
        self.ports = ports or (port,)
        self.spread = Spread(len(ports)) if len(ports) > 1 else None
        self.key = key
        self.tls = tls
        self.here = 0
        self.returned = Returned()
        self._refusals: Counter[int] = Counter()
        self._tried: Counter[int] = Counter()  # how often a client was sent on to the next port
        self._subscribe = client_frame({"event": "pusher:subscribe", "data": {"channel": "avalanche"}})
        self._tasks: set[asyncio.Task[None]] = set()
        self._counting = False
        self._leaving = False
        self._used = 0.0
        self.open: set[asyncio.Transport] = set()

    async def come(self) -> None:
        """Connect all of them, some at a time."""
        for begin in range(0, self.count, STARTED_AT_ONCE):
            end = min(begin + STARTED_AT_ONCE, self.count)
            for number in range(begin, end):
                self.try_again(number, AT_ONCE)
            await self._until(lambda end=end: self.here >= end)  # type: ignore[misc]
        self._counting, self._used = True, time.process_time()

    async def come_back(self) -> Returned:
        """Return how they came back, once they have been gone. Of several nodes those of one have."""
        wanted = math.ceil(self.count * 0.99)
        if self.spread is None:
            await self._until(lambda: len(self.returned.back_at) >= wanted)
        else:
            await self._until(lambda: self.returned.lost + self.returned.told > 0 and self.here == self.count)
        self.returned.most_refused = max(self._refusals.values(), default=0)
        self.returned.load_cpu = time.process_time() - self._used
        return self.returned

    async def leave(self) -> None:
        """Close all connections; nobody comes back any more."""
        self._leaving = True
        for transport in list(self.open):
            transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def try_again(self, number: int, seconds: float) -> None:
        """Let a client connect after ``seconds``."""
        task = asyncio.get_running_loop().create_task(self._connect(number, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def frame(self, number: int, established: bytes) -> bytes:
        """Return what a client answers to the message that its connection is established."""
        if self.spread is None:
            return self._subscribe
        start = established.find(b'socket_id\\":\\"') + len(b'socket_id\\":\\"')
        return self.spread.subscribe(number, established[start : established.find(b'\\"', start)].decode())

    def subscribed(self) -> None:
        """A client is here."""
        self.here += 1
        if self._counting:
            self.returned.back_at.append(time.monotonic())

    def closed(self, number: int, code: bytes | None, was_here: bool) -> None:
        """A client's connection has ended: with a code's beginning, or without one."""
        if self._leaving:
            return
        self._tried[number] += 1
        returned = self.returned
        if was_here:
            self.here -= 1
            if code is None:
                returned.lost += 1
            else:
                returned.told += 1
        elif code is None:
            returned.unanswered += 1
        else:
            returned.refused += 1
            self._refusals[number] += 1
        if code is not None:
            self.try_again(number, AT_ONCE if code is RECONNECT else SOON)
        else:
            self.try_again(number, SOON if was_here else NOBODY_THERE)

    async def _connect(self, number: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        port = self.ports[(number + self._tried[number]) % len(self.ports)]
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Member(self, number), "127.0.0.1", port, ssl=self.tls
            )
        except OSError:
            self.returned.unanswered += 1
            self._tried[number] += 1
            self.try_again(number, NOBODY_THERE)

    async def _until(self, condition: Callable[[], bool]) -> None:
        last, since = -1, time.monotonic()
        while not condition():
            if self.here != last:
                last, since = self.here, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                return
            await asyncio.sleep(0.002)


class _Member(asyncio.Protocol):
    """One attempt of one client."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._subscribed = False
        self._ended = False
        self._buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._crowd.open.add(transport)
        transport.write(handshake(self._crowd.port, self._crowd.key))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        code = next((code for code in (RECONNECT, BACK_OFF) if code in self._buffer), None)
        if code is not None:
            self._end(code)
            self._transport.close()
        elif not self._subscribed:
            if b"connection_established" in self._buffer:
                self._transport.write(self._crowd.frame(self._number, self._buffer))
                self._buffer = b""
            elif b"subscription_succeeded" in self._buffer:
                self._buffer, self._subscribed = b"", True
                self._crowd.subscribed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.open.discard(self._transport)
        self._end(None)

    def _end(self, code: bytes | None) -> None:
        if not self._ended:
            self._ended = True
            self._crowd.closed(self._number, code, self._subscribed)


async def _run(ports: list[int], count: int) -> None:
    crowd = Crowd(ports[0], count, ports=ports if len(ports) > 1 else ())
    await crowd.come()
    print("ready", flush=True)
    print(orjson.dumps(asdict(await crowd.come_back())).decode(), flush=True)
    if crowd.spread is not None:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


def main() -> None:
    """Run a crowd."""
    ports, count = [int(port) for port in sys.argv[1].split(",")], int(sys.argv[2])
    runner: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    try:
        import uvloop

        runner = uvloop.run
    except ImportError:
        pass
    runner(_run(ports, count))


if __name__ == "__main__":
    main()
