"""pusher-js's browser build in Chromium, on a page of another origin, by each of its transports."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.support.chromium import DEADLINE
from tests.support.ports import free_ports
from tests.support.server import Config, Server, TestApp, app_config, running, server_config, start
from tests.support.site import Site
from tests.support.web_page import web_page

pytestmark = pytest.mark.clients
APP = TestApp("browsers", "browsers-key", "browsers-secret-1")
TRANSPORTS = ("ws", "xhr_streaming", "xhr_polling")

FASTER = """
for (const name of ["setTimeout", "setInterval"]) {
  const original = globalThis[name];
  globalThis[name] = (callback, delay, ...rest) => original(callback, (delay ?? 0) / 10, ...rest);
}
"""
CONNECT = """
([key, port, transport, user]) => {
  window.reports = [];
  window.taken = 0;
  const say = (report) => window.reports.push(JSON.parse(JSON.stringify(report)));
  window.pusher = new Pusher(key, {
    cluster: "local", forceTLS: false, enabledTransports: [transport],
    wsHost: "127.0.0.1", wsPort: port, httpHost: "127.0.0.1", httpPort: port,
    channelAuthorization: { endpoint: `/auth/${user}` },
    userAuthentication: { endpoint: `/user-auth/${user}` },
  });
  pusher.connection.bind("state_change", ({ previous, current }) => say({ on: "state", previous, current }));
  pusher.connection.bind("error", (error) => say({ on: "error", ...(error?.data ?? error?.error?.data) }));
  pusher.user.bind_global((event, data) => say({ on: "user", event, data }));
  window.join = (name) => {
    pusher.subscribe(name).bind_global((event, data) => say({ on: "event", channel: name, event, data }));
  };
}
"""
EXPECT = """
(parts) => {
  const same = (report) => Object.entries(parts).every(([name, value]) => report[name] === value);
  while (window.taken < window.reports.length) {
    const report = window.reports[window.taken++];
    if (same(report)) return report;
  }
  return null;
}
"""


@dataclass
class Visitor:
    """A page that has pusher-js, and what it said."""

    page: Page
    complaints: list[str] = field(default_factory=list)  # errors of the console and of scripts
    kinds: set[str] = field(default_factory=set)  # how its requests to the server end: what the transport is

    async def expect(self, **parts: Any) -> dict[str, Any]:
        """Return the first report from here on that has all these parts; those before it are passed over."""
        try:
            found = await self.page.wait_for_function(EXPECT, arg=parts, polling=20)
        except Exception as error:
            raise AssertionError(f"no {parts}; it said {await self.page.evaluate('reports')}") from error
        report: dict[str, Any] = await found.json_value()
        return report

    async def join(self, channel: str) -> dict[str, Any]:
        """Subscribe, and return the report of the success."""
        await self.page.evaluate("name => join(name)", channel)
        return await self.expect(on="event", channel=channel, event="pusher:subscription_succeeded")

    async def socket_id(self) -> str:
        """Return the id of its connection."""
        found: str = await self.page.evaluate("pusher.connection.socket_id")
        return found


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with web_page(APP) as origin:
        yield origin


def config(origin: str) -> Config:
    """Let pages of this origin alone in; the HTTP API has another list."""
    app = app_config(APP, enable_client_messages=True, allowed_origins=[origin])
    return server_config(app, cors={"origin": ["https://elsewhere.example.com"]})


@pytest.fixture(scope="module")
def site(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(config(origin), tmp_path_factory.mktemp("server")) as server:
        made = Site(server, APP)
        yield made
        made.close()


@asynccontextmanager
async def visiting(
    browser: Browser, origin: str, server: Server, transport: str, user: str = "1", faster: bool = False
) -> AsyncIterator[Visitor]:
    """Open the page in a context of its own, and let pusher-js connect."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        page.set_default_timeout(DEADLINE)
        visitor = Visitor(page)
        page.on("pageerror", lambda error: visitor.complaints.append(f"script: {error}"))
        page.on("console", lambda said: visitor.complaints.append(said.text) if said.type == "error" else None)
        there = f"{server.host}:{server.port}/"
        page.on("request", lambda made: visitor.kinds.add(kind(made.url)) if there in made.url else None)
        page.on("websocket", lambda made: visitor.kinds.add("ws") if there in made.url else None)
        if faster:
            await page.add_init_script(FASTER)
        await page.goto(origin)
        await page.evaluate(CONNECT, [APP.key, server.port, transport, user])
        yield visitor
    finally:
        await context.close()


def kind(url: str) -> str:
    """Return the last part of a URL's path."""
    return url.partition("?")[0].rpartition("/")[2]


RECEIVES = {"ws": {"ws"}, "xhr_streaming": {"xhr_streaming", "xhr_send"}, "xhr_polling": {"xhr", "xhr_send"}}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_page_of_another_origin_has_all_that_pusher_has(
    browser: Browser, site: Site, origin: str, transport: str
) -> None:
    async with (
        visiting(browser, origin, site.server, transport, "1") as first,
        visiting(browser, origin, site.server, transport, "2") as second,
    ):
        for visitor in (first, second):
            await visitor.expect(on="state", current="connected")
        for channel in (f"public-{transport}", f"private-{transport}"):
            await first.join(channel)
            site.api.publish(channel, "my-event", '{"message":"é ☃ 😀"}')
            heard = await first.expect(on="event", channel=channel, event="my-event")
            assert heard["data"] == {"message": "é ☃ 😀"}

        room = f"presence-{transport}"
        await first.join(room)
        joined = await second.join(room)
        assert (joined["data"]["count"], set(joined["data"]["members"])) == (2, {"1", "2"})
        assert (await first.expect(on="event", event="pusher:member_added"))["data"]["id"] == "2"
        assert await second.page.evaluate("([room, data]) => pusher.channel(room).trigger('client-x', data)", [room, 7])
        assert (await first.expect(on="event", event="client-x"))["data"] == 7
        await second.page.evaluate("room => pusher.unsubscribe(room)", room)
        assert (await first.expect(on="event", event="pusher:member_removed"))["data"]["id"] == "2"

        await first.page.evaluate("pusher.signin()")
        await first.page.wait_for_function("pusher.user.user_data !== null", polling=20)
        async with asyncio.timeout(60):  # the user's own channel comes after the sign-in, without a report
            while not await first.page.evaluate("reports.some((report) => report.on === 'user')"):
                site.api.publish("#server-to-user-1", "for-you", '{"n":1}')
        assert (await first.expect(on="user", event="for-you"))["data"] == {"n": 1}
        assert first.complaints == second.complaints == []
        assert first.kinds == second.kinds == RECEIVES[transport]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_page_comes_back_after_a_restart(browser: Browser, origin: str, tmp_path: Path, transport: str) -> None:
    ports = free_ports(2)
    first = start(config(origin), tmp_path / "first", ports=ports)
    async with visiting(browser, origin, first, transport, faster=True) as visitor:
        await visitor.expect(on="state", current="connected")
        for channel in ("c", "private-c", "presence-c"):
            await visitor.join(channel)
        before = await visitor.socket_id()
        await asyncio.to_thread(first.stop)
        await visitor.expect(on="error", code=4200)
        await visitor.expect(on="state", previous="connected", current="connecting")
        with running(config(origin), tmp_path / "second", ports=ports) as second:
            await visitor.expect(on="state", current="connected")
            for _ in range(3):
                await visitor.expect(on="event", event="pusher:subscription_succeeded")
            assert await visitor.socket_id() != before
            site = Site(second, APP)
            for channel in ("c", "private-c", "presence-c"):
                site.api.publish(channel, "again")
                await visitor.expect(on="event", channel=channel, event="again")
            site.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_page_of_an_origin_that_the_app_does_not_have_is_told_so_and_gives_up(
    browser: Browser, site: Site, transport: str
) -> None:
    with web_page(APP) as stranger:
        async with visiting(browser, stranger, site.server, transport) as visitor:
            await visitor.expect(on="error", code=4009, message="Origin not allowed")
            await visitor.expect(on="state", previous="connecting", current="disconnected")
            assert visitor.complaints == []
            assert visitor.kinds == RECEIVES[transport] - {"xhr_send"}
