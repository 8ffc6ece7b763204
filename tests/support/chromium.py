"""Debian's Chromium, headless, driven by Playwright; and what a page complains about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.support import debian

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DEADLINE = 30_000  # milliseconds for each step: the machine may be busy


@dataclass
class Complaints:
    """What went wrong in a page: errors of its console and its scripts, requests to other hosts."""

    host: str
    found: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"script: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.found.append(f"request to {request.url}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a browser."""
    packages = debian.packages("chromium")
    program = packages.file("usr/lib/chromium/chromium")
    env: dict[str, Any] = packages.env
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(program), args=list(ARGUMENTS), env=env)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def a_page(browser: Browser, address: str, **context: Any) -> AsyncIterator[tuple[Page, Complaints]]:
    """Open a page of a server in a context of its own; at the end nothing may have gone wrong in it."""
    made = await browser.new_context(**context)
    try:
        page = await made.new_page()
        page.set_default_timeout(DEADLINE)
        complaints = Complaints(urlsplit(address).netloc)
        complaints.watch(page)
        await page.goto(address)
        yield page, complaints
        assert complaints.found == []
    finally:
        await made.close()
