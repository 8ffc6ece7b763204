"""What people come to the dashboard for, done as they do it: by what they see, with as few steps as that takes."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.stage import SHOP, Stage, go
from tests.support.management import ask

pytestmark = pytest.mark.clients
SLOW = re.compile(r"p95 (8\d\d ms|[\d.]+ s)")


async def test_the_list_says_which_webhook_is_slow_with_one_request(browser: Browser, shop: Stage) -> None:
    for name in ("Fast", "Slow"):
        body = {"name": name, "url": f"{shop.hooks.url}/{name.lower()}", "event_types": ["channel_occupied"]}
        assert ask(shop.server, "POST", f"/apps/{SHOP.id}/webhooks", body).status == 201
    shop.hooks.delay("/slow", 0.8)
    async with shop.client() as client:
        await client.subscribe("slow-or-fast")
        await asyncio.to_thread(shop.hooks.wait_for, "/slow", 1)
        async with shop.page(browser) as (page, _):
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url) if "/webhooks" in request.url else None)
            await go(page, "webhooks")
            rows = page.get_by_label("Webhooks", exact=True).locator("tbody tr")
            await expect(rows.filter(has_text="Slow")).to_contain_text(SLOW)
            await expect(rows.filter(has_text="Fast")).not_to_contain_text(SLOW)
            assert len([one for one in asked if "figures=true" in one]) == len(asked) == 1
