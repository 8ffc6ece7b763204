"""Delivery as the configuration asks for it: endpoints as an operator writes them, a real worker, real requests."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import trustme

from sockudo_py.apps.definition import define_apps
from sockudo_py.config import load
from sockudo_py.endpoints import Endpoint
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Queue
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.endpoints.validation import EndpointRules, endpoint_problems
from sockudo_py.webhooks.service import DeliverySettings, WebhookService
from sockudo_py.webhooks.targets.base import Target
from sockudo_py.webhooks.targets.http.target import HttpTarget
from tests.support.receiver import Receiver

APP, KEY, APP_SECRET = "app-1", "app-key", "secret-of-the-app"
SECRET = "secret-of-the-endpoint"
STANDARD_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
AT_ONCE: dict[str, Any] = {"schedule_ms": [20, 20, 20, 20, 20]}

Webhook = dict[str, Any]


def configured(folder: Path, *webhooks: Webhook, **settings: Any) -> list[Endpoint]:
    """Return the endpoints that a configuration file with these ``webhooks`` of one app makes.

    Raises ConfigError, as the server does at its start. Each gets uid, secret and all events unless it says otherwise.
    """
    listed = [
        {
            "uid": f"wh_{number}",
            "event_types": ["*"],
            "secret": STANDARD_SECRET if one.get("profile") == "standard" else SECRET,
            **one,
        }
        for number, one in enumerate(webhooks)
    ]
    app = {"id": APP, "key": KEY, "secret": APP_SECRET, "webhooks": listed}
    path = folder / "config.json"
    path.write_text(json.dumps({"app_manager": {"array": {"apps": [app]}}, **settings}))
    rules = EndpointRules()
    [definition] = define_apps(load(path, {}), lambda endpoint: endpoint_problems(endpoint, rules))
    return list(definition.endpoints)


class Site:
    """A running webhook service with the endpoints of a configuration."""

    def __init__(
        self, endpoints: list[Endpoint], queue: Queue, target: Target, clock: Callable[[], float] = time.time
    ) -> None:
        self.endpoints = endpoints
        self.queue = queue
        self.clock = clock
        settings = DeliverySettings(worker=WorkerSettings(poll_interval=0.01), shutdown_timeout=0.0)
        self.service = WebhookService(queue, {"http": target}, Metrics(), settings, clock=clock)
        self.service.replace(APP, "config", endpoints)

    async def trigger(self, event_type: str, data: Mapping[str, Any], event_id: str | None = None) -> None:
        """Trigger an application's own event."""
        asked = {"event_type": event_type, "data": data, "event_id": event_id}
        await self.service.trigger.fire(APP, json.loads(json.dumps(asked)))

    async def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters, newest first."""
        return [orjson.loads(text) for text in await self.queue.failed()]

    async def wait_for_dead(self, count: int) -> list[dict[str, Any]]:
        """Return the dead letters as soon as there are so many; fail after a minute."""
        deadline = time.monotonic() + 60
        while len(found := await self.dead()) < count:
            assert time.monotonic() < deadline, f"{len(found)} dead letters, not {count}"
            await asyncio.sleep(0.005)
        return found


@asynccontextmanager
async def serving(
    endpoints: list[Endpoint], target: Target, queue: Queue | None = None, clock: Callable[[], float] = time.time
) -> AsyncIterator[Site]:
    """Run a service over this target for the block."""
    site = Site(endpoints, queue or MemoryQueue(clock=clock), target, clock)
    await site.service.start()
    try:
        yield site
    finally:
        await site.service.stop()


def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a receiver on 127.0.0.1 and of a client that trusts it."""
    made = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    made.configure_trust(client)
    return server, client


@asynccontextmanager
async def live(folder: Path, *webhooks: Webhook, queue: Queue | None = None) -> AsyncIterator[tuple[Site, Receiver]]:
    """Run a service whose endpoints (``path`` in place of ``url``) are at a real receiver with TLS."""
    server, client = authority()
    async with Receiver(ssl_context=server) as receiver:
        endpoints = configured(
            folder,
            *(
                {**{key: value for key, value in one.items() if key != "path"}, "url": receiver.url(one["path"])}
                for one in webhooks
            ),
        )
        trusted = AddressGuard(allow_private=True)
        target = HttpTarget(guard=AddressGuard(), trusted_guard=trusted, ssl_context=client)
        async with serving(endpoints, target, queue) as site:
            yield site, receiver
