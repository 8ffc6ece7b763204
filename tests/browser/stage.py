"""A server with apps, an admin key and a receiver, and the dashboard in a browser."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.support.chromium import Complaints, a_page
from tests.support.client import Client, connected
from tests.support.hook_receiver import HookReceiver
from tests.support.management import KEY, admin_key, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

SHOP = TestApp("shop", "shop-key", "shop-secret-1234")
CHAT = TestApp("chat", "chat-key", "chat-secret-1234")
VIEWS = (
    "",
    "console",
    "inspect",
    "why",
    "webhooks",
    "webhooks/new",
    "deliveries",
    "dead-letters",
    "apps",
    "apps/shop",
    "cluster",
    "configuration",
)
RETRY = {"max_retries": 1, "initial_backoff_ms": 300, "max_backoff_ms": 300}


@dataclass
class Stage:
    """What a test plays on."""

    server: Server
    hooks: HookReceiver

    @property
    def dashboard(self) -> str:
        """The address of the dashboard."""
        return f"http://{self.server.host}:{self.server.port}/dashboard/"

    def client(self, app: TestApp = SHOP) -> Any:
        """Connect a client."""
        return connected(self.server, app)

    @asynccontextmanager
    async def page(self, browser: Browser, place: str = "", **context: Any) -> AsyncIterator[tuple[Page, Complaints]]:
        """Open the dashboard, log in, and go to a place."""
        async with a_page(browser, self.dashboard, **context) as (page, complaints):
            await page.get_by_label("Admin key").fill(KEY)
            await page.get_by_role("button", name="Log in").click()
            await page.get_by_role("heading", name="Overview").wait_for()
            if place:
                await go(page, place)
            yield page, complaints


async def go(page: Page, place: str) -> None:
    """Go to a place of the dashboard, and wait until it is there."""
    await page.evaluate("place => { location.hash = `#/${place}`; }", place)
    await page.locator("main h1").first.wait_for()
    await page.locator("text=Loading …").first.wait_for(state="detached")


@contextmanager
def stage(folder: Path, **webhooks: Any) -> Iterator[Stage]:
    """Run the server and the receiver for the block."""
    with HookReceiver() as hooks:
        apps = (
            app_config(SHOP, enable_client_messages=True),
            app_config(CHAT, webhooks=[{"name": "Archive", "url": hooks.url + "/archive", "event_types": ["*"]}]),
        )
        admin = {"admin": {"api_keys": [admin_key(name="anna")], "rate_limit": {"per_minute": 100_000}}}
        with running(server_config(*apps, webhooks=managed(**{**admin, "retry": RETRY, **webhooks})), folder) as server:
            yield Stage(server, hooks)


async def presence(client: Client, channel: str, data: str) -> None:
    """Subscribe to a presence channel."""
    await client.subscribe(channel, data)
