"""Section A where it needs a server of its own: strict mode, prefix, TLS, capacity, shutdown, reload."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.client import Client
from tests.support.server import TestApp, app_config, running, server_config
from tests.support.site import Site, private_site

HELLO = "protocol=7&client=js&version=8.6.0&flash=false"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server in strict mode behind the path prefix ``/realtime``."""
    folder = tmp_path_factory.mktemp("strict")
    with private_site(folder, strict_protocol=True, path_prefix="/realtime", activity_timeout=45) as site:
        yield site


async def test_005_activity_timeout_is_the_configured_one(strict: Site) -> None:
    async with strict.connect() as client:
        assert client.activity_timeout == 45


async def test_007_strict_mode_refuses_a_missing_protocol_with_4008(strict: Site) -> None:
    async with strict.dial(f"/realtime/app/{strict.app.key}") as client:
        await client.expect_fatal(4008, "No protocol version supplied")


async def test_021_the_path_prefix_is_where_clients_connect(strict: Site) -> None:
    async with strict.connect():
        pass


async def test_021_without_the_path_prefix_nobody_connects(strict: Site) -> None:
    async with strict.dial(f"/app/{strict.app.key}?{HELLO}") as client:
        await client.expect_fatal(4005)


def test_163_a_signature_over_the_path_without_the_prefix_verifies(strict: Site) -> None:
    response = strict.api.post("/events", {"name": "e", "channel": "c", "data": "{}"})
    assert (response.status, response.body) == (200, b"{}")
    assert strict.api.get("/channels/c").json == {"occupied": False}


async def test_016_a_tls_only_app_takes_wss(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    cert_path, key_path = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(key_path)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(cert_path, append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    tls = {"enabled": True, "cert_path": str(cert_path), "key_path": str(key_path)}
    with private_site(tmp_path, {"require_tls": True}, ssl=tls) as site:
        url = site.server.ws_url(f"/app/{site.app.key}?{HELLO}", secure=True)
        client = await Client.open(url, site.app, ssl=context)
        await client.established()
        await client.close()


async def test_017_a_full_node_refuses_with_4100(tmp_path: Path) -> None:
    with private_site(tmp_path, max_connections=1) as site:
        async with site.connect() as client, site.dial(f"/app/{site.app.key}?{HELLO}") as refused:
            await refused.expect_fatal(4100, "Over capacity")
            await client.quiet()


async def test_025_shutdown_tells_every_client_to_reconnect_and_exits_with_0(tmp_path: Path) -> None:
    with private_site(tmp_path) as site:
        async with site.connect() as one, site.connect() as two:
            await two.subscribe("c")
            site.server.terminate()
            await one.expect_fatal(4200)
            await two.expect_fatal(4200)
        assert await asyncio.to_thread(site.server.wait) == 0


async def test_014_disabling_a_live_app_closes_its_connections_with_4003(tmp_path: Path) -> None:
    folder = tmp_path / "apps"
    folder.mkdir()
    path = folder / "one.json"
    path.write_text(json.dumps(app_config(TestApp())))
    config = server_config(app_manager={"driver": "file", "file": {"path": str(folder), "poll_interval": 0.1}})
    with running(config, tmp_path) as server:
        site = Site(server, TestApp())
        async with site.connect() as client:
            fresh = tmp_path / "fresh.json"
            fresh.write_text(json.dumps(app_config(TestApp()) | {"enabled": False}))
            fresh.replace(path)
            await client.expect_fatal(4003, "Application disabled")
        async with site.dial(f"/app/{site.app.key}?{HELLO}") as client:
            await client.expect_fatal(4003, "Application disabled")
