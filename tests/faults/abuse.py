"""What the port and the HTTP transports cost others while strangers abuse them: ``make abuse`` opens 100,000 sessions.

A WebSocket, a streaming and a polling client hear what is published meanwhile. Times leave out what the machine let
this process stand still. Memory is what is resident: before, at most, and when all sessions have ended.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.faults.abusers import APP, Streams, dialled, head, transport
from tests.faults.harness import percentile, until
from tests.faults.standstills import Standstills
from tests.support.api import Api
from tests.support.client import connected
from tests.support.server import Server, app_config, running, server_config
from tests.support.xhr import PusherJsSocket

CHANNEL = "bystanders"
EVERY = 0.05  # seconds between two publishes
HTTP_API = {"header_timeout": 2, "body_timeout": 2, "request_limit_in_mb": 1}
MIB = 1 << 20
SESSIONS = 'sockudo_http_transport_sessions{transport="'
ENDED = 'sockudo_http_transport_sessions_ended_total{reason="'


@dataclass(slots=True)
class Figures:
    """``done``: what the strangers did. ``metrics``: those of the server in the end. ``waits``: seconds from a publish
    to each bystander, by its transport. ``missing``: events that a bystander has not got. ``before``, ``peak``,
    ``after``: resident bytes."""

    done: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    waits: dict[str, list[float]] = field(default_factory=dict)
    missing: int = 0
    before: int = 0
    peak: int = 0
    after: int = 0
    seconds: float = 0.0

    @property
    def p99(self) -> float:
        """The worst of the transports."""
        return max(percentile(waits, 0.99) for waits in self.waits.values())

    def ended(self, reason: str) -> int:
        """Return how many sessions ended for a reason."""
        return int(self.metrics.get(f'{ENDED}{reason}"}}', 0))

    def __str__(self) -> str:
        waits = (
            f"{name} p50 {percentile(each, 0.5) * 1000:.0f} ms p99 {percentile(each, 0.99) * 1000:.0f} ms"
            for name, each in self.waits.items()
        )
        memory = f"{self.before / MIB:.0f} MiB before, {self.peak / MIB:.0f} at most, {self.after / MIB:.0f} after"
        ends = f"evicted {self.ended('evicted')}, timed out {self.ended('timeout')}"
        return f"{self.seconds:.0f} s; {self.done}; {ends}; {memory}; {', '.join(waits)}; missing {self.missing}"


class Bystander:
    """A client of an HTTP transport that reads as pusher-js does. ``came``: when each numbered event did."""

    def __init__(self, port: int, kind: str) -> None:
        self.came: dict[int, float] = {}
        self._port = port
        self._kind = kind
        self._session = f"9/bystander-{kind}"
        self._asked = asyncio.Event()
        self._read = 0
        self.socket = PusherJsSocket(self._asked.set, streaming=kind == "xhr_streaming")

    async def run(self) -> object:
        """Receive until cancelled; return how the session was closed, if it was."""
        async with AsyncExitStack() as stack:
            streams: Streams | None = None
            while self.socket.closed is None:
                self._asked.clear()
                if streams is None or self._kind == "xhr_streaming":
                    await stack.aclose()
                    streams = await stack.enter_async_context(dialled(self._port))
                reader, writer = streams
                writer.write(head(transport(self._kind, self._session), "Content-Length: 0"))
                while not self._asked.is_set() and self.socket.closed is None:
                    data = await reader.read(65_536)
                    assert data, f"the connection of {self._kind} has ended"
                    heartbeats = self.socket.heartbeats
                    self.socket.feed(data)
                    self._note()
                    if self._kind == "xhr_streaming" and self.socket.heartbeats > heartbeats:
                        await self._send()
        return self.socket.closed

    async def subscribe(self) -> None:
        """Subscribe, and wait until that has succeeded."""
        await until(lambda: self.socket.opened, "a session")
        await self._send(json.dumps({"event": "pusher:subscribe", "data": {"channel": CHANNEL}}))
        await until(lambda: any("succeeded" in each["event"] for each in self.socket.messages), "a subscription")

    async def _send(self, *messages: str) -> None:
        body = json.dumps(messages).encode()
        async with dialled(self._port) as (reader, writer):
            writer.write(head(transport("xhr_send", self._session), f"Content-Length: {len(body)}") + body)
            assert b" 204 " in await reader.readline()

    def _note(self) -> None:
        for message in self.socket.messages[self._read :]:
            if message["event"] == "numbered":
                self.came[int(message["data"])] = time.monotonic()
        self._read = len(self.socket.messages)


def metrics_of(server: Server) -> dict[str, float]:
    """Return the server's metrics, by name and labels."""

    def lines() -> Iterator[tuple[str, float]]:
        for line in server.get("/metrics", server.metrics_port)[1].decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                yield name, float(value)

    return dict(lines())


def open_sessions(metrics: dict[str, float]) -> int:
    """Return how many sessions there are."""
    return int(sum(value for name, value in metrics.items() if name.startswith(SESSIONS)))


async def measure(sessions: int, folder: Path, *, app: dict[str, Any] | None = None, **settings: Any) -> Figures:
    """Let strangers open ``sessions`` sessions, and do the rest; return what bystanders and memory felt."""
    figures = Figures()
    async with AsyncExitStack() as stack:
        config = server_config(app_config(APP, **(app or {})), http_api=HTTP_API, **settings)
        server = await asyncio.to_thread(stack.enter_context, running(config, folder))
        process = psutil.Process(server.process.pid)
        standstills = await stack.enter_async_context(Standstills())
        bystanders = {kind: Bystander(server.port, kind) for kind in ("xhr_streaming", "xhr")}
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(each.run()) for each in bystanders.values()]
        for each in bystanders.values():
            await each.subscribe()
        client = await stack.enter_async_context(connected(server, APP))
        await client.subscribe(CHANNEL)
        heard: dict[int, float] = {}
        sent: dict[int, float] = {}

        async def listen() -> object:
            while True:
                frame = await client.receive(600.0)
                if frame.event == "numbered":
                    heard[int(frame.text)] = time.monotonic()

        async def publish() -> None:
            with Api(server, APP) as api:
                while True:
                    number = len(sent)
                    sent[number] = time.monotonic()
                    await asyncio.to_thread(api.publish, CHANNEL, "numbered", str(number))
                    figures.peak = max(figures.peak, process.memory_info().rss)
                    await asyncio.sleep(EVERY)

        tasks.append(asyncio.create_task(listen()))
        publishing = asyncio.create_task(publish())
        stack.push_async_callback(_cancelled, *tasks, publishing)
        await until(lambda: len(sent) > 20, "a calm beginning")
        figures.before = process.memory_info().rss
        begun = time.monotonic()
        strangers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.abusers", str(server.port), str(sessions)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await strangers.communicate()
        figures.seconds = time.monotonic() - begun
        assert strangers.returncode == 0
        figures.done = json.loads(said)
        while open_sessions(figures.metrics) != len(bystanders):
            figures.metrics = await asyncio.to_thread(metrics_of, server)
            assert time.monotonic() < begun + figures.seconds + 60, "sessions that nobody holds do not end"
            for task in tasks:  # a bystander that was cut off says why
                assert not task.done(), await task
            await asyncio.sleep(0.2)
        await _cancelled(publishing)
        arrivals = {"websocket": heard, **{kind: each.came for kind, each in bystanders.items()}}
        last = len(sent) - 1  # it was perhaps not sent
        with suppress(AssertionError):  # what is missing is counted
            await until(lambda: all(len(came) >= last for came in arrivals.values()), "the last event", 10.0)
        figures.after = process.memory_info().rss
        for name, came in arrivals.items():
            figures.missing += sum(1 for number in range(last) if number not in came)
            figures.waits[name] = [standstills.between(sent[number], at) for number, at in came.items()]
    return figures


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(asyncio.run(measure(given.sessions, Path(name))))  # noqa: T201
