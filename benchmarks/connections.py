"""Connections: a storm of connect + subscribe, a presence channel that fills, and memory per idle connection."""

import asyncio
import gc

from benchmarks.harness import Meter, Result, app_config, quantile, sockudo
from benchmarks.load import connect, connect_many


async def storm(count: int) -> Result:
    """Connect and subscribe ``count`` clients to a public channel each of their own, 100 at a time."""
    with sockudo() as subject:
        await connect_many(subject.port, [f"warm-{index}" for index in range(200)])
        with Meter(subject) as meter:
            clients = await connect_many(subject.port, [f"storm-{index}" for index in range(count)])
        for client in clients:
            client.transport.abort()
        return Result(
            "connect + subscribe",
            subject.name,
            count,
            meter.seconds,
            meter.per_unit(count),
            load_share=meter.load_share,
            note=f"{count / meter.seconds:,.0f}/s",
        )


async def presence(members: int) -> Result:
    """Join ``members`` users one after the other; a unit is one join, its roster and its broadcast included."""
    app = app_config()
    latencies = []
    loop = asyncio.get_running_loop()
    with sockudo(app, presence={"max_members_per_channel": members}) as subject:
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
        for client in clients:
            client.transport.abort()
        return Result(
            f"presence join, {members} members",
            subject.name,
            members,
            meter.seconds,
            meter.per_unit(members),
            quantile(latencies, 0.5),
            quantile(latencies, 0.99),
            load_share=meter.load_share,
            note=f"{members * (members - 1) // 2:,} member_added deliveries among them",
        )


async def memory(count: int) -> Result:
    """Hold ``count`` idle subscribed connections; RSS is per connection, over an empty server."""
    with sockudo() as subject:
        warm = await connect_many(subject.port, [f"warm-{index}" for index in range(100)])
        before = subject.rss()
        with Meter(subject) as meter:
            clients = await connect_many(subject.port, [f"idle-{index}" for index in range(count)])
        await asyncio.sleep(1)
        grown = subject.rss() - before
        for client in warm + clients:
            client.transport.abort()
    del clients, warm
    gc.collect()
    return Result(
        f"idle memory at {count} connections",
        subject.name,
        count,
        meter.seconds,
        meter.per_unit(count),
        rss_kb=grown / count / 1024,
        load_share=meter.load_share,
    )


async def run(quick: bool) -> list[Result]:
    """Run all connection workloads."""
    return [
        await storm(2_000 if quick else 8_000),
        await presence(200 if quick else 500),
        await memory(1_000),
        *([] if quick else [await memory(10_000)]),
    ]
