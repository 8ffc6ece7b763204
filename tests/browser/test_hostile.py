"""Hostile text of receivers, apps and events stays text in every view of the dashboard."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.async_api import Browser

from tests.browser.stage import RETRY, Stage, go
from tests.support.client import connected
from tests.support.hook_receiver import HookReceiver
from tests.support.management import admin_key, ask, managed
from tests.support.server import TestApp, app_config, running, server_config

pytestmark = pytest.mark.clients
HOSTILE = '<img src=x onerror="window.hit=1"><svg/onload=window.hit=1>\''
APP = TestApp("<script>window.hit=1<!--'", "hostile-key", "hostile-secret-1234")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    admin = {"api_keys": [admin_key(name=HOSTILE)], "rate_limit": {"per_minute": 100_000}}
    with HookReceiver() as hooks:
        hook = {"uid": "wh_hostile", "name": HOSTILE, "url": f"{hooks.url}/hook", "event_types": ["*"], "retry": RETRY}
        settings = server_config(app_config(APP, webhooks=[hook]), webhooks=managed(admin=admin))
        with running(settings, tmp_path_factory.mktemp("server")) as server:
            yield Stage(server, hooks)


async def test_what_receivers_apps_and_events_say_is_shown_as_text(browser: Browser, stage: Stage) -> None:
    stage.hooks.say("/hook", f"<html>{HOSTILE}</html>".encode(), **{"Content-Type": "text/html", "X-Hostile": HOSTILE})
    stage.hooks.answer("/hook", 400, 400)
    async with stage.page(browser, "console") as (page, _), connected(stage.server, APP) as client:
        await page.get_by_text("live", exact=True).wait_for()
        await client.subscribe("channel")
        await asyncio.to_thread(stage.hooks.wait_for, "/hook", 2)
        body = {"event_type": "room.started", "data": {"text": HOSTILE}}
        triggered = ask(stage.server, "POST", f"/apps/{quote(APP.id, safe='')}/webhook_events", body)
        assert triggered.status == 202, triggered.json
        await page.get_by_text("webhook failed").first.wait_for()
        views = ("console", "", "why", "apps", "webhooks", "webhooks/wh_hostile", "webhooks/wh_hostile?tab=deliveries")
        more = ("webhooks/wh_hostile?tab=test", "deliveries", "dead-letters", "inspect?q=channel", "configuration")
        for view in (*views, *more):
            await go(page, view)
            await page.wait_for_load_state("networkidle" if view != "console" else "load")
            if view.endswith(("deliveries", "dead-letters")):
                for row in await page.locator("tbody tr[tabindex]").all():
                    await row.click(position={"x": 3, "y": 3})
                await page.wait_for_load_state("networkidle")
            if view.endswith("tab=test"):
                await page.get_by_role("button", name="Send test event").click()
                await page.get_by_role("heading", name="What was signed").wait_for()
                await page.get_by_text("<html><img src=x").first.wait_for()
            assert await page.evaluate("window.hit") is None, view
            assert await page.locator("main img[src=x], main svg[onload], main script").count() == 0, view
        await go(page, "apps")
        await page.get_by_role("link", name=APP.id).first.click()
        await page.get_by_role("heading", name="Options and limits").wait_for()
        assert await page.evaluate("window.hit") is None
