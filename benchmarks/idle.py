"""Idle connections: what holding one costs in a second, and what one ping of a client costs."""

import asyncio
import time

from benchmarks.fanout import end
from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Client, Poster, client_frame, connect_many
from benchmarks.subjects import Options, Starter

CONNECTIONS = 5_000
PING = client_frame({"event": "pusher:ping", "data": {}})


async def silent(subject: Subject, clients: list[Client], seconds: float) -> Result:
    """Let all clients be silent. A unit is one connection for one second, the server's own timers included."""
    with Meter(subject) as meter:
        await asyncio.sleep(seconds)
    return meter.row(f"idle, {CONNECTIONS:,} connections", int(len(clients) * meter.seconds), note="unit: 1 s of one")


async def pinging(subject: Subject, clients: list[Client], seconds: float) -> Result:
    """Let each client ping once a second, spread evenly. A unit is one ping with its pong."""
    pongs = 0

    def count(data: bytes) -> None:
        nonlocal pongs
        pongs += data.count(b"pusher:pong")

    for client in clients:
        client.on_bytes = count
    slices = 100
    size = len(clients) // slices
    sent = 0
    with Meter(subject) as meter:
        start = time.perf_counter()
        for turn in range(int(seconds * slices)):
            await asyncio.sleep(max(0.0, start + turn / slices - time.perf_counter()))
            at = turn % slices * size
            for client in clients[at : at + size]:
                client.transport.write(PING)
            sent += size
        async with asyncio.timeout(30):
            while pongs < sent:
                await asyncio.sleep(0.005)
    return meter.row(f"pings, {CONNECTIONS:,} connections", sent, note="unit: one ping, one pong")


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server."""
    seconds = max(2.0, 10 * scale)
    with starter(Options()) as subject:
        clients = await connect_many(subject.port, [f"idle-{index}" for index in range(CONNECTIONS)])
        await asyncio.sleep(1)
        rows = [await silent(subject, clients, seconds), await pinging(subject, clients, max(1.0, seconds / 2))]
        end(clients, Poster(subject))
    return rows
