"""From appended events to jobs."""

import orjson

from sockudo_py.queues import jobs
from sockudo_py.queues.base import LanePolicy, Queue
from tests.conformance.queues.conftest import AT_ONCE, Driver, claim, claim_one, event

WINDOWS = LanePolicy(window=10.0, size=3, max_bytes=1000, slow_start=False)


def names(text: bytes) -> list[str]:
    return [item["name"] for item in jobs.decode(text).events()]


async def test_an_event_becomes_a_job_with_its_id_endpoint_app_and_time(queue: Queue) -> None:
    await queue.append([event(1)])
    job = jobs.decode((await claim_one(queue)).job)
    assert job == jobs.Job("e1", "wh_a", "app", event(1).created_ms, b'[{"name":"e1"}]')


async def test_a_job_text_is_exactly_the_documented_one(queue: Queue) -> None:
    await queue.append([event(1)])
    assert (await claim_one(queue)).job == (
        b'{"v":1,"id":"e1","ep":"wh_a","kind":"webhook","app":"app","attempt":0,"redrives":0,'
        b'"created_ms":1800000000000,"events":[{"name":"e1"}]}'
    )


async def test_nothing_is_claimed_before_the_window_has_passed(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(1), event(2)])
    assert await claim(queue) == []


async def test_what_gathered_within_the_window_is_one_job(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(1)])
    driver.advance(5)
    await queue.append([event(2)])
    driver.advance(5)
    assert names((await claim_one(queue)).job) == ["e1", "e2"]


async def test_a_merged_job_has_the_id_of_its_first_event(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(1), event(2), event(3)])
    assert jobs.decode((await claim_one(queue)).job).id == "e1"


async def test_the_window_begins_anew_with_the_first_event_after_a_claim(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(1)])
    driver.advance(10)
    await claim_one(queue)
    await queue.append([event(2)])
    driver.advance(5)
    assert await claim(queue) == []


async def test_a_full_batch_does_not_wait_for_its_window(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(1), event(2)])
    await queue.append([event(3)])
    assert names((await claim_one(queue)).job) == ["e1", "e2", "e3"]


async def test_more_than_a_full_batch_is_split_in_order(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(number) for number in range(7)])
    driver.advance(10)
    batches = [names(got.job) for got in await claim(queue)]
    assert batches == [["e0", "e1", "e2"], ["e3", "e4", "e5"], ["e6"]]


async def test_the_rest_of_a_full_batch_waits_for_its_window(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(number) for number in range(4)])
    assert len(await claim(queue)) == 1


async def test_a_batch_stays_below_its_size_in_bytes(driver: Driver) -> None:
    two = len(event(1).event) * 2 + 1
    queue = await driver.make(default_policy=LanePolicy(window=0.0, size=10, max_bytes=two, slow_start=False))
    await queue.append([event(number) for number in range(5)])
    assert [names(got.job) for got in await claim(queue)] == [["e0", "e1"], ["e2", "e3"], ["e4"]]


async def test_an_event_larger_than_a_batch_goes_alone(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, size=10, max_bytes=5, slow_start=False))
    await queue.append([event(1), event(2)])
    assert [names(got.job) for got in await claim(queue)] == [["e1"], ["e2"]]


async def test_a_solo_event_shares_its_job_with_none_and_keeps_its_place(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, size=10, slow_start=False))
    await queue.append([event(1), event(2), event(3, solo=True), event(4, solo=True), event(5), event(6)])
    batches = [names(got.job) for got in await claim(queue)]
    assert batches == [["e1", "e2"], ["e3"], ["e4"], ["e5", "e6"]]


async def test_events_of_different_endpoints_never_meet(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, size=10, slow_start=False))
    await queue.append([event(1, "wh_a"), event(2, "wh_b"), event(3, "wh_a")])
    got = sorted(names(got.job) for got in await claim(queue))
    assert got == [["e1", "e3"], ["e2"]]


async def test_appending_the_same_event_twice_adds_it_once(queue: Queue) -> None:
    await queue.append([event(1), event(2)])
    await queue.append([event(2), event(3)])
    assert [names(got.job) for got in await claim(queue)] == [["e1"], ["e2"], ["e3"]]


async def test_the_same_event_twice_in_one_call_is_added_once(queue: Queue) -> None:
    await queue.append([event(1), event(1)])
    assert len(await claim(queue)) == 1


async def test_an_event_that_was_delivered_is_not_added_again(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    await queue.ack((await claim_one(queue)).token)
    driver.advance(290)
    await queue.append([event(1)])
    assert await claim(queue) == []


async def test_appending_nothing_is_fine(queue: Queue) -> None:
    await queue.append([])
    assert (await queue.depths()).waiting == 0


async def test_the_bytes_of_an_event_arrive_as_they_were(queue: Queue) -> None:
    text = orjson.dumps({"data": '{"a":"]},\\"events\\":[{"}', "name": 'é\u2028"\\', "n": 1.5})
    big = text[:-1] + b',"big":123456789012345678901234567890}'
    await queue.append([event(1).__class__("e1", "wh_a", "app", big, 1)])
    assert jobs.decode((await claim_one(queue)).job).events_text == b"[" + big + b"]"


async def test_ids_and_endpoints_may_hold_any_character(queue: Queue) -> None:
    odd = 'wh"\\\n\u00e9 {:}'
    await queue.append([event(1).__class__(odd, odd, odd, b"{}", 1), event(1).__class__("x", odd, odd, b"{}", 1)])
    got = await claim(queue)
    assert {jobs.decode(one.job).endpoint for one in got} == {odd}
    assert [await queue.ack(one.token) for one in got] == [True, True]


async def test_a_policy_holds_for_its_lane_only(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.set_policy("wh_b", WINDOWS)
    await queue.append([event(1, "wh_a"), event(2, "wh_b")])
    assert [jobs.decode(got.job).endpoint for got in await claim(queue)] == ["wh_a"]


async def test_a_policy_may_change_while_events_wait(driver: Driver) -> None:
    queue = await driver.make(default_policy=WINDOWS)
    await queue.append([event(1), event(2)])
    await queue.set_policy("wh_a", LanePolicy(window=10.0, size=2, slow_start=False))
    assert names((await claim_one(queue)).job) == ["e1", "e2"]
