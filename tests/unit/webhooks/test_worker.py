"""Each test runs twice: over a target that is awaited, and over one that can be begun as well.

See ``webhooks/delivery/direct.py``.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from sockudo_py.endpoints import Batching, Endpoint, RetryPolicy
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Append, Claim, LanePolicy
from sockudo_py.webhooks.delivery.lane_keeper import lane_policy
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.worker import Worker, WorkerSettings
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.stats import DeliveryStats
from sockudo_py.webhooks.targets.base import Delivered, Failure
from tests.unit.webhooks.fakes import BeginningTarget, Clock, FakeTarget, FlakyQueue, until
from tests.unit.webhooks.make import NOW, NOW_MS, endpoint

SERVER_ERROR = Failure("http_5xx", "the endpoint answered 500", 500)


KINDS: list[type[FakeTarget]] = [FakeTarget]  # the one that counts is the last


@pytest.fixture(autouse=True, params=[FakeTarget, BeginningTarget])
def kind_of_target(request: pytest.FixtureRequest) -> Iterator[type[FakeTarget]]:
    KINDS.append(request.param)
    yield request.param
    KINDS.pop()


class Site:
    def __init__(self, settings: WorkerSettings | None = None) -> None:
        self.clock = Clock(NOW)
        self.queue = FlakyQueue(self.clock)
        self.registry = EndpointRegistry()
        self.target = KINDS[-1]()
        self.metrics = WebhookMetrics(Metrics())
        self.stats = DeliveryStats()
        self.attempts: list[Attempt] = []
        self.worker = Worker(
            self.queue,
            self.registry,
            {"http": self.target},
            Recorder(
                self.metrics, self.stats, on_attempt=lambda attempt, _: self.attempts.append(attempt), clock=self.clock
            ),
            settings or WorkerSettings(poll_interval=0.01),
            clock=self.clock,
            dice=lambda: 0.0,
        )

    async def endpoints(self, *endpoints: Endpoint) -> None:
        self.registry.replace("app-1", "config", endpoints)
        for one in endpoints:
            await self.queue.set_policy(one.uid, lane_policy(one, slow_start=False))

    async def append(self, *ids: str, uid: str = "wh_1", **event: Any) -> None:
        fields = {"name": "channel_occupied", "channel": "c", "time_ms": NOW_MS, **event}
        await self.queue.append([Append(one, uid, "app-1", orjson.dumps(fields), NOW_MS) for one in ids])
        await self.pass_time(0.1)  # the batching window

    async def pass_time(self, seconds: float) -> None:
        """Let the clock run, and tell the queue, which sleeps by the loop's clock."""
        self.clock.now += seconds
        await self.queue.resume("nobody")

    async def dead(self) -> list[dict[str, Any]]:
        return [orjson.loads(text) for text in await self.queue.failed()]

    def statuses(self) -> list[str]:
        return [attempt.status for attempt in self.attempts]


@asynccontextmanager
async def running(settings: WorkerSettings | None = None) -> AsyncIterator[Site]:
    site = Site(settings)
    await site.worker.start()
    try:
        yield site
    finally:
        site.queue.away = False
        site.queue.durable = True  # don't wait for what a test left there
        await site.worker.stop(timeout=0)


async def test_n213_what_gathered_is_delivered_in_one_signed_request_and_acknowledged() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        await site.append("1", "2", "3")
        [request] = await site.target.got(1)
        assert len(orjson.loads(request.body)["events"]) == 3
        assert "X-Pusher-Signature" in dict(request.headers)
        await until(lambda: site.statuses() == ["delivered"] and not site.worker.tokens)
        assert site.attempts[0].request == request
        depths = await site.queue.depths()
        assert (depths.waiting, depths.active, depths.delayed, depths.failed) == (0, 0, 0, 0)
        assert site.target.begun == (1 if isinstance(site.target, BeginningTarget) else 0)


async def test_n216_n218_a_failure_is_retried_on_schedule_and_ends_among_the_dead_letters() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.outcomes = [SERVER_ERROR] * 6
        await site.append("1")
        for number in range(1, 7):
            await site.target.got(number)
            await until(lambda number=number: len(site.attempts) == number)  # type: ignore[misc]
            await site.pass_time(60)
        assert [attempt.retry_in for attempt in site.attempts] == [1.0, 2.0, 4.0, 8.0, 16.0, None]
        assert site.statuses() == ["retrying"] * 5 + ["failed"]
        [dead] = await site.dead()
        assert dead["attempt"] == 6
        assert dead["error"] == {"class": "http_5xx", "status": 500, "message": "the endpoint answered 500"}
        assert dead["failed_ms"] > NOW_MS


async def test_a_retry_waits_in_the_queue_and_not_in_a_slot() -> None:
    async with running(WorkerSettings(slots=1, poll_interval=0.01)) as site:
        await site.endpoints(endpoint("wh_1"), endpoint("wh_2"))
        site.target.outcomes = [SERVER_ERROR]
        await site.append("1", uid="wh_1")
        await until(lambda: site.statuses() == ["retrying"])
        await site.append("2", uid="wh_2")
        await until(lambda: site.statuses() == ["retrying", "delivered"])
        assert (await site.queue.depths()).delayed == 1


async def test_a_retry_has_the_same_id_and_events_and_says_which_attempt_it_is() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.outcomes = [SERVER_ERROR]
        await site.append("1", "2")
        await until(lambda: site.statuses() == ["retrying"])
        await site.append("3")
        await site.pass_time(10)
        requests = await site.target.got(3)
        first, *others = [(dict(request.headers), orjson.loads(request.body)) for request in requests]
        [again] = [other for other in others if other[0]["webhook-id"] == first[0]["webhook-id"]]
        assert again[1]["events"] == first[1]["events"]
        assert (first[0]["X-Sockudo-Attempt"], again[0]["X-Sockudo-Attempt"]) == ("1", "2")


async def test_a_policy_of_5xx_sends_a_4xx_straight_to_the_dead_letters() -> None:
    async with running() as site:
        await site.endpoints(endpoint(retry=RetryPolicy(retry_on="5xx")))
        site.target.outcomes = [Failure("http_4xx", "the endpoint answered 404", 404)]
        await site.append("1")
        await until(lambda: site.statuses() == ["failed"])
        assert (await site.dead())[0]["error"]["class"] == "http_4xx"


async def test_retry_after_lengthens_the_wait() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.outcomes = [Failure("http_4xx", "the endpoint answered 429", 429, retry_after=7.0)]
        await site.append("1")
        await until(lambda: len(site.attempts) == 1)
        assert site.attempts[0].retry_in == 7.0


async def test_a_delivery_that_got_too_old_is_given_up_as_expired() -> None:
    async with running() as site:
        await site.endpoints(endpoint(retry=RetryPolicy(max_age=0.5)))
        site.target.outcomes = [SERVER_ERROR]
        await site.append("1")
        await until(lambda: site.statuses() == ["failed"])
        assert (await site.dead())[0]["error"] == {
            "class": "expired",
            "status": 500,
            "message": "http_5xx: the endpoint answered 500",
        }


async def test_a_dead_letter_that_is_redriven_gets_its_full_schedule_again() -> None:
    async with running() as site:
        await site.endpoints(endpoint(retry=RetryPolicy(schedule=(1.0,), max_age=0.5)))
        site.target.outcomes = [SERVER_ERROR, SERVER_ERROR]
        await site.append("1")
        await until(lambda: site.statuses() == ["failed"])
        await site.pass_time(3600)
        assert await site.queue.redrive() == 1
        await until(lambda: site.statuses() == ["failed", "retrying"])
        await site.pass_time(10)
        await until(lambda: site.statuses() == ["failed", "retrying", "delivered"])
        headers = dict(site.target.requests[-1].headers)
        assert headers["X-Sockudo-Attempt"] == "2"
        assert orjson.loads(site.target.requests[-1].body)["time_ms"] == int(site.clock.now * 1000)


async def test_a_body_that_is_too_large_is_never_sent() -> None:
    async with running(WorkerSettings(max_payload_bytes=200, poll_interval=0.01)) as site:
        await site.endpoints(endpoint())
        await site.append("1", channel="c" * 200)
        await until(lambda: site.statuses() == ["failed"])
        assert (await site.dead())[0]["error"]["class"] == "too_large"
        assert site.target.requests == []


async def test_a_job_whose_endpoint_was_removed_here_is_a_dead_letter() -> None:
    async with running() as site:
        await site.endpoints(endpoint("wh_gone"))
        await site.endpoints()
        await site.append("1", uid="wh_gone")
        await until(lambda: bool(site.metrics.deliveries.values))
        [dead] = await site.dead()
        assert (dead["ep"], dead["error"]["class"]) == ("wh_gone", "endpoint_deleted")


async def test_a_job_of_an_unknown_endpoint_is_a_dead_letter_after_a_grace() -> None:
    async with running(WorkerSettings(poll_interval=0.01, unknown_grace=0.0)) as site:
        await site.append("1", uid="wh_gone")
        await until(lambda: bool(site.metrics.deliveries.values))
        [dead] = await site.dead()
        assert (dead["ep"], dead["error"]["class"]) == ("wh_gone", "endpoint_deleted")


async def test_a_job_of_an_unknown_endpoint_is_delivered_when_that_becomes_known() -> None:
    async with running() as site:
        await site.append("1", uid="wh_late")
        await until(lambda: site.queue.left == ["wh_late"])
        assert await site.dead() == []
        await site.endpoints(endpoint("wh_late"))
        await site.pass_time(2.0)
        await until(lambda: site.statuses() == ["delivered"])


async def test_an_endpoint_that_is_deleted_during_its_request_gets_no_retry() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.hold = {"wh_1"}
        site.target.outcomes = [SERVER_ERROR]
        await site.append("1")
        await site.target.got(1)
        site.registry.replace("app-1", "config", [])
        site.target.release()
        await until(lambda: site.statuses() == ["failed"])
        assert (await site.dead())[0]["error"] == {
            "class": "endpoint_deleted",
            "status": 500,
            "message": "http_5xx: the endpoint answered 500",
        }


async def test_a_job_that_can_not_be_read_is_a_dead_letter_and_the_others_go_on() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        await site.queue.append([Append("bad", "wh_1", "app-1", b"not json", NOW_MS, solo=True)])
        await site.append("1")
        await until(lambda: site.statuses() == ["delivered"])
        [dead] = await site.dead()
        assert dead["error"]["class"] == "poison"
        assert site.metrics.poison.values == {(): 1}


async def test_a_disabled_endpoint_keeps_its_jobs() -> None:
    async with running() as site:
        await site.endpoints(endpoint(enabled=False))
        await site.append("1")
        await until(lambda: site.queue.paused == ["wh_1"])
        assert site.target.requests == []
        await site.endpoints(endpoint())
        await site.queue.resume("wh_1")
        await until(lambda: site.statuses() == ["delivered"])


async def test_an_endpoint_that_is_enabled_while_its_lane_is_being_paused_is_not_left_paused() -> None:
    async with running() as site:
        pause = site.queue.pause

        async def late(uid: str) -> None:
            await site.endpoints(endpoint())  # and the lane keeper's resume is there first
            await site.queue.resume(uid)
            await pause(uid)

        site.queue.pause = late  # type: ignore[method-assign, assignment]
        await site.endpoints(endpoint(enabled=False))
        await site.append("1")
        await until(lambda: site.statuses() == ["delivered"])


async def test_the_url_of_now_is_used_for_jobs_from_before() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.outcomes = [SERVER_ERROR]
        await site.append("1")
        await until(lambda: site.statuses() == ["retrying"])
        await site.endpoints(endpoint(url="http://new.example/"))
        await site.pass_time(10)
        await until(lambda: site.statuses() == ["retrying", "delivered"])
        assert [request.url for request in site.target.requests] == [
            "http://receiver.example/hook",
            "http://new.example/",
        ]


async def test_n220_endpoints_that_hang_leave_slots_for_the_others() -> None:
    async with running(WorkerSettings(slots=8, poll_interval=0.01)) as site:
        hung = [endpoint(f"wh_hung{number}", max_in_flight=2, batching=Batching(enabled=False)) for number in range(3)]
        await site.endpoints(*hung, endpoint("wh_good"))
        site.target.hold = {one.uid for one in hung}
        for one in hung:
            for number in range(10):
                await site.append(f"{one.uid}-{number}", uid=one.uid)
        for number in range(20):
            await site.append(f"good-{number}", uid="wh_good")
            await until(lambda number=number: site.statuses().count("delivered") == number + 1)  # type: ignore[misc]
        assert site.worker.in_flight == {one.uid: 2 for one in hung}


async def test_a_bug_in_a_target_is_a_failed_attempt_and_the_worker_goes_on() -> None:
    async with running() as site:
        await site.endpoints(endpoint("wh_1"), endpoint("wh_2"))
        site.target.outcomes = [ZeroDivisionError("a bug")]
        await site.append("1", uid="wh_1")
        await until(lambda: site.statuses() == ["retrying"])
        outcome = site.attempts[0].outcome
        assert isinstance(outcome, Failure)
        assert (outcome.error_class, outcome.message) == ("internal", "ZeroDivisionError")
        await site.append("2", uid="wh_2")
        await until(lambda: site.statuses() == ["retrying", "delivered"])


async def test_a_result_waits_while_the_queue_is_away() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.queue.results_away = True
        await site.append("1")
        await until(lambda: site.statuses() == ["delivered"])
        assert (await site.queue.depths()).active == 1
        site.queue.results_away = False
        await until(lambda: site.worker.in_flight == {})
        assert (await site.queue.depths()).active == 0
        assert len(site.target.requests) == 1


async def test_a_lost_reply_to_an_ack_is_not_a_lost_lease() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        await site.append("1")
        site.queue.lost_replies = 1
        await until(lambda: site.worker.in_flight == {} and site.statuses() == ["delivered"])
        assert site.metrics.lost_acks.values == {}


async def test_a_result_after_the_lease_is_gone_is_counted() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.hold = {"wh_1"}
        await site.append("1")
        await site.target.got(1)
        [token] = site.worker.tokens
        site.queue.gone = {token}
        site.target.release()
        await until(lambda: site.metrics.lost_acks.values == {(): 1})
        assert site.worker.in_flight == {}


async def test_a_result_is_not_pressed_on_the_queue_once_the_lease_is_known_to_be_gone() -> None:
    async with running(WorkerSettings(renew_interval=0.01, poll_interval=0.01)) as site:
        await site.endpoints(endpoint())
        site.queue.results_away = True
        await site.append("1")
        await until(lambda: site.statuses() == ["delivered"])
        site.queue.gone = set(site.worker.tokens)
        await until(lambda: site.metrics.lost_acks.values == {(): 1})


async def test_leases_are_renewed_while_a_request_runs() -> None:
    async with running(WorkerSettings(renew_interval=0.01, poll_interval=0.01)) as site:
        await site.endpoints(endpoint())
        site.target.hold = {"wh_1"}
        await site.append("1")
        await until(lambda: len(site.queue.renewed) >= 3)
        assert set(site.queue.renewed) == set(site.worker.tokens)
        assert len(site.target.requests) == 1


async def test_the_rate_of_the_process_holds_deliveries_back_and_drops_none() -> None:
    settings = WorkerSettings(deliveries_per_window=2, rate_window=0.5, poll_interval=0.01)
    async with running(settings) as site:
        await site.endpoints(endpoint())
        await site.queue.set_policy("wh_1", LanePolicy(window=0, size=1, slow_start=False))
        begun = time.monotonic()
        await site.append("1", "2", "3", "4", "5")
        await until(lambda: len(site.attempts) == 5)
        assert time.monotonic() - begun >= 2 * 0.5  # the fifth is the first of the third window
        assert site.metrics.rate_limited.values[()] >= 1


async def test_stop_lets_requests_finish() -> None:
    site = Site()
    await site.endpoints(endpoint())
    await site.worker.start()
    await site.append("1")
    await site.target.got(1)
    await site.worker.stop(timeout=5)
    assert site.statuses() == ["delivered"]
    assert (await site.queue.depths()).active == 0


async def test_stop_gives_back_what_does_not_finish() -> None:
    site = Site()
    site.queue.durable = True
    await site.endpoints(endpoint())
    site.target.hold = {"wh_1"}
    await site.worker.start()
    await site.append("1")
    await site.target.got(1)
    await site.worker.stop(timeout=0)
    depths = await site.queue.depths()
    assert (depths.waiting, depths.active, depths.failed) == (1, 0, 0)


async def test_stop_does_not_wait_for_a_queue_that_hangs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(token: str) -> bool:
        await asyncio.Event().wait()
        return True

    site = Site()
    site.queue.durable = True
    uids = ["wh_1", "wh_2"]
    await site.endpoints(*map(endpoint, uids))
    site.target.hold = set(uids)
    await site.worker.start()
    for uid in uids:
        await site.append(uid, uid=uid)
    await site.target.got(2)
    monkeypatch.setattr(site.queue, "release", hang)
    monkeypatch.setattr("sockudo_py.webhooks.delivery.worker.GIVE_BACK_TIMEOUT", 0.01)
    async with asyncio.timeout(20):
        await site.worker.stop(timeout=0)
    assert "did not take jobs back" in caplog.text
    assert site.worker.tokens == []


async def test_stop_empties_a_queue_that_would_forget(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(WorkerSettings(slots=2, poll_interval=0.01))
    off = endpoint("wh_off", enabled=False)
    await site.endpoints(endpoint(), off)
    await site.queue.set_policy("wh_1", LanePolicy(window=0, size=1, slow_start=False))
    await site.queue.pause("wh_off")
    await site.append("held", uid="wh_off")
    await site.append(*(str(number) for number in range(20)))
    site.target.outcomes = [SERVER_ERROR]
    await site.worker.start()
    await site.worker.stop(timeout=10)
    assert sorted(site.statuses()) == ["delivered"] * 19 + ["retrying"]
    assert "retries are lost at shutdown" in caplog.text


async def test_a_failed_attempt_is_one_log_line_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as site:
        await site.endpoints(
            endpoint(url="https://x.example/hook?token=hush", headers=(("Authorization", "Bearer hush"),))
        )
        site.target.outcomes = [SERVER_ERROR]
        with caplog.at_level(logging.WARNING):
            await site.append("1")
            await until(lambda: site.statuses() == ["retrying"])
        [record] = [record for record in caplog.records if record.name == "sockudo_py.webhooks.delivery.recorder"]
        fields = record.__dict__
        assert (fields["webhook"], fields["attempt"], fields["class"], fields["status"]) == ("wh_1", 1, "http_5xx", 500)
        assert (fields["url"], fields["retry_in"]) == ("https://x.example/...", 1.0)
        assert "hush" not in repr(fields)


async def test_attempts_are_counted_by_endpoint_and_outcome() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.outcomes = [SERVER_ERROR, Delivered(204)]
        await site.append("1")
        await until(lambda: site.statuses() == ["retrying"])
        await site.pass_time(10)
        await until(lambda: site.statuses() == ["retrying", "delivered"])
        assert site.metrics.attempts.values == {
            ("wh_1", "http", "failed", "http_5xx"): 1,
            ("wh_1", "http", "delivered", ""): 1,
        }
        assert site.metrics.deliveries.values == {("app-1", "wh_1", "delivered"): 1}
        assert site.metrics.retries.values == {("wh_1",): 1}
        assert site.stats.summary(site.clock.now, 0)["webhook_success_rate"] == "100%"


async def test_a_finished_delivery_makes_the_worker_claim_only_when_its_slots_were_full() -> None:
    for slots, expected in ((2, 1), (1, 2)):  # else the queue says when there is something
        site = Site(WorkerSettings(slots=slots))
        claims = 0

        async def claim(worker: str, limit: int, lease: float, ask: Any = site.queue.claim) -> list[Claim]:
            nonlocal claims
            claims += 1
            return list(await ask(worker, limit, lease))

        async def wait(timeout: float) -> None:
            await asyncio.Event().wait()

        site.queue.claim = claim  # type: ignore[method-assign]
        site.queue.wait = wait  # type: ignore[method-assign]
        await site.endpoints(endpoint())
        await site.append("1")
        await site.worker.start()
        await until(lambda site=site: site.statuses() == ["delivered"] and not site.worker.tokens)  # type: ignore[misc]
        for _ in range(10):
            await asyncio.sleep(0)
        assert claims == expected
        site.queue.durable = True
        await site.worker.stop(timeout=0)
