"""What the fault tests share: webhooks on a stage, worker processes to be killed, and the three invariants.

**L** nothing that the queue took is lost, **D** duplicates carry the same id and equal events, **I** a healthy endpoint
does not feel the others. Each event is a client event whose ``data`` is its number, so that all of them can be counted.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from sockudo_py.changes import ClientEventSent
from sockudo_py.endpoints import Batching, Endpoint, RetryPolicy, Secret
from sockudo_py.errors import Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import AppKey
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Depths, LedgerEntry, Queue, QueueFull
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.sqlite.packs import unpack
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.service import DeliverySettings, WebhookService
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.targets.base import Delivered, Failure, Target
from sockudo_py.webhooks.targets.http.target import HttpTarget
from tests.support.receiver import Received, Receiver
from tests.support.redis_server import RedisServer

PREFIX = "sockudo_queue:"
APP = "app-1"
SINGLE = Batching(enabled=False)
QUICK = RetryPolicy(schedule=(0.05,) * 5)


def hook(url: str, uid: str = "wh_1", **fields: Any) -> Endpoint:
    """Return an endpoint: each event is a request of its own, unless told otherwise."""
    given: dict[str, Any] = {
        "id": 1,
        "app_id": APP,
        "app_keys": (AppKey("app-key", b"app-secret"),),
        "event_types": frozenset({"*"}),
        "secrets": (Secret("a-shared-secret-of-an-endpoint"),),
        "batching": SINGLE,
        **fields,
    }
    return Endpoint(uid=uid, url=url, **given)


def event(number: int, app_id: str = APP, data: str = "") -> ClientEventSent:
    """Return the change that becomes the event with this number."""
    return ClientEventSent(app_id, "private-c", "client-e", f"{number}{data}", "1.2")


def number_of(fields: dict[str, Any]) -> int:
    """Return the number of an event as it was sent."""
    return int(str(fields["data"]).split(" ")[0])


def numbers(requests: Iterable[Received]) -> list[int]:
    """Return the numbers of all events of requests, repetitions included."""
    return [number_of(fields) for request in requests for fields in request.json()["events"]]


# -- invariants


def assert_nothing_lost(taken: Iterable[int], received: Iterable[Received], stored: Iterable[int] = ()) -> None:
    """L: each event that the queue took arrived, or is still in the store."""
    lost = set(taken) - set(numbers(received)) - set(stored)
    assert not lost, f"{len(lost)} events are lost: {sorted(lost)[:20]}"


def assert_duplicates_alike(received: Iterable[Received]) -> None:
    """D: requests with one id have equal events, and no event comes under two ids."""
    events: dict[str, object] = {}
    ids: dict[int, str] = {}
    for request in received:
        ident = request.headers["webhook-id"]
        body = request.json()["events"]
        assert events.setdefault(ident, body) == body, f"{ident} came with other events"
        for fields in body:
            number = number_of(fields)
            assert ids.setdefault(number, ident) == ident, f"event {number} came under two ids"


def assert_isolated(fault_free: float, with_fault: float) -> None:
    """I: the p99 (seconds) of a healthy endpoint stays below twice its fault-free value."""
    assert with_fault < 2 * fault_free, f"p99 {with_fault * 1000:.0f} ms, fault-free {fault_free * 1000:.0f} ms"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of all values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# -- what a store holds


def _numbers_of(texts: Iterable[bytes], endpoint: str | None) -> list[int]:
    found: list[tuple[str, int]] = []
    for text in texts:
        fields = orjson.loads(text.removeprefix(b"!"))
        found += [(fields["ep"], number_of(one)) for one in fields["events"]]
    assert len(found) == len(set(found)), "an event is in two places"
    return sorted(number for uid, number in found if endpoint in (None, uid))


_EVERYTHING = """
local prefix = ARGV[1]
local texts = redis.call("HVALS", prefix .. "active")
local function add(found) for _, text in ipairs(found) do texts[#texts + 1] = text end end
add(redis.call("ZRANGE", prefix .. "delayed", 0, -1))
for _, key in ipairs(redis.call("KEYS", prefix .. "*")) do
  local name = string.sub(key, #prefix + 1)
  if name == "default" or name == "failed" or string.find(name, "^lane:") or string.find(name, "^gather:") then
    add(redis.call("LRANGE", key, 0, -1))
  end
end
return texts
"""  # in one step: between two, a job might move


def stored_in_redis(server: RedisServer, endpoint: str | None = None, prefix: str = PREFIX) -> list[int]:
    """Return the numbers of all events (of one endpoint) that Redis holds; fails when one is in two places."""
    with server.client() as client:
        texts: list[bytes] = client.eval(_EVERYTHING, 0, prefix)
    return _numbers_of(texts, endpoint)


def stored_in_sqlite(path: Path, endpoint: str | None = None) -> list[int]:
    """Return the numbers of all events (of one endpoint) in a queue file."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        texts = [text for (text,) in db.execute("SELECT text FROM queue_jobs")]
        for pack in db.execute("SELECT endpoint, app, -more, marks, text FROM queue_packs"):
            texts += map(jobs.encode_event, unpack(*pack))
        return _numbers_of(texts, endpoint)


def note_appends(queue: Queue, note: Callable[[Sequence[int]], None]) -> None:
    """Have ``note`` called with the numbers of the events that each append took: these are promised."""
    append = queue.append

    async def noted(events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
        refused: tuple[Append, ...] = ()
        try:
            await append(events, ledger)
        except QueueFull as full:
            refused = full.refused
        note([number_of(orjson.loads(one.event)) for one in events if one not in refused])
        if refused:
            raise QueueFull(refused)

    queue.append = noted  # type: ignore[method-assign]


# -- the stage


class Clock:
    """Unix seconds that pass when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Stage:
    """A webhook service over a queue, sending to a scripted receiver; all in this process."""

    def __init__(self, receiver: Receiver, queue: Queue, clock: Clock | None, target: Target, **options: Any) -> None:
        self.receiver = receiver
        self.queue = queue
        self.clock = clock
        self.attempts: list[Attempt] = []
        self.ended: list[float] = []  # monotonic seconds, of each attempt
        self.taken: list[int] = []
        note_appends(queue, self.taken.extend)
        self.metrics = options.pop("metrics", None) or Metrics()
        worker = {"poll_interval": 0.05, **options.pop("worker", {})}
        self.service = WebhookService(
            queue,
            {"http": target},
            self.metrics,
            DeliverySettings(worker=WorkerSettings(**worker), **{"shutdown_timeout": 0.0, **options}),
            on_attempt=self._ended,
            clock=clock or time.time,
        )

    def _ended(self, attempt: Attempt, endpoint: Endpoint) -> None:
        self.attempts.append(attempt)
        self.ended.append(time.monotonic())

    def hook(self, path: str = "/hook", **fields: Any) -> Endpoint:
        return hook(fields.pop("url", self.receiver.url(path)), **fields)

    def send(self, first: int, count: int = 1, app_id: str = APP, data: str = "") -> None:
        """Raise the events ``first``, ``first + 1`` ..."""
        for number in range(first, first + count):
            self.service.add(event(number, app_id, data))

    async def pass_time(self, seconds: float) -> None:
        """Let the fake clock run; the queue is told, as it sleeps by the loop's clock."""
        assert self.clock is not None
        self.clock.now += seconds
        await self.queue.resume("nobody")

    async def attempted(self, count: int, timeout: float = 60.0) -> list[Attempt]:
        """Return the attempts as soon as ``count`` of them have ended."""
        await until(lambda: len(self.attempts) >= count, f"{count} attempts, not {len(self.attempts)}", timeout)
        return self.attempts

    async def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters, newest first."""
        return [orjson.loads(text) for text in await self.queue.failed(0, 10_000)]

    async def settled(self, timeout: float = 60.0) -> None:
        """Wait until nothing waits, is leased or is delayed. The question may go lost, too: it is asked again."""
        end = time.monotonic() + timeout
        depths: Depths | None = None
        while True:
            with contextlib.suppress(Unavailable):
                depths = await self.queue.depths()
                idle = depths.waiting == depths.active == depths.delayed == self.service.dispatcher.waiting == 0
                if idle and not self.service.worker.tokens:
                    return
            assert time.monotonic() < end, f"still busy after {timeout} s: {depths}"
            await asyncio.sleep(0.01)

    def value(self, metric: str, *labels: str) -> float:
        """Return the value of a metric, 0 when it never counted."""
        return self.metrics.series[metric].values.get(labels, 0)


@asynccontextmanager
async def staged(
    *endpoints: dict[str, Any],
    queue: Queue | None = None,
    clock: Clock | None = None,
    receiver: Receiver | None = None,
    target: dict[str, Any] | None = None,
    sender: Target | None = None,
    spool: SpoolLimits | None = None,
    **options: Any,
) -> AsyncIterator[Stage]:
    """Run a stage. ``endpoints``: fields of each one (``path`` or ``url``, ``uid`` ...); none: one at ``/hook``.

    ``target``: options of the HTTP target; ``sender``: another target; ``options``: see ``DeliverySettings``.
    """
    if queue is None:
        queue = MemoryQueue(clock=clock) if clock is not None else MemoryQueue()
    if spool is not None:
        options["spool"] = spool
    if sender is None:
        guards = {"guard": AddressGuard(), "trusted_guard": AddressGuard(allow_private=True)}
        sender = HttpTarget(**{**guards, **(target or {})})
    async with contextlib.AsyncExitStack() as stack:
        if receiver is None:
            receiver = await stack.enter_async_context(Receiver())
        stage = Stage(receiver, queue, clock, sender, **options)
        made = [stage.hook(**{"uid": f"wh_{at}", **fields}) for at, fields in enumerate(endpoints or ({},), 1)]
        for app_id in {one.app_id for one in made}:
            stage.service.replace(app_id, "config", [one for one in made if one.app_id == app_id])
        await queue.open()
        await stage.service.start()
        try:
            yield stage
        finally:
            await stage.service.stop()
            await queue.close()


def error_class(attempt: Attempt) -> str:
    """Return the error class of an attempt, "" when it was delivered."""
    assert isinstance(attempt.outcome, Delivered | Failure)
    return attempt.outcome.error_class if isinstance(attempt.outcome, Failure) else ""


async def until(condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """Let the loop run until ``condition`` holds; fail after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        await asyncio.sleep(0.005)
