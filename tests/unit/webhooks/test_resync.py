"""What a resync puts into the lane; tests/e2e/test_resync.py has a receiver that believes it."""

from collections.abc import AsyncIterator

import orjson

from sockudo_py.adapters.base import Held
from sockudo_py.metrics import Metrics
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.resync import Resynced
from sockudo_py.webhooks.service import WebhookService
from tests.unit.webhooks.make import endpoint

ROOM, ANN = Held("presence-room"), Held("presence-room", "ann", '{"name":"Ann"}')


async def told(*slices: list[Held]) -> tuple[Resynced, dict[str, list[tuple[str, str]]]]:
    """Make a resync over these slices of the truth; return what it says, and by job what is in the lane."""

    async def truth(_app_id: str) -> AsyncIterator[tuple[int | None, list[Held]]]:
        for number, held in enumerate(slices):
            yield 1_000_000 + number, held

    queue = MemoryQueue()
    await queue.open()
    service = WebhookService(queue, {}, Metrics(), truth=truth)
    hook = endpoint("wh_1", enabled=True, event_types=frozenset({"channel_occupied", "member_added"}), url="http://x/")
    service.replace("app-1", "config", [hook])
    await service.dispatcher.start()
    assert service.resync is not None
    done = await service.resync.run(hook)
    await queue.pause("wh_1")
    found = {}
    for claim in await queue.claim_lane("wh_1", 1000, 30.0):
        events = orjson.loads(claim.job)["events"]
        found[orjson.loads(claim.job)["id"]] = [(event["name"], event.get("user_id", "")) for event in events]
    await service.resync.order.stop(1.0)
    await service.dispatcher.stop(1.0)
    await queue.close()
    return done, found


async def test_what_is_told_twice_in_a_resync_has_one_id_and_comes_once() -> None:
    _, once = await told([ROOM, ANN])
    done, twice = await told([ROOM], [ROOM, ANN, ROOM], [ANN], [Held("presence-room", "ann")])
    expected = [
        ("resync_started", ""),
        ("channel_occupied", ""),
        ("member_added", "ann"),
        ("resync_completed", ""),
    ]
    assert [event for events in once.values() for event in events] == expected
    assert [event for events in twice.values() for event in events] == expected
    assert all(ident.startswith(done.id) for ident in twice)


async def test_two_resyncs_have_no_id_in_common() -> None:
    """A receiver that remembers ids, and has lost everything else, must hear of all of it again."""
    _, first = await told([ROOM, ANN])
    _, second = await told([ROOM, ANN])
    assert not set(first) & set(second)
