"""Feeds over the queue in memory, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sockudo_py.endpoints import Batching, Feed
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.delivery.lane_keeper import lane_policy
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.feeds.cursor import Cursor, read_cursor
from sockudo_py.webhooks.feeds.feeds import Feeds, FeedSettings, NotReadable, Page, Taken
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.stats import DeliveryStats
from tests.unit.webhooks.make import endpoint

UID = "wh_feed"


class Stage:
    """A feed and what happens to it."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1_800_000_000.0
        self.attempts: list[Attempt] = []
        self.queue = MemoryQueue(clock=lambda: self.now)
        self.registry = EndpointRegistry()
        recorder = Recorder(
            WebhookMetrics(Metrics()),
            DeliveryStats(),
            on_attempt=lambda attempt, _: self.attempts.append(attempt),
            clock=lambda: self.now,
        )
        self.feeds = Feeds(
            self.queue,
            self.registry,
            recorder,
            FeedSettings(**{"poll": 0.001, "sweep": 0.001, **settings}),
            clock=lambda: self.now,
        )

    async def use(self, **fields: Any) -> None:
        """Set the endpoint."""
        made = endpoint(**{"uid": UID, "url": None, "feed": Feed(), "batching": Batching(size=1), **fields})
        self.registry.replace(made.app_id, "test", [made])
        await self.queue.set_policy(UID, lane_policy(made))
        await self.queue.pause(UID)

    async def happen(self, *numbers: int) -> None:
        """Let events happen now."""
        ms = int(self.now * 1000)
        await self.queue.append(
            [Append(f"e{number}", UID, "app-1", b'{"name":"e%d"}' % number, ms) for number in numbers]
        )

    async def read(self, after: str | None = None, limit: int = 100, timeout: float = 0.0) -> Page:
        """Read the feed."""
        return await self.feeds.read(UID, None if after is None else read_cursor(after), limit, timeout)

    async def dead(self) -> list[str]:
        """Return the ids of dead letters, oldest first."""
        return [jobs.decode(text).id for text in reversed(await self.queue.failed(0, 1000))]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    await made.queue.open()
    await made.use()
    yield made
    await made.feeds.stop()


def ids(page: Page) -> list[str]:
    return [item.job.id for item in page.items]


@pytest.mark.parametrize("text", ["", "x", "MS4x", "é", "A" * 2000, "MS4uLi4", "////"])
def test_a_word_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cursor|long|ASCII"):
        read_cursor(text)


def test_a_cursor_is_read_as_it_was_written() -> None:
    for cursor in (Cursor("ab12"), Cursor("0", 100, 1_800_000_000_000, "dl_1.2_wh_é")):
        assert read_cursor(cursor.encoded()) == cursor


async def test_an_acknowledgement_counts_after_the_lease_and_is_recorded_once(stage: Stage) -> None:
    await stage.happen(1, 2, 3)
    page = await stage.read()
    assert ids(page) == ["e1", "e2", "e3"]
    stage.now += 3600
    assert ids(await stage.read(page.items[1].cursor)) == ["e3"]
    assert ids(await stage.read(page.items[1].cursor)) == ["e3"]
    assert [(one.job.id, one.status, one.target, one.duration) for one in stage.attempts] == [
        ("e1", "delivered", "feed", 3600.0),
        ("e2", "delivered", "feed", 3600.0),
    ]


async def test_two_acknowledgements_out_of_order_take_only_what_they_name(stage: Stage) -> None:
    await stage.happen(1, 2, 3, 4)
    page = await stage.read()
    assert ids(await stage.read(page.items[0].cursor)) == ["e2", "e3", "e4"]
    assert ids(await stage.read(page.items[2].cursor)) == ["e4"]
    assert ids(await stage.read(page.items[0].cursor)) == ["e4"]
    forged = Cursor("abc", 100, 0, "e9").encoded()
    with pytest.raises(Taken):
        await stage.read(forged)
    assert ids(await stage.read()) == ["e4"]


async def test_a_reader_that_waits_gets_an_event_and_a_deleted_feed_ends_it(stage: Stage) -> None:
    waiting = asyncio.create_task(stage.read(timeout=30))
    await asyncio.sleep(0)
    await stage.happen(1)
    page = await waiting
    assert ids(page) == ["e1"]
    waiting = asyncio.create_task(stage.read(page.cursor, timeout=30))
    while stage.feeds._readings[UID].over is None or (await stage.queue.lane(UID)).in_flight:  # noqa: ASYNC110 - the test turns the loop
        await asyncio.sleep(0)
    stage.registry.replace("app-1", "test", [])
    with pytest.raises(NotReadable):
        await waiting


async def test_of_two_readers_the_newest_stays(stage: Stage) -> None:
    first = asyncio.create_task(stage.read(timeout=30))
    while UID not in stage.feeds._readings or stage.feeds._readings[UID].over is None:  # noqa: ASYNC110 - the test turns the loop
        await asyncio.sleep(0)
    second = asyncio.create_task(stage.read(timeout=30))
    with pytest.raises(Taken):
        await first
    await stage.happen(1)
    assert ids(await second) == ["e1"]


async def test_the_end_lets_readers_go(stage: Stage) -> None:
    waiting = asyncio.create_task(stage.read(timeout=30))
    while UID not in stage.feeds._readings or stage.feeds._readings[UID].over is None:  # noqa: ASYNC110 - the test turns the loop
        await asyncio.sleep(0)
    stage.feeds.end()
    page = await asyncio.wait_for(waiting, 5)
    assert (page.items, page.cursor) == ((), page.start)
    assert (await asyncio.wait_for(stage.read(timeout=30), 5)).items == ()


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_exactly_the_oldest_go_when_there_are_too_many(stage: Stage, size: int) -> None:
    await stage.use(feed=Feed(max_events=4), batching=Batching(size=size))
    await stage.happen(*range(1, 12))
    page = await stage.read()
    assert [event["name"] for item in page.items for event in item.job.events()] == ["e8", "e9", "e10", "e11"]
    dead = [jobs.decode(text) for text in await stage.queue.failed(0, 100)]
    assert sorted(event["name"] for job in dead for event in job.events()) == sorted(f"e{n}" for n in range(1, 8))
    assert {one.status for one in stage.attempts} == {"failed"}


async def test_the_operators_bound_counts_too(stage: Stage) -> None:
    small = Stage(most=2)
    await small.queue.open()
    await small.use()
    await small.happen(1, 2, 3)
    assert ids(await small.read()) == ["e2", "e3"]


async def test_only_what_is_old_expires_and_without_a_reader(stage: Stage) -> None:
    await stage.use(feed=Feed(retention=100.0), batching=Batching(size=100))
    await stage.happen(1, 2)
    stage.now += 60
    await stage.happen(3)
    stage.feeds.start()
    stage.now += 50
    async with asyncio.timeout(10):
        while len(await stage.dead()) < 2:  # noqa: ASYNC110 - within the deadline
            await asyncio.sleep(0.002)
    assert await stage.dead() == ["e1", "e2"]
    assert ids(await stage.read()) == ["e3"]


async def test_what_can_not_be_read_becomes_a_dead_letter_and_the_rest_comes(stage: Stage) -> None:
    await stage.queue.append([Append("bad", UID, "app-1", b'{"name":', int(stage.now * 1000))])
    await stage.happen(1)
    page = await stage.read()
    assert ids(page) == ["e1"]
    assert len(await stage.queue.failed()) == 1
    assert (await stage.read(page.cursor)).items == ()


async def test_a_large_answer_is_cut_and_the_rest_comes_next(stage: Stage) -> None:
    text = b'{"name":"e","data":"%b"}' % (b"x" * 1_500_000)
    ms = int(stage.now * 1000)
    await stage.queue.append([Append(f"e{number}", UID, "app-1", text, ms) for number in (1, 2)])
    page = await stage.read()
    assert ids(page) == ["e1"]
    assert ids(await stage.read(page.cursor)) == ["e2"]


async def test_a_disabled_feed_and_a_url_are_not_read(stage: Stage) -> None:
    await stage.use(enabled=False)
    with pytest.raises(NotReadable, match="disabled"):
        await stage.read()
    await stage.use(feed=None, url="http://e.example/")
    with pytest.raises(NotReadable, match="no feed"):
        await stage.read()
