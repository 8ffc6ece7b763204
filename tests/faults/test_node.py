"""F48 as far as one node goes: a thousand subscribers go at once, by themselves or with their node."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import server as servers
from tests.support.client import Client
from tests.support.hook_receiver import HookReceiver
from tests.support.ports import free_ports
from tests.support.server import KEY, Server, TestApp, app_config, running, server_config

CHANNEL = "crowded"
OCCUPIED = {"name": "channel_occupied", "channel": CHANNEL}
VACATED = {"name": "channel_vacated", "channel": CHANNEL}


def config(hooks: HookReceiver, folder: Path) -> dict[str, Any]:
    webhook = {
        "url": f"{hooks.url}/all",
        "event_types": ["channel_occupied", "channel_vacated"],
        "payload": "pusher",
        "request_timeout_ms": 120_000,
    }
    queue = {
        "driver": "sqlite",
        "sqlite": {"path": str(folder / "queue.sqlite3")},
        "reliability": {"lease_duration_ms": 120_000, "lease_renew_interval_ms": 300},
    }
    return server_config(app_config(TestApp(), webhooks=[webhook]), queue=queue)


@asynccontextmanager
async def crowd(server: Server, size: int) -> AsyncIterator[list[Client]]:
    """Subscribers of one channel."""
    made: list[Client] = []

    async def join() -> None:
        client = await Client.open(server.ws_url(f"/app/{KEY}?protocol=7"), TestApp())
        made.append(client)
        await client.established()
        await client.subscribe(CHANNEL)

    for _ in range(0, size, 50):
        await asyncio.gather(*(join() for _ in range(50)))
    try:
        yield made
    finally:
        for client in made:
            client.abort()
        for client in made:
            with contextlib.suppress(Exception):
                await client.close()


async def events_after(hooks: HookReceiver, count: int) -> list[dict[str, Any]]:
    """Return all events once there are ``count``, and a while later, when a wrong one would have come."""
    await asyncio.to_thread(hooks.wait_for, "/all", 1)
    end = time.monotonic() + 60
    while len(hooks.events("/all")) < count:
        assert time.monotonic() < end, hooks.events("/all")
        await asyncio.sleep(0.02)
    return hooks.events("/all")


@pytest.mark.slow
async def test_F48_a_thousand_subscribers_that_vanish_at_once_vacate_their_channel_once(tmp_path: Path) -> None:
    with HookReceiver() as hooks, running(config(hooks, tmp_path), tmp_path) as server:
        async with crowd(server, 1000) as clients:
            for client in clients:
                client.abort()
            assert await events_after(hooks, 2) == [OCCUPIED, VACATED]
        async with crowd(server, 50):  # whatever came twice would be here by now
            assert await events_after(hooks, 3) == [OCCUPIED, VACATED, OCCUPIED]


@pytest.mark.slow
async def test_F48_a_node_killed_under_a_thousand_subscribers_delivers_what_it_had_and_vacates_their_channel_once(
    tmp_path: Path,
) -> None:
    with HookReceiver() as hooks:
        settings, ports = config(hooks, tmp_path), free_ports(2)
        hooks.answer("/all", 600.0)  # the event is on its way while the node dies
        doomed = await asyncio.to_thread(servers.start, settings, tmp_path / "doomed", None, ports)
        async with crowd(doomed, 1000):
            await asyncio.to_thread(hooks.wait_for, "/all", 1)
            doomed.kill()
            with running(settings, tmp_path / "reborn", ports=ports) as server:
                assert (await events_after(hooks, 2))[:2] == [OCCUPIED, OCCUPIED]  # that one, and again
                first, second = hooks.hooks("/all")[:2]
                assert first.header("webhook-id") == second.header("webhook-id")
                async with crowd(server, 50):  # back in time: for the receiver nothing has changed
                    pass
                assert (await events_after(hooks, 3))[2:] == [VACATED]
