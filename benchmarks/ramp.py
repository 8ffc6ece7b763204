"""The ramp that soketi publishes (benchmark/ci-local.js of its repository), eight times as fast.

250 users come and stay; 250 more come, and their number falls to 50 and rises to 100 again. All are on one channel, ping
now and then, and a backend publishes ten messages a second to it, each with the time at which it was sent.
"""

import asyncio
import re
import time
from contextlib import suppress

from benchmarks.harness import Meter, Result, Subject, quantile
from benchmarks.load import Client, Poster, connect, publish_request
from benchmarks.subjects import Options, Starter

FASTER = 8
CHANNEL = "benchmark"
PUBLISHES = 10  # a second, at the original pace: soketi's "overkill"
# (seconds, users at their end): the soak begins at once, the traffic when the soak is complete.
SOAK = ((50, 250), (110, 250))
TRAFFIC = ((50, 250), (30, 250), (10, 100), (10, 50), (10, 100))
_SENT = re.compile(rb"t=(\d+);")


class Crowd:
    """Users that come and go along stages; each notes how late its messages are."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[Client] = []
        self.delays: list[float] = []

    async def follow(self, stages: tuple[tuple[float, int], ...]) -> None:
        """Keep as many users as the stages say, changing evenly within each."""
        users = 0
        for seconds, target in stages:
            begun, length, first = time.perf_counter(), seconds / FASTER, users
            while (passed := time.perf_counter() - begun) < length:
                await self._adjust(first + round((target - first) * passed / length))
                await asyncio.sleep(0.02)
            users = target
            await self._adjust(users)

    async def _adjust(self, users: int) -> None:
        while len(self._clients) > users:
            self._clients.pop().transport.abort()
        for _ in range(users - len(self._clients)):
            client = await connect(self._port, CHANNEL)
            client.on_bytes = self._received
            self._clients.append(client)

    def _received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        self.delays.extend((now - int(sent)) / 1e6 for sent in _SENT.findall(data))

    def end(self) -> None:
        """Drop everybody."""
        for client in self._clients:
            client.transport.abort()


async def publish(subject: Subject) -> None:
    """Publish until cancelled."""
    poster = Poster(subject)
    start, sent = time.perf_counter(), 0
    try:
        while True:
            await asyncio.sleep(max(0.0, start + sent / PUBLISHES / FASTER - time.perf_counter()))
            sent += 1
            text = f"t={time.perf_counter_ns()};"
            await poster.post(publish_request({"name": "timed-message", "channel": CHANNEL, "data": text}))
    finally:
        poster.close()


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server. A unit is one delivery; joins, leaves and publishes are included in its cost."""
    with starter(Options()) as subject:
        soak, traffic = Crowd(subject.port), Crowd(subject.port)
        with Meter(subject) as meter:
            publishing = asyncio.create_task(publish(subject))
            staying = asyncio.create_task(soak.follow(SOAK))
            await asyncio.sleep(SOAK[0][0] / FASTER)
            await asyncio.gather(staying, traffic.follow(TRAFFIC))
            publishing.cancel()
            with suppress(asyncio.CancelledError):
                await publishing
        soak.end()
        traffic.end()
    delays = soak.delays + traffic.delays
    return [meter.row("soketi's ramp", len(delays), delays, note=f"p95 {quantile(delays, 0.95):.1f} ms")]
