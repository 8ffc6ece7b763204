"""What people come to the dashboard for, done as they do it: by what they see, with as few steps as that takes."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.stage import SHOP, Stage, go, stage
from tests.support.chromium import a_page
from tests.support.client import member
from tests.support.management import admin_key, ask

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


async def test_members_lead_to_their_connections_and_to_users_who_signed_in_only(browser: Browser, shop: Stage) -> None:
    async with shop.client() as client, shop.page(browser) as (page, _):
        await client.subscribe("presence-office", member("7", name="Seven"))
        await go(page, "inspect?q=presence-office")
        members = page.get_by_label("Members")
        await expect(members.get_by_text('{"name":"Seven"}')).to_be_visible()
        assert await members.get_by_role("link", name="7", exact=True).count() == 0  # there is no page for who is not
        await members.get_by_role("link", name=client.socket_id).click()
        await page.get_by_role("heading", name=client.socket_id).wait_for()


async def test_a_rotation_shows_until_when_the_old_secret_signs(browser: Browser, shop: Stage) -> None:
    body = {"name": "Rotated", "url": f"{shop.hooks.url}/r", "event_types": ["*"], "profile": "standard"}
    uid = ask(shop.server, "POST", f"/apps/{SHOP.id}/webhooks", body).json["uid"]
    async with shop.page(browser, f"webhooks/{uid}?tab=settings") as (page, _):
        await page.get_by_role("button", name="Rotate the secret …").click()
        await page.get_by_label("The old secret goes on signing").select_option("3600")
        await page.get_by_role("button", name="Rotate", exact=True).click()
        await page.locator("[data-secret]").wait_for()
        await page.reload()  # whoever comes later sees it, too, and never the secret
        await expect(page.get_by_text("The old secret signs, too")).to_be_visible()
        assert await page.locator("[data-secret]").count() == 0
        await page.get_by_role("button", name="Rotate the secret …").click()
        await page.get_by_label("The old secret goes on signing").select_option("0")
        await page.get_by_role("button", name="Rotate", exact=True).click()
        await page.locator("[data-secret]").wait_for()
        await page.reload()
        await page.get_by_role("heading", name="Secret").wait_for()
        assert await page.get_by_text("The old secret signs, too").count() == 0


async def test_a_key_for_two_apps_gets_every_list(browser: Browser, tmp_path: Path) -> None:
    keys = [admin_key("key-of-two", apps=["shop", "chat"], name="two")]
    with stage(tmp_path, admin={"api_keys": keys}) as shop:
        async with a_page(browser, shop.dashboard) as (page, _):
            await page.get_by_label("Admin key").fill("key-of-two")
            await page.get_by_role("button", name="Log in").click()
            await page.get_by_role("link", name="Archive").wait_for()  # of chat, the first of its apps
            for view in ("why", "deliveries", "dead-letters", "webhooks", "console", "apps"):
                await go(page, view)
                assert await page.get_by_role("alert").count() == 0, view


async def test_the_console_says_that_it_was_refused_and_goes_on(browser: Browser, shop: Stage) -> None:
    async with shop.page(browser) as (page, complaints):
        refused = True

        async def answer(route: Route) -> None:
            await (route.fulfill(status=503, body="{}") if refused else route.continue_())

        await page.route("**/api/live*", answer)
        await go(page, "console")
        await expect(page.get_by_text("refused: too many pages watch")).to_be_visible()
        refused = False
        await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=20_000)
        complaints.found = [one for one in complaints.found if "503" not in one]
