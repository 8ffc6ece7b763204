"""The dashboard in a real browser: what operators do with it. Each test ends with an empty list of complaints."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.stage import SHOP, VIEWS, Stage, go
from tests.support.chromium import a_page
from tests.support.client import member
from tests.support.management import KEY, ask
from tests.support.node import FOLDER, installed_node, program, scenario

pytestmark = pytest.mark.clients


async def test_only_an_admin_key_logs_in_and_the_session_ends_with_the_log_out(browser: Browser, shop: Stage) -> None:
    async with a_page(browser, shop.dashboard) as (page, complaints):
        await page.get_by_label("Admin key").fill("a wrong key")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("alert").filter(has_text="no admin key is like this").wait_for()
        complaints.found.clear()  # the browser says in its console that the answer was 401
        await page.get_by_label("Admin key").fill(KEY)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("heading", name="Overview").wait_for()
        (cookie,) = await page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert await page.evaluate("document.cookie") == ""
        await page.reload()
        await page.get_by_role("heading", name="Overview").wait_for()
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_role("heading", name="Log in").wait_for()
        await page.reload()
        await page.get_by_role("heading", name="Log in").wait_for()


async def test_a_client_is_seen_to_join_and_an_event_that_is_sent_arrives_there(browser: Browser, shop: Stage) -> None:
    async with (
        shop.page(browser, "console") as (page, _),
        program("client", scenario(shop.server, SHOP)) as client,
    ):
        rows = page.get_by_role("region", name="Events").or_(page.get_by_label("Events"))
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        await client.expect(on="state", current="connected")
        await client.value("subscribe", channel="private-orders")
        await client.expect(on="event", event="pusher:subscription_succeeded")
        await expect(rows.get_by_text("private-orders").first).to_be_visible()
        form = page.get_by_role("form", name="Event creator")
        await form.get_by_label("App").select_option("shop")
        await form.get_by_label("Channel").fill("private-orders")
        await form.get_by_label("Event", exact=True).fill("shipped")
        await form.get_by_label("Data").fill('{"order": 7}')
        await form.get_by_role("button", name="Send").click()
        await expect(form.get_by_role("status")).to_contain_text("Sent to 1 subscriber.")
        heard = await client.expect(on="event", event="shipped")
        assert heard["data"] == {"order": 7}
        await expect(rows.get_by_text("shipped").first).to_be_visible()


async def test_r6_r7_r12_a_webhook_is_added_tested_broken_and_repaired(browser: Browser, shop: Stage) -> None:
    async with shop.page(browser, "webhooks") as (page, complaints):
        await page.get_by_role("link", name="Add webhook").first.click()
        await page.get_by_label("App").select_option("shop")
        await page.get_by_label("Name").fill("Orders")
        await page.get_by_label("URL").fill("http://169.254.169.254/latest")
        await page.get_by_label("Signature").select_option("realcast")
        for _ in range(3):
            await page.get_by_role("button", name=re.compile("Next|Create")).click()
        await expect(page.get_by_role("alert")).to_be_visible()  # an address that is never allowed
        complaints.found.clear()
        await page.get_by_label("URL").fill(f"{shop.hooks.url}/orders")
        for _ in range(3):
            await page.get_by_role("button", name=re.compile("Next|Create")).click()
        secret = await page.locator("[data-secret]").inner_text()
        assert secret.startswith("whsec_")
        await page.get_by_role("link", name="Send a test event").click()
        await page.get_by_label("Event type").select_option("channel_vacated")
        await page.get_by_role("button", name="Send test event").click()
        await page.get_by_role("heading", name="The receiver took it").wait_for()
        await page.get_by_role("heading", name="What was signed").wait_for()
        (hook,) = shop.hooks.hooks("/orders")
        await expect(page.get_by_text(f"{len(hook.body)} bytes")).to_be_visible()
        assert secret not in await page.content()

        shop.hooks.answer("/orders", 500, 400)  # the first is tried again after a second, the second is final
        async with shop.client() as client:
            await client.subscribe("orders-1")
            await page.get_by_role("link", name="Deliveries", exact=True).last.click()
            table = page.get_by_label("Attempts")
            await expect(table.get_by_text("retrying").first).to_be_visible()
            await expect(table.get_by_text("failed").first).to_be_visible()
            await go(page, "dead-letters")
            letters = page.get_by_label("Dead letters")
            await expect(letters.get_by_text("channel_occupied").first).to_be_visible()
            shop.hooks.answer("/orders", 200)
            await page.get_by_role("button", name=re.compile("Send all again")).click()
            await page.get_by_role("dialog").get_by_text("1", exact=True).wait_for()
            await page.get_by_role("dialog").get_by_role("button", name="Send again").click()
            await page.get_by_text("No dead letters").wait_for()
        await go(page, "webhooks?app=shop")
        await page.get_by_role("link", name="Orders").click()
        await page.get_by_role("link", name="Deliveries", exact=True).last.click()
        await expect(page.get_by_label("Attempts").get_by_text("delivered").first).to_be_visible()


async def test_the_keyboard_is_enough(browser: Browser, shop: Stage) -> None:
    async with shop.client() as client, shop.page(browser) as (page, _):
        await client.subscribe("presence-room", member("7", name="Seven"))
        await page.locator("body").press("/")
        await page.keyboard.type("presence-room")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="presence-room").wait_for()
        await expect(page.get_by_text('{"name":"Seven"}')).to_be_visible()
        await go(page, "apps")
        rows = page.locator("tbody tr[tabindex]")
        await rows.first.focus()
        await page.keyboard.press("j")
        await expect(rows.nth(1)).to_be_focused()
        await page.keyboard.press("k")
        await expect(rows.first).to_be_focused()
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Options and limits").wait_for()


async def test_a_phone_needs_no_horizontal_scrolling(browser: Browser, shop: Stage) -> None:
    async with shop.page(browser, viewport={"width": 390, "height": 844}, is_mobile=True) as (page, _):
        for view in VIEWS:
            await go(page, view)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (view, wide)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(browser: Browser, shop: Stage, scheme: str) -> None:
    installed_node()  # which installs the packages
    axe = (Path(FOLDER) / "node_modules" / "axe-core" / "axe.min.js").read_text()
    async with shop.client() as client, shop.page(browser, color_scheme=scheme) as (page, complaints):
        await client.subscribe("presence-room", member("7", name="Seven"))
        for view in (*VIEWS, "inspect?q=presence-room"):
            await go(page, view)
            assert await violations(page, axe) == [], view
        complaints.found = [one for one in complaints.found if "trusted" not in one.lower()]  # of axe itself


async def violations(page: Page, axe: str) -> list[str]:
    await page.evaluate(axe)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"&javascript:window.hit=1'


async def test_hostile_text_stays_text_in_every_view(browser: Browser, shop: Stage) -> None:
    async with shop.page(browser, "console") as (page, complaints), shop.client() as client:
        await page.get_by_text("live", exact=True).wait_for()
        await client.subscribe("presence-hostile", member("evil", name=HOSTILE))
        await client.trigger("presence-hostile", "client-x" + HOSTILE, {"text": HOSTILE})
        await client.ask("private-wrong", auth=f"{HOSTILE}:00")
        await page.get_by_text("presence-hostile").first.wait_for()
        for row in await page.locator("tbody tr[tabindex]").all():
            await row.click()
        for view in (*VIEWS, "inspect?q=presence-hostile", "inspect?q=" + HOSTILE, HOSTILE, "webhooks/" + HOSTILE):
            await page.evaluate("place => { location.hash = `#/${encodeURI(place)}`; }", view)
            await page.locator("main h1, main h2, main .notice, main .empty").first.wait_for()
            assert await page.evaluate("window.hit") is None, view
            assert await page.locator("main img[src=x], main script").count() == 0, view
        complaints.found = [one for one in complaints.found if "status of 404" not in one]  # there is no such webhook


async def test_hostile_names_of_webhooks_and_errors_stay_text(browser: Browser, shop: Stage) -> None:
    body = {"name": HOSTILE, "description": HOSTILE, "url": f"{shop.hooks.url}/hostile", "profile": "realcast"}
    made = ask(shop.server, "POST", f"/apps/{SHOP.id}/webhooks", {**body, "event_types": ["*"]})
    assert made.status == 201
    uid = made.json["uid"]
    shop.hooks.answer("/hostile", 400)
    async with shop.page(browser, "console") as (page, _), shop.client() as client:
        await page.get_by_text("live", exact=True).wait_for()
        await client.subscribe("hostile-channel")
        await page.get_by_text("webhook").first.wait_for()
        for view in ("webhooks", f"webhooks/{uid}", f"webhooks/{uid}?tab=deliveries", f"webhooks/{uid}?tab=settings",
                     "deliveries", "dead-letters", f"inspect?q={uid}"):  # fmt: skip
            await go(page, view)
            await page.wait_for_load_state("networkidle")
            for row in await page.locator("tbody tr[tabindex]").all():
                if view.endswith("deliveries") or view == "dead-letters":
                    await row.click(position={"x": 3, "y": 3})
            assert await page.evaluate("window.hit") is None, view
            assert await page.locator("main img[src=x], main script").count() == 0, view
        await go(page, "webhooks")
        await expect(page.get_by_text(HOSTILE).first).to_be_visible()
