"""What the documents promise about retries, statuses, ids and rates, for endpoints as an operator configures them.

Time is an argument here: the schedules are exact, and nothing waits. Items of tests/SEEDS.md are named p6, k12 ...
"""

import asyncio
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.delivery.lane_keeper import lane_policy
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.targets.base import Delivered, Failure
from sockudo_py.webhooks.trigger.trigger import Trigger
from tests.support.receiver import Answer
from tests.support.seeds import APP, AT_ONCE, configured, live, serving
from tests.unit.webhooks.fakes import Clock, FakeTarget

START = 1_700_000_000.0
HOUR = 3600.0
HTTPS = {"url": "https://receiver.example/hook"}
MARGIN = 0.01  # seconds; the queue counts whole milliseconds

# Item, profile, seconds before each retry. None: the server's default profile, the base project's habits.
SCHEDULES: list[tuple[str | None, list[float]]] = [
    (None, [1, 2, 4, 8, 16]),  # k12
    ("sockudo", [1, 2, 4, 8, 16]),  # k12
    ("pulse", [5, 30, 120, 600, HOUR]),  # p6
    ("realcast", [1, 5, 25]),  # r3
    ("irisx", [1, 2, 4, 8, 16]),  # i2
    ("remotedevai", [1, 2, 4, 8, 16]),
]


@pytest.mark.parametrize(("profile", "waits"), SCHEDULES)
async def test_p6_k12_r3_i2_the_attempts_come_exactly_on_schedule_and_then_it_is_a_dead_letter(
    tmp_path: Path, profile: str | None, waits: list[float]
) -> None:
    clock, target = Clock(START), FakeTarget()
    target.outcomes = [Failure("http_5xx", "503", 503) for _ in range(len(waits) + 1)]
    endpoints = configured(tmp_path, {**HTTPS, "profile": profile, "event_types": ["x"]})
    async with serving(endpoints, target, clock=clock) as site:
        await site.trigger("x", {})
        if profile in (None, "sockudo"):
            clock.now += 0.06  # the batching window
        await target.got(1)  # at once
        for attempt, wait in enumerate(waits, 2):
            await _delayed(site.queue, 1)
            clock.now += wait - MARGIN
            assert await site.queue.claim("an onlooker", 1, 30) == [], f"attempt {attempt} came early"
            clock.now += 2 * MARGIN
            await target.got(attempt)
        [dead] = await site.wait_for_dead(1)
    assert len(target.requests) == len(waits) + 1
    assert dead["error"]["status"] == 503
    attempts = [dict(request.headers)["X-Sockudo-Attempt"] for request in target.requests]
    assert attempts == [str(number) for number in range(1, len(waits) + 2)]


async def _delayed(queue: Any, count: int) -> None:
    deadline = time.monotonic() + 60
    while (await queue.depths()).delayed != count:
        assert time.monotonic() < deadline, "the retry was not put aside"
        await asyncio.sleep(0.001)


def test_p6_the_last_of_pulses_attempts_is_over_an_hour_after_the_first() -> None:
    waits = dict(SCHEDULES)["pulse"]
    assert list(accumulate(waits)) == [5, 35, 155, 755, 4355]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 429])
async def test_r4_a_4xx_is_final_for_realcast(tmp_path: Path, status: int) -> None:
    webhook = {"path": "/hook", "profile": "realcast", "event_types": ["x"], "retry": AT_ONCE}
    async with live(tmp_path, webhook) as (site, receiver):
        receiver.script(then=Answer(status))
        await site.trigger("x", {})
        [dead] = await site.wait_for_dead(1)
        assert (dead["attempt"], dead["error"]["class"], dead["error"]["status"]) == (1, "http_4xx", status)
        assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_r4_a_5xx_is_tried_again_for_realcast(tmp_path: Path, status: int) -> None:
    webhook = {"path": "/hook", "profile": "realcast", "event_types": ["x"], "retry": AT_ONCE}
    async with live(tmp_path, webhook) as (site, receiver):
        receiver.script(Answer(status))
        await site.trigger("x", {})
        await receiver.wait_for(2)


@pytest.mark.parametrize("profile", [None, "pulse", "irisx", "remotedevai"])
@pytest.mark.parametrize("status", [302, 404, 500])
async def test_p8_k11_i3_every_other_profile_tries_all_that_is_no_2xx_again(
    tmp_path: Path, profile: str | None, status: int
) -> None:
    webhook = {"path": "/hook", "profile": profile, "event_types": ["x"], "retry": AT_ONCE}
    async with live(tmp_path, webhook) as (site, receiver):
        receiver.script(Answer(status))
        await site.trigger("x", {})
        await receiver.wait_for(2)


@pytest.mark.parametrize("profile", [None, "sockudo", "pulse", "realcast", "remotedevai", "irisx"])
async def test_p7_k11_i3_any_2xx_is_a_success(tmp_path: Path, profile: str | None) -> None:
    target = FakeTarget()
    target.outcomes = [Delivered(status) for status in (200, 201, 202, 204, 299)]
    async with serving(configured(tmp_path, {**HTTPS, "profile": profile, "event_types": ["x"]}), target) as site:
        for number in range(1, 6):
            await site.trigger("x", {})
            await target.got(number)
        await _idle(site.queue)
        assert await site.dead() == []
    assert len(target.requests) == 5


async def _idle(queue: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        depths = await queue.depths()
        if depths.waiting == depths.active == depths.delayed == 0:
            return
        assert time.monotonic() < deadline, f"not all was delivered: {depths}"
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("profile", "seconds"),
    [(None, 10), ("sockudo", 10), ("pulse", 30), ("realcast", 10), ("remotedevai", 30), ("irisx", 10)],
)
async def test_p7_k11_d11_i3_a_request_has_the_seconds_of_its_document(
    tmp_path: Path, profile: str | None, seconds: float
) -> None:
    target = FakeTarget()
    async with serving(configured(tmp_path, {**HTTPS, "profile": profile, "event_types": ["x"]}), target) as site:
        await site.trigger("x", {})
        [request] = await target.got(1)
    assert request.timeout == seconds


@pytest.mark.parametrize("profile", ["pulse", "remotedevai"])
def test_p9_endpoints_of_these_profiles_are_https_only(tmp_path: Path, profile: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        configured(tmp_path, {"url": "http://receiver.example/hook", "profile": profile})
    assert configured(tmp_path, {**HTTPS, "profile": profile})


@pytest.mark.parametrize("profile", [None, "sockudo", "realcast", "irisx"])
def test_the_others_may_be_plain_http(tmp_path: Path, profile: str | None) -> None:
    assert configured(tmp_path, {"url": "http://receiver.example/hook", "profile": profile})


# -- what a receiver tells retries by


def replay_key(body: dict[str, Any]) -> str:
    """Pulse's own: event, time, and the id of what it is about."""
    return f"{body['event']}_{body['timestamp']}_{body['data']['room_sid']}"


@pytest.mark.parametrize(
    ("profile", "id_header"),
    [
        ("pulse", "webhook-id"),
        ("realcast", "x-realcast-webhook-id"),
        ("remotedevai", "webhook-id"),
        ("irisx", "webhook-id"),
    ],
)
async def test_p10_r2_d9_i8_ids_and_times_in_the_body_are_the_same_on_every_attempt(
    tmp_path: Path, profile: str, id_header: str
) -> None:
    webhook = {"path": "/hook", "profile": profile, "event_types": ["room.started"], "retry": AT_ONCE}
    async with live(tmp_path, webhook) as (site, receiver):
        receiver.script(*[Answer(500)] * 3)
        await site.trigger("room.started", {"room_sid": "RM_1"}, event_id="ev_1")
        requests = await receiver.wait_for(4)
    assert len({request.body for request in requests}) == 1
    assert len({request.headers[id_header] for request in requests}) == 1
    assert len({request.headers["x-sockudo-delivery-id"] for request in requests}) == 1
    body = requests[0].json()
    if profile == "pulse":
        assert {replay_key(request.json()) for request in requests} == {f"room.started_{body['timestamp']}_RM_1"}
    if profile == "irisx":
        assert body["event_id"] == "ev_1"
    if profile == "remotedevai":
        assert body["id"] == "ev_1"


async def test_p10_the_time_in_the_body_is_the_events_even_an_hour_later(tmp_path: Path) -> None:
    clock, target = Clock(START), FakeTarget()
    target.outcomes = [Failure("http_5xx", "503", 503)]
    async with serving(
        configured(tmp_path, {**HTTPS, "profile": "pulse", "event_types": ["x"]}), target, clock=clock
    ) as site:
        await site.trigger("x", {"room_sid": "RM_1"})
        await target.got(1)
        await _delayed(site.queue, 1)
        clock.now += HOUR
        first, second = await target.got(2)
    assert first.body == second.body
    assert b'"timestamp":"2023-11-14T22:13:20Z"' in second.body
    assert dict(first.headers)["webhook-timestamp"] != dict(second.headers)["webhook-timestamp"]


# -- rates


async def test_i4_irisx_endpoints_take_60_requests_a_minute_and_the_61st_waits(tmp_path: Path) -> None:
    clock, target = Clock(START), FakeTarget()
    async with serving(
        configured(tmp_path, {**HTTPS, "profile": "irisx", "event_types": ["x"]}), target, clock=clock
    ) as site:
        for _ in range(61):
            await site.trigger("x", {})
        await target.got(60)
        assert await site.queue.claim("an onlooker", 10, 30) == []
        assert (await site.queue.depths()).waiting == 1
        clock.now += 60 - MARGIN
        assert await site.queue.claim("an onlooker", 10, 30) == []
        clock.now += 2 * MARGIN
        await target.got(61)
        await _idle(site.queue)
        assert await site.dead() == []


async def test_i4_and_1000_an_hour(tmp_path: Path) -> None:
    clock = Clock(START)
    [endpoint] = configured(tmp_path, {**HTTPS, "profile": "irisx", "event_types": ["x"]})
    queue = MemoryQueue(clock=clock)
    await queue.set_policy(endpoint.uid, lane_policy(endpoint, slow_start=False))
    taken = []
    async with serving([endpoint], FakeTarget(), MemoryQueue(clock=clock), clock) as site:
        metrics = WebhookMetrics(Metrics())  # to fill the queue only: this test takes the jobs out itself
        trigger = Trigger(queue, site.service.registry, metrics, max_payload_bytes=1000, clock=clock)
        for _ in range(1001):
            await trigger.fire(APP, {"event_type": "x"})
    for _ in range(17):  # 60 in each of sixteen minutes, and 40 in the next
        while claims := await queue.claim("w", 100, 30):
            for claim in claims:
                taken.append(jobs.decode(claim.job).id)
                await queue.ack(claim.token)
        clock.now += 60 + MARGIN
    assert len(taken) == 1000
    clock.now = START + HOUR - MARGIN
    assert await queue.claim("w", 100, 30) == []
    clock.now = START + HOUR + MARGIN
    assert len(await queue.claim("w", 100, 30)) == 1


def test_i4_the_rate_can_be_set_for_each_endpoint(tmp_path: Path) -> None:
    [usual, other, none] = configured(
        tmp_path,
        {**HTTPS, "profile": "irisx"},
        {**HTTPS, "profile": "irisx", "rate_limit": {"per_minute": 5, "per_hour": 50}},
        {**HTTPS, "profile": "pulse"},
    )
    assert (usual.rate_limit.per_minute, usual.rate_limit.per_hour) == (60, 1000)
    assert (other.rate_limit.per_minute, other.rate_limit.per_hour) == (5, 50)
    assert (none.rate_limit.per_minute, none.rate_limit.per_hour) == (None, None)


async def test_r5_a_disabled_endpoint_gets_nothing_and_another_one_does(tmp_path: Path) -> None:
    off = {"path": "/off", "profile": "realcast", "event_types": ["x"], "enabled": False}
    on = {"path": "/on", "profile": "realcast", "event_types": ["x"]}
    async with live(tmp_path, off, on) as (site, receiver):
        await site.trigger("x", {})
        await site.trigger("x", {})
        await receiver.wait_for(2, "/on")
        assert receiver.at("/off") == []
