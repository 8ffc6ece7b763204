"""A tenant's page: what a link shows, and that it does nothing else."""

import asyncio
import time

import pytest
from playwright.async_api import Browser, expect

from tests.browser.stage import CHAT, SHOP, Stage
from tests.support.chromium import a_page
from tests.support.management import ask

pytestmark = pytest.mark.clients
LIMIT = 90  # seconds: create, test, break, repair, replay


def link(shop: Stage, scope: str = "write", app_id: str = SHOP.id) -> str:
    made = ask(shop.server, "POST", "/api/portal_links", {"app_id": app_id, "scope": scope})
    assert made.status == 201
    token: str = made.json["token"]
    return token


async def test_a_tenant_creates_tests_breaks_repairs_and_replays(browser: Browser, shop: Stage) -> None:
    began = time.monotonic()
    async with a_page(browser, f"{shop.dashboard}portal#token={link(shop)}&back=https://example.com/account") as (
        page,
        _,
    ):
        await page.get_by_role("heading", name="Webhooks").wait_for()
        assert "token" not in page.url
        assert await page.context.cookies() == []
        await expect(page.get_by_role("link", name="Back")).to_have_attribute("href", "https://example.com/account")
        await page.get_by_role("link", name="Add webhook").first.click()
        await page.get_by_label("Name").fill("Tenant")
        await page.get_by_label("URL").fill(f"{shop.hooks.url}/tenant")
        await page.get_by_label("Signature").select_option("realcast")
        for name in ("Next", "Next", "Create webhook"):
            await page.get_by_role("button", name=name).click()
        await page.locator("[data-secret]").wait_for()
        await page.get_by_role("link", name="Send a test event").click()
        await page.get_by_role("button", name="Send test event").click()
        await page.get_by_role("heading", name="The receiver took it").wait_for()
        shop.hooks.answer("/tenant", 400)
        async with shop.client() as client:
            await client.subscribe("tenants-channel")
            await asyncio.to_thread(shop.hooks.wait_for, "/tenant", 2)
        shop.hooks.answer("/tenant", 200)
        await page.get_by_role("link", name="Deliveries", exact=True).last.click()
        await expect(page.get_by_label("Attempts").get_by_text("failed").first).to_be_visible()
        await page.get_by_role("button", name="Send again …").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Send 1 again").click()
        await dialog.wait_for(state="detached")
        await expect(page.get_by_label("Attempts").get_by_text("delivered").first).to_be_visible()
    assert time.monotonic() - began < LIMIT


async def test_a_link_opens_its_app_and_nothing_else(browser: Browser, shop: Stage) -> None:
    token = link(shop, "read", CHAT.id)

    def said(method: str, path: str, body: object = None) -> int:
        return ask(shop.server, method, path, body, key=token).status

    assert said("GET", "/api/webhooks") == 200
    assert said("GET", "/api/webhooks?app_id=shop") == 404
    assert said("POST", "/apps/chat/webhooks", {"url": "https://example.com/x", "event_types": ["*"]}) == 403
    for path in ("apps", "refusals", "inspect?q=x", "overview", "cluster", "configuration", "live", "apps/chat"):
        assert said("GET", f"/api/{path}") in (403, 404), path
    assert said("POST", "/api/apps/chat/events", {"channel": "c", "name": "e"}) in (403, 404)
    assert said("POST", "/api/portal_links", {"app_id": "chat"}) == 403
    async with a_page(browser, f"{shop.dashboard}portal#token={token}&back=javascript:alert(1)") as (page, _):
        await page.get_by_role("link", name="Archive").wait_for()
        assert await page.get_by_role("link", name="Add webhook").count() == 0
        assert await page.get_by_role("link", name="Back").count() == 0
        assert await page.get_by_role("navigation", name="Views").get_by_role("link").all_inner_texts() == [
            "Webhooks",
            "Deliveries",
            "Dead letters",
        ]


async def test_a_link_that_is_none_says_so(browser: Browser, shop: Stage) -> None:
    async with a_page(browser, f"{shop.dashboard}portal#token=pl_nonsense") as (page, complaints):
        await page.get_by_role("heading", name="This link is not valid any more").wait_for()
        complaints.found.clear()
