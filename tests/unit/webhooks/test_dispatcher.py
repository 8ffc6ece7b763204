import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.changes import (
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    MemberAdded,
)
from sockudo_py.endpoints import Batching, ChannelFilter
from sockudo_py.errors import SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append, LedgerEntry
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.intake import dispatcher
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.spool.noise import Leaves, Noise
from tests.support.fake_loop import FakeLoop
from tests.support.spool import leave, spooled
from tests.unit.webhooks.fakes import FlakyQueue, until
from tests.unit.webhooks.make import NOW, NOW_MS, endpoint


class Site:
    def __init__(self, spool: SpoolLimits | None = None, max_queue_len: int = 100_000) -> None:
        self.queue = FlakyQueue(max_queue_len=max_queue_len)
        self.registry = EndpointRegistry()
        self.metrics = WebhookMetrics(Metrics())
        self.dispatcher = Dispatcher(self.queue, self.registry, self.metrics, spool=spool, clock=lambda: NOW)

    def events(self) -> list[tuple[str, str]]:
        return [(append.endpoint, orjson.loads(append.event)["name"]) for append in self.queue.taken]


class PutOff:
    """A brake that has put off changes of which no endpoint wants to hear."""

    def __init__(self, slices: int) -> None:
        self.slices = slices
        self.held: list[Noise] = []

    def hold(self, noise: Noise) -> None:
        self.held.append(noise)

    def crowded(self, crowded: bool) -> None:
        pass

    def here(self, source: Source) -> bool:
        return True

    def catch_up(self) -> bool:
        self.slices -= 1
        return self.slices > 0


@asynccontextmanager
async def running(spool: SpoolLimits | None = None, max_queue_len: int = 100_000) -> AsyncIterator[Site]:
    site = Site(spool, max_queue_len)
    await site.dispatcher.start()
    try:
        yield site
    finally:
        site.queue.away = False
        await site.dispatcher.stop()


async def test_nobody_stays_held_because_what_was_put_off_leads_to_no_events() -> None:
    queue, brake = FlakyQueue(), PutOff(slices=200)
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    limits = SpoolLimits(max_events=100)
    one = Dispatcher(queue, registry, WebhookMetrics(Metrics()), spool=limits, brake=brake)
    source = Source("app-1", "1.1")
    for number in range(60):
        one.add(ChannelOccupied("app-1", f"c{number}", source))
    assert one.waiting == 60
    assert brake.held[-1].sources == {source}
    await one.start()
    try:
        await until(lambda: brake.held[-1] == Noise())
    finally:
        await one.stop()


class AdapterBrake:
    """Puts off what an adapter has to tell, as a server does; nobody is there to be held."""

    def __init__(self, adapter: LocalAdapter) -> None:
        self._adapter = adapter
        self.full: Callable[[], bool] = lambda: False

    def hold(self, noise: Noise) -> None:
        self._adapter.put_off(Leaves(noise, self.full).wait)

    def crowded(self, crowded: bool) -> None:
        self._adapter.put_off(Leaves(Noise(), self.full).wait if crowded else None)

    def here(self, source: Source) -> bool:
        return False

    def catch_up(self) -> bool:
        return self._adapter.tell_put_off(50)


async def test_a_crowd_that_is_gone_at_once_does_not_overflow_the_spool() -> None:
    loop = FakeLoop()
    adapter = LocalAdapter(3.0, loop.call_later, loop.clock)
    brake, metrics = AdapterBrake(adapter), WebhookMetrics(Metrics())
    queue, registry = FlakyQueue(), EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1", event_types=frozenset({"channel_vacated"}))])
    one = Dispatcher(queue, registry, metrics, spool=SpoolLimits(max_events=1000), brake=brake)
    adapter.start(lambda envelope: None, one.add)
    brake.full = one.nearly_full
    crowd = [Source("app-1", f"1.{number}", f"192.0.2.{number}") for number in range(200)]
    held = [(f"c{source.socket_id}-{number}", source) for source in crowd for number in range(20)]
    for channel, source in held:
        adapter.join("app-1", channel, source, None, 100, False, lambda outcome: None)
    for channel, source in held:
        adapter.leave("app-1", channel, source, None, False, lambda outcome: None)
    loop.advance(3.0)
    assert one.waiting < 1000
    await one.start()
    try:
        await until(lambda: len(queue.taken) == 200 * 20)
    finally:
        await one.stop()
    assert not metrics.spool_dropped.values


async def test_a_change_reaches_the_lane_of_every_endpoint_that_wants_it() -> None:
    async with running() as site:
        site.registry.replace(
            "app-1",
            "config",
            [
                endpoint("wh_all"),
                endpoint("wh_members", event_types=frozenset({"member_added"})),
                endpoint("wh_off", enabled=False),
            ],
        )
        site.registry.replace("app-2", "config", [endpoint("wh_other", app_id="app-2")])
        site.dispatcher.add(ChannelOccupied("app-1", "presence-a"))
        site.dispatcher.add(MemberAdded("app-1", "presence-a", "10", "1.2"))
        await until(lambda: len(site.queue.taken) == 3)
        assert site.events() == [
            ("wh_all", "channel_occupied"),
            ("wh_all", "member_added"),
            ("wh_members", "member_added"),
        ]


async def test_an_append_carries_time_app_and_a_unique_id() -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint("wh_1"), endpoint("wh_2")])
        site.dispatcher.add(ChannelOccupied("app-1", "a"))
        await until(lambda: len(site.queue.taken) == 2)
        first, second = site.queue.taken
        assert (first.app_id, first.created_ms) == ("app-1", NOW_MS)
        assert first.event == b'{"name":"channel_occupied","channel":"a","time_ms":%d}' % NOW_MS
        assert first.id != second.id


async def test_n212_a_filter_keeps_events_back_before_they_are_queued() -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint(filter=ChannelFilter(channel_type="presence"))])
        site.dispatcher.add(ChannelOccupied("app-1", "news"))
        site.dispatcher.add(ChannelOccupied("app-1", "presence-a"))
        await until(lambda: len(site.queue.taken) == 1)
        assert orjson.loads(site.queue.taken[0].event)["channel"] == "presence-a"
        assert site.metrics.filtered.values == {(): 1}


async def test_a_channel_filter_does_not_speak_of_events_without_a_channel() -> None:
    async with running() as site:
        listed = frozenset({"connection_established"})
        site.registry.replace(
            "app-1", "config", [endpoint(event_types=listed, filter=ChannelFilter(channel_type="presence"))]
        )
        site.dispatcher.add(ConnectionEstablished("app-1", "1.2"))
        await until(lambda: site.events() == [("wh_1", "connection_established")])


@pytest.mark.parametrize(
    ("change", "solo"),
    [
        (ChannelOccupied("app-1", "news"), False),
        (ChannelOccupied("app-1", "private-encrypted-a"), True),
        (ConnectionEstablished("app-1", "1.2"), True),
    ],
)
async def test_n214_n215_events_that_must_be_alone_are_marked(change: Change, solo: bool) -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint(event_types=frozenset({"*", "connection_established"}))])
        site.dispatcher.add(change)
        await until(lambda: len(site.queue.taken) == 1)
        assert site.queue.taken[0].solo is solo


async def test_changes_of_one_turn_of_the_loop_go_in_one_call() -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint()])
        for number in range(50):
            site.dispatcher.add(ChannelOccupied("app-1", f"c-{number}"))
        await until(lambda: len(site.queue.taken) == 50)
        assert len(site.queue.calls) == 1


@pytest.mark.parametrize("gathers", [True, False])
async def test_what_comes_soon_after_a_call_waits_unless_its_endpoint_is_in_a_hurry(gathers: bool) -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint(batching=Batching(enabled=gathers))])
        for number in range(20):
            site.dispatcher.add(ChannelOccupied("app-1", f"c-{number}"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert len(site.queue.calls) == (1 if gathers else 20)
        await until(lambda: len(site.queue.taken) == 20)
        assert [b"c-%d" % number in event.event for number, event in enumerate(site.queue.taken)] == [True] * 20
        assert not gathers or len(site.queue.calls) < 10


async def test_a_change_that_nobody_wants_wakes_nobody() -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint(event_types=frozenset({"channel_vacated"}))])
        site.dispatcher.add(ChannelOccupied("app-1", "c"))
        site.dispatcher.add(ChannelOccupied("app-without-webhooks", "c"))
        site.dispatcher.add(ChannelVacated("app-1", "c"))
        await until(lambda: len(site.queue.taken) == 1)
        assert site.events() == [("wh_1", "channel_vacated")]


async def test_while_the_queue_is_away_events_wait_in_order_and_are_taken_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint()])
        site.queue.away = True
        site.dispatcher.add(ChannelOccupied("app-1", "c-0"))
        await until(lambda: len(site.queue.calls) >= 2)
        for number in range(1, 10):
            site.dispatcher.add(ChannelOccupied("app-1", f"c-{number}"))
        assert site.dispatcher.waiting == 10
        site.queue.away = False
        await until(lambda: len(site.queue.taken) == 10)
        channels = [orjson.loads(append.event)["channel"] for append in site.queue.taken]
        assert channels == [f"c-{number}" for number in range(10)]
        assert site.dispatcher.waiting == 0
        assert site.metrics.enqueue_failures.values[("unavailable",)] >= 2
        outages = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(outages) == 1, "one line per outage"


async def test_after_a_lost_reply_the_very_same_call_is_repeated_and_nothing_is_doubled() -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint()])
        site.queue.lost_replies = 1
        site.dispatcher.add(ChannelOccupied("app-1", "c"))
        await until(lambda: len(site.queue.calls) == 2)
        assert site.queue.calls[0] == site.queue.calls[1]
        assert (await site.queue.depths()).waiting == 1


async def test_a_bug_in_the_queue_loses_nothing() -> None:
    async with running() as site:
        site.registry.replace("app-1", "config", [endpoint()])
        site.queue.bugs = 1
        site.dispatcher.add(ChannelOccupied("app-1", "c"))
        await until(lambda: len(site.queue.taken) == 1)
        assert site.metrics.enqueue_failures.values == {("error",): 1}


async def test_a_full_spool_drops_from_the_noisy_app_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with running(SpoolLimits(max_events=5)) as site:
        site.registry.replace("quiet", "config", [endpoint("wh_q", app_id="quiet")])
        site.registry.replace("noisy", "config", [endpoint("wh_n", app_id="noisy")])
        site.queue.away = True
        site.dispatcher.add(ChannelOccupied("quiet", "in-hand"))
        await until(lambda: len(site.queue.calls) >= 1)
        site.dispatcher.add(ChannelOccupied("quiet", "c"))
        for number in range(20):
            site.dispatcher.add(ChannelOccupied("noisy", f"c-{number}"))
        assert site.dispatcher.waiting == 6
        assert site.metrics.spool_dropped.values == {("noisy",): 16}
        assert sum("spool is full" in record.message for record in caplog.records) == 1
        site.queue.away = False
        await until(lambda: len(site.queue.taken) == 6)
        kept = [orjson.loads(a.event)["channel"] for a in site.queue.taken if a.app_id == "noisy"]
        assert kept == ["c-16", "c-17", "c-18", "c-19"]


async def test_stop_hands_over_what_is_left() -> None:
    site = Site()
    site.registry.replace("app-1", "config", [endpoint()])
    await site.dispatcher.start()
    site.dispatcher.add(ChannelOccupied("app-1", "c"))
    await site.dispatcher.stop()
    assert len(site.queue.taken) == 1


async def test_what_can_not_be_handed_over_is_written_down_and_comes_back(tmp_path: Path) -> None:
    limits = SpoolLimits(path=tmp_path / "spool")
    before = Site(limits)
    before.registry.replace("app-1", "config", [endpoint()])
    before.queue.away = True
    await before.dispatcher.start()
    for number in range(3):
        before.dispatcher.add(ChannelOccupied("app-1", f"c-{number}"))
    await before.dispatcher.stop(timeout=0.01)
    written = spooled(tmp_path / "spool")
    assert len(written) == 3

    async with running(limits) as after:
        await until(lambda: len(after.queue.taken) == 3)
        assert after.queue.taken == written
        await until(lambda: not spooled(tmp_path / "spool"))
    assert not os.listdir(tmp_path)


async def test_a_spool_file_stays_until_the_queue_has_its_events(tmp_path: Path) -> None:
    limits = SpoolLimits(path=tmp_path / "spool")
    before = Site(limits)
    before.registry.replace("app-1", "config", [endpoint()])
    before.queue.away = True
    await before.dispatcher.start()
    before.dispatcher.add(ChannelOccupied("app-1", "c"))
    await before.dispatcher.stop(timeout=0.01)

    again = Site(limits)
    again.queue.away = True
    await again.dispatcher.start()
    await until(lambda: len(again.queue.calls) >= 1)
    assert len(spooled(tmp_path / "spool")) == 1
    await again.dispatcher.stop(timeout=0.01)
    assert len(spooled(tmp_path / "spool")) == 1


async def test_lines_that_hold_no_event_are_kept_for_a_person(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = tmp_path / "spool"
    whole = Append("1", "wh_1", "app-1", b"{}", 5)
    path = leave(base, [whole])
    path.write_bytes(path.read_bytes() + b"garbage\n")
    async with running(SpoolLimits(path=base)) as site:
        assert (tmp_path / "spool.bad").read_bytes() == b"garbage\n"
        assert f"{path}: lines that hold no event were moved to {base}.bad: line 2: is not JSON" in caplog.text
        await until(lambda: site.queue.taken == [whole])
        await until(lambda: not path.exists())


def left_by_others(base: Path, files: int, each: int) -> list[Append]:
    made = [[Append(f"{file}-{number}", "wh_1", "app-1", b"{}", 5) for number in range(each)] for file in range(files)]
    for events in made:
        leave(base, events)
    return [event for events in made for event in events]


async def test_files_that_hold_more_than_memory_are_handed_over_whole(tmp_path: Path) -> None:
    events = left_by_others(tmp_path / "spool", 4, 30)
    async with running(SpoolLimits(max_events=20, path=tmp_path / "spool")) as site:
        await until(lambda: site.queue.taken == events)
        await until(lambda: not spooled(tmp_path / "spool"))
    assert site.metrics.spool_dropped.values == {}


async def test_files_are_read_and_removed_although_there_is_always_something_to_hand_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_LOOK_INTERVAL", 0.01)
    events = left_by_others(tmp_path / "spool", 4, 30)
    async with running(SpoolLimits(max_events=50, path=tmp_path / "spool")) as site:
        site.registry.replace("app-1", "config", [endpoint("wh_new")])
        append = site.queue.append

        async def append_and_hear_more(batch: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
            await append(batch, ledger)
            site.dispatcher.add(ChannelOccupied("app-1", "c"))

        monkeypatch.setattr(site.queue, "append", append_and_hear_more)
        site.dispatcher.add(ChannelOccupied("app-1", "c"))
        await until(lambda: not spooled(tmp_path / "spool"))
        assert [event for event in site.queue.taken if event.endpoint == "wh_1"] == events
        monkeypatch.undo()
    assert site.metrics.spool_dropped.values == {}


async def test_a_spool_file_that_can_not_be_read_keeps_the_server_from_starting_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with pytest.raises(SockudoError, match=r"webhooks\.spool\.path: .*spool: Is a directory; .* move it away"):
        await Site(SpoolLimits(path=tmp_path / "spool")).dispatcher.start()


async def test_without_a_spool_file_the_loss_at_shutdown_is_told_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    site.registry.replace("app-1", "config", [endpoint()])
    site.queue.away = True
    await site.dispatcher.start()
    site.dispatcher.add(ChannelOccupied("app-1", "c"))
    await site.dispatcher.stop(timeout=0.01)
    assert "webhooks.spool.path is not set" in caplog.text
    assert site.metrics.spool_dropped.values == {("app-1",): 1}


def cost_of(call: Callable[[], object], rounds: int = 2000) -> float:
    """Microseconds of CPU of one call, the best of ten."""
    best = float("inf")
    for _ in range(10):
        started = time.process_time()
        for _ in range(rounds):
            call()
        best = min(best, time.process_time() - started)
    return best / rounds * 1e6


async def test_adding_is_cheap_where_somebody_listens_and_free_where_nobody_does() -> None:
    site = Site()
    site.registry.replace("app-1", "config", [endpoint()])
    event = ClientEventSent("app-1", "private-a", "client-x", '{"x":1}', "1.2")
    nobody = ClientEventSent("app-2", "private-a", "client-x", '{"x":1}', "1.2")
    unit = cost_of(lambda: sum(range(100)))  # how fast this machine is now
    assert cost_of(lambda: site.dispatcher.add(nobody)) < unit  # measured 0.14
    assert cost_of(lambda: site.dispatcher.add(event)) < 20 * unit  # measured 6
    site.queue.away = True


async def test_a_stop_that_has_no_time_ends_while_the_queue_is_away() -> None:
    site = Site()
    site.registry.replace("app-1", "config", [endpoint()])
    site.queue.away = True
    await site.dispatcher.start()
    site.dispatcher.add(ChannelOccupied("app-1", "c"))
    await until(lambda: bool(site.metrics.enqueue_failures.values))
    async with asyncio.timeout(30):
        await site.dispatcher.stop(timeout=0)
