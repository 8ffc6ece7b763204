"""Circuit breaker and auto-disable, with worker and queue."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.delivery.lane_keeper import LaneKeeper
from sockudo_py.webhooks.delivery.protection.breaker import CLOSED, HALF_OPEN, OPEN, BreakerSettings
from sockudo_py.webhooks.delivery.protection.health import EndpointHealth, HealthSettings
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.worker import Worker, WorkerSettings
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.stats import DeliveryStats
from sockudo_py.webhooks.targets.base import Failure
from tests.unit.webhooks.fakes import Clock, FakeTarget, FlakyQueue, until
from tests.unit.webhooks.make import NOW, NOW_MS, endpoint

DOWN = Failure("connect", "refused")
GONE = Failure("http_4xx", "the endpoint answered 410", 410)
BREAKER = HealthSettings(BreakerSettings(consecutive_failures=3, open=100.0, max_open=300.0))
DISABLE = HealthSettings(failing_for=3600.0)


class GatedQueue(FlakyQueue):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.gates: list[tuple[str, float]] = []
        self.gates_away = 0

    async def gate(self, endpoint: str, seconds: float) -> None:
        if self.gates_away:
            self.gates_away -= 1
            raise Unavailable("the queue is away")
        self.gates.append((endpoint, round(seconds, 3)))
        await super().gate(endpoint, seconds)


class Site:
    def __init__(self, settings: HealthSettings, worker: WorkerSettings | None = None) -> None:
        self.clock = Clock(NOW)
        self.queue = GatedQueue(self.clock)
        self.registry = EndpointRegistry()
        self.target = FakeTarget()
        self.metrics = WebhookMetrics(Metrics())
        self.attempts: list[Attempt] = []
        self.lanes = LaneKeeper(self.queue, self.registry, slow_start=False)
        self.worker = Worker(
            self.queue,
            self.registry,
            {"http": self.target},
            Recorder(
                self.metrics,
                DeliveryStats(),
                on_attempt=lambda attempt, _: self.attempts.append(attempt),
                clock=self.clock,
            ),
            worker or WorkerSettings(poll_interval=0.01),
            health=EndpointHealth(self.queue, self.registry, self.metrics, settings, clock=self.clock),
            clock=self.clock,
            dice=lambda: 0.0,
        )
        self._next = 0

    async def append(self, count: int = 1, uid: str = "wh_1") -> None:
        """Append events and claim them one by one: encrypted channels share no request."""
        event = orjson.dumps({"name": "channel_occupied", "channel": "c", "time_ms": NOW_MS})
        for _ in range(count):
            self._next += 1
            await self.queue.append([Append(str(self._next), uid, "app-1", event, NOW_MS, solo=True)])
        await self.pass_time(0.1)

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.queue.resume("nobody")

    async def ended(self, count: int) -> list[str]:
        """Return how attempts ended, as soon as there are ``count`` of them and the queue knows."""
        await until(lambda: len(self.attempts) >= count and not self.worker.tokens)
        return [attempt.status for attempt in self.attempts]

    async def waiting(self) -> int:
        depths = await self.queue.depths()
        return depths.waiting + depths.delayed

    def circuit(self, uid: str = "wh_1") -> float | None:
        return self.metrics.circuit_state.values.get((uid,))


@asynccontextmanager
async def running(
    settings: HealthSettings, *endpoints: Endpoint, worker: WorkerSettings | None = None
) -> AsyncIterator[Site]:
    site = Site(settings, worker)
    site.registry.replace("app-1", "config", endpoints or [endpoint()])
    await site.lanes.start()
    await site.worker.start()
    try:
        yield site
    finally:
        site.queue.durable = True
        await site.worker.stop(timeout=0)
        await site.lanes.stop()


async def test_an_open_circuit_sends_nothing_and_uses_no_attempts_up() -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        assert site.circuit() == OPEN
        await site.pass_time(50)  # all retries are due
        await site.append(5)
        assert len(site.target.requests) == 3
        assert await site.waiting() == 8
        assert (await site.queue.depths()).failed == 0


async def test_after_the_open_time_one_delivery_is_tried_and_its_success_lets_the_others_go() -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        site.target.hold = {"wh_1"}
        await site.pass_time(101)
        await site.target.got(4)
        assert site.circuit() == HALF_OPEN
        await until(lambda: len(site.worker.tokens) == 1)  # the others are back in their lane
        assert len(site.target.requests) == 4
        site.target.release()
        statuses = await site.ended(6)
        assert statuses == ["retrying"] * 3 + ["delivered"] * 3
        assert site.circuit() == CLOSED
        assert {attempt.number for attempt in site.attempts[3:]} == {2}


async def test_a_probe_that_fails_opens_it_again_for_twice_the_time() -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [DOWN] * 4
        await site.append(3)
        await site.ended(3)
        await site.pass_time(101)
        await site.ended(4)
        assert site.circuit() == OPEN
        await site.pass_time(199)
        assert len(site.target.requests) == 4
        await site.pass_time(1.1)
        assert await site.ended(7) == ["retrying"] * 4 + ["delivered"] * 3


async def test_other_endpoints_go_on_while_a_circuit_is_open() -> None:
    async with running(BREAKER, endpoint("wh_1"), endpoint("wh_2")) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        await site.append(2, uid="wh_2")
        await site.ended(5)
        assert [attempt.job.endpoint for attempt in site.attempts[3:]] == ["wh_2"] * 2
        assert site.circuit("wh_2") is None


async def test_what_is_claimed_although_the_circuit_is_open_goes_back_to_its_lane() -> None:
    async with running(BREAKER) as site:
        site.queue.gates_away = 1
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        await site.append(1)
        await until(lambda: bool(site.queue.gates) and not site.worker.tokens)
        assert len(site.target.requests) == 3
        assert await site.waiting() == 4
        assert site.queue.gates[0] == ("wh_1", 99.9)


async def test_failures_that_are_not_the_endpoints_do_not_open_its_circuit() -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [Failure("too_large", "too large"), RuntimeError("a bug"), Failure("internal", "x")]
        await site.append(3)
        await site.ended(3)
        assert site.circuit() is None
        assert site.queue.gates == []


async def test_held_deliveries_do_not_count_for_the_rate_of_the_process() -> None:
    settings = WorkerSettings(poll_interval=0.01, deliveries_per_window=5, rate_window=1e6)
    async with running(BREAKER, endpoint("wh_1"), endpoint("wh_2"), worker=settings) as site:
        site.queue.gates_away = 1
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        await site.append(1)
        await until(lambda: bool(site.queue.gates) and not site.worker.tokens)
        await site.append(2, uid="wh_2")
        await site.ended(5)
        assert site.attempts[-1].job.endpoint == "wh_2"


async def test_another_url_starts_with_a_closed_circuit_and_an_open_lane() -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        site.registry.replace("app-1", "config", [endpoint(url="http://other.example/hook")])
        assert site.circuit() is None
        await until(lambda: ("wh_1", 0) in site.queue.gates)
        await site.append(1)
        assert await site.ended(4) == ["retrying"] * 3 + ["delivered"]


async def test_a_reload_that_leaves_the_url_alone_leaves_the_circuit_open() -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        site.registry.replace("app-1", "config", [endpoint(headers=(("X-New", "1"),))])
        assert site.circuit() == OPEN


async def test_stopping_does_not_wait_for_a_circuit_that_stays_open_longer(caplog: pytest.LogCaptureFixture) -> None:
    async with running(BREAKER) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(3)
        await site.ended(3)
        await site.append(2)
        async with asyncio.timeout(25):
            await site.worker.stop(timeout=30)
        [lost] = [record for record in caplog.records if record.message == "webhook retries are lost at shutdown"]
        assert lost.__dict__["jobs"] == 5


async def test_without_a_breaker_an_endpoint_that_fails_is_tried_on_schedule() -> None:
    async with running(HealthSettings()) as site:
        site.target.outcomes = [DOWN] * 20
        await site.append(20)
        await site.ended(20)
        await site.pass_time(5)
        await site.target.got(40)
        assert site.circuit() is None


async def test_an_endpoint_that_only_failed_for_so_long_is_disabled_and_keeps_its_jobs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(DISABLE) as site:
        site.target.outcomes = [DOWN] * 3
        await site.append(1)
        await site.ended(1)
        await site.pass_time(3500)
        await site.ended(2)
        shown = site.registry.by_uid("wh_1")
        assert shown is not None
        assert shown.enabled
        with caplog.at_level(logging.ERROR, "sockudo_py.webhooks.delivery.protection.health"):
            await site.pass_time(3700)
            await site.ended(3)
        shown = site.registry.by_uid("wh_1")
        assert shown is not None
        assert not shown.enabled
        assert "app-1" not in site.registry.routes
        assert site.metrics.auto_disabled.values == {("wh_1", "failing"): 1}
        assert [record.message for record in caplog.records if record.name.endswith("health")] == [
            "a webhook endpoint was disabled; what waits for it is kept. Enable it by the management API, or give it "
            "another URL"
        ]
        await until(lambda: site.queue.paused == ["wh_1"])
        await site.pass_time(10_000)
        assert len(site.target.requests) == 3
        assert await site.waiting() == 1
        assert (await site.queue.depths()).failed == 0


async def test_a_success_starts_the_time_anew() -> None:
    async with running(DISABLE) as site:
        site.target.outcomes = [DOWN]
        await site.append(1)
        await site.ended(1)
        await site.pass_time(3500)
        await site.ended(2)
        site.target.outcomes = [DOWN]
        await site.append(1)
        await site.ended(3)
        await site.pass_time(3500)
        assert await site.ended(4) == ["retrying", "delivered"] * 2
        assert site.metrics.auto_disabled.values == {}


async def test_another_url_enables_it_and_what_waited_is_delivered() -> None:
    async with running(DISABLE) as site:
        site.target.outcomes = [DOWN] * 2
        await site.append(1)
        await site.ended(1)
        await site.pass_time(4000)
        await site.ended(2)
        await until(lambda: site.queue.paused == ["wh_1"])
        site.registry.replace("app-1", "config", [endpoint()])
        assert not any(one.enabled for one in site.registry.all())
        site.registry.replace("app-1", "config", [endpoint(url="http://other.example/hook")])
        await site.pass_time(10)
        assert (await site.ended(3))[2] == "delivered"


async def test_gone_disables_where_it_was_asked_for() -> None:
    async with running(HealthSettings(), endpoint(disable_on_410=True)) as site:
        site.target.outcomes = [DOWN, GONE]
        await site.append(1)
        await site.ended(1)
        await site.append(1)
        assert await site.ended(2) == ["retrying", "failed"]
        shown = site.registry.by_uid("wh_1")
        assert shown is not None
        assert not shown.enabled
        assert site.metrics.auto_disabled.values == {("wh_1", "410"): 1}
        [dead] = [orjson.loads(text) for text in await site.queue.failed()]
        assert dead["error"] == {"class": "http_4xx", "status": 410, "message": "the endpoint answered 410"}
        assert await site.waiting() == 1  # the one that waits for its retry is kept


async def test_gone_is_a_failure_like_any_other_elsewhere() -> None:
    async with running(HealthSettings()) as site:
        site.target.outcomes = [GONE]
        await site.append(1)
        assert await site.ended(1) == ["retrying"]
        shown = site.registry.by_uid("wh_1")
        assert shown is not None
        assert shown.enabled
