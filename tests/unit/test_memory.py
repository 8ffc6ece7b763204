"""Bounds in bytes bound memory: what is kept takes at most twice the bytes that it counts for."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from sockudo_py.caches.memory import MemoryCache
from sockudo_py.changes import Change, ChannelOccupied, ClientEventSent, ConnectionEstablished, MemberAdded
from sockudo_py.compact import compact
from sockudo_py.metrics import Metrics
from sockudo_py.protocol import codec
from sockudo_py.protocol.source import Source
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy, Queue
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.webhooks.delivery.requests.envelopes import bodies
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.events import EVENT_NAMES, encode
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.memory import SpoolLimits
from tests.support.spool import leave
from tests.support.weigh import scales
from tests.unit.webhooks.fakes import FlakyQueue
from tests.unit.webhooks.make import endpoint

MAX_BYTES = 1 << 20
AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=10_000)
COUNT = 500


def test_what_orjson_returns_takes_its_length_once_it_is_compact() -> None:
    texts = [{"data": "x" * length} for length in (0, 100, 1000, 5000, 20_000)]
    for text in texts:
        with scales() as weight:
            kept = compact(orjson.dumps(text))
            assert weight() < len(kept) + 1000  # orjson itself: 4 KiB and more


def occupied(number: int) -> Change:
    return ChannelOccupied("app-1", f"c-{number}", Source("app-1", f"1.{number}", "192.0.2.1"))


def connected(number: int) -> Change:
    return ConnectionEstablished("app-1", f"1.{number}", Source("app-1", f"1.{number}", f"192.0.2.{number % 256}"))


def joined(number: int) -> Change:
    return MemberAdded("app-1", f"presence-{number}", f"user-{number}", '{"name":"x"}', "1.2")


def joined_with_much(number: int) -> Change:
    return MemberAdded("app-1", f"presence-{number}", f"user-{number}", f'"{number:01000}"', "1.2")


def told(number: int) -> Change:
    data = f"{number}"
    payload = codec.client_event("private-c", "client-e", data, None)
    return ClientEventSent("app-1", "private-c", "client-e", data, "1.2", None, payload)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("at_once", [1, 50])
@pytest.mark.parametrize("make", [occupied, connected, joined, joined_with_much, told])
async def test_a_full_spool_takes_at_most_twice_its_bytes(make: Callable[[int], Change], at_once: int) -> None:
    registry, metrics, clock = EndpointRegistry(), WebhookMetrics(Metrics()), Clock()
    registry.replace("app-1", "config", [endpoint(event_types=frozenset({EVENT_NAMES[type(make(0))]}))])
    dispatcher = Dispatcher(FlakyQueue(), registry, metrics, spool=SpoolLimits(max_bytes=MAX_BYTES), clock=clock)
    with scales() as weight:
        for number in range(10_000):
            if number % at_once == 0:
                clock.now += 0.001
            dispatcher.add(make(number))
            if metrics.spool_dropped.values:
                break
        assert metrics.spool_dropped.values
        assert MAX_BYTES / 2 < weight() < 2 * MAX_BYTES


async def test_events_from_a_spool_file_take_at_most_twice_their_bytes(tmp_path: Path) -> None:
    events = [
        Append(f"dl_{number:020}", "wh_" + "e" * 40, "app-" + "a" * 40, b'{"number":%d}' % number, 1_700_000_000_000)
        for number in range(2000)
    ]
    leave(tmp_path / "spool", events)
    del events
    limits = SpoolLimits(max_bytes=MAX_BYTES, path=tmp_path / "spool")
    queue = FlakyQueue()
    queue.away = True
    dispatcher = Dispatcher(queue, EndpointRegistry(), WebhookMetrics(Metrics()), spool=limits)
    with scales() as weight:
        await dispatcher.start()
        assert dispatcher.waiting > 1000
        assert weight() < MAX_BYTES  # they fill half of it
    await dispatcher.stop(timeout=0)


@pytest.mark.parametrize("length", [1000, 10_000])
def test_a_cache_takes_at_most_twice_the_bytes_of_its_events(length: int) -> None:
    cache = MemoryCache(Clock(), COUNT)
    with scales() as weight:
        size = 0
        for number in range(COUNT):
            payload = codec.server_event("e", "x" * length, f"cache-{number}")
            cache.store("app-1", f"cache-{number}", payload, 60.0)
            size += len(payload)
        assert weight() < 2 * size


def append(number: int) -> Append:
    return Append(f"dl_{number:020}", "wh_1", "app-1", encode({"name": "e", "data": f"{number:01000}"}), number)


@pytest.mark.parametrize("driver", ["memory", "sqlite"])
async def test_a_queue_takes_at_most_twice_the_bytes_of_its_events_waiting_or_dead(driver: str, tmp_path: Path) -> None:
    queue: Queue = MemoryQueue(default_policy=AT_ONCE)
    if driver == "sqlite":
        queue = SqliteQueue(tmp_path / "queue", default_policy=AT_ONCE)
    await queue.open()
    size = COUNT * len(append(0).event)
    with scales() as weight:
        await queue.append([append(number) for number in range(COUNT)])
        assert weight() < 2 * size
        held = await queue.claim("w", COUNT, 60)
        while held:
            for claim in held:
                await queue.fail(claim.token, jobs.bury(claim.job, 1, jobs.JobError("timeout")))
            held = await queue.claim("w", COUNT, 60)
        assert weight() < 2 * size
    await queue.close()


@pytest.mark.parametrize("payload", ["seed", "pusher"])
def test_bodies_that_wait_for_receivers_take_at_most_twice_their_bytes(payload: str) -> None:
    job = jobs.Job("id", "wh_1", "app-1", 1, encode({"name": "e", "data": "x" * 1000}).join((b"[", b"]")))
    receiver = endpoint(payload=payload)
    with scales() as weight:
        kept = [next(bodies(receiver, job, lambda: 1)).content for _ in range(COUNT)]
        assert weight() < 2 * sum(map(len, kept))
