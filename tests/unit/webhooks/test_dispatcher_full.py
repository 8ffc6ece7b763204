"""The dispatcher and a queue that is full for some endpoints."""

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from sockudo_py.changes import ChannelOccupied, ChannelVacated
from sockudo_py.queues.base import Append, LanePolicy, LedgerEntry, QueueFull
from sockudo_py.webhooks.spool.file import SpoolFile, Written
from sockudo_py.webhooks.spool.memory import SpoolLimits
from tests.support.spool import spooled
from tests.unit.webhooks.fakes import until
from tests.unit.webhooks.make import endpoint
from tests.unit.webhooks.test_dispatcher import Site, running

AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=100)


def raise_events(site: Site, app_id: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        site.dispatcher.add(ChannelOccupied(app_id, f"c-{number}"))


def with_endpoints(site: Site, *names: str) -> None:
    """Give each endpoint its own app of the same name."""
    for name in names:
        site.registry.replace(name, "config", [endpoint(f"wh_{name}", app_id=name)])


def taken(site: Site, name: str) -> list[str]:
    return [orjson.loads(append.event)["channel"] for append in site.queue.taken if append.app_id == name]


async def deliver_all(site: Site, name: str) -> None:
    """Deliver what the queue has for an endpoint."""
    await site.queue.set_policy(f"wh_{name}", AT_ONCE)
    for held in await site.queue.claim("w", 100, 30):
        await site.queue.ack(held.token)


async def test_a_full_lane_keeps_nobody_else_waiting() -> None:
    async with running(max_queue_len=20) as site:
        with_endpoints(site, "dead", "healthy")
        raise_events(site, "dead", 1, 30)
        await until(lambda: len(taken(site, "dead")) == 10)
        raise_events(site, "healthy", 1, 3)
        await until(lambda: len(taken(site, "healthy")) == 3)
        assert site.dispatcher.waiting == 20
        assert taken(site, "dead") == [f"c-{number}" for number in range(1, 11)]


async def test_what_was_refused_is_handed_over_in_order_once_there_is_room() -> None:
    async with running(max_queue_len=20) as site:
        with_endpoints(site, "dead")
        raise_events(site, "dead", 1, 15)
        await until(lambda: len(taken(site, "dead")) == 10)
        raise_events(site, "dead", 16, 25)
        await deliver_all(site, "dead")
        await until(lambda: len(taken(site, "dead")) == 20)
        await deliver_all(site, "dead")
        await until(lambda: len(taken(site, "dead")) == 25)
        assert taken(site, "dead") == [f"c-{number}" for number in range(1, 26)]
        assert site.dispatcher.waiting == 0


async def test_a_lane_that_has_room_again_gets_all_that_waits_at_once() -> None:
    async with running(max_queue_len=4000) as site:
        with_endpoints(site, "dead")
        raise_events(site, "dead", 1, 3500)
        await until(lambda: len(taken(site, "dead")) == 2000)
        await site.queue.drop("wh_dead", "expired")
        calls = len(site.queue.calls)
        await until(lambda: len(taken(site, "dead")) == 3500)
        assert len(site.queue.calls) - calls < 20
        assert taken(site, "dead") == [f"c-{number}" for number in range(1, 3501)]


async def test_one_line_tells_of_the_refusal_and_one_of_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(max_queue_len=4) as site:
        with_endpoints(site, "dead")
        raise_events(site, "dead", 1, 3)
        await until(lambda: site.metrics.enqueue_failures.values.get(("full",), 0) >= 3)
        raise_events(site, "dead", 4, 4)
        await deliver_all(site, "dead")
        await until(lambda: len(taken(site, "dead")) == 4)
        await until(lambda: not site.metrics.spool_lane_events.values)
        told = [record for record in caplog.records if "room" in record.message]
        assert [record.levelno for record in told] == [logging.ERROR, logging.INFO]
        assert "raise queue.reliability.max_queue_len" in told[0].message
        assert [vars(record)["webhook"] for record in told] == ["wh_dead", "wh_dead"]


async def test_metrics_tell_which_endpoint_waits() -> None:
    async with running(max_queue_len=4) as site:
        with_endpoints(site, "dead", "healthy")
        raise_events(site, "dead", 1, 7)
        raise_events(site, "healthy", 1, 1)
        await until(lambda: bool(site.metrics.enqueue_failures.values))
        assert site.metrics.spool_lane_events.values == {("wh_dead",): 5}
        assert site.metrics.spool_events.values == {(): 5}
        assert site.metrics.enqueued.values == {("dead",): 2, ("healthy",): 1}


async def test_the_outage_of_the_whole_queue_is_ridden_out_as_before() -> None:
    async with running(max_queue_len=20) as site:
        with_endpoints(site, "dead", "healthy")
        raise_events(site, "dead", 1, 12)
        await until(lambda: len(taken(site, "dead")) == 10)
        site.queue.away = True
        raise_events(site, "dead", 13, 14)
        raise_events(site, "healthy", 1, 2)
        await until(lambda: site.metrics.enqueue_failures.values.get(("unavailable",), 0) >= 2)
        site.queue.away = False
        await until(lambda: taken(site, "healthy") == ["c-1", "c-2"])
        await deliver_all(site, "dead")
        await until(lambda: len(taken(site, "dead")) == 14)
        assert taken(site, "dead") == [f"c-{number}" for number in range(1, 15)]


async def test_a_full_spool_drops_the_oldest_of_the_endpoint_that_was_refused() -> None:
    async with running(SpoolLimits(max_events=10), max_queue_len=8) as site:
        with_endpoints(site, "dead", "healthy")
        raise_events(site, "dead", 1, 4)
        await until(lambda: len(taken(site, "dead")) == 4)
        for number in range(5, 25):
            raise_events(site, "dead", number, number)
            await until(lambda: bool(site.metrics.enqueue_failures.values))
        raise_events(site, "healthy", 1, 1)
        await until(lambda: taken(site, "healthy") == ["c-1"])
        assert set(site.metrics.spool_dropped.values) == {("dead",)}
        async with asyncio.timeout(60):
            while taken(site, "dead")[-1] != "c-24":
                await site.queue.drop("wh_dead", "expired")
                await asyncio.sleep(0.01)
        kept = [int(channel[2:]) for channel in taken(site, "dead")]
        assert kept == sorted(kept)
        assert kept[:4] == [1, 2, 3, 4]


async def test_a_stop_does_not_wait_for_a_full_lane_and_writes_down_what_it_does_not_take(tmp_path: Path) -> None:
    site = Site(SpoolLimits(path=tmp_path / "spool"), max_queue_len=8)
    with_endpoints(site, "dead", "healthy")
    await site.dispatcher.start()
    raise_events(site, "dead", 1, 9)
    await until(lambda: len(taken(site, "dead")) == 4)
    raise_events(site, "dead", 10, 10)
    raise_events(site, "healthy", 1, 1)
    await site.dispatcher.stop(timeout=60)
    assert taken(site, "healthy") == ["c-1"]
    written = spooled(tmp_path / "spool")
    assert [orjson.loads(append.event)["channel"] for append in written] == [f"c-{number}" for number in range(5, 11)]


async def test_a_spool_file_keeps_only_what_was_refused_once_the_rest_was_taken(tmp_path: Path) -> None:
    file = tmp_path / "spool"
    limits = SpoolLimits(path=file)
    before = Site(limits)
    with_endpoints(before, "dead", "healthy")
    before.queue.away = True
    await before.dispatcher.start()
    raise_events(before, "dead", 1, 9)
    raise_events(before, "healthy", 1, 2)
    await before.dispatcher.stop(timeout=0.01)

    async with running(limits, max_queue_len=8) as after:
        with_endpoints(after, "dead", "healthy")
        await until(lambda: len(taken(after, "healthy")) == 2)
        await until(lambda: len(spooled(file)) < 11)
        kept = [(event.app_id, orjson.loads(event.event)["channel"]) for event in spooled(file)]
        first = len(taken(after, "dead")) + 1
        assert kept == [("dead", f"c-{number}") for number in range(first, 10)]


async def test_a_stop_hands_over_what_there_is_room_for_by_then() -> None:
    site = Site(max_queue_len=8)
    with_endpoints(site, "dead")
    await site.dispatcher.start()
    raise_events(site, "dead", 1, 6)
    await until(lambda: len(taken(site, "dead")) == 4)
    await site.queue.drop("wh_dead", "expired")
    await site.dispatcher.stop(timeout=60)
    assert taken(site, "dead") == [f"c-{number}" for number in range(1, 7)]


async def two_left_over(file: Path) -> Site:
    """Return a site that will find a spool file, with more than its queue has room for; not started."""
    before = Site(SpoolLimits(path=file))
    with_endpoints(before, "dead", "healthy")
    raise_events(before, "dead", 1, 10)
    raise_events(before, "healthy", 1, 1)
    await before.dispatcher.stop()
    site = Site(SpoolLimits(path=file), max_queue_len=8)
    with_endpoints(site, "dead", "healthy")
    return site


async def test_a_shutdown_while_the_spool_file_is_tidied_still_writes_all_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "spool"
    site = await two_left_over(file)
    slow, go_on = threading.Event(), threading.Event()
    append = SpoolFile.append

    def write(file: SpoolFile, events: Sequence[Append]) -> Written:
        if not slow.is_set():  # the first one, on a slow disk
            slow.set()
            assert go_on.wait(60)
        return append(file, events)

    monkeypatch.setattr(SpoolFile, "append", write)
    await site.dispatcher.start()
    await until(slow.is_set)
    raise_events(site, "dead", 11, 12)
    stopping = asyncio.create_task(site.dispatcher.stop(timeout=0))
    done, _ = await asyncio.wait({stopping}, timeout=0.05)
    assert not done  # it waits for its turn with the file
    go_on.set()
    await stopping
    written = [orjson.loads(event.event)["channel"] for event in spooled(file)]
    assert [*taken(site, "dead"), *written] == [f"c-{number}" for number in range(1, 13)]


async def left_behind(path: Path) -> SpoolLimits:
    """Make the spool file that a dispatcher leaves which stops with one event; return the limits that name it."""
    limits = SpoolLimits(path=path)
    before = Site(limits)
    with_endpoints(before, "healthy")
    raise_events(before, "healthy", 1, 1)
    await before.dispatcher.stop()
    return limits


@pytest.mark.parametrize("stopping", [False, True])
async def test_what_comes_while_the_spool_file_is_removed_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopping: bool
) -> None:
    unlink, slow, go_on = Path.unlink, threading.Event(), threading.Event()

    def wait(path: Path, *, missing_ok: bool = False) -> None:
        slow.set()
        assert go_on.wait(60)
        unlink(path, missing_ok=missing_ok)

    limits = await left_behind(tmp_path / "spool")
    monkeypatch.setattr(Path, "unlink", wait)
    async with running(limits) as site:
        with_endpoints(site, "healthy")
        await until(slow.is_set)
        raise_events(site, "healthy", 2, 2)
        stop = [asyncio.create_task(site.dispatcher.stop(60))] if stopping else []
        await asyncio.sleep(0)  # it has begun
        go_on.set()
        await until(lambda: taken(site, "healthy") == ["c-1", "c-2"])
        await asyncio.gather(*stop)
    assert not os.listdir(tmp_path)


async def test_a_spool_file_that_can_not_be_removed_keeps_no_event_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(30, "Read-only file system")

    limits = await left_behind(tmp_path / "spool")
    monkeypatch.setattr(Path, "unlink", refuse)
    async with running(limits) as site:
        with_endpoints(site, "healthy")
        await until(lambda: "a webhook spool file can't be removed" in caplog.text)
        raise_events(site, "healthy", 2, 2)
        await until(lambda: taken(site, "healthy") == ["c-1", "c-2"])
    assert len(spooled(tmp_path / "spool")) == 1


async def test_refused_events_and_new_ones_that_overflow_the_spool_cost_no_more_than_what_is_too_much() -> None:
    async with running(SpoolLimits(max_events=5)) as site:
        with_endpoints(site, "dead")
        append = site.queue.append

        async def refuse_and_hear_more(events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
            site.queue.append = append  # type: ignore[method-assign]
            raise_events(site, "dead", 6, 8)
            for number in range(9, 12):  # of another kind, so that they are not in the spool yet
                site.dispatcher.add(ChannelVacated("dead", f"c-{number}"))
            raise QueueFull(events)

        site.queue.append = refuse_and_hear_more  # type: ignore[method-assign]
        raise_events(site, "dead", 1, 5)
        await until(lambda: bool(taken(site, "dead")) and not site.dispatcher.waiting)
        assert taken(site, "dead") == [f"c-{number}" for number in range(7, 12)]
        assert site.metrics.spool_dropped.values == {("dead",): 6}
