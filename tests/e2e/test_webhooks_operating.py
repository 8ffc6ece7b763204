"""What an operator configures about delivery, from the configuration file to the receiver's socket."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from standardwebhooks import Webhook

from sockudo_py.apps.definition import define_apps
from sockudo_py.changes import ChannelOccupied
from sockudo_py.config import load
from sockudo_py.wiring.server import Server
from tests.e2e.test_webhooks_http_target import server_context
from tests.support.receiver import Answer, Receiver
from tests.unit.webhooks.fakes import until

SINGLE = {"enabled": False}
ROUNDED = 0.002  # seconds; times in the queue are whole milliseconds
QUICK = {"schedule_ms": [50] * 20}
OLD = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NEW = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="


def config(folder: Path, endpoint: dict[str, Any], env: Mapping[str, str], webhooks: dict[str, Any]) -> Any:
    app = {"id": "1", "key": "key-1", "secret": "secret-1", "webhooks": [{"event_types": ["*"], **endpoint}]}
    document = {
        "host": "127.0.0.1",
        "port": 0,
        "metrics": {"enabled": False},
        "queue": {"driver": "memory", "reliability": {"shutdown_timeout_ms": 0, "worker_poll_interval_ms": 50}},
        "shutdown_grace_period": 0,
        "app_manager": {"array": {"apps": [app]}},
        "webhooks": {"batching": SINGLE, **webhooks},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return load(path, env)


class Site:
    def __init__(self, server: Server, receiver: Receiver) -> None:
        self.server = server
        self.receiver = receiver

    def send(self, *channels: str) -> None:
        for channel in channels:
            self.server.webhooks.add(ChannelOccupied("1", channel))

    def channels(self) -> list[str]:
        """Return the channels of all requests, in the order in which they came."""
        return [event["channel"] for event in self.receiver.events()]

    def value(self, metric: str, *labels: str) -> float:
        return self.server.metrics.series[metric].values.get(labels, 0)

    async def until(self, metric: str, *labels: str, value: float) -> None:
        await until(lambda: self.value(metric, *labels) == value)


@asynccontextmanager
async def serving(
    folder: Path,
    endpoint: dict[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    receiver: Receiver | None = None,
    **webhooks: Any,
) -> AsyncIterator[Site]:
    async with receiver or Receiver() as hook:
        given = {"uid": "wh_1", "url": hook.url(), "retry": QUICK, **(endpoint or {})}
        server = Server(config(folder, given, env or {}, webhooks))
        try:
            await server.start()
            yield Site(server, hook)
        finally:
            await server.stop()


async def test_the_rate_limit_of_the_process_makes_deliveries_wait(tmp_path: Path) -> None:
    env = {"WEBHOOK_RATE_LIMIT": "3", "WEBHOOK_RATE_LIMIT_WINDOW_MS": "400"}
    async with serving(tmp_path, env=env) as site:
        begun = time.monotonic()
        site.send(*(f"c{number}" for number in range(10)))
        got = await site.receiver.wait_for(10)
        assert sorted(site.channels()) == sorted(f"c{number}" for number in range(10))
        # From the beginning: the way to the receiver may take longer for one than for another.
        for place, request in enumerate(got):
            assert request.at - begun > place // 3 * 0.39
        assert site.value("webhook_rate_limited_total") > 0


async def test_the_rate_limit_of_an_endpoint_makes_its_deliveries_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, {"rate_limit": {"per_second": 2}}) as site:
        begun = time.monotonic()
        site.send("a", "b", "c", "d", "e")
        for place, request in enumerate(await site.receiver.wait_for(5)):
            assert request.at - begun > place // 2 * 0.95
        assert sorted(site.channels()) == ["a", "b", "c", "d", "e"]


async def test_retry_after_lengthens_a_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.receiver.script(Answer(503, headers=(("Retry-After", "3"),)), Answer(429))
        site.send("a")
        first, second, third = [request.at for request in await site.receiver.wait_for(3)]
        assert second - first >= 3.0 - ROUNDED
        assert third - second < 2.9


async def test_retry_after_can_be_ignored_and_capped(tmp_path: Path) -> None:
    async with serving(tmp_path, {"retry": {**QUICK, "retry_after_max_ms": 300}}) as site:
        site.receiver.script(Answer(503, headers=(("Retry-After", "3600"),)))
        site.send("a")
        first, second = [request.at for request in await site.receiver.wait_for(2)]
        assert 0.3 - ROUNDED <= second - first < 60
    async with serving(tmp_path, {"retry": {**QUICK, "honor_retry_after": False}}) as site:
        site.receiver.script(Answer(503, headers=(("Retry-After", "3600"),)))
        site.send("a")
        await site.receiver.wait_for(2)


async def test_a_delivery_that_is_too_old_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, {"retry": {"schedule_ms": [600] * 20, "max_age_ms": 2000}}) as site:
        site.receiver.default = Answer(500)
        site.send("a")
        await site.until("webhook_deliveries_total", "1", "wh_1", "failed", value=1)
        assert 2 <= len(site.receiver.received) <= 4
        attempts = site.server.metrics.series["webhook_attempts_total"].values
        assert sum(attempts.values()) == len(site.receiver.received)


async def test_jitter_only_ever_adds_to_a_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, {"retry": {"schedule_ms": [100] * 6, "jitter": 1.0}}) as site:
        site.receiver.script(*[Answer(500)] * 5)
        site.send("a")
        times = [request.at for request in await site.receiver.wait_for(6)]
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert min(waits) >= 0.1 - ROUNDED
        assert len({round(wait, 3) for wait in waits}) > 1


@pytest.mark.parametrize("ordering", ["channel", "endpoint"])
async def test_where_order_counts_a_failed_event_is_not_overtaken(tmp_path: Path, ordering: str) -> None:
    async with serving(tmp_path, {"ordering": ordering}) as site:
        site.receiver.script(Answer(500), Answer(500))
        site.send("a", "b", "c")
        await site.receiver.wait_for(5)
        assert site.channels() == ["a", "a", "a", "b", "c"]


async def test_where_order_does_not_count_others_go_first(tmp_path: Path) -> None:
    async with serving(tmp_path, {"retry": {"schedule_ms": [2000]}}) as site:
        site.receiver.script(Answer(500))
        site.send("a", "b", "c")
        await site.receiver.wait_for(4)
        assert site.channels()[0] == site.channels()[3] == "a"


async def test_a_circuit_breaker_pauses_an_endpoint_and_uses_no_retries_up(tmp_path: Path) -> None:
    breaker = {"enabled": True, "consecutive_failures": 2, "open_ms": 1500, "max_open_ms": 1500}
    async with serving(tmp_path, circuit_breaker=breaker) as site:
        site.receiver.script(Answer(500), Answer(500))
        site.send("a")
        _, second = [request.at for request in await site.receiver.wait_for(2)]
        await site.until("webhook_circuit_state", "wh_1", value=2)
        site.send("b")
        third = (await site.receiver.wait_for(4))[2]
        assert third.at - second >= 1.45
        assert site.value("webhook_circuit_state", "wh_1") == 0
        attempts = {
            (got.json()["events"][0]["channel"], got.headers["x-sockudo-attempt"]) for got in site.receiver.at("/hook")
        }
        assert attempts == {("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")}


async def test_an_endpoint_that_only_fails_is_disabled_and_what_waits_is_kept(tmp_path: Path) -> None:
    disable = {"enabled": True, "failing_for_s": 1}
    async with serving(tmp_path, {"retry": {"schedule_ms": [300] * 20}}, auto_disable=disable) as site:
        site.receiver.default = Answer(500)
        site.send("a")
        await site.until("webhook_auto_disabled_total", "wh_1", "failing", value=1)
        count = len(site.receiver.received)
        assert [shown["enabled"] for shown in site.server.webhooks.usage()["endpoints"]] == [False]
        site.send("b")
        await asyncio.sleep(0.5)  # longer than the next retry would take
        assert len(site.receiver.received) == count
        depths = await site.server._queue.depths()
        assert (depths.waiting + depths.delayed, depths.failed) == (1, 0)


async def test_gone_disables_an_endpoint_of_the_standard_preset(tmp_path: Path) -> None:
    async with serving(tmp_path, {"profile": "standard", "secret": NEW}) as site:
        site.receiver.script(Answer(410))
        site.send("a")
        await site.until("webhook_auto_disabled_total", "wh_1", "410", value=1)
        site.send("b")
        await asyncio.sleep(0.2)
        assert len(site.receiver.received) == 1


@pytest.mark.parametrize("expiry", [None, "2099-01-01T00:00:00Z"])
async def test_after_a_rotation_receivers_with_either_secret_are_served(tmp_path: Path, expiry: str | None) -> None:
    rotated = {"secret": NEW, "previous_secret": OLD, "previous_secret_expires_at": expiry}
    async with serving(tmp_path, {"profile": "standard", **rotated}) as site:
        site.send("a")
        [got] = await site.receiver.wait_for(1)
        for secret in (NEW, OLD):
            Webhook(secret).verify(got.body, got.headers)


async def test_a_previous_secret_has_a_header_of_its_own_and_ends_at_its_time(tmp_path: Path) -> None:
    for expiry, expected in (("2099-01-01T00:00:00Z", True), ("2020-01-01T00:00:00Z", False)):
        rotated = {"secret": NEW, "previous_secret": OLD, "previous_secret_expires_at": expiry}
        async with serving(tmp_path, {"profile": "irisx", **rotated}) as site:
            site.send("a")
            [got] = await site.receiver.wait_for(1)
            signed = got.headers["x-irisx-timestamp"].encode() + b"." + got.body
            header = got.headers.get("x-irisx-signature-previous")
            assert got.headers["x-irisx-signature"] == "sha256=" + hmac.digest(NEW.encode(), signed, "sha256").hex()
            old = "sha256=" + hmac.digest(OLD.encode(), signed, "sha256").hex()
            assert header == (old if expected else None)


async def test_f46_a_job_from_before_a_rotation_is_signed_with_the_secrets_of_now(tmp_path: Path) -> None:
    before = {"profile": "standard", "secret": OLD, "retry": {"schedule_ms": [2500]}}
    async with serving(tmp_path, before) as site:
        site.receiver.script(Answer(500))
        site.send("a")
        await site.receiver.wait_for(1)
        after = {**before, "uid": "wh_1", "url": site.receiver.url(), "secret": NEW, "previous_secret": OLD}
        [definition] = define_apps(config(tmp_path, after, {}, {}))
        site.server.webhooks.replace("1", "config", definition.endpoints)
        first, second = await site.receiver.wait_for(2)
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert len(first.headers["webhook-signature"].split()) == 1
        for secret in (NEW, OLD):
            Webhook(secret).verify(second.body, second.headers)


async def test_requests_go_through_the_egress_proxy(tmp_path: Path) -> None:
    async with Receiver() as proxy:
        security = {"egress_proxy": f"http://user:hush@127.0.0.1:{proxy.port}"}
        async with serving(tmp_path, {"url": "http://internal.test/hook"}, security=security) as site:
            site.send("a")
            [got] = await proxy.wait_for(1)
            assert got.request_line == b"POST http://internal.test/hook HTTP/1.1"
            assert site.receiver.received == []


async def test_certificates_of_ones_own_authority_are_trusted_with_its_bundle(tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    for security, delivered in (({"ca_bundle": str(bundle)}, True), ({}, False)):
        receiver = Receiver(ssl_context=server_context(authority, "127.0.0.1"))
        async with serving(tmp_path, {"retry": {"max_retries": 0}}, receiver=receiver, security=security) as site:
            site.send("a")
            outcome = "delivered" if delivered else "failed"
            await site.until("webhook_deliveries_total", "1", "wh_1", outcome, value=1)
            assert len(receiver.received) == delivered
            if not delivered:
                [dead] = [orjson.loads(text) for text in await site.server._queue.failed()]
                assert dead["error"]["class"] == "tls"
