import asyncio
from dataclasses import replace

from sockudo_py.endpoints import Batching, RateLimit, RetryPolicy
from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.delivery.lane_keeper import LaneKeeper, lane_policy
from sockudo_py.webhooks.endpoints.registry import GATHER, EndpointRegistry
from tests.unit.webhooks.fakes import until
from tests.unit.webhooks.make import endpoint


class WatchedQueue(MemoryQueue):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []
        self.policies: dict[str, LanePolicy] = {}
        self.away = 0

    async def set_policy(self, endpoint: str, policy: LanePolicy) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        self.policies[endpoint] = policy
        await super().set_policy(endpoint, policy)

    async def pause(self, endpoint: str) -> None:
        self.said.append(("pause", endpoint))
        await super().pause(endpoint)

    async def resume(self, endpoint: str) -> None:
        self.said.append(("resume", endpoint))
        await super().resume(endpoint)

    async def drop(self, endpoint: str, error_class: str) -> int:
        count = await super().drop(endpoint, error_class)
        self.said.append(("drop", endpoint))
        return count


def test_a_pusher_endpoint_gathers() -> None:
    policy = lane_policy(endpoint(batching=Batching(duration=0.25, size=20), max_in_flight=3))
    assert (policy.window, policy.size, policy.max_bytes, policy.max_in_flight) == (0.25 - GATHER, 20, 262144, 3)
    assert policy.slow_start
    assert not policy.ordered


def test_a_short_window_is_the_queues_alone() -> None:
    assert lane_policy(endpoint(batching=Batching(duration=GATHER))).window == GATHER


def test_n213_without_batching_every_event_is_a_request() -> None:
    policy = lane_policy(endpoint(batching=Batching(enabled=False)))
    assert (policy.window, policy.size) == (0.0, 1)


def test_an_envelope_that_holds_one_event_gets_one() -> None:
    assert lane_policy(endpoint(profile="irisx")).size == 1
    assert lane_policy(endpoint(profile="custom", signature_header="X-S")).size == 100


def test_a_batch_never_outgrows_what_may_be_sent() -> None:
    assert lane_policy(endpoint(), max_payload_bytes=100_000).max_bytes == 98_976


def test_the_queue_knows_how_long_a_retry_may_be_put_off() -> None:
    retry = RetryPolicy(schedule=(1.0, 7200.0, 5.0), jitter=0.5)
    assert lane_policy(endpoint(retry=retry)).longest_wait == 10_800
    assert lane_policy(endpoint(retry=replace(retry, schedule=(1.0,)))).longest_wait == 5400  # a Retry-After
    assert lane_policy(endpoint(retry=replace(retry, schedule=(1.0,), honor_retry_after=False))).longest_wait == 1.5
    assert lane_policy(endpoint(retry=replace(retry, schedule=()))).longest_wait == 0


def test_order_and_rates_are_the_lanes_business() -> None:
    policy = lane_policy(
        endpoint(ordering="channel", rate_limit=RateLimit(per_second=1, per_minute=60, per_hour=1000)), slow_start=False
    )
    assert policy.ordered
    assert not policy.slow_start
    assert (policy.per_second, policy.per_minute, policy.per_hour) == (1, 60, 1000)


async def test_at_the_start_every_lane_is_set() -> None:
    queue, registry = WatchedQueue(), EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1"), endpoint("wh_2", enabled=False)])
    keeper = LaneKeeper(queue, registry)
    await keeper.start()
    assert set(queue.policies) == {"wh_1", "wh_2"}
    assert sorted(queue.said) == [("pause", "wh_2"), ("resume", "wh_1")]
    await keeper.stop()


async def test_at_the_start_the_paused_lane_of_an_endpoint_that_is_unknown_goes_on() -> None:
    queue, registry = WatchedQueue(), EndpointRegistry()
    for uid in ("wh_gone", "wh_off"):
        await queue.pause(uid)
    registry.replace("app-1", "config", [endpoint("wh_off", enabled=False)])
    keeper = LaneKeeper(queue, registry)
    await keeper.start()
    assert await queue.paused_lanes() == ["wh_off"]
    await keeper.stop()


async def test_a_change_reaches_the_queue_even_when_it_is_away_for_a_moment() -> None:
    queue, registry = WatchedQueue(), EndpointRegistry()
    keeper = LaneKeeper(queue, registry)
    await keeper.start()
    queue.away = 2
    registry.replace("app-1", "config", [endpoint("wh_1", max_in_flight=3)])
    await until(lambda: "wh_1" in queue.policies)
    assert queue.policies["wh_1"].max_in_flight == 3
    registry.replace("app-1", "config", [endpoint("wh_1", enabled=False)])
    await until(lambda: ("pause", "wh_1") in queue.said)
    await keeper.stop()


async def test_the_jobs_of_a_deleted_endpoint_become_dead_letters() -> None:
    queue, registry = WatchedQueue(), EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    keeper = LaneKeeper(queue, registry)
    await keeper.start()
    await queue.append([Append("1", "wh_1", "app-1", b"{}", 1)])
    registry.replace("app-1", "config", [])
    await until(lambda: ("drop", "wh_1") in queue.said)
    [dead] = await queue.failed()
    assert b'"class":"endpoint_deleted"' in dead
    await keeper.stop()


async def test_a_change_that_comes_while_the_queue_is_told_of_another_is_told_too() -> None:
    class SlowQueue(WatchedQueue):
        def __init__(self) -> None:
            super().__init__()
            self.asked = asyncio.Event()
            self.go_on = asyncio.Event()

        async def set_policy(self, endpoint: str, policy: LanePolicy) -> None:
            self.asked.set()
            await self.go_on.wait()
            await super().set_policy(endpoint, policy)

    queue, registry = SlowQueue(), EndpointRegistry()
    queue.go_on.set()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    keeper = LaneKeeper(queue, registry)
    await keeper.start()
    queue.asked.clear()
    queue.go_on.clear()
    registry.replace("app-1", "config", [endpoint("wh_1", enabled=False)])
    await queue.asked.wait()
    registry.replace("app-1", "config", [endpoint("wh_1", enabled=True)])
    queue.go_on.set()
    await until(lambda: queue.said[-2:] == [("pause", "wh_1"), ("resume", "wh_1")])
    await keeper.stop()
