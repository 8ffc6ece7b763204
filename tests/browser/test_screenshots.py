"""Screenshots of every view, of a server on which something goes on. ``make screenshots`` puts them into docs/img."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.stage import CHAT, SHOP, Stage, go
from tests.support.api import Api
from tests.support.client import Client, connected, member
from tests.support.management import ask

pytestmark = pytest.mark.clients
DOCS = Path(__file__).parents[2] / "docs" / "img"
PICTURES = {
    "console": "console",
    "overview": "",
    "inspector": "inspect?q=presence-support",
    "why": "why",
    "webhooks": "webhooks",
    "webhook": "webhooks/{webhook}",
    "webhook-new": "webhooks/new",
    "deliveries": "deliveries",
    "dead-letters": "dead-letters",
    "apps": "apps",
    "app": "apps/shop",
    "cluster": "cluster",
    "configuration": "configuration",
}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True},
}
NAMES = ("Ada", "Boris", "Chidi", "Dunya", "Emre", "Fatma")


@asynccontextmanager
async def life(shop: Stage) -> AsyncIterator[str]:
    """Let clients, backends and receivers do what they do; yield the id of a webhook."""
    body = {"name": "Orders service", "url": f"{shop.hooks.url}/orders", "event_types": ["*"], "profile": "standard"}
    webhook: str = ask(shop.server, "POST", f"/apps/{SHOP.id}/webhooks", body).json["uid"]
    broken = {"name": "Old warehouse", "url": f"{shop.hooks.url}/old", "event_types": ["channel_occupied"]}
    ask(shop.server, "POST", f"/apps/{SHOP.id}/webhooks", broken)
    shop.hooks.answer("/old", 500)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(shop.server, SHOP)) for _ in NAMES]
        for number, (client, name) in enumerate(zip(clients, NAMES, strict=True)):
            await client.subscribe("presence-support", member(number + 1, name=name, role="agent"))
            await client.subscribe(f"private-orders-{number % 3}")
            await client.ask("cache-prices")
        chat = await stack.enter_async_context(connected(shop.server, CHAT))
        await chat.subscribe("lobby")
        await refused(clients[0])
        with Api(shop.server, SHOP) as api:
            for number in range(12):
                api.publish(f"private-orders-{number % 3}", "shipped", f'{{"order":{number}}}')
            api.publish("cache-prices", "price", '{"eur":12.5}')
        await clients[1].trigger("presence-support", "client-typing", {"on": True})
        shop.hooks.wait_for("/orders", 10)
        yield webhook


async def refused(client: Client) -> None:
    await client.ask("private-invoices", auth=f"{SHOP.key}:{'0' * 64}")
    while (await client.receive()).event != "pusher:error":
        pass


@pytest.mark.parametrize("look", LOOKS)
async def test_every_view_is_photographed(browser: Browser, shop: Stage, look: str, tmp_path: Path) -> None:
    folder = DOCS if os.environ.get("SCREENSHOTS") else tmp_path
    async with shop.page(browser, "console", **LOOKS[look]) as (page, _), life(shop) as webhook:
        await asyncio.to_thread(shop.hooks.wait_for, "/old", 2)
        for name, place in PICTURES.items():
            await picture(page, place.format(webhook=webhook), folder / f"dashboard-{name}-{look}.png")


async def picture(page: Page, place: str, file: Path) -> None:
    if place == "console":  # it is open already, and shows what has happened
        await page.locator("tbody tr").nth(12).wait_for()
    else:
        await go(page, place)
        await page.wait_for_load_state("networkidle")
    assert len(await page.screenshot(path=file, animations="disabled")) > 5000
