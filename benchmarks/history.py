"""``python -m benchmarks.history``: the bounds of the history at a million deliveries, and what it costs a delivery.

The first part puts attempts through the writer into a SQLite file and looks at the bounds again and again: it fails
when one does not hold, or when the statistics differ from a recount. The second counts instructions with and without a
history (``benchmarks.webhook_path``, needs valgrind): of single deliveries of one endpoint, of which as many come in a
second as the history keeps. The third delivers with and without a history in turn, by a real server to a real receiver,
as fast as it can: it wants a machine that does nothing else.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import uvloop

from benchmarks import webhook_path, webhooks
from benchmarks.harness import Result
from benchmarks.subjects import own
from sockudo_py.endpoints import Endpoint
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import AppKey
from sockudo_py.queues.jobs import Job
from sockudo_py.stores.history.base import Bounds, History, Scope
from sockudo_py.stores.history.figures import Figures, Tally
from sockudo_py.stores.history.sqlite import SqliteHistory
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, requests_for
from sockudo_py.webhooks.history.writer import HistoryWriter
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.targets.base import Delivered, Failure, Timing

FIRST = 1_800_000_000_000  # Unix ms
BURST = 2_000  # attempts between two batches: two thousand a second
_LOOKS = 20  # times that the bounds are looked at
_FORMS = ("memory single", "sqlite single", "sqlite batched")


@dataclass(slots=True)
class Traffic:
    """Makes attempts of several endpoints, one busier than the other, and counts them itself.

    Times are those of the attempts: two thousand in a second. The same ``seed`` makes the same ones.
    """

    endpoints: Sequence[Endpoint]
    seed: int = 1
    made: int = 0
    counted: dict[str, Tally] = field(default_factory=dict)

    @property
    def now_ms(self) -> int:
        """The time of the last attempt."""
        return FIRST + self.made // 2

    def burst(self, number: int) -> list[tuple[Attempt, Endpoint]]:
        """Return the next attempts."""
        dice = random.Random(self.seed * 1_000_003 + self.made)
        found = []
        weights = [1 / (rank + 1) for rank in range(len(self.endpoints))]
        for of in dice.choices(self.endpoints, weights, k=number):
            self.made += 1
            found.append((self._attempt(of, dice.random(), dice.randrange(1, 400)), of))
        return found

    def _attempt(self, of: Endpoint, luck: float, duration_ms: int) -> Attempt:
        event = b'[{"name":"channel_occupied","channel":"channel-%d","time_ms":%d}]' % (self.made, self.now_ms)
        job = Job(f"dl_0123456789abcdef_{self.made}", of.uid, of.app_id, self.now_ms, event, own=1)
        good = luck < 0.9
        status = "delivered" if good else "failed"
        timing = Timing(duration_ms, duration_ms)
        outcome = Delivered(200, timing, b"OK") if good else Failure("http_5xx", "the endpoint answered 503", 503)
        counts = status, 1, 0, duration_ms, self.now_ms + duration_ms
        self.counted.setdefault(of.uid, Tally(of.app_id)).add_all((counts,))
        return Attempt(
            job=job,
            number=1,
            max_attempts=6,
            target="http",
            outcome=outcome,
            status=status,
            started_ms=self.now_ms,
            duration=duration_ms / 1000,
            request=requests_for(of, job, self.now_ms / 1000)[0],
        )


def endpoints(apps: int, each: int) -> list[Endpoint]:
    """Return endpoints of several apps."""
    return [
        Endpoint(
            f"wh_{number}",
            number,
            f"app{number % apps}",
            (AppKey("key", b"a-secret-of-the-app"),),
            url="http://127.0.0.1:9/hook",
            event_types=frozenset({"*"}),
        )
        for number in range(apps * each)
    ]


async def bounded(history: History, bounds: Bounds, traffic: Traffic, deliveries: int) -> float:
    """Write deliveries, and look at the bounds meanwhile. Returns seconds of CPU. Raises AssertionError."""
    metrics = WebhookMetrics(Metrics())
    writer = HistoryWriter(history, bounds.attempts, metrics)
    spent = 0.0
    look_every = max(1, deliveries // BURST // _LOOKS)
    for burst in range(deliveries // BURST):
        attempts = traffic.burst(BURST)
        begun = time.process_time()
        for attempt, endpoint in attempts:
            writer.add(attempt, endpoint)
        if not await writer.flush():
            raise AssertionError("the store did not take a batch")
        if burst % look_every == 0:
            while await history.prune(traffic.now_ms):
                pass
            spent += time.process_time() - begun
            await _look(history, bounds, traffic)
        else:
            spent += time.process_time() - begun
    while await history.prune(traffic.now_ms):
        pass
    await _look(history, bounds, traffic)
    await _recount(history, traffic)
    if metrics.history_dropped.values:
        raise AssertionError("attempts were dropped")
    return spent


async def _look(history: History, bounds: Bounds, traffic: Traffic) -> None:
    held: dict[str, int] = {}
    for endpoint in traffic.endpoints:
        rows = 0
        before: int | None = None
        while some := await history.page(Scope(endpoint=endpoint.uid), before, 500):
            rows += len(some)
            held[endpoint.app_id] = held.get(endpoint.app_id, 0) + sum(kept.held for kept in some)
            oldest = min(kept.finished_ms for kept in some)
            if oldest < traffic.now_ms - bounds.ttl_ms - 60_000:
                raise AssertionError(f"{endpoint.uid}: a row is {traffic.now_ms - oldest} ms old")
            before = some[-1].place
        if rows > bounds.attempts:
            raise AssertionError(f"{endpoint.uid}: {rows} rows")
    for app_id, size in held.items():
        if size > bounds.bytes:
            raise AssertionError(f"{app_id}: {size} bytes of payloads")


async def _recount(history: History, traffic: Traffic) -> None:
    found = await history.figures([endpoint.uid for endpoint in traffic.endpoints])
    for uid, tally in traffic.counted.items():
        expected = Figures()
        expected.add(tally)
        for name in ("successful", "failed", "attempts", "duration_ms", "buckets"):
            if getattr(found[uid], name) != getattr(expected, name):
                raise AssertionError(f"{uid}: {name} is {getattr(found[uid], name)}, not {getattr(expected, name)}")


async def _run(deliveries: int) -> None:
    bounds = Bounds(attempts=1000, ttl_ms=300_000, bytes=100_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queue.sqlite3.history"
        history = SqliteHistory(path, bounds)
        await history.open()
        begun = time.perf_counter()
        spent = await bounded(history, bounds, Traffic(endpoints(4, 5)), deliveries)
        seconds = time.perf_counter() - begun
        await history.close()
        size = await asyncio.to_thread(lambda: sum(each.stat().st_size for each in Path(folder).iterdir()))
    print(f"{deliveries:,} deliveries of 20 endpoints in {seconds:.0f} s; all bounds held, statistics equal a recount")
    print(f"{1e6 * spent / deliveries:.1f} us of CPU each, {size / 1e6:.1f} MB on the disk")


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(prog="benchmarks.history", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000, help="of the first part; 0: leave it out")
    parser.add_argument("--forms", nargs="*", default=_FORMS, help="of the second part, as in webhook_path")
    parser.add_argument("--repeat", type=int, default=7, help="of the third part; 0: leave it out")
    arguments = parser.parse_args()
    if arguments.deliveries:
        asyncio.run(_run(arguments.deliveries))
    for form in arguments.forms:
        without, within = (webhook_path.count(form, "http", attempts) for attempts in (0, 1000))
        print(
            f"{form:16} {without:10,.0f} -> {within:10,.0f} instructions an event: {within / without:.3f}", flush=True
        )
    if arguments.repeat:
        uvloop.run(_throughput(arguments.repeat))


async def _throughput(repeat: int) -> None:
    for driver, batched, events in (("memory", False, 8_000), ("sqlite", False, 8_000), ("sqlite", True, 60_000)):
        rows: dict[int, list[Result]] = {0: [], 1000: []}
        for number in range(repeat):
            for attempts in (0, 1000) if number % 2 else (1000, 0):  # whoever is second finds the machine warmer
                rows[attempts].append(await webhooks.measure(own(), batched, events, 0, driver, attempts))
        pace = {attempts: median(row.units / row.seconds for row in found) for attempts, found in rows.items()}
        cpu = {attempts: median(row.cpu_us for row in found) for attempts, found in rows.items()}
        print(
            f"{driver} {'batched' if batched else 'single'}: {pace[0]:,.0f} -> {pace[1000]:,.0f} events/s "
            f"({pace[1000] / pace[0]:.3f}), CPU {cpu[0]:.1f} -> {cpu[1000]:.1f} us ({cpu[1000] / cpu[0]:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
