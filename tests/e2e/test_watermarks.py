"""A server past a high watermark: who is here stays, who comes gets 4100, and /ready says so."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client, connected, eventually
from tests.support.server import Server, TestApp, app_config, running, server_config

APP = TestApp()


async def refused(server: Server) -> None:
    stranger = await Client.open(server.ws_url(f"/app/{APP.key}?protocol=7"), APP)
    await stranger.expect_fatal(4100)


async def ready(server: Server) -> tuple[int, bytes]:
    return await asyncio.to_thread(server.get, "/ready")


async def test_past_the_high_mark_of_connections_new_clients_get_4100_until_there_are_fewer_than_the_low_one(
    tmp_path: Path,
) -> None:
    marks = {"connections_high": 3, "connections_low": 2}
    with running(server_config(app_config(APP), watermarks=marks), tmp_path) as server:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(server, APP)) for _ in range(3)]
            assert await ready(server) == (503, b"past the high watermark: connections\n")
            assert (await asyncio.to_thread(server.get, "/up"))[0] == 200
            await refused(server)
            await clients[0].close()
            await eventually(lambda: b'_connected{app_id="3"} 2' in metrics(server), "two clients")
            await refused(server)  # not below the low mark
            await clients[1].close()
            await eventually(lambda: server.get("/ready")[0] == 200, "below the low mark")
            async with connected(server, APP) as late:
                await late.barrier()
            await clients[2].barrier()  # who was here stayed
            assert b'sockudo_over_watermark{what="connections"} 0' in metrics(server)


def metrics(server: Server) -> bytes:
    return server.get("/metrics", server.metrics_port)[1]


@pytest.mark.parametrize("env", [{}, {"SOKETI_HTTP_ACCEPT_TRAFFIC_MEMORY_THRESHOLD": "0.001"}], ids=["key", "soketi"])
async def test_past_the_high_mark_of_memory_new_clients_get_4100(tmp_path: Path, env: dict[str, str]) -> None:
    marks: dict[str, Any] = {} if env else {"watermarks": {"memory_high": 0.001}}
    with running(server_config(app_config(APP), **marks), tmp_path, env) as server:
        assert await ready(server) == (503, b"past the high watermark: memory\n")
        assert (await asyncio.to_thread(server.get, "/accept-traffic"))[0] == 200
        await refused(server)
        assert "the high watermark is 0.001%" in server.log()
        assert b'sockudo_over_watermark{what="memory"} 1' in metrics(server)
