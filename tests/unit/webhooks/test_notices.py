"""Webhooks for operators: on transitions only, never about themselves, one of each kind in an hour."""

from typing import Any

import pytest

from sockudo_py.endpoints import OPERATORS, Endpoint
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Depths, LaneDepth
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.schemas import compiled
from sockudo_py.webhooks.delivery.protection.breaker import BreakerSettings
from sockudo_py.webhooks.delivery.protection.health import FAILING_AFTER, EndpointHealth, HealthSettings
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.operators.kinds import KINDS, QUEUE_OLD
from sockudo_py.webhooks.operators.notices import AGAIN, Notices
from sockudo_py.webhooks.operators.watch import Watch
from sockudo_py.webhooks.targets.base import Failure
from tests.unit.webhooks import make
from tests.unit.webhooks.fakes import Clock, FlakyQueue, until

HOUR = 3600.0
REFUSED = Failure("connect", "refused")
HOOK = make.endpoint("wh_1", name="orders")


def operator(uid: str = "wh_op", **fields: Any) -> Endpoint:
    return make.endpoint(uid, app_id=OPERATORS, profile="irisx", id=abs(hash(uid)) % 10**6, **fields)


class Node:
    """The part of a server that watches webhooks. Several may share a queue."""

    def __init__(
        self,
        clock: Clock,
        queue: MemoryQueue | None = None,
        *operators: Endpoint,
        settings: HealthSettings | None = None,
    ) -> None:
        self.clock = clock
        self.queue = queue or FlakyQueue(clock)
        self.registry = EndpointRegistry(EndpointRules())
        self.registry.replace("app-1", "config", [HOOK])
        self.registry.replace(OPERATORS, "config", operators or [operator()])
        self.metrics = WebhookMetrics(Metrics())
        self.notices = Notices(self.queue, self.registry, self.metrics, clock=clock)
        self.health = EndpointHealth(
            self.queue, self.registry, self.metrics, settings, notices=self.notices, clock=clock
        )
        self.lost = 0.0
        self.watch = Watch(self.notices, self.queue, self.registry, most_dead=3, dropped=lambda: self.lost)

    async def fail(self, times: int, endpoint: Endpoint = HOOK) -> None:
        for number in range(times):
            await self.health.failed(endpoint, f"t{number}", REFUSED)

    async def told(self) -> list[tuple[str, str]]:
        """Hand over what waits; return endpoint and kind of all that the queue has got, and take it out."""
        await self.notices._hand_over()
        self.clock.now += 1.0
        found = []
        while claims := await self.queue.claim("w", 100, 30.0):
            for claim in claims:
                job = jobs.of_claim(claim)
                [event] = job.events()
                if job.app_id == OPERATORS:
                    assert compiled(KINDS[event["name"]].schema or {})(event["data"]) == []
                    found.append((job.endpoint, event["name"].removeprefix("webhook.")))
                await self.queue.ack(claim.token)
        return found


@pytest.fixture
def clock() -> Clock:
    return Clock(make.NOW)


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node(clock)


async def test_failing_is_told_once_and_so_is_the_recovery(node: Node) -> None:
    await node.fail(FAILING_AFTER - 1)
    assert await node.told() == []
    await node.fail(20)
    assert await node.told() == [("wh_op", "endpoint_failing")]
    await node.health.succeeded(HOOK)
    await node.health.succeeded(HOOK)
    assert await node.told() == [("wh_op", "endpoint_recovered")]


async def test_failures_in_between_successes_are_none(node: Node) -> None:
    for _ in range(5):
        await node.fail(FAILING_AFTER - 1)
        await node.health.succeeded(HOOK)
    assert await node.told() == []


async def test_failures_that_are_not_the_endpoints_fault_do_not_count(node: Node) -> None:
    for number in range(50):
        await node.health.failed(HOOK, f"t{number}", Failure("too_large", "x"))
    assert await node.told() == []


async def test_of_each_kind_there_is_one_in_an_hour(node: Node) -> None:
    for minutes, expected in ((0, 1), (30, 0), (59, 0), (61, 1), (100, 0), (122, 1)):
        node.clock.now = make.NOW + minutes * 60
        await node.fail(FAILING_AFTER)
        told = await node.told()
        assert [kind for _, kind in told if kind == "endpoint_failing"] == ["endpoint_failing"] * expected, minutes
        await node.health.succeeded(HOOK)
        await node.told()


async def test_several_nodes_tell_once_whenever_they_see_it(clock: Clock) -> None:
    first = Node(clock)
    others = [Node(clock, first.queue) for _ in range(3)]
    seen = []
    for minutes in (0, 20, 40, 59, 61, 90, 119):
        clock.now = make.NOW + minutes * 60
        for node in (first, *others):
            node.notices._told.clear()  # as one that has just started
            await node.fail(FAILING_AFTER)
            node.health._failures.clear()
            seen += [(minutes, kind) for _, kind in await node.told()]
    assert seen == [(0, "endpoint_failing"), (61, "endpoint_failing")]


async def test_nothing_is_told_about_the_endpoints_of_operators(node: Node) -> None:
    own = operator()
    await node.fail(50, own)
    await node.health.succeeded(own)
    node.registry.disable("wh_op")
    node.registry.enable("wh_op")
    assert await node.told() == []


async def test_without_operators_nothing_is_counted(clock: Clock) -> None:
    node = Node(clock)
    node.registry.replace(OPERATORS, "config", [])
    await node.fail(50)
    assert not node.health.troubled
    assert await node.told() == []


async def test_each_operator_gets_what_it_lists(clock: Clock) -> None:
    some = [
        operator("wh_all"),
        operator("wh_other", event_types=frozenset({QUEUE_OLD})),
        operator("wh_off", enabled=False),
        operator("wh_named", event_types=frozenset({"webhook.endpoint_failing"})),
    ]
    node = Node(clock, None, *some)
    await node.fail(FAILING_AFTER)
    assert sorted(await node.told()) == [("wh_all", "endpoint_failing"), ("wh_named", "endpoint_failing")]


async def test_an_opened_breaker_and_a_disabled_endpoint_are_told(clock: Clock) -> None:
    settings = HealthSettings(BreakerSettings(consecutive_failures=3), failing_for=100.0)
    node = Node(clock, settings=settings)
    await node.fail(3)
    assert await node.told() == [("wh_op", "circuit_opened")]
    clock.now += 101
    await node.fail(1)
    assert await node.told() == [("wh_op", "endpoint_disabled")]


@pytest.mark.parametrize("how", ["410", "switched_off"])
async def test_the_reason_of_a_disabled_endpoint_is_told(clock: Clock, how: str) -> None:
    node = Node(clock)
    if how == "410":
        gone = make.endpoint("wh_1", name="orders", disable_on_410=True)
        assert await node.health.failed(gone, "t", Failure("http_4xx", "410", 410))
    else:
        node.registry.disable("wh_1")
    await node.notices._hand_over()
    clock.now += 1
    [claim] = await node.queue.claim("w", 10, 30.0)
    [event] = jobs.of_claim(claim).events()
    assert event["data"] == {"webhook_id": "wh_1", "webhook_name": "orders", "app_id": "app-1", "reason": how}


async def test_many_dead_letters_are_told_at_the_crossing_without_the_operators_own(node: Node) -> None:
    async def bury(uid: str, app_id: str, number: int) -> None:
        await node.queue.append([Append(f"{uid}{number}", uid, app_id, b'{"name":"x"}', make.NOW_MS)])
        node.clock.now += 1
        [claim] = await node.queue.claim("w", 1, 30.0)
        await node.queue.fail(claim.token, jobs.bury(claim.job, make.NOW_MS, jobs.JobError("http_4xx")))

    for number in range(3):
        await bury("wh_op", OPERATORS, number)
        await bury("wh_1", "app-1", number)
        await node.watch.look(await node.queue.depths())
        assert await node.told() == ([] if number < 2 else [("wh_op", "dead_letters_high")])
    await node.watch.look(await node.queue.depths())
    assert await node.told() == []


async def test_an_old_queue_is_told_at_the_crossing_unless_only_operators_wait(node: Node) -> None:
    only = Depths(waiting=2, oldest_waiting_ms=90_000, lanes=(LaneDepth("wh_op", 2, 0),))
    await node.watch.look(only)
    assert await node.told() == []
    old = Depths(waiting=3, oldest_waiting_ms=90_000, lanes=(LaneDepth("wh_op", 2, 0), LaneDepth("wh_1", 1, 0)))
    await node.watch.look(old)
    await node.watch.look(old)
    assert await node.told() == [("wh_op", "queue_old")]


async def test_a_spool_that_drops_is_told_when_it_begins(node: Node) -> None:
    node.watch.look_at_spool(0)
    node.lost = 5
    node.watch.look_at_spool(100)
    node.lost = 9
    node.watch.look_at_spool(100)
    assert await node.told() == [("wh_op", "spool_dropping")]


async def test_notices_wait_for_a_queue_that_is_away(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockudo_py.webhooks.operators.notices.AGAIN", 0.01)
    assert AGAIN > 1
    queue = FlakyQueue(clock)
    node = Node(clock, queue)

    calls = 0
    append_once = queue.append_once

    async def away(*given: Any) -> bytes | None:
        nonlocal calls
        calls += 1
        queue._check()
        return await append_once(*given)

    monkeypatch.setattr(queue, "append_once", away)
    queue.away = True
    node.notices.start()
    await node.fail(FAILING_AFTER)
    await until(lambda: calls >= 3)
    queue.away = False
    await until(lambda: not node.notices._waiting)
    await node.notices.stop()
    assert await node.told() == [("wh_op", "endpoint_failing")]


async def test_what_waits_is_bounded(node: Node) -> None:
    for number in range(3000):
        node.notices.tell("webhook.queue_old", {}, make.endpoint(f"wh_{number}"))
    assert len(node.notices._waiting) == 1000
