"""permessage-deflate between a real server and real clients: websockets in Python, pusher-js with ws in Node."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate

from tests.support.client import Client, connected
from tests.support.node import program, scenario
from tests.support.site import Site, private_site

LONG = {"text": "Wer immer strebend sich bemüht, den können wir erlösen. " * 60}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with private_site(tmp_path_factory.mktemp("site"), websocket={"compression": "shared"}) as site:
        yield site


def agreed(connection: ClientConnection) -> PerMessageDeflate | None:
    for extension in connection.protocol.extensions:
        assert isinstance(extension, PerMessageDeflate)
        return extension
    return None


@pytest_asyncio.fixture
async def clients(site: Site) -> AsyncIterator[list[Client]]:
    """Clients that compress as the library does by default, with a window of 512 bytes, and not at all."""
    least = ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=True)
    options: list[dict[str, Any]] = [{"compression": "deflate"}, {"extensions": [least]}, {}]
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(site.server, site.app, **each)) for each in options]


async def test_what_is_agreed_on_is_what_the_library_understands(clients: list[Client]) -> None:
    usual, least, none = (agreed(client.connection) for client in clients)
    assert usual is not None
    assert least is not None
    assert none is None
    assert (usual.remote_no_context_takeover, usual.local_no_context_takeover) == (True, True)
    assert (usual.remote_max_window_bits, least.remote_max_window_bits) == (12, 9)


async def test_all_hear_the_same_whether_they_compress_or_not(site: Site, clients: list[Client]) -> None:
    for client in clients:
        await client.send({"event": "pusher:subscribe", "data": {"channel": "c", "more": "x" * 2000}})
        await client.expect("pusher_internal:subscription_succeeded")
    for number in range(3):
        site.api.publish("c", "event", json.dumps({**LONG, "number": number}))
    for client in clients:
        for number in range(3):
            assert (await client.expect("event")).data == {**LONG, "number": number}


async def test_a_compressed_broadcast_is_a_fraction_of_the_bytes(site: Site) -> None:
    sizes = []
    for compression in (None, "deflate"):
        async with connected(site.server, site.app, compression=compression) as client:
            await client.send({"event": "pusher:subscribe", "data": {"channel": "c"}})
            await client.expect("pusher_internal:subscription_succeeded")
            before = sent_bytes(site)
            site.api.publish("c", "event", json.dumps(LONG))
            await client.expect("event")
            sizes.append(sent_bytes(site) - before)
    plain, compressed = sizes
    assert plain > len(LONG["text"])
    assert 0 < compressed < plain / 10


def sent_bytes(site: Site) -> int:
    found = re.search(
        r"^sockudo_socket_transmitted_bytes_total\S* (\S+)$",
        site.server.get("/metrics", site.server.metrics_port)[1].decode(),
        re.MULTILINE,
    )
    return 0 if found is None else int(float(found[1]))


async def test_a_bomb_is_answered_with_1009(site: Site) -> None:
    async with connected(site.server, site.app, compression="deflate") as client:
        await client.send(json.dumps({"event": "x", "data": "y" * 20_000_000}))
        async with asyncio.timeout(30):
            await client.connection.wait_closed()
        assert client.connection.close_code == 1009


@pytest.mark.clients
async def test_pusher_js_with_ws_compresses(site: Site) -> None:
    setting = scenario(site.server, site.app, build="with-encryption", ws=True)
    async with program("client", setting) as client:
        await client.expect(on="state", current="connected")
        assert "permessage-deflate" in await client.value("extensions")
        await client.value("subscribe", channel="private-x")
        await client.expect(on="event", channel="private-x", event="pusher:subscription_succeeded")
        site.api.publish("private-x", "event", json.dumps(LONG))
        assert (await client.expect(on="event", channel="private-x", event="event"))["data"] == LONG


async def test_it_is_off_by_default(tmp_path: Path) -> None:
    with private_site(tmp_path) as plain:
        async with connected(plain.server, plain.app, compression="deflate") as client:
            assert agreed(client.connection) is None
            await client.send({"event": "pusher:ping"})
            await client.expect("pusher:pong")
