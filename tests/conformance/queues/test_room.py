"""A queue that is full for one endpoint: what it refuses, what it takes, and for whom there is room all the same."""

from dataclasses import replace

import pytest

from sockudo_py.queues.base import Append, Queue, QueueFull
from tests.conformance.queues.conftest import AT_ONCE, Driver, claim, event


async def offer(queue: Queue, events: list[Append]) -> list[str]:
    """Append events; return the ids of those that were refused."""
    try:
        await queue.append(events)
    except QueueFull as full:
        return [refused.id for refused in full.refused]
    return []


def events(first: int, last: int, endpoint: str, app_id: str = "app") -> list[Append]:
    return [event(number, endpoint)._replace(app_id=app_id) for number in range(first, last + 1)]


async def test_one_endpoint_gets_half_of_the_queue_and_hears_what_was_refused(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=8)
    assert await offer(queue, events(1, 6, "wh_a")) == ["e5", "e6"]
    assert (await queue.depths()).waiting == 4


async def test_the_refusal_names_the_endpoint(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=2)
    with pytest.raises(QueueFull, match="full for wh_a: 2 events refused"):
        await queue.append(events(1, 3, "wh_a"))


async def test_a_full_lane_leaves_room_for_others_in_the_same_call(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=20)
    await queue.append(events(1, 10, "wh_a"))
    await queue.depths()  # SQS learns here what the lane holds
    mixed = [*events(11, 12, "wh_a"), *events(21, 22, "wh_b"), *events(31, 33, "wh_c", "other")]
    assert await offer(queue, mixed) == ["e11", "e12"]
    assert (await queue.depths()).waiting == 15


async def test_an_app_full_of_dead_endpoints_leaves_more_to_another_app_than_to_itself(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=60)
    for number in range(6):
        await offer(queue, events(number * 100, number * 100 + 39, f"wh_dead{number}"))
        await queue.depths()
    own = await offer(queue, events(1000, 1009, "wh_healthy"))
    others = await offer(queue, events(2000, 2009, "wh_other", "other"))
    assert 0 < len(others) < len(own) < 10


async def test_the_bound_holds_however_many_lanes_there_are(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=6)
    refused = [await offer(queue, events(number, number, f"wh_{number}")) for number in range(8)]
    assert refused == [[]] * 6 + [["e6"], ["e7"]]
    assert (await queue.depths()).waiting == 6


async def test_refused_events_are_taken_once_there_is_room(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=4)
    await queue.append(events(1, 2, "wh_a"))
    await queue.depths()
    assert await offer(queue, events(3, 4, "wh_a")) == ["e3", "e4"]
    for held in await claim(queue):
        await queue.ack(held.token)
    assert await offer(queue, events(3, 4, "wh_a")) == []
    assert (await queue.depths()).waiting == 2


async def test_a_call_that_was_taken_in_part_can_be_repeated_as_it_was(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=4)
    for _ in range(2):
        assert await offer(queue, events(1, 4, "wh_a")) == ["e3", "e4"]
        assert (await queue.depths()).waiting == 2


async def test_events_that_a_full_queue_has_already_are_not_refused(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=4)
    await queue.append(events(1, 2, "wh_a"))
    assert await offer(queue, events(1, 2, "wh_a")) == []
    assert (await queue.depths()).waiting == 2


async def test_a_refused_event_that_comes_twice_in_a_call_is_refused_once(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=2)
    assert await offer(queue, [*events(1, 2, "wh_a"), *events(2, 2, "wh_a")]) == ["e2"]


async def test_jobs_in_flight_count_for_the_whole_and_not_for_their_lane(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=4)
    await queue.append(events(1, 2, "wh_a"))
    await claim(queue)
    assert await offer(queue, events(3, 5, "wh_a")) == ["e4", "e5"]


async def test_delayed_retries_count_for_their_lane(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=4)
    await queue.append(events(1, 2, "wh_a"))
    for held in await claim(queue):
        await queue.retry(held.token, held.job, 600)
    assert (await queue.depths()).delayed == 2
    if driver.kind != "sqs":  # SQS does not tell whose they are
        assert await offer(queue, events(3, 3, "wh_a")) == ["e3"]
    assert await offer(queue, events(4, 5, "wh_b")) == ["e5"]


async def test_more_events_than_one_script_takes_keep_their_order_when_some_are_refused(driver: Driver) -> None:
    most = 1200 if driver.kind != "sqs" else 120  # moto is slow
    queue = await driver.make(default_policy=replace(AT_ONCE, ordered=True), max_queue_len=most)
    refused = await offer(queue, [*events(1, most, "wh_a"), *events(most + 1, most + 3, "wh_b")])
    assert refused == [f"e{number}" for number in range(most // 2 + 1, most + 1)]
    assert (await queue.depths()).waiting == most // 2 + 3


async def test_what_a_deleted_endpoint_held_is_free_again(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=8)
    await queue.append(events(1, 4, "wh_a"))
    assert await queue.drop("wh_a", "endpoint_deleted") == 4
    assert await offer(queue, events(5, 9, "wh_a")) == ["e9"]
