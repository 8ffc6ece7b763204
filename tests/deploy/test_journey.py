"""From the files of docs/deploying.md and docs/proxies.md to a verified webhook: unit, nginx with TLS, receiver."""

import asyncio
import hashlib
import hmac
from pathlib import Path

from tests.deploy.unit_file import APP, unit_started
from tests.e2e.proxies.kit import HttpsConnection, nginx, proxied
from tests.support.api import Api
from tests.support.client import Client
from tests.support.hook_receiver import HookReceiver


async def test_a_service_behind_nginx_sends_a_webhook_that_the_receiver_can_verify(tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        webhooks = [{"url": f"{receiver.url}/hooks", "event_types": ["channel_occupied"]}]
        unit, proxy = tmp_path / "unit", tmp_path / "proxy"
        unit.mkdir()
        with (
            unit_started(unit, webhooks=webhooks, trusted_proxies=["127.0.0.1/32"]) as server,
            proxied(nginx, proxy, f"127.0.0.1:{server.port}") as front,
        ):
            url = front.url(f"/app/{APP.key}?protocol=7")
            client = await Client.open(url, APP, sock=front.connect(), ssl=front.client_tls)
            await client.established()
            await client.subscribe("private-news")
            with Api(server, APP) as api:
                api.connection = HttpsConnection(front)
                await asyncio.to_thread(api.publish, "private-news", "headline")
            await client.expect("headline", "private-news")
            (hook,) = await asyncio.to_thread(receiver.wait_for, "/hooks", 1)
            await client.close()
    assert [(event["name"], event["channel"]) for event in hook.events] == [("channel_occupied", "private-news")]
    signature = hmac.new(APP.secret.encode(), hook.body, hashlib.sha256).hexdigest()
    assert hook.header("X-Pusher-Signature") == signature
    assert hook.header("X-Pusher-Key") == APP.key
