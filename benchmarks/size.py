"""``python -m benchmarks.size``: what one more of something costs when there are few and when there are many.

Each row is a step of growth: CPU microseconds and resident bytes per item within that step alone, so that whatever
grows faster than it should shows at once. ``growth`` is the last step's cost over the first's; flat is near 1.
``--json FILE`` keeps the steps for ``benchmarks.report``.
"""

import argparse
import asyncio
import gc
import hashlib
import hmac
import resource
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import orjson

from benchmarks.harness import Growth, Meter, Step, Subject
from benchmarks.load import Client, Poster, client_frame, connect, connect_many, publish_request, subscribe
from benchmarks.machine import environment
from benchmarks.subjects import APP_KEY, APP_SECRET, Options, own
from benchmarks.tables import write_json

SPARE_FILES = 1_000  # of the process's limit, for everything that is no client


Grow = Callable[[int, int], Awaitable[None]]


async def steps(subject: Subject, sizes: Sequence[int], grow: Grow) -> list[Step]:
    """Grow to each size in turn."""
    found, before = [], 0
    for after in sizes:
        await asyncio.sleep(0.3)
        resident = subject.rss()
        with Meter(subject) as meter:
            await grow(before, after)
        await asyncio.sleep(0.3)
        count = after - before
        found.append(Step(before, after, meter.per_unit(count), (subject.rss() - resident) / count))
        before = after
    return found


def show(growth: Growth, subject: Subject) -> Growth:
    """Print one table; return what it shows."""
    found = growth.steps
    print(f"\n### {growth.title}\n\n| from | to | CPU us each | bytes each |\n|---:|---:|---:|---:|")
    for step in found:
        print(f"| {step.before:,} | {step.after:,} | {step.cpu_us:.1f} | {step.bytes:,.0f} |")
    print(f"\ngrowth {found[-1].cpu_us / found[0].cpu_us:.2f}; event loop lag at most {worst_lag(subject)}")
    if growth.per_member:
        print("\n| from | to | CPU us per item and item present |\n|---:|---:|---:|")
        for step in found:
            print(f"| {step.before:,} | {step.after:,} | {step.cpu_us / ((step.before + step.after) / 2):.2f} |")
    return growth


def worst_lag(subject: Subject) -> str:
    """Return the bound of the highest bucket of ``event_loop_lag_seconds`` that anything fell into."""
    text: str = urllib.request.urlopen(f"http://127.0.0.1:{subject.scrape_port}/metrics", timeout=5).read().decode()
    rows = [line for line in text.splitlines() if "event_loop_lag_seconds_bucket" in line]
    total = max((float(row.rsplit(" ", 1)[1]) for row in rows), default=0.0)
    for row in rows:
        if float(row.rsplit(" ", 1)[1]) >= total:
            return row.partition('le="')[2].partition('"')[0] + " s"
    return "unknown"


def drop(clients: list[Client]) -> None:
    """Close the connections."""
    for client in clients:
        client.transport.abort()


async def connections(top: int) -> Growth:
    """Grow the number of connections, each on a channel of its own."""
    with own()() as subject:
        clients = await connect_many(subject.port, [f"warm-{index}" for index in range(500)])

        async def grow(before: int, after: int) -> None:
            clients.extend(await connect_many(subject.port, [f"c-{index}" for index in range(before, after)]))

        sizes = [size for size in (1_000, 2_500, 5_000, 10_000, 20_000) if size < top] + [top]
        title = "Connections, each subscribed to its own channel"
        growth = show(Growth(title, await steps(subject, sizes, grow)), subject)
        drop(clients)
        return growth


async def subscribe_all(client: Client, names: Sequence[str]) -> None:
    """Subscribe one client to all of these channels, 100 at once."""
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        left = len(part)
        done = asyncio.get_running_loop().create_future()

        def heard(data: bytes, done: "asyncio.Future[None]" = done) -> None:
            nonlocal left
            left -= data.count(b"subscription_succeeded")
            if left == 0 and not done.done():
                done.set_result(None)

        client.on_bytes = heard
        client.transport.write(b"".join(subscribe(name, client.socket_id) for name in part))
        await asyncio.wait_for(done, 60)


async def channels(top: int) -> Growth:
    """Grow the number of channels: 1,000 per connection; then publish to one of them."""
    with own()() as subject:
        clients = [await connect(subject.port, "base") for _ in range(top // 1_000)]

        async def grow(before: int, after: int) -> None:
            for at in range(before, after, 1_000):
                await subscribe_all(clients[at // 1_000], [f"channel-{index}" for index in range(at, at + 1_000)])

        sizes = [size for size in (10_000, 25_000, 50_000) if size < top] + [top]
        growth = show(Growth("Channels, 1,000 on each connection", await steps(subject, sizes, grow)), subject)
        poster = Poster(subject)
        one = publish_request({"name": "bench", "channel": "channel-7", "data": "{}"})
        await poster.post(one)
        with Meter(subject) as meter:
            for _ in range(2_000):
                await poster.post(one)
        print(f"\na publish to one of {top:,} channels: {meter.per_unit(2_000):.1f} us")
        with Meter(subject) as meter:
            drop(clients)
            await asyncio.sleep(3)
        print(f"leaving them all at once: {meter.per_unit(top):.1f} us each; lag at most {worst_lag(subject)}")
        poster.close()
        return growth


async def one_connection(top: int) -> Growth:
    """Grow the subscriptions of a single connection."""
    with own()() as subject:
        client = await connect(subject.port, "base")

        async def grow(before: int, after: int) -> None:
            await subscribe_all(client, [f"channel-{index}" for index in range(before, after)])

        growth = show(Growth("Channels of one connection", await steps(subject, (100, 250, 500, top), grow)), subject)
        drop([client])
        return growth


def sign_in(socket_id: str, user: str) -> bytes:
    """Return the frame with which a connection signs in."""
    data = orjson.dumps({"id": user}).decode()
    signature = hmac.new(APP_SECRET.encode(), f"{socket_id}::user::{data}".encode(), hashlib.sha256).hexdigest()
    return client_frame(
        {"event": "pusher:signin", "data": {"auth": f"{APP_KEY}:{signature}", "user_data": data}},
    )


async def one_user(top: int) -> Growth:
    """Grow the connections of one signed-in user; then send the user an event, and terminate."""
    with own()() as subject:
        clients: list[Client] = []
        got = 0

        def heard(data: bytes) -> None:
            nonlocal got
            got += data.count(b'"to-user"')

        async def grow(before: int, after: int) -> None:
            for _ in range(before, after):
                client = await connect(subject.port, "base")
                done = asyncio.get_running_loop().create_future()
                client.on_bytes = lambda data, done=done: (
                    done.set_result(None) if b"signin_success" in data and not done.done() else None
                )
                client.transport.write(sign_in(client.socket_id, "u1"))
                await asyncio.wait_for(done, 10)
                client.on_bytes = heard
                clients.append(client)

        growth = show(Growth("Connections of one user", await steps(subject, (100, 250, 500, top), grow)), subject)
        poster = Poster(subject)
        one = publish_request({"name": "to-user", "channel": "#server-to-user-u1", "data": "{}"})
        with Meter(subject) as meter:
            for round_number in range(20):
                await poster.post(one)
                while got < (round_number + 1) * top:
                    await asyncio.sleep(0.001)
        print(f"\nan event to the user: {meter.per_unit(20 * top):.1f} us per connection")
        poster.close()
        drop(clients)
        return growth


async def presence(top: int) -> Growth:
    """Grow one presence channel. A join also sends the roster to the joiner and one message to each other member."""
    with own()(Options(presence_members=top)) as subject:
        clients: list[Client] = []

        async def grow(before: int, after: int) -> None:
            for index in range(before, after):
                member = f'{{"user_id":"{index}","user_info":{{"name":"User {index}"}}}}'
                client = await connect(subject.port, "presence-room", member)
                client.on_bytes = lambda data: None
                clients.append(client)

        found = await steps(subject, (100, 250, 500, top), grow)
        growth = show(Growth("Members of a presence channel", found, per_member=True), subject)
        drop(clients)
        return growth


async def run(scale: float) -> list[Growth]:
    """Run all."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    top = min(20_000, hard - SPARE_FILES)
    if top < 20_000:
        print(f"SKIPPED: sizes above {top:,} connections, a process may open {hard:,} files here", file=sys.stderr)
    found = []
    for part in (
        connections(int(top * scale)),
        channels(int(100_000 * scale)),
        one_connection(1_000),
        one_user(1_000),
        presence(1_000),
    ):
        found.append(await part)
        gc.collect()
    return found


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="benchmarks.size", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--json", type=Path, help="also write the steps there, for benchmarks.report")
    arguments = parser.parse_args()
    import uvloop

    machine = environment()
    print(machine)
    found = uvloop.run(run(0.1 if arguments.quick else 1.0))
    if arguments.json:
        write_json(arguments.json, machine, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
