"""Changes that an adapter answers for until the queue has their events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded
from sockudo_py.endpoints import ChannelFilter
from sockudo_py.webhooks.spool.memory import SpoolLimits
from tests.unit.webhooks.fakes import until
from tests.unit.webhooks.make import NOW_MS, endpoint
from tests.unit.webhooks.test_dispatcher import Site, running

CAME = ChannelOccupied("app-1", "c", id="e.1-7", time_ms=NOW_MS - 5000)


class Told:
    """How often ``stored`` was called."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@asynccontextmanager
async def site(*uids: str, spool: SpoolLimits | None = None) -> AsyncIterator[Site]:
    async with running(spool) as started:
        started.registry.replace("app-1", "config", [endpoint(uid) for uid in uids])
        yield started


async def test_events_keep_the_id_and_the_time_of_their_change() -> None:
    async with site("wh_1", "wh_2") as running:
        running.dispatcher.add(CAME, Told())
        await until(lambda: len(running.queue.taken) == 2)
        assert [event.id for event in running.queue.taken] == ["t_e.1-7_wh_1", "t_e.1-7_wh_2"]
        assert {event.created_ms for event in running.queue.taken} == {NOW_MS - 5000}
        assert orjson.loads(running.queue.taken[0].event)["time_ms"] == NOW_MS - 5000


async def test_a_change_is_stored_once_when_the_queue_has_all_its_events_and_not_before() -> None:
    async with site("wh_1", "wh_2") as running:
        running.queue.away = True
        told = Told()
        running.dispatcher.add(CAME, told)
        await until(lambda: running.queue.calls != [])
        assert told.times == 0
        running.queue.away = False
        await until(lambda: told.times > 0)
        assert len(running.queue.taken) == 2
        assert told.times == 1


async def test_a_change_that_nobody_wants_is_stored_at_once() -> None:
    async with site("wh_1") as running:
        told = Told()
        running.dispatcher.add(ChannelOccupied("app-2", "c", id="1", time_ms=1), told)
        running.registry.replace("app-1", "config", [endpoint("wh_1", event_types=frozenset({"member_added"}))])
        running.dispatcher.add(CAME, told)
        running.registry.replace("app-1", "config", [endpoint("wh_1", filter=ChannelFilter(channel_type="presence"))])
        running.dispatcher.add(CAME, told)
        assert told.times == 3
        assert running.metrics.filtered.values == {(): 1}


async def test_a_change_whose_events_are_dropped_is_stored_when_they_are() -> None:
    async with site("wh_1", spool=SpoolLimits(max_events=10)) as running:
        running.queue.away = True
        running.dispatcher.add(ChannelOccupied("app-1", "in hand"))
        await until(lambda: running.queue.calls != [])
        first = Told()
        running.dispatcher.add(ChannelVacated("app-1", "c", id="e.1-8", time_ms=NOW_MS), first)
        for number in range(20):
            running.dispatcher.add(MemberAdded("app-1", "presence-c", str(number), id=str(number), time_ms=1), Told())
        assert first.times == 1
        assert sum(running.metrics.spool_dropped.values.values()) > 0


async def test_changes_stay_in_order_whoever_answers_for_them() -> None:
    async with site("wh_1") as running:
        running.dispatcher.add(ChannelOccupied("app-1", "a"))
        running.dispatcher.add(ChannelOccupied("app-1", "b", id="2", time_ms=NOW_MS), Told())
        running.dispatcher.add(ChannelOccupied("app-1", "c"))
        await until(lambda: len(running.queue.taken) == 3)
        assert [orjson.loads(event.event)["channel"] for event in running.queue.taken] == ["a", "b", "c"]


async def test_a_change_that_is_told_again_while_it_waits_is_stored_for_both() -> None:
    async with site("wh_1") as running:
        first, again = Told(), Told()
        running.dispatcher.add(CAME, first)
        running.dispatcher.add(CAME, again)
        await until(lambda: again.times > 0)
        assert (first.times, again.times) == (1, 1)


async def test_what_a_shutdown_leaves_behind_is_not_stored() -> None:
    async with site("wh_1") as running:
        running.queue.away = True
        told = Told()
        running.dispatcher.add(CAME, told)
        await running.dispatcher.stop(timeout=0.05)
        assert told.times == 0
