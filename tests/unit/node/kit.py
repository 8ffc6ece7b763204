"""A node with a loop that is moved by hand, and clients that remember what they were sent."""

import json
from collections.abc import Callable
from typing import Any

from sockudo_py.caches.base import Cache, CachedEvent
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.changes import Wanted
from sockudo_py.errors import Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.protocol.app import App
from sockudo_py.protocol.readers.opening import Refusal
from sockudo_py.protocol.signatures import channel_string, sign, user_string
from tests.conformance.adapters.late import LateAdapter, LateCluster
from tests.support.changes import Changes
from tests.support.fake_loop import FakeLoop
from tests.support.sink import KEY, RecordingSink, make_app

VACATE_DELAY = 3.0

__all__ = ["KEY", "VACATE_DELAY", "Bench", "RecordingSink", "SlowCache", "make_app"]


class SlowCache(MemoryCache):
    """A memory cache whose answers come when the test says so. ``away`` makes it answer that it can't be reached."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__(loop.clock)
        self.waiting: list[Callable[[], None]] = []
        self.away = False

    def fetch(self, app_id: str, channel: str, done: Callable[[CachedEvent | Unavailable | None], None]) -> None:
        def answered(found: CachedEvent | Unavailable | None) -> None:
            self.waiting.append(lambda: done(Unavailable("the cache is away") if self.away else found))

        super().fetch(app_id, channel, answered)

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for step in waiting:
            step()


class Bench:
    """A node and everything around it. ``beside`` is another one: then both are of one cluster and share the loop."""

    def __init__(
        self,
        *,
        app: App | None = None,
        slow_adapter: bool = False,
        slow_cache: bool = False,
        max_connections: int | None = None,
        vacate_delay: float = VACATE_DELAY,
        beside: "Bench | None" = None,
        alone: bool = False,
        wanted: Wanted | None = None,
    ) -> None:
        self.app: App = app or (make_app() if beside is None else beside.app)
        self.loop: FakeLoop = FakeLoop() if beside is None else beside.loop
        self.metrics = Metrics()
        self.changes = Changes()
        self.cluster = LateCluster(vacate_delay, self.loop.call_later, self.loop.clock)
        if beside is not None:
            self.cluster = beside.cluster
        self.adapter = LateAdapter(self.cluster)
        self.adapter.slow = slow_adapter
        if alone:
            self.adapter.alone = True
        self.slow_cache = SlowCache(self.loop)
        self.cache: Cache = self.slow_cache if slow_cache else MemoryCache(self.loop.clock)
        self.node = Node(
            adapter=self.adapter,
            cache=self.cache,
            metrics=self.metrics,
            call_soon=self.loop.call_soon,
            call_later=self.loop.call_later,
            clock=self.loop.clock,
            max_connections=max_connections,
            on_change=self.changes,
            wanted=wanted,
        )
        self._made = 0
        self._number = len(self.cluster.nodes)

    def try_to_connect(self, app: App | None = None) -> tuple[RecordingSink, Refusal | None]:
        self._made += 1
        client = RecordingSink(app or self.app, f"{self._number}.{self._made}")
        return client, self.node.connect(client)

    def client(self, app: App | None = None) -> RecordingSink:
        client, refusal = self.try_to_connect(app)
        assert refusal is None
        return client

    def send(self, client: RecordingSink, event: str, data: object, channel: str | None = None) -> None:
        message: dict[str, object] = {"event": event, "data": data}
        if channel is not None:
            message["channel"] = channel
        self.node.perform(client, client.session.receive(json.dumps(message), self.loop.now))

    def subscribe(
        self, client: RecordingSink, channel: str, user_id: str | None = None, user_info: object = None
    ) -> None:
        data: dict[str, Any] = {"channel": channel}
        if user_id is not None:
            data["channel_data"] = json.dumps(
                {"user_id": user_id} if user_info is None else {"user_id": user_id, "user_info": user_info}
            )
        signed = channel_string(client.session.socket_id, channel, data.get("channel_data"))
        data["auth"] = f"{KEY.key}:{sign(KEY.secret, signed)}"
        self.send(client, "pusher:subscribe", data)

    def unsubscribe(self, client: RecordingSink, channel: str) -> None:
        self.send(client, "pusher:unsubscribe", {"channel": channel})

    def sign_in(self, client: RecordingSink, user_id: str, watchlist: list[str] | None = None) -> None:
        user: dict[str, object] = {"id": user_id}
        if watchlist is not None:
            user["watchlist"] = watchlist
        user_data = json.dumps(user)
        auth = f"{KEY.key}:{sign(KEY.secret, user_string(client.session.socket_id, user_data))}"
        self.send(client, "pusher:signin", {"auth": auth, "user_data": user_data})

    def subscriber(self, channel: str, user_id: str | None = None) -> RecordingSink:
        """Return a new client that is subscribed and has read what came of that."""
        client = self.client()
        self.subscribe(client, channel, user_id)
        self.adapter.answer()
        self.loop.settle()
        client.take()
        return client

    def publish(self, *channels: str, event: str = "e", data: str = "d", exclude: str | None = None) -> None:
        self.node.publish(self.app, channels, event, data, exclude)
