"""The order of a lane during a resync is noted in the endpoint store: over restarts, and for all servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sockudo_py.adapters.base import Held
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.management.endpoints.documents import ORDER, encode_order, read_order
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.management.endpoints.order_notes import MOST, StoredNotes
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Append, Claim
from sockudo_py.stores.endpoints.base import EndpointStore, Write
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from sockudo_py.webhooks.endpoints.registry import CONFIG
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.resync import Resync
from sockudo_py.webhooks.resync_order import LONGEST_ORDER
from sockudo_py.webhooks.service import WebhookService
from sockudo_py.webhooks.targets.base import Delivered, Outcome, Request
from tests.unit.management.bench import Apps, Bench, soon
from tests.unit.management.test_managed import Shared
from tests.unit.webhooks.make import endpoint
from tests.unit.webhooks.test_lane_keeper import WatchedQueue

UID = "wh_1"


class Queue(WatchedQueue):
    """Remembers whether the lane was in order whenever jobs of it were handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed_in_order: list[bool] = []

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:
        claims = await super().claim(worker, limit, lease)
        self.claimed_in_order += [self.policies[UID].ordered] * len(claims)
        return claims


class Receiver:
    """A target that takes everything, one request after the other as the test lets it."""

    name = "http"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, request: Request) -> Outcome:
        await self.open.wait()
        self.told += [event["name"] for event in orjson.loads(request.body)["events"]]
        return Delivered(200)

    def begin(self, request: Request, done: object) -> None:
        """Begin nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Server:
    """The parts of a server that know of resyncs, over a store that may be shared."""

    def __init__(self, store: EndpointStore) -> None:
        self.queue, self.receiver = Queue(), Receiver()
        self.truth: Callable[[], list[Held]] = lambda: [Held("a"), Held("b")]
        self.service = WebhookService(self.queue, {"http": self.receiver}, Metrics(), truth=self._held)
        self.hook = endpoint(UID, enabled=True, ordering="none", event_types=frozenset({"channel_occupied"}))
        self.tell(self.hook)
        self.managed = ManagedEndpoints(
            store, self.service.registry, apps=Apps(), define=self._define, rules=EndpointRules(), poll=0.01
        )
        order = self.resync.order
        order.notes = StoredNotes(self.managed, order.noted)

    async def _held(self, app_id: str) -> AsyncIterator[tuple[int | None, list[Held]]]:
        yield None, self.truth()

    def _define(self, *_: object) -> Endpoint:
        raise AssertionError("the API has made none")

    @property
    def resync(self) -> Resync:
        assert self.service.resync is not None
        return self.service.resync

    @property
    def ordered(self) -> bool:
        return self.queue.policies[UID].ordered

    def tell(self, *hooks: Endpoint) -> None:
        """Set the endpoints of the configuration, as a reload does."""
        self.service.replace("app-1", CONFIG, hooks)

    def noted(self) -> dict[str, int]:
        row = self.managed.row(ORDER + UID)
        return {} if row is None else read_order(row.text)

    async def start(self) -> "Server":
        await self.queue.open()
        await self.managed.start()
        await self.service.start()
        return self

    async def stop(self) -> None:
        self.receiver.open.set()
        await self.service.stop()
        await self.managed.stop()
        await self.queue.close()


async def note(store: EndpointStore, **resyncs: float) -> None:
    """Write a note, as a server that is gone did. Values: how many seconds ago a resync began."""
    began = {ident: int((time.time() - ago) * 1000) for ident, ago in resyncs.items()}
    await store.write([Write(ORDER + UID, 0, encode_order(began))])


async def left_behind(server: Server, resync: str) -> None:
    """Put the last event of a resync into the queue, as a server did that is gone."""
    event = {"name": "resync_completed", "channel": "", "time_ms": 1, "resync": resync}
    await server.queue.append([Append(f"{resync}_last", UID, "app-1", orjson.dumps(event), 1)])


@pytest.fixture
async def started() -> AsyncIterator[Callable[[EndpointStore], Any]]:
    """Start servers."""
    servers: list[Server] = []

    async def start(store: EndpointStore) -> Server:
        servers.append(Server(store))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop()


Start = Callable[[EndpointStore], Any]


async def test_a_start_keeps_the_order_of_a_resync_that_another_process_made(started: Start) -> None:
    store = MemoryEndpoints()
    await note(store, rs_a=10)
    server = Server(store)
    await server.queue.open()
    await left_behind(server, "rs_a")
    server.receiver.open.clear()
    await server.start()
    try:
        await soon(lambda: bool(server.queue.claimed_in_order), "the last event to be handed out")
        assert server.ordered
        server.receiver.open.set()
        await soon(lambda: not server.noted() and not server.ordered, "the end of the order")
        assert server.receiver.told == ["resync_completed"]
        assert all(server.queue.claimed_in_order)
        assert ORDER + UID not in (await store.load()).rows
    finally:
        await server.stop()


async def test_a_note_that_is_too_old_counts_no_longer_and_goes(started: Start) -> None:
    store = MemoryEndpoints()
    await note(store, rs_a=LONGEST_ORDER + 1)
    server = await started(store)
    assert not server.ordered
    await soon(lambda: not server.noted(), "the note to be struck out")


async def test_a_note_of_a_clock_that_is_ahead_ends_all_the_same() -> None:
    store = MemoryEndpoints()
    await note(store, rs_a=-86_400)
    server = await Server(store).start()
    (timer,) = server.resync.order._ends.values()
    assert timer.when() - asyncio.get_running_loop().time() <= LONGEST_ORDER
    await server.stop()


async def test_a_note_that_can_not_be_read_does_no_harm(started: Start) -> None:
    store = MemoryEndpoints()
    await store.write([Write(ORDER + UID, 0, b"[]")])
    server = await started(store)
    assert not server.ordered
    await server.resync.run(server.hook)
    await soon(lambda: "resync_completed" in server.receiver.told and not server.noted(), "the resync")


async def test_the_order_begins_before_the_first_event_and_ends_after_the_last(started: Start) -> None:
    server = await started(MemoryEndpoints())
    server.receiver.open.clear()
    done = await server.resync.run(server.hook)
    assert list(server.noted()) == [done.id]
    assert server.ordered
    server.receiver.open.set()
    await soon(lambda: not server.noted() and not server.ordered, "the end of the order")
    assert server.receiver.told == ["resync_started", "channel_occupied", "channel_occupied", "resync_completed"]
    assert all(server.queue.claimed_in_order)


async def test_a_change_of_the_endpoint_meanwhile_does_not_end_the_order(started: Start) -> None:
    server = await started(MemoryEndpoints())
    server.receiver.open.clear()
    await server.resync.run(server.hook)
    for hook in (replace(server.hook, max_in_flight=3), replace(server.hook, max_in_flight=4, url="http://other/")):
        server.tell(hook)
        await soon(lambda hook=hook: server.queue.policies[UID].max_in_flight == hook.max_in_flight, "the change")
        assert server.ordered
    server.receiver.open.set()
    await soon(lambda: not server.noted() and not server.ordered, "the end of the order")
    assert all(server.queue.claimed_in_order)


async def test_of_two_resyncs_at_a_time_the_later_end_counts(started: Start) -> None:
    store = MemoryEndpoints()
    await note(store, rs_a=10, rs_b=5)
    server = await started(store)
    await left_behind(server, "rs_b")
    await soon(lambda: list(server.noted()) == ["rs_a"], "the end of one")
    assert server.ordered
    await left_behind(server, "rs_a")
    await soon(lambda: not server.noted() and not server.ordered, "the end of the other")


async def test_a_resync_that_fails_lets_the_lane_go(started: Start) -> None:
    server = await started(MemoryEndpoints())

    def away() -> list[Held]:
        raise Unavailable("Redis is away")

    server.truth = away
    with pytest.raises(Unavailable):
        await server.resync.run(server.hook)
    await soon(lambda: not server.noted() and not server.ordered, "the end of the order")


async def test_without_the_store_nothing_is_told(started: Start) -> None:
    store = Shared()
    server = await started(store)
    store.away = True
    with pytest.raises(Unavailable):
        await server.resync.run(server.hook)
    assert (await server.queue.depths()).waiting == 0
    assert server.receiver.told == []
    store.away = False


async def test_a_store_that_is_away_at_the_end_is_told_later(started: Start) -> None:
    store = Shared()
    server = await started(store)
    server.receiver.open.clear()
    await server.resync.run(server.hook)
    store.away = True
    server.receiver.open.set()
    await soon(lambda: "resync_completed" in server.receiver.told, "the last event")
    assert server.ordered
    store.away = False
    await soon(lambda: not server.noted() and not server.ordered, "the end of the order")


async def test_other_servers_keep_the_order_and_whoever_delivers_the_end_ends_it(started: Start) -> None:
    store = Shared()
    one, other = await started(store), await started(store)
    one.receiver.open.clear()
    done = await one.resync.run(one.hook)
    await soon(lambda: other.ordered, "the other server to see the note")
    other.tell(replace(other.hook, max_in_flight=3))  # it is reloaded
    await soon(lambda: other.queue.policies[UID].max_in_flight == 3, "the change")
    assert other.ordered
    await left_behind(other, done.id)
    await soon(lambda: not one.noted() and not one.ordered and not other.ordered, "the end of the order on both")


async def test_a_server_that_has_not_seen_the_note_yet_strikes_it_out_too() -> None:
    store = Shared()
    server = await Server(store).start()
    await server.managed.stop()  # it follows the store no longer
    await note(store, rs_a=0)
    await left_behind(server, "rs_a")

    async def gone() -> bool:
        return ORDER + UID not in (await store.load()).rows

    for _ in range(500):
        if await gone():
            break
        await asyncio.sleep(0.01)
    assert await gone()
    await server.stop()


async def test_notes_of_an_endpoint_are_bounded() -> None:
    server = Server(MemoryEndpoints())
    await server.managed.start()
    for number in range(MOST + 5):
        await server.resync.order.notes.add(UID, f"rs_{number}", int(time.time() * 1000) + number)
    assert list(server.noted()) == [f"rs_{number}" for number in range(5, MOST + 5)]
    await server.resync.order.stop(0)


async def test_servers_that_note_at_the_same_time_lose_no_note(started: Start) -> None:
    store = Shared()
    servers = [await started(store) for _ in range(3)]
    now_ms = int(time.time() * 1000)
    await asyncio.gather(
        *(server.resync.order.notes.add(UID, f"rs_{number}", now_ms) for number, server in enumerate(servers))
    )
    assert set(read_order((await store.load()).rows[ORDER + UID].text)) == {"rs_0", "rs_1", "rs_2"}
    await asyncio.gather(
        *(server.resync.order.notes.strike(UID, f"rs_{number}") for number, server in enumerate(servers))
    )
    assert ORDER + UID not in (await store.load()).rows


async def test_with_its_endpoint_a_note_goes() -> None:
    bench = await Bench().start()
    hook = await bench.made()
    key = ORDER + hook["uid"]
    await bench.managed.write([Write(key, 0, encode_order({"rs_a": 1}))], None)
    assert (await bench.ask("DELETE", f"/api/webhooks/{hook['uid']}")).status in (200, 204)
    assert key not in (await bench.store.load()).rows
    await bench.stop()
