"""A cluster for tests: nodes started by ``sockudo-py start`` over one Redis, with one receiver of webhooks."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.api import Api
from tests.support.client import Client, Frame, connected
from tests.support.hook_receiver import HookReceiver
from tests.support.redis_server import RedisServer
from tests.support.server import Config, Server, TestApp, app_config, running, server_config

APP = TestApp()
HOOK = "/hook"
TRANSITIONS = ["channel_occupied", "channel_vacated", "member_added", "member_removed"]
NODE_TIMEOUT_MS = 2000


@dataclass
class Nodes:
    """Running nodes."""

    hooks: HookReceiver
    folder: Path
    settings: Config
    stack: ExitStack
    servers: list[Server] = field(default_factory=list)

    def start(self) -> Server:
        """Start one more node."""
        number = len(self.servers)
        server = self.stack.enter_context(running(self.settings, self.folder / f"node-{number}"))
        self.servers.append(server)
        return server

    def api(self, node: int) -> Api:
        """Return the HTTP API of a node."""
        return self.stack.enter_context(Api(self.servers[node], APP))

    def events(self) -> list[dict[str, Any]]:
        """Return the events that the receiver has got so far, copies by their id left out as receivers do."""
        seen: set[str] = set()
        events = []
        for hook in self.hooks.hooks(HOOK):
            ident = hook.header("X-Sockudo-Delivery-Id")
            if ident not in seen:
                seen.add(ident)
                events += hook.events
        return events

    def of(self, channel: str) -> list[str]:
        """Return the names of the events of a channel so far, in the order of their time.

        Two nodes deliver, so the later one may arrive first.
        """
        events = sorted(self.events(), key=lambda event: int(event["time_ms"]))
        return [event["name"] for event in events if event["channel"] == channel]

    def by_channel(self) -> dict[str, list[str]]:
        """Return the names of the events of each channel."""
        found: dict[str, list[str]] = defaultdict(list)
        for event in self.events():
            found[event["channel"]].append(event["name"])
        return dict(found)


@contextmanager
def nodes(number: int, redis: RedisServer, folder: Path, *, vacate_ms: int = 0, **app: Any) -> Iterator[Nodes]:
    """Run so many nodes."""
    with nodes_over({"url": redis.url}, number, folder, vacate_ms=vacate_ms, **app) as site:
        yield site


@contextmanager
def nodes_over(
    place: Config,
    number: int,
    folder: Path,
    *,
    cluster_mode: bool = False,
    reliability: Config | None = None,
    vacate_ms: int = 0,
    **app: Any,
) -> Iterator[Nodes]:
    """Run so many nodes; ``place`` is the section ``database.redis``, ``reliability`` is of the queue."""
    with HookReceiver() as hooks, ExitStack() as stack:
        driver = {"driver": "redis", "redis": {"cluster_mode": cluster_mode}}
        settings = server_config(
            app_config(
                APP,
                enable_client_messages=True,
                enable_user_authentication=True,
                enable_watchlist_events=True,
                webhooks=[{"url": hooks.url + HOOK, "event_types": TRANSITIONS}],
                **app,
            ),
            adapter={**driver, "cluster_health": {"node_timeout_ms": NODE_TIMEOUT_MS}},
            cache=driver,
            rate_limiter=driver,
            queue={**driver, "reliability": reliability or {}},
            database={"redis": place},
            webhooks={
                "batching": {"enabled": False},
                "vacate_delay_ms": vacate_ms,
                "security": {"allow_private_networks": True},
            },
        )
        site = Nodes(hooks, folder, settings, stack)
        for _ in range(number):
            site.start()
        yield site


async def until(client: Client, event: str) -> Frame:
    """Return the next frame of that name, whatever comes before it."""
    while True:
        frame = await client.receive()
        if frame.event == event:
            return frame


@asynccontextmanager
async def clients(site: Nodes, *at: int) -> AsyncIterator[list[Client]]:
    """Give connected clients, each at the node of its number."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(site.servers[node], APP)) for node in at]
