"""Connections: a storm of connect + subscribe, a presence channel that fills, and memory per idle connection."""

import asyncio
import gc

from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Client, connect, connect_many
from benchmarks.subjects import Options, Starter


def release(clients: list[Client]) -> None:
    """Drop the clients' connections."""
    for client in clients:
        client.transport.abort()


async def storm(subject: Subject, count: int, shared: bool) -> Result:
    """Connect ``count`` clients, 100 at a time, and subscribe them to one channel or to one each.

    Coming back to one channel is what a storm of reconnects does; it shows whether a join costs more the more there are.
    """
    release(await connect_many(subject.port, [f"warm-{index}" for index in range(500)]))
    await asyncio.sleep(0.2)
    with Meter(subject) as meter:
        names = ["storm"] * count if shared else [f"storm-{index}" for index in range(count)]
        clients = await connect_many(subject.port, names)
    release(clients)
    return meter.row(
        "connect + subscribe, one channel" if shared else "connect + subscribe, one each",
        count,
        note=f"{count / meter.seconds:,.0f}/s",
    )


async def presence(subject: Subject, members: int) -> Result:
    """Join ``members`` users one after the other; a unit is one join, its roster and its broadcast included."""
    latencies = []
    loop = asyncio.get_running_loop()
    clients = []
    with Meter(subject) as meter:
        for index in range(members):
            start = loop.time()
            client = await connect(
                subject.port, "presence-room", f'{{"user_id":"{index}","user_info":{{"name":"User {index}"}}}}'
            )
            client.on_bytes = lambda data: None
            latencies.append((loop.time() - start) * 1e3)
            clients.append(client)
    release(clients)
    return meter.row(
        f"presence join, {members} members",
        members,
        latencies,
        note=f"{members * (members - 1) // 2:,} member_added deliveries among them",
    )


async def memory(subject: Subject, count: int) -> Result:
    """Hold ``count`` idle subscribed connections; RSS is per connection, over a server that has served 100."""
    warm = await connect_many(subject.port, [f"warm-{index}" for index in range(100)])
    await asyncio.sleep(0.2)
    before = subject.rss()
    with Meter(subject) as meter:
        clients = await connect_many(subject.port, [f"idle-{index}" for index in range(count)])
    await asyncio.sleep(1)
    grown = subject.rss() - before
    release(warm + clients)
    del clients, warm
    gc.collect()
    return meter.row(f"idle memory at {count:,}", count, rss_kb=grown / count / 1024)


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server, a fresh process for each workload."""
    results = []
    for shared in (True, False):
        with starter(Options()) as subject:
            results.append(await storm(subject, int(10_000 * scale), shared))
    members = int(500 * min(1.0, scale * 2))
    with starter(Options(presence_members=members)) as subject:
        results.append(await presence(subject, members))
    for count in (1_000, 10_000) if scale >= 1 else (1_000,):
        with starter(Options()) as subject:
            results.append(await memory(subject, count))
    return results
