"""Keys: what is appended under one is appended once."""

import asyncio
from typing import Any

import pytest

from sockudo_py.queues import once
from sockudo_py.queues.base import Queue, QueueFull
from sockudo_py.queues.once import OnceKey
from tests.conformance.queues.conftest import AT_ONCE, Driver, claim, event

HOUR = 3600.0
FORGETS = "SQS has no place for keys: they are in the process"


def key(name: str, value: bytes = b"first", app_id: str = "app") -> OnceKey:
    return OnceKey(app_id, name, value)


async def names(queue: Queue) -> list[str]:
    """Return the ids of all jobs that can be claimed."""
    return sorted(held.job.split(b'"id":"')[1].split(b'"')[0].decode() for held in await claim(queue))


async def test_the_second_call_under_a_key_adds_nothing_and_gets_the_value_of_the_first(queue: Queue) -> None:
    assert await queue.append_once(key("k", b'{"a":1}'), [event(1), event(2, "wh_b")]) is None
    assert await queue.append_once(key("k", b"second"), [event(3)]) == b'{"a":1}'
    assert await names(queue) == ["e1", "e2"]


async def test_a_key_is_kept_without_events_too(queue: Queue) -> None:
    assert await queue.append_once(key("k"), []) is None
    assert await queue.append_once(key("k"), [event(1)]) == b"first"
    assert await names(queue) == []


async def test_keys_are_of_an_app(queue: Queue) -> None:
    assert await queue.append_once(key("k", b"1", "app"), [event(1)]) is None
    assert await queue.append_once(key("k", b"2", "other"), [event(2)]) is None
    assert await names(queue) == ["e1", "e2"]


async def test_of_calls_at_the_same_time_one_adds(queue: Queue) -> None:
    calls = [queue.append_once(key("k", b"%d" % number), [event(number)]) for number in range(10)]
    answers = await asyncio.gather(*calls)
    [first] = [number for number, answer in enumerate(answers) if answer is None]
    assert [answer for answer in answers if answer is not None] == [b"%d" % first] * 9
    assert await names(queue) == [f"e{first}"]


async def test_where_there_is_no_room_for_all_neither_events_nor_key_are_added(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_queue_len=8)
    await queue.append([event(number, "wh_full") for number in range(4)])
    await queue.depths()  # SQS learns here what the lane holds
    with pytest.raises(QueueFull) as full:
        await queue.append_once(key("k"), [event(10, "wh_b"), event(11, "wh_full")])
    assert [refused.id for refused in full.value.refused] == ["e11"]
    assert (await queue.depths()).waiting == 4
    assert await queue.append_once(key("k", b"again"), [event(12, "wh_b")]) is None
    assert await queue.append_once(key("k"), []) == b"again"


async def test_a_key_is_known_for_24_hours(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append_once(key("k"), [])
    driver.advance(23.9 * HOUR)
    assert await queue.append_once(key("k"), []) == b"first"
    driver.advance(0.2 * HOUR)
    assert await queue.append_once(key("k", b"new"), [event(1)]) is None
    assert await queue.append_once(key("k"), []) == b"new"


async def test_keys_survive_the_process_as_their_events_do(driver: Driver) -> None:
    if driver.kind in ("memory", "sqs"):
        pytest.skip(FORGETS if driver.kind == "sqs" else "nothing in memory survives")
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append_once(key("k"), [event(1)])
    again = await driver.restarted(queue, default_policy=AT_ONCE)
    assert await again.append_once(key("k", b"second"), [event(2)]) == b"first"
    assert await names(again) == ["e1"]


async def test_an_app_with_too_many_keys_loses_its_oldest_and_no_other_app_does(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    few: dict[str, Any] = {"MOST_KEYS": 150, "GO_AT_ONCE": 20}
    for module in ("once", "sqlite.keys", "redis.queue"):
        for name, number in few.items():
            monkeypatch.setattr(f"sockudo_py.queues.{module}.{name}", number, raising=False)
    assert once.MOST_KEYS == 150
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append_once(key("k", b"other", "other"), [])
    for number in range(200):
        driver.advance(0.001)
        await queue.append_once(key(f"k{number}"), [])
    assert await queue.append_once(key("k", b"", "other"), []) == b"other"
    assert await queue.append_once(key("k199", b"again"), []) == b"first"
    assert await queue.append_once(key("k0", b"again"), []) is None
