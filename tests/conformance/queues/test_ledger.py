"""The ledger: written with the events about it or not at all, and inherited once."""

import pytest

from sockudo_py.queues.base import Append, LedgerEntry, Occupancy, Queue, QueueFull
from tests.conformance.queues.conftest import AT_ONCE, Driver, event

ROOM = Occupancy("o1", "app", "presence-room")
ANN = Occupancy("o2", "app", "presence-room", "ann ü\n", "1.2")


@pytest.fixture
async def keeper(driver: Driver) -> Driver:
    """A driver that keeps a ledger."""
    if driver.kind not in ("sqlite", "redis"):
        pytest.skip("keeps no ledger")
    return driver


async def offer(queue: Queue, events: list[Append], *entries: LedgerEntry) -> list[str]:
    """Append; return the ids of the events that were refused."""
    try:
        await queue.append(events, entries)
    except QueueFull as full:
        return [refused.id for refused in full.refused]
    return []


async def left(driver: Driver) -> list[Occupancy]:
    """End the run, and return what the next one inherits."""
    return sorted(await (await driver.restart()).inherit())


async def test_memory_and_sqs_keep_none(driver: Driver) -> None:
    queue = await driver.make()
    assert queue.keeps_ledger == (driver.kind in ("sqlite", "redis"))
    assert await queue.inherit() == ([] if queue.keeps_ledger else ())


async def test_what_is_there_is_inherited_by_the_next_run(keeper: Driver) -> None:
    queue = await keeper.make()
    assert await queue.inherit() == []
    await queue.append([event(1)], [LedgerEntry(ROOM, new=True), LedgerEntry(ANN, new=True)])
    assert await left(keeper) == [ROOM, ANN]


async def test_a_run_inherits_once(keeper: Driver) -> None:
    queue = await keeper.make()
    await queue.append([], [LedgerEntry(ROOM, new=True)])
    again = await keeper.restart()
    assert await again.inherit() == [ROOM]
    assert await again.inherit() == []


async def test_entries_are_written_without_events_too(keeper: Driver) -> None:
    queue = await keeper.make()
    await queue.append([], [LedgerEntry(ROOM, new=True)])
    assert (await queue.depths()).waiting == 0
    assert await left(keeper) == [ROOM]


async def test_what_is_over_for_all_is_struck_out_with_the_last_event(keeper: Driver) -> None:
    queue = await keeper.make()
    await queue.append([event(1)], [LedgerEntry(ROOM, new=True), LedgerEntry(ANN, new=True)])
    await queue.append([event(2)], [LedgerEntry(ROOM, over=True, events=("e2",))])
    assert await left(keeper) == [ANN]


async def test_what_begins_and_ends_in_one_call_is_not_written(keeper: Driver) -> None:
    queue = await keeper.make()
    await queue.append([event(1), event(2)], [LedgerEntry(ROOM, over=True, events=("e2",), new=True)])
    assert await left(keeper) == []


async def test_what_others_have_yet_to_hear_stays_owed(keeper: Driver) -> None:
    queue = await keeper.make()
    await queue.append([event(1)], [LedgerEntry(ROOM, new=True)])
    owed = ROOM._replace(owed=("wh_b", "wh_c"))
    await queue.append([event(2)], [LedgerEntry(owed, over=True, events=("e2",))])
    assert await left(keeper) == [owed]


async def test_whom_the_call_refuses_stays_owed(keeper: Driver) -> None:
    queue = await keeper.make(default_policy=AT_ONCE, max_queue_len=8)
    await queue.append([event(number) for number in range(1, 5)], [LedgerEntry(ROOM, new=True)])
    endings = [event(5), event(6, "wh_b"), event(7, "wh_c")]
    assert await offer(queue, endings, LedgerEntry(ROOM, over=True, events=("e5", "e6", "e7"))) == ["e5"]
    assert await left(keeper) == [ROOM._replace(owed=("wh_a",))]


async def test_what_begins_and_is_over_in_a_call_that_refuses_some_of_it_is_written(keeper: Driver) -> None:
    queue = await keeper.make(default_policy=AT_ONCE, max_queue_len=8)
    await queue.append([event(number) for number in range(1, 5)])
    entry = LedgerEntry(ROOM._replace(owed=("wh_c",)), over=True, events=("e5", "e6"), new=True)
    assert await offer(queue, [event(5), event(6, "wh_b")], entry) == ["e5"]
    assert await left(keeper) == [ROOM._replace(owed=("wh_c", "wh_a"))]


async def test_entries_are_written_when_all_events_are_refused(keeper: Driver) -> None:
    queue = await keeper.make(default_policy=AT_ONCE, max_queue_len=2)
    await queue.append([event(1)])
    assert await offer(queue, [event(2)], LedgerEntry(ROOM, new=True)) == ["e2"]
    assert await left(keeper) == [ROOM]


async def test_a_repeated_call_writes_the_same_and_adds_nothing(keeper: Driver) -> None:
    queue = await keeper.make()
    for _ in range(2):
        await queue.append([event(1)], [LedgerEntry(ROOM, new=True), LedgerEntry(ANN, new=True)])
    for _ in range(2):
        await queue.append([event(2)], [LedgerEntry(ROOM, over=True, events=("e2",))])
    assert (await queue.depths()).waiting == 2
    assert await left(keeper) == [ANN]


async def test_many_are_inherited(keeper: Driver) -> None:
    queue = await keeper.make()
    many = [Occupancy(f"o{number:04}", "app", f"c{number}") for number in range(1500)]
    for at in range(0, len(many), 500):
        await queue.append([], [LedgerEntry(one, new=True) for one in many[at : at + 500]])
    assert await left(keeper) == many


async def test_an_occupancy_that_is_struck_out_again_does_no_harm(keeper: Driver) -> None:
    queue = await keeper.make()
    for _ in range(2):
        await queue.append([], [LedgerEntry(ROOM, over=True)])
    assert await left(keeper) == []
