"""The HTTP API over a real node with the drivers of one machine, asked by Pusher's own Python SDK."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pusher
import pytest
from aiohttp import web

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.http.api import Api, ApiResponse
from sockudo_py.http.app import build_app
from sockudo_py.http.handlers.health import Health
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.protocol.app import App
from tests.support.changes import Changes
from tests.support.sink import RecordingSink
from tests.unit.http.support import APP, KEY, SECRET, FakeApps, post, signed

DEADLINE = 60.0


class Stack:
    """A node, its HTTP API on a free port, and the SDK that talks to it."""

    def __init__(self, app: App) -> None:
        loop = asyncio.get_running_loop()
        self.app = app
        self.changes = Changes()
        self.metrics = Metrics()
        apps = FakeApps(app)
        self.node = Node(
            adapter=LocalAdapter(0.0, loop.call_later, loop.time),
            cache=MemoryCache(loop.time),
            metrics=self.metrics,
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            clock=loop.time,
            max_connections=None,
            on_change=self.changes,
        )
        self.api = Api(
            node=self.node,
            apps=apps,
            metrics=self.metrics,
            keys=MemoryKeys(loop.time),
            limiter=MemoryRateLimiter(loop.time),
            health=Health(node=self.node, apps=apps, metrics=self.metrics),
        )
        self.sdk: Any = None

    async def ask(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call the SDK, which blocks, beside the event loop."""
        return await asyncio.wait_for(asyncio.to_thread(call, *args), DEADLINE)

    def client(self, socket_id: str, *channels: str, user: str | None = None) -> RecordingSink:
        """Connect a client, sign it in, and subscribe it; what it was sent so far is forgotten."""
        sink = RecordingSink(self.app, socket_id)
        assert self.node.connect(sink) is None
        if user is not None:
            self.say(
                sink, "pusher:signin", {"user_data": json.dumps({"id": user})}, f"::user::{json.dumps({'id': user})}"
            )
        for channel in channels:
            data = {"channel": channel}
            if channel.startswith("presence-"):
                data["channel_data"] = json.dumps({"user_id": int(user or 0)})
                self.say(sink, "pusher:subscribe", data, f":{channel}:{data['channel_data']}")
            else:
                self.say(sink, "pusher:subscribe", data, f":{channel}")
        sink.writes.clear()
        return sink

    def say(self, sink: RecordingSink, event: str, data: dict[str, str], signed_text: str) -> None:
        text = (sink.session.socket_id + signed_text).encode()
        auth = f"{KEY}:{hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()}"
        message = json.dumps({"event": event, "data": {**data, "auth": auth}})
        self.node.perform(sink, sink.session.receive(message, asyncio.get_running_loop().time()))

    async def settle(self) -> None:
        """Let the channel outboxes flush."""
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    stack = Stack(APP)
    runner = web.AppRunner(build_app(stack.api), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    stack.sdk = pusher.Pusher(app_id=APP.id, key=KEY, secret=SECRET, host="127.0.0.1", port=port, ssl=False)
    yield stack
    stack.sdk._pusher_client.http.session.close()
    await runner.cleanup()


async def test_L184_the_python_sdk_triggers_an_event(stack: Stack) -> None:
    client = stack.client("1.1", "a")
    assert await stack.ask(stack.sdk.trigger, ["a", "b"], "my-event", {"some": "data"}) == {}
    assert client.take() == [("my-event", '{"some": "data"}')]


async def test_L167_the_python_sdk_excludes_a_socket(stack: Stack) -> None:
    one, two = stack.client("1.1", "a", "b"), stack.client("2.2", "a", "b")
    await stack.ask(stack.sdk.trigger, ["a", "b"], "e", "x", "1.1")
    assert one.take() == []
    assert two.take() == [("e", "x"), ("e", "x")]


async def test_L175_an_event_that_nobody_waits_for_is_fine(stack: Stack) -> None:
    assert await stack.ask(stack.sdk.trigger, "empty", "e", "x") == {}


async def test_L184_the_python_sdk_triggers_a_batch(stack: Stack) -> None:
    client = stack.client("1.1", "a")
    batch = [{"channel": "a", "name": str(number), "data": "x"} for number in range(3)]
    assert await stack.ask(stack.sdk.trigger_batch, batch) == {}
    assert client.take() == [("0", "x"), ("1", "x"), ("2", "x")]


async def test_M187_the_python_sdk_lists_channels(stack: Stack) -> None:
    stack.client("1.1", "a", "presence-b", user="10")
    stack.client("2.2", "presence-b", user="10")
    assert await stack.ask(stack.sdk.channels_info) == {"channels": {"a": {}, "presence-b": {}}}
    found = await stack.ask(stack.sdk.channels_info, "presence-", ["user_count"])
    assert found == {"channels": {"presence-b": {"user_count": 1}}}


async def test_M190_the_python_sdk_asks_for_a_channel(stack: Stack) -> None:
    stack.client("1.1", "presence-b", user="10")
    found = await stack.ask(stack.sdk.channel_info, "presence-b", ["user_count", "subscription_count"])
    assert found == {"occupied": True, "user_count": 1, "subscription_count": 1}
    assert await stack.ask(stack.sdk.channel_info, "nobody-here") == {"occupied": False}


async def test_M192_the_python_sdk_lists_users_with_string_ids(stack: Stack) -> None:
    stack.client("1.1", "presence-b", user="10")
    assert await stack.ask(stack.sdk.users_info, "presence-b") == {"users": [{"id": "10"}]}


async def test_I143_the_python_sdk_terminates_a_user(stack: Stack) -> None:
    user, other = stack.client("1.1", user="10"), stack.client("2.2", user="11")
    assert await stack.ask(stack.sdk.terminate_user_connections, "10") == {}
    assert (user.closed, other.closed) == (4009, None)
    assert stack.node.connections() == 1


async def test_I135_a_message_to_a_user_reaches_each_connection_once(stack: Stack) -> None:
    one, two = stack.client("1.1", "#server-to-user-10", user="10"), stack.client("2.2", user="10")
    request = post({"name": "e", "channel": "#server-to-user-10", "data": "x"})
    request = signed("POST", "/apps/3/events", request.body, now=int(time.time()))
    answer = stack.api.handle(request)
    assert isinstance(answer, ApiResponse)
    assert answer.status == 200
    await stack.settle()
    assert one.take() == two.take() == [("e", "x")]


async def test_M191_the_python_sdk_sees_what_a_cache_channel_remembers(stack: Stack) -> None:
    await stack.ask(stack.sdk.trigger, "cache-x", "e", {"a": 1})
    found = await stack.ask(stack.sdk.channel_info, "cache-x", ["cache"])
    assert found == {"occupied": False, "cache": {"data": '{"a": 1}', "ttl": 1800}}


async def test_M194_the_channel_of_a_user_is_not_listed(stack: Stack) -> None:
    stack.client("1.1", "#server-to-user-10", user="10")
    assert await stack.ask(stack.sdk.channels_info) == {"channels": {}}


async def test_L168_counts_come_with_the_answer(stack: Stack) -> None:
    stack.client("1.1", "b", "presence-a", user="10")
    body = json.dumps(
        {"name": "e", "channels": ["presence-a", "b"], "data": "x", "info": "user_count,subscription_count"}
    ).encode()
    answer = stack.api.handle(signed("POST", "/apps/3/events", body, now=int(time.time())))
    assert not isinstance(answer, ApiResponse)
    assert json.loads((await answer).body) == {
        "channels": {"presence-a": {"user_count": 1}, "b": {"subscription_count": 1}}
    }


async def test_L183_a_hundred_events_arrive_in_order(stack: Stack) -> None:
    client = stack.client("1.1", "a")
    for number in range(100):
        body = json.dumps({"name": "e", "channel": "a", "data": str(number)}).encode()
        stack.api.handle(signed("POST", "/apps/3/events", body, now=int(time.time())))
    await stack.settle()
    assert client.take() == [("e", str(number)) for number in range(100)]


async def test_draining_shows_at_up(stack: Stack) -> None:
    stack.client("1.1", "a")
    await stack.node.drain(0.0)
    answer = stack.api.handle(signed("GET", "/up"))
    assert isinstance(answer, ApiResponse)
    assert (answer.status, answer.body) == (503, b"draining\n")
