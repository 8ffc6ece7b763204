"""Server SDKs against the server: pusher-http-node and pusher-http-python (items 184, 208 to 210)."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pusher
import pytest

from tests.support.client import eventually, member
from tests.support.hook_receiver import Hook
from tests.support.node import Program, program, scenario
from tests.support.site import Site

pytestmark = pytest.mark.clients


@contextmanager
def python_sdk(site: Site, **change: Any) -> Iterator[pusher.Pusher]:
    """The Python SDK for the app of ``site``; its connections are closed at the end."""
    server, app = site.server, site.app
    setting = {"app_id": app.id, "key": app.key, "secret": app.secret, "host": server.host, "port": server.port}
    made = pusher.Pusher(**{**setting, "ssl": False, "timeout": 60, **change})
    try:
        yield made
    finally:
        made._pusher_client.http.session.close()


@pytest.fixture
def sdk(counted: Site) -> Iterator[pusher.Pusher]:
    """The Python SDK for the app of ``counted``."""
    with python_sdk(counted) as made:
        yield made


async def test_184_the_python_sdk_triggers_and_asks(counted: Site, sdk: pusher.Pusher) -> None:
    async with counted.connect() as client:
        await client.subscribe("c")
        await client.barrier()
        assert sdk.trigger("c", "one", {"a": 1}) == {}
        assert sdk.trigger(["c", "d"], "two", "text", socket_id="1.1") == {}
        assert sdk.trigger_batch([{"channel": "c", "name": "three", "data": {"b": 2}}]) == {}
        frames = await client.barrier()
        sent = [("one", '{"a": 1}'), ("two", "text"), ("three", '{"b": 2}')]
        assert [(frame.event, frame.text) for frame in frames] == sent
        await client.subscribe("presence-x", member("1"))
        assert sdk.channels_info("presence-", ["user_count"]) == {"channels": {"presence-x": {"user_count": 1}}}
        assert sdk.channel_info("c", ["subscription_count"]) == {"occupied": True, "subscription_count": 1}
        assert sdk.users_info("presence-x") == {"users": [{"id": "1"}]}


async def test_184_the_python_sdk_sends_to_a_user_and_terminates_it(counted: Site, sdk: pusher.Pusher) -> None:
    async with counted.connect() as client:
        await client.sign_in("u1")
        assert sdk.send_to_user("u1", "hello", {"a": 1}) == {}
        await client.expect("hello", "#server-to-user-u1")
        assert sdk.terminate_user_connections("u1") == {}
        await client.expect_fatal(4009)


async def test_184_the_python_sdk_authenticates_for_us(counted: Site, sdk: pusher.Pusher) -> None:
    async with counted.connect() as client:
        presence = sdk.authenticate("presence-x", client.socket_id, {"user_id": "10", "user_info": {"name": "A"}})
        await client.send({"event": "pusher:subscribe", "data": {"channel": "presence-x", **presence}})
        await client.expect("pusher_internal:subscription_succeeded", "presence-x")
        user = sdk.authenticate_user(client.socket_id, {"id": "10"})
        await client.send({"event": "pusher:signin", "data": user})
        await client.expect("pusher:signin_success")


async def test_184_the_python_sdk_gets_its_errors(counted: Site) -> None:
    refused = pytest.raises(pusher.errors.PusherBadAuth, match="Invalid signature")
    with python_sdk(counted, secret="wrong") as wrong, refused:
        wrong.trigger("c", "e", {})


async def test_184_the_node_sdk_triggers_and_asks(counted: Site) -> None:
    async with counted.connect() as client, program("backend", scenario(counted.server, counted.app)) as backend:
        await client.subscribe("c")
        await client.barrier()
        fine = {"status": 200, "body": "{}"}
        assert await backend.value("trigger", channels="c", event="one", data={"a": 1}) == fine
        params = {"socket_id": client.socket_id}
        assert await backend.value("trigger", channels=["c", "d"], event="not-me", data="x", params=params) == fine
        batch = [{"channel": "c", "name": "two", "data": {"b": 2}}, {"channel": "c", "name": "three", "data": "x"}]
        assert await backend.value("triggerBatch", batch=batch) == fine
        assert [frame.event for frame in await client.barrier()] == ["one", "two", "three"]

        await client.subscribe("presence-x", member("1"))

        async def get(path: str, **params: str) -> Any:
            answer = await backend.value("get", path=path, params=params)
            assert answer["status"] == 200, answer
            return json.loads(answer["body"])

        listed = await get("/channels", filter_by_prefix="presence-", info="user_count")
        assert listed == {"channels": {"presence-x": {"user_count": 1}}}
        assert await get("/channels/presence-x/users") == {"users": [{"id": "1"}]}
        assert await get("/channels/c", info="subscription_count") == {"occupied": True, "subscription_count": 1}


async def test_184_the_node_sdk_sends_to_a_user_and_terminates_it(counted: Site) -> None:
    async with counted.connect() as client, program("backend", scenario(counted.server, counted.app)) as backend:
        await client.sign_in("u1")
        await backend.value("sendToUser", user="u1", event="hello", data={"a": 1})
        await client.expect("hello", "#server-to-user-u1")
        await backend.value("terminate", user="u1")
        await client.expect_fatal(4009)


async def test_184_the_node_sdk_gets_its_errors(counted: Site) -> None:
    async with program("backend", scenario(counted.server, counted.app)) as backend:
        outcome = await backend.call("trigger", channels="c", event="pusher:x", data={})
        assert outcome["on"] == "failure"
        assert outcome["status"] == 400
        assert outcome["body"].endswith("\n")


def seed_python(body: str, signature: str, secret: str) -> bool:
    """Verify as the Python and Lambda receivers of the seed document do."""
    expected = hmac.new(secret.encode("utf-8"), body.encode("utf-8"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.replace("sha256=", ""))


def seed_laravel(body: bytes, signature: str, secret: str) -> bool:
    """Verify as the Laravel controller of the seed document does (hash_hmac, str_replace, hash_equals)."""
    return hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256").hex(), signature.replace("sha256=", ""))


async def webhooks(routed: Site) -> list[Hook]:
    """Return real requests: single events, a batch, and prefixed ones."""
    async with routed.connect() as client:
        await client.subscribe("presence-room", member(10, name="Jürgen ☃"))
        await client.subscribe("private-room")
        await client.trigger("private-room", "client-typing", {"on": True, "text": "é 🎉 \u2028"})
        await eventually(lambda: len(routed.events("all")) >= 4, "four events one by one")
        await eventually(lambda: len(routed.events("batched")) >= 4, "four events in batches")
        await eventually(lambda: len(routed.events("prefixed")) >= 4, "four events with a prefix")
    return routed.requests("all") + routed.requests("batched") + routed.requests("prefixed")


def node_request(hook: Hook) -> dict[str, Any]:
    """Return the request as Node shows it to its handlers: lower-case header names, the raw body as text."""
    return {"headers": {name.lower(): value for name, value in hook.headers}, "rawBody": hook.body.decode()}


async def seed_receivers(backend: Program, hook: Hook, secret: str) -> list[bool]:
    signature = hook.header("X-Pusher-Signature")
    return [
        await backend.value("seedFunction", rawBody=hook.body.decode(), signature=signature),
        await backend.value("seedExpress", rawBody=hook.body.decode(), signature=signature),
        seed_python(hook.body.decode(), signature, secret),
        seed_laravel(hook.body, signature, secret),
    ]


async def test_208_209_210_real_webhooks_validate_with_the_sdks_and_the_seed_receivers(
    make_site: Callable[[str], Site],
) -> None:
    routed = make_site("routed")
    hooks = await webhooks(routed)
    assert any(len(hook.events) > 1 for hook in hooks), "no batch among them"
    secret = routed.app.secret
    python = pusher.Pusher(app_id=routed.app.id, key=routed.app.key, secret=secret)
    async with program("backend", scenario(routed.server, routed.app)) as backend:
        for hook in hooks:
            prefixed = hook.path == routed.mailbox("prefixed")
            checked = await backend.value("webhook", **node_request(hook))
            assert checked["valid"] is not prefixed, "the SDKs take the bare form only"
            signature = hook.header("X-Pusher-Signature")
            data = python.validate_webhook(hook.header("X-Pusher-Key"), signature, hook.body.decode())
            assert (data is not None) is not prefixed
            if not prefixed:
                assert checked["events"] == hook.events == data["events"]
                assert checked["time"] == hook.json["time_ms"]
            assert await seed_receivers(backend, hook, secret) == [True] * 4


async def test_208_a_forged_webhook_validates_nowhere(make_site: Callable[[str], Site]) -> None:
    routed = make_site("routed")
    hook = (await webhooks(routed))[0]
    forged = Hook(hook.path, hook.headers, hook.body.replace(b"presence", b"presents"), hook.at)
    python = pusher.Pusher(app_id=routed.app.id, key=routed.app.key, secret=routed.app.secret)
    async with program("backend", scenario(routed.server, routed.app)) as backend:
        assert (await backend.value("webhook", **node_request(forged)))["valid"] is False
        assert await seed_receivers(backend, forged, routed.app.secret) == [False] * 4
    signature = forged.header("X-Pusher-Signature")
    assert python.validate_webhook(forged.header("X-Pusher-Key"), signature, forged.body.decode()) is None
