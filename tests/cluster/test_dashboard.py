"""The dashboard of a cluster: its nodes, and one live console for all of them."""

import asyncio
import http.client
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.site import APP, Nodes, clients, nodes
from tests.support.client import eventually
from tests.support.management import KEY, admin_key, ask
from tests.support.redis_server import RedisServer
from tests.support.server import Server


@pytest.fixture
def three(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(0, private_redis, tmp_path) as site:
        site.settings["webhooks"]["admin"] = {"api_keys": [admin_key()], "rate_limit": {"per_minute": 100_000}}
        for _ in range(3):
            site.start()
        yield site


def follow(server: Server, rows: "queue.Queue[dict[str, Any]]") -> http.client.HTTPConnection:
    """Put what the console of a node shows into a queue, until the connection is closed."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", "/api/live?channel=watched", headers={"Authorization": f"Bearer {KEY}"})
    response = connection.getresponse()

    def read() -> None:
        try:
            while line := response.readline():
                if line.startswith(b"data: "):
                    rows.put(json.loads(line[6:]))
        except (OSError, ValueError, AttributeError):
            pass

    threading.Thread(target=read, daemon=True).start()
    return connection


async def test_all_nodes_are_shown_and_a_console_shows_what_happens_on_each(three: Nodes) -> None:
    def shown() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(three.servers[0], "GET", "/api/cluster").json["nodes"]
        return found

    await eventually(lambda: len(shown()) == 3, "three nodes")
    assert [one["here"] for one in shown()] == [True, False, False]
    assert all(one["state"] == "up" and one["version"] for one in shown())
    rows: queue.Queue[dict[str, Any]] = queue.Queue()
    connection = await asyncio.to_thread(follow, three.servers[0], rows)
    try:
        seen: dict[str, set[str | None]] = {}
        async with clients(three, 0, 1, 2) as everybody, asyncio.timeout(60):
            while len({node for nodes in seen.values() for node in nodes}) < 3:
                for number, client in enumerate(everybody):  # the other nodes begin to send a moment later
                    await client.subscribe(f"watched-{number}")
                    await client.unsubscribe(f"watched-{number}")
                await asyncio.sleep(0.2)
                while not rows.empty():
                    row = rows.get()
                    seen.setdefault(row["channel"], set()).add(row.get("node"))
        assert set(seen) == {"watched-0", "watched-1", "watched-2"}
        assert seen["watched-0"] == {None}
        assert all(row["app"] == APP.id for row in rows.queue)
    finally:
        connection.close()
    three.servers[2].kill()
    await eventually(lambda: [one["state"] for one in shown()].count("away") == 1, "the dead node to be away")
