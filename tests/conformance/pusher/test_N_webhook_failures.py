"""Section N: endpoints that fail, hang or are away, and a server that crashes."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pusher
import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.protocol.app import AppKey
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.delivery.requests.envelopes import bodies
from sockudo_py.webhooks.endpoints.profiles import signed_headers
from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.server import KEY, SECRET, TestApp, app_config, running, server_config, start
from tests.support.site import Site, endpoint

MakeSite = Callable[[str], Site]


def occupied(channel: str) -> dict[str, Any]:
    return {"name": "channel_occupied", "channel": channel}


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_216_success_is_not_repeated(hooked: Site, status: int) -> None:
    hooked.answer("all", status)
    async with hooked.connect() as client:
        await client.subscribe("c")
        await client.subscribe("sentinel")
        await eventually(lambda: occupied("sentinel") in hooked.events(), "the sentinel arrives")
    assert hooked.events()[:2] == [occupied("c"), occupied("sentinel")]


@pytest.mark.parametrize("status", [500, 503, 404, 400, 302, 301, 307])
async def test_216_any_other_status_is_retried_and_redirects_are_not_followed(hooked: Site, status: int) -> None:
    hooked.answer("all", status)
    async with hooked.connect() as client:
        await client.subscribe("c")
        await eventually(lambda: hooked.events().count(occupied("c")) == 2, "it is sent again")
    assert hooked.hooks is not None
    assert hooked.hooks.hooks("/redirected") == []
    first, second = hooked.requests()[:2]
    assert second.json["events"] == first.json["events"]
    assert second.header("webhook-id") == first.header("webhook-id")


async def test_216_the_waits_between_retries_grow(hooked: Site) -> None:
    hooked.answer("all", 500, 500, 500)
    async with hooked.connect() as client:
        await client.subscribe("c")
        await eventually(lambda: len(hooked.requests()) == 4, "three retries")
    at = [hook.at for hook in hooked.requests()]
    waits = [after - before for before, after in itertools.pairwise(at)]
    for wait, least in zip(waits, (0.1, 0.2, 0.4), strict=True):
        assert wait >= least * 0.9, waits


async def test_216_an_answer_that_does_not_come_in_time_is_retried(make_site: MakeSite) -> None:
    routed = make_site("routed")
    routed.answer("hurried", 20.0)  # the endpoint gives 0.3 s
    async with routed.connect() as client:
        await client.subscribe("c")
        await eventually(lambda: routed.events("hurried").count(occupied("c")) >= 2, "it is sent again")


async def test_218_after_the_last_attempt_it_is_a_dead_letter_and_not_tried_again(tmp_path: Path) -> None:
    with HookReceiver() as hooks:
        app = app_config(TestApp(), webhooks=[endpoint(f"{hooks.url}/all")])
        hooks.answer("/all", 500, 500, 500, 500)
        with running(server_config(app), tmp_path) as server:

            def dead() -> bool:
                metrics = server.get("/metrics", server.metrics_port)[1].decode()
                lines = [line for line in metrics.splitlines() if "webhook_queue_depth" in line and "failed" in line]
                return [line.split()[-1] for line in lines] in (["1"], ["1.0"])

            async with connected(server, TestApp()) as client:
                await client.subscribe("c")
                await eventually(dead, "one dead letter is counted")
                await client.subscribe("sentinel")
                await eventually(lambda: occupied("sentinel") in hooks.events("/all"), "the sentinel arrives")
            assert hooks.events("/all")[:5] == [occupied("c")] * 4 + [occupied("sentinel")]


@pytest.mark.parametrize(("age", "fresh"), [(10, False), (301, True), (3600, True)])
def test_217_a_late_delivery_has_a_fresh_time_and_signature(age: int, fresh: bool) -> None:
    now_ms = time.time_ns() // 1_000_000
    created_ms = now_ms - age * 1000
    target = Endpoint(uid="wh_1", id=1, app_id="3", app_keys=(AppKey(KEY, SECRET.encode()),), url="https://x.example")
    job = Job("job-1", "wh_1", "3", created_ms, b'[{"name":"channel_occupied","channel":"c"}]')
    (body,) = bodies(target, job, lambda: now_ms)
    headers = dict(
        signed_headers(target, body=body.content, body_id=body.id, delivery_id="d", attempt=2, now=now_ms / 1000)
    )
    checked = pusher.Pusher(app_id="3", key=KEY, secret=SECRET).validate_webhook(
        headers["X-Pusher-Key"], headers["X-Pusher-Signature"], body.content.decode()
    )
    assert checked is not None
    assert checked["time_ms"] == (now_ms if fresh else created_ms)


async def test_220_a_hanging_endpoint_delays_neither_clients_nor_other_apps(make_site: MakeSite) -> None:
    slow, other = make_site("hooked"), make_site("hooked")
    slow.answer("all", *[30.0] * 20)
    async with slow.connect() as client, other.connect() as neighbour:
        for number in range(10):
            await client.subscribe(f"c{number}")
        await eventually(lambda: len(slow.requests()) >= 1, "the hanging endpoint is asked")
        since = time.monotonic()
        await client.quiet()
        await neighbour.subscribe("c")
        await eventually(lambda: other.events() == [occupied("c")], "the other app's webhook arrives")
        assert time.monotonic() - since < 20  # not the 30 s of the one that hangs
        slow.api.publish("c0")
        await client.expect("my-event", "c0")


async def test_221_after_a_crash_the_persistent_queue_delivers_what_was_waiting(
    tmp_path: Path, private_redis: RedisServer
) -> None:
    (port,) = free_ports(1)
    webhook = endpoint(f"http://127.0.0.1:{port}/all", retry={"schedule_ms": [200] * 50})
    lease = {"lease_duration_ms": 1000, "lease_renew_interval_ms": 300}
    queue = {"driver": "redis", "redis": {"url_override": private_redis.url}, "reliability": lease}
    config = server_config(app_config(TestApp(), webhooks=[webhook]), queue=queue)
    doomed = start(config, tmp_path / "doomed")
    try:
        async with connected(doomed, TestApp()) as client:
            await client.subscribe("kept-over-the-crash")

            def refused() -> bool:  # nobody listens yet: the connection is refused, the job waits for its retry
                metrics = doomed.get("/metrics", doomed.metrics_port)[1].decode()
                return any(
                    "webhook_attempts_total" in line and "connect" in line and not line.startswith("#")
                    for line in metrics.splitlines()
                )

            await eventually(refused, "a refused attempt is counted")
    finally:
        doomed.kill()
    with HookReceiver(port) as hooks, running(config, tmp_path / "reborn"):
        await eventually(lambda: occupied("kept-over-the-crash") in hooks.events("/all"), "it is delivered")
