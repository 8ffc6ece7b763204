"""Runs of a server over one store: what a crash leaves untold the next run tells, once, unless who is meant is back."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.changes import ClientEventSent
from sockudo_py.endpoints import ChannelFilter, Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append, LedgerEntry, Occupancy, QueueFull
from sockudo_py.queues.ledger import written
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.intake import recovery
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.intake.ledger import Ledger, ending_id
from sockudo_py.webhooks.intake.recovery import Recovery
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.memory import SpoolLimits
from tests.support.fake_loop import FakeLoop
from tests.unit.webhooks.fakes import FlakyQueue, until
from tests.unit.webhooks.make import NOW, endpoint

GRACE = 20.0
BEGINS, ENDS = frozenset({"channel_occupied", "member_added"}), frozenset({"channel_vacated", "member_removed"})
ANN = Member("ann", '{"name":"Ann"}')


class KeepingQueue(FlakyQueue):
    """A queue whose ledger outlives the runs of a server. ``full``: endpoints that it has no room for."""

    keeps_ledger = True

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, Occupancy] = {}
        self.full: set[str] = set()
        self.found: list[Occupancy] = []  # what ``inherit`` finds besides, once
        self.looks = 0
        self.turns = 0  # of the loop that an append takes
        self._new_run = True

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        refused = [event for event in events if event.endpoint in self.full]
        await super().append([event for event in events if event.endpoint not in self.full])
        there, gone = written(ledger, refused)
        self.rows.update({occupancy.id: occupancy for occupancy in there})
        for ident in gone:
            self.rows.pop(ident, None)
        if refused:
            raise QueueFull(refused)

    async def inherit(self) -> Sequence[Occupancy]:
        self.looks += 1
        self._check()
        found, self.found = self.found, []
        self.rows.update({occupancy.id: occupancy for occupancy in found})
        if self._new_run:
            self._new_run = False
            return list(self.rows.values())
        return found

    def next_run(self) -> None:
        self._new_run = True

    def told(self, uid: str = "wh_1") -> list[str]:
        """Return what an endpoint was told, as ``name channel user``."""
        events = [orjson.loads(event.event) for event in self.taken if event.endpoint == uid]
        return [
            " ".join((one["name"], one["channel"], *([one["user_id"]] if "user_id" in one else []))) for one in events
        ]

    def kept(self) -> set[tuple[str, str | None]]:
        return {(row.channel, row.user_id) for row in self.rows.values()}


class Run:
    """One run of a server: clients come and go at its adapter."""

    def __init__(self, queue: KeepingQueue, endpoints: Iterable[Endpoint], spool: SpoolLimits | None = None) -> None:
        queue.next_run()
        self.queue = queue
        self.loop = FakeLoop()
        self.adapter = LocalAdapter(0.0, self.loop.call_later, self.loop.clock)
        self.ledger = Ledger(int(NOW * 1000))
        self.registry = EndpointRegistry(ledger=True)
        self.registry.replace("app-1", "config", list(endpoints))
        self.metrics = WebhookMetrics(Metrics())
        self.dispatcher = Dispatcher(
            queue, self.registry, self.metrics, spool=spool, ledger=self.ledger, clock=lambda: NOW
        )
        self.recovery = Recovery(queue, self.ledger, self.dispatcher, self.adapter, self.registry, grace=GRACE)
        self.adapter.start(lambda envelope: None, self.dispatcher.add)

    async def start(self) -> None:
        await self.recovery.load()
        await self.dispatcher.start()
        self.recovery.start()

    def come(self, channel: str, member: Member | None = None) -> None:
        self.adapter.join("app-1", channel, Source("app-1", "1.2"), member, 100, False, lambda outcome: None)

    def go(self, channel: str, member: Member | None = None) -> None:
        self.adapter.leave("app-1", channel, Source("app-1", "1.2"), member, False, lambda outcome: None)

    async def settled(self) -> None:
        """Wait until the queue has all that it takes now."""
        await until(lambda: not self.dispatcher.behind and not self.ledger.changed)
        self.dispatcher.wake()
        for _ in range(5):
            await asyncio.sleep(0)

    async def missed_are_told(self) -> None:
        self.loop.advance(GRACE + 1)
        await self.settled()

    async def crash(self) -> None:
        await self.recovery.stop()
        task = self.dispatcher._task
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.dispatcher._disk._let_go()  # as the kernel does

    async def stop(self) -> None:
        await self.adapter.stop()
        await self.recovery.stop()
        await self.dispatcher.stop(0.1)


@asynccontextmanager
async def run(queue: KeepingQueue, *endpoints: Endpoint, **options: Any) -> AsyncIterator[Run]:
    """A run that ends with a crash."""
    one = Run(queue, endpoints or [endpoint()], **options)
    await one.start()
    try:
        yield one
    finally:
        await one.crash()


async def test_who_is_not_back_is_told_of_by_the_next_run_members_first_under_ids_that_every_run_gives() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("presence-room", ANN)
        await first.settled()
    occupancies = {row.user_id: row.id for row in queue.rows.values()}
    async with run(queue) as second:
        await second.missed_are_told()
        assert queue.told()[2:] == ["member_removed presence-room ann", "channel_vacated presence-room"]
        assert [event.id for event in queue.taken[2:]] == [f"p_{occupancies[user]}_wh_1" for user in ("ann", None)]
        assert orjson.loads(queue.taken[2].event)["socket_id"] == "1.2"
        assert queue.rows == {}


async def test_who_is_back_in_time_causes_no_event_and_its_end_is_told_when_it_comes() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("c")
        await first.settled()
    for _ in range(3):
        async with run(queue) as another:
            another.come("c")
            await another.missed_are_told()
            assert queue.told() == ["channel_occupied c"]
    async with run(queue) as last:
        last.come("c")
        last.go("c")
        await last.settled()
        assert queue.told() == ["channel_occupied c", "channel_vacated c"]
        assert queue.rows == {}


async def test_an_orderly_stop_leaves_nothing_to_tell() -> None:
    queue = KeepingQueue()
    first = Run(queue, [endpoint()])
    await first.start()
    first.come("c")
    await first.settled()
    first.go("c")
    await first.stop()
    assert (queue.told(), queue.rows) == (["channel_occupied c", "channel_vacated c"], {})


async def test_a_stop_within_the_grace_tells_of_those_who_are_missed() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("c")
        await first.settled()
    second = Run(queue, [endpoint()])
    await second.start()
    await second.stop()
    assert (queue.told(), queue.rows) == (["channel_occupied c", "channel_vacated c"], {})


async def test_what_begins_and_ends_in_one_call_is_never_written() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        entries: list[LedgerEntry] = []
        append = queue.append

        async def noted(events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
            entries.extend(ledger)
            await append(events, ledger)

        queue.append = noted  # type: ignore[method-assign]
        first.come("c")
        first.go("c")
        await first.settled()
        assert [(entry.over, entry.new, entry.occupancy.owed) for entry in entries] == [(True, True, ())]
        assert queue.rows == {}


@pytest.mark.parametrize("kinds", [ENDS, BEGINS], ids=["ends", "beginnings"])
async def test_an_endpoint_that_wants_only_one_of_the_two_events_is_told_that_one_once(kinds: frozenset[str]) -> None:
    queue = KeepingQueue()
    one = endpoint(event_types=kinds)
    expected = ["channel_vacated c"] if kinds is ENDS else ["channel_occupied c"]
    async with run(queue, one) as first:
        first.come("c")
        await first.settled()
        assert queue.kept() == {("c", None)}
    async with run(queue, one) as second:
        second.come("c")
        await second.missed_are_told()
    async with run(queue, one) as third:
        await third.missed_are_told()
        assert (queue.told(), queue.rows) == (expected, {})


async def test_nothing_is_kept_of_what_nobody_wants_to_hear_of() -> None:
    queue = KeepingQueue()
    others = endpoint(event_types=frozenset({"client_event"}))
    filtered = endpoint("wh_2", filter=ChannelFilter(channel_prefix="other-"))
    async with run(queue, others, filtered) as first:
        first.come("c")
        first.dispatcher.add(ClientEventSent("app-1", "c", "client-e", "1", "1.2"))
        await first.settled()
        assert (queue.kept(), len(first.ledger)) == (set(), 0)
        assert [len(call) for call in queue.calls] == [1]


async def test_an_endpoint_without_room_is_told_after_a_crash_and_no_other_a_second_time() -> None:
    queue = KeepingQueue()
    both = [endpoint("wh_1"), endpoint("wh_2")]
    async with run(queue, *both) as first:
        first.come("c")
        await first.settled()
        queue.full = {"wh_2"}
        first.go("c")
        await first.settled()
        assert [row.owed for row in queue.rows.values()] == [("wh_2",)]
    queue.full = set()
    async with run(queue, *both) as second:
        second.come("c")  # too late to cancel anything: one of them knows
        await second.settled()
        assert queue.told("wh_1") == ["channel_occupied c", "channel_vacated c", "channel_occupied c"]
        assert queue.told("wh_2") == ["channel_occupied c", "channel_vacated c", "channel_occupied c"]
        assert queue.kept() == {("c", None)}


async def test_an_endpoint_without_room_is_told_when_there_is_room_again_and_nothing_is_left() -> None:
    queue = KeepingQueue()
    async with run(queue, endpoint("wh_1"), endpoint("wh_2")) as first:
        first.come("c")
        await first.settled()
        queue.full = {"wh_2"}
        first.go("c")
        await first.settled()
        queue.full = set()
        await until(lambda: not first.dispatcher.waiting)
        assert queue.told("wh_2") == ["channel_occupied c", "channel_vacated c"]
        assert queue.rows == {}


async def test_a_channel_that_is_back_while_its_end_waits_for_room_is_kept() -> None:
    queue = KeepingQueue()
    async with run(queue, endpoint("wh_1"), endpoint("wh_2")) as first:
        first.come("c")
        await first.settled()
        queue.full = {"wh_2"}
        first.go("c")
        first.come("c")
        await first.settled()
        queue.full = set()
        await until(lambda: not first.dispatcher.waiting)
        assert [row.owed for row in queue.rows.values()] == [()]
    async with run(queue, endpoint("wh_1"), endpoint("wh_2")) as second:
        await second.missed_are_told()
        for uid in ("wh_1", "wh_2"):
            assert queue.told(uid) == ["channel_occupied c", "channel_vacated c"] * 2


async def test_an_end_that_a_full_spool_drops_is_not_owed_any_more() -> None:
    queue = KeepingQueue()
    async with run(queue, endpoint("wh_1"), endpoint("wh_2"), spool=SpoolLimits(max_events=2)) as first:
        first.come("c")
        await first.settled()
        queue.full = {"wh_2"}
        first.go("c")
        await first.settled()
        for number in range(5):
            first.dispatcher.add(ClientEventSent("app-1", "d", "client-e", str(number), "1.2"))
            await first.settled()
        assert first.metrics.spool_dropped.values != {}
        await first.settled()
        assert queue.rows == {}


async def test_calls_without_an_answer_change_nothing() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        queue.lost_replies = 2
        first.come("c")
        await first.settled()
        assert queue.kept() == {("c", None)}
        queue.lost_replies = 2
        first.go("c")
        await first.settled()
        assert len({event.id for event in queue.taken}) == 2
        assert queue.rows == {}


async def test_ends_in_the_spool_file_are_told_once_although_the_store_has_them_as_well(tmp_path: Path) -> None:
    queue = KeepingQueue()
    limits = SpoolLimits(path=tmp_path / "spool")
    first = Run(queue, [endpoint("wh_1"), endpoint("wh_2")], limits)
    await first.start()
    first.come("c")
    first.come("d")
    await first.settled()
    queue.away = True
    first.go("c")
    await first.stop()
    assert queue.kept() == {("c", None), ("d", None)}
    queue.away = False
    async with run(queue, endpoint("wh_1"), endpoint("wh_2"), spool=limits) as second:
        second.come("c")  # its end was decided before
        second.come("d")
        await second.missed_are_told()
        for uid in ("wh_1", "wh_2"):
            assert queue.told(uid) == [
                "channel_occupied c",
                "channel_occupied d",
                "channel_vacated c",
                "channel_occupied c",
            ]
        assert queue.kept() == {("c", None), ("d", None)}


async def test_apps_and_endpoints_that_are_gone_are_owed_nothing() -> None:
    queue = KeepingQueue()
    async with run(queue, endpoint("wh_1"), endpoint("wh_2")) as first:
        first.come("c")
        await first.settled()
        queue.full = {"wh_2"}
        first.come("d")
        first.go("c")
        await first.settled()
    queue.full = set()
    before = len(queue.taken)
    async with run(queue, endpoint("wh_3", filter=ChannelFilter(channel_prefix="other-"))) as second:
        await second.missed_are_told()
        assert (len(queue.taken), queue.rows) == (before, {})


async def test_an_endpoint_that_is_new_since_the_crash_is_told_too() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("c")
        await first.settled()
    async with run(queue, endpoint("wh_1"), endpoint("wh_new")) as second:
        await second.missed_are_told()
        assert queue.told("wh_new") == ["channel_vacated c"]


async def test_a_reload_that_adds_an_endpoint_notes_who_is_there() -> None:
    queue = KeepingQueue()
    others = endpoint(event_types=frozenset({"client_event"}))
    async with run(queue, others) as first:
        for number in range(2500):
            first.come(f"c{number}")
        first.come("presence-room", ANN)
        wanted = endpoint("wh_2", filter=ChannelFilter(channel_type="presence"))
        first.registry.replace("app-1", "config", [others, wanted])
        await until(lambda: len(queue.rows) == 2)
        await first.settled()
        assert queue.kept() == {("presence-room", None), ("presence-room", "ann")}
    async with run(queue, others, wanted) as second:
        await second.missed_are_told()
        assert queue.told("wh_2") == ["member_removed presence-room ann", "channel_vacated presence-room"]


async def test_a_reload_that_removes_the_last_endpoint_forgets_what_nobody_wants_any_more() -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("c")
        first.come("presence-room", ANN)
        await first.settled()
        assert len(queue.rows) == 3
        first.registry.replace("app-1", "config", [endpoint("wh_2", filter=ChannelFilter(channel_type="presence"))])
        await until(lambda: len(queue.rows) == 2)
        first.registry.replace("app-1", "config", [])
        await until(lambda: not queue.rows)
        assert len(first.ledger) == 0


async def test_what_another_server_left_is_told_too_unless_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_LOOK_INTERVAL", 0.01)
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("c")
        await first.settled()
        queue.found = [Occupancy("0-c", "app-1", "c"), Occupancy("0-d", "app-1", "d")]
        await until(lambda: queue.kept() == {("c", None), ("d", None)} and len(queue.rows) == 2)
        await first.missed_are_told()
        assert queue.told() == ["channel_occupied c", "channel_vacated d"]
        assert queue.kept() == {("c", None)}


async def test_a_queue_that_is_away_when_it_is_looked_at_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_LOOK_INTERVAL", 0.01)
    queue = KeepingQueue()
    async with run(queue) as first:
        queue.away = True
        await until(lambda: queue.looks > 3)
        queue.away = False
        queue.found = [Occupancy("0-d", "app-1", "d")]
        await until(lambda: not queue.found and "0-d" in queue.rows)
        await first.missed_are_told()
        assert queue.told() == ["channel_vacated d"]


async def test_a_queue_that_is_away_at_the_start_fails_it() -> None:
    queue = KeepingQueue()
    queue.away = True
    with pytest.raises(Unavailable):
        await Run(queue, [endpoint()]).start()


async def test_twenty_thousand_are_told_without_filling_the_spool() -> None:
    queue = KeepingQueue()
    queue.rows = {f"0-{number}": Occupancy(f"0-{number}", "app-1", f"c{number}") for number in range(20_000)}
    queue.turns = 20
    async with run(queue, endpoint("wh_1"), endpoint("wh_2"), spool=SpoolLimits(max_events=4000)) as first:
        first.loop.advance(GRACE)
        while first.loop.timers:
            first.loop.advance(0.02)
            await asyncio.sleep(0)
        await first.settled()
        assert first.metrics.spool_dropped.values == {}
        assert len(queue.taken) == 40_000
        assert queue.rows == {}


async def test_the_log_says_how_many_were_there(caplog: pytest.LogCaptureFixture) -> None:
    queue = KeepingQueue()
    async with run(queue) as first:
        first.come("c")
        first.come("presence-room", ANN)
        await first.settled()
    with caplog.at_level(logging.WARNING):
        async with run(queue):
            pass
    (record,) = [record for record in caplog.records if "without a shutdown" in record.getMessage()]
    assert (vars(record)["channels"], vars(record)["members"]) == (2, 1)


async def test_who_is_missed_is_known_only_when_the_spool_files_are_read_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_LOOK_INTERVAL", 0.01)
    queue = KeepingQueue()
    path = tmp_path / "spool"
    first = Run(queue, [endpoint()], SpoolLimits(path=path))
    await first.start()
    channels = [f"c{number}" for number in range(6)]
    for channel in channels:
        first.come(channel)
    await first.settled()
    queue.away = True
    for channel in channels:
        first.go(channel)
    await first.stop()
    queue.away = False
    async with run(queue, spool=SpoolLimits(max_events=4, path=path)) as second:
        assert second.dispatcher.unread  # two of six are there
        second.come("c5")
        await until(lambda: queue.kept() == {("c5", None)})
        await second.missed_are_told()
        ends = [told for told in queue.told() if told.startswith("channel_vacated")]
        assert sorted(ends) == [f"channel_vacated {channel}" for channel in channels]
        assert queue.kept() == {("c5", None)}


def test_an_end_from_a_spool_file_that_the_queue_has_by_now_is_not_owed_once_more() -> None:
    ledger = Ledger(int(NOW * 1000))
    gone = Occupancy("1", "app-1", "c", None, None, ())
    ledger.inherit([gone])
    event = Append(ending_id(gone.id, "wh_1"), "wh_1", "app-1", b"{}", 0)
    ledger.replayed(event)
    ledger.entries([event])
    ledger.taken([event])
    missed, owed = ledger.settle(lambda key: ["wh_1", "wh_2"])
    assert (missed, [one.endpoint for one in owed]) == ([], ["wh_2"])
