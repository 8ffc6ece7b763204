"""How little a healthy endpoint feels hung and slow ones: ``python -m tests.faults.isolation`` prints the tables of
docs/webhooks/figures.md.

One process, 80 slots. The healthy endpoint answers after 20 ms and gets 50 events a second; each hung one never answers
and gets 3 a second, each slow one answers 200 after some time and gets as many. Times are shortened: requests time out
after TIMEOUT seconds, retries wait a fifth of the default.
"""

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from sockudo_py.endpoints import Endpoint, RetryPolicy
from sockudo_py.metrics import Metrics
from sockudo_py.process.gc_tuner import GcTuner
from sockudo_py.queues.base import Queue
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.redis.queue import RedisQueue
from tests.faults.harness import Stage, number_of, percentile, staged
from tests.faults.standstills import Standstills
from tests.support.receiver import Answer, Hang
from tests.support.redis_server import RedisServer

Driver = Literal["memory", "redis"]
DRIVERS: tuple[Driver, ...] = ("memory", "redis")
SLOTS = 80
TIMEOUT = 2.0
RETRY = RetryPolicy(schedule=(0.2, 0.4, 0.8, 1.6, 3.2))
HUNG_RATE = 3  # events a second, each: all slots are wanted, and the processor is not what is scarce
WARM_UP = 1.0  # seconds that are not counted: every lane begins with one in flight
AFTER = 2.0  # seconds at the end for what is on its way; a test that needs all of it waits longer
GOOD = "app-good"
BESIDE = {  # hung ones, slow ones, seconds that these take
    "fault-free": (0, 0, 0.0),
    "200 hung": (200, 0, 0.0),
    "20 of 1.9 s": (0, 20, 1.9),
    "200 of 1.9 s": (0, 200, 1.9),
    "200 of 0.9 s": (0, 200, 0.9),
    "100 hung, 100 of 0.9 s": (100, 100, 0.9),
}


@dataclass(frozen=True, slots=True)
class Healthy:
    """An endpoint that answers 200 after ``takes`` seconds and gets ``rate`` events a second."""

    takes: float
    rate: float


QUICK = Healthy(takes=0.02, rate=50.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies of the healthy endpoint, event to answer, in seconds, without the time for which the machine stood
    still; what did not come within the run counts as the time it has waited. ``open_files``: more than at the start."""

    sent: int
    arrived: int
    p50: float
    p99: float
    open_files: int

    def __str__(self) -> str:
        return f"{self.arrived}/{self.sent}, p50 {self.p50 * 1000:.0f} ms, p99 {self.p99 * 1000:.0f} ms"


@asynccontextmanager
async def _stage(
    hung: int, slow: int, takes: float, slow_start: bool, driver: Driver, quiet: int
) -> AsyncIterator[Stage]:
    server: RedisServer | None = None
    # As the server has it: full collections don't look again and again at what lives, such as 10,000 lanes
    tuner = GcTuner(Metrics())
    tuner.start()
    queue: Queue = MemoryQueue(slots=SLOTS, max_queue_len=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        if driver == "redis":
            server = RedisServer(Path(folder), aof=True)
            server.start()
            queue = RedisQueue(server.url, slots=SLOTS)
        try:
            async with staged(
                {"uid": "wh_good", "path": "/good", "app_id": GOOD},
                queue=queue,
                worker={"slots": SLOTS},
                slow_start=slow_start,
            ) as stage:
                others: list[Endpoint] = [
                    stage.hook(f"/other{at}", uid=f"wh_{at}", app_id=f"app-{at}", request_timeout=TIMEOUT, retry=RETRY)
                    for at in range(hung + slow)
                ]
                others += [stage.hook("/quiet", uid=f"wh_q{at}", app_id=f"quiet-{at}") for at in range(quiet)]
                for one in others:
                    stage.service.replace(one.app_id, "config", [one])
                for at in range(hung + slow):
                    stage.receiver.script(path=f"/other{at}", then=Hang() if at < hung else Answer(delay=takes))
                await asyncio.sleep(0)
                yield stage
        finally:
            tuner.stop()
            if server is not None:
                server.kill()


async def measure(
    hung: int,
    slow: int = 0,
    takes: float = 0.0,
    *,
    driver: Driver = "memory",
    slow_start: bool = True,
    seconds: float = 8.0,
    quiet: int = 0,
    healthy: Healthy = QUICK,
    after: float = AFTER,
) -> Figures:
    """Return what the healthy endpoint sees beside ``hung`` hung ones, ``slow`` ones whose answers take so many
    seconds, and ``quiet`` more that get one event each."""
    before = psutil.Process().num_fds()
    async with _stage(hung, slow, takes, slow_start, driver, quiet) as stage, Standstills() as standstills:
        stage.receiver.script(path="/good", then=Answer(delay=healthy.takes))
        sent: dict[int, float] = {}
        begun = time.monotonic()
        sender = asyncio.create_task(_healthy(stage, sent, begun, seconds, healthy.rate))
        for at in range(quiet):
            stage.send(at, 1, f"quiet-{at}")
            if at % 20 == 0:
                await asyncio.sleep(seconds / 2 / quiet * 20)
        files = 0
        count = 0
        while (now := time.monotonic()) < begun + seconds:
            due = int((now - begun) * HUNG_RATE * (hung + slow))  # spread over the interval, as traffic is
            for number in range(count, due):
                turn, at = divmod(number, hung + slow)
                stage.send(turn, 1, f"app-{at}")
            count = due
            files = max(files, psutil.Process().num_fds() - before)
            await asyncio.sleep(0.01)
        await sender
        arrived = _arrived(stage)
        while len(arrived) < len(sent) and time.monotonic() < begun + seconds + after:
            await asyncio.sleep(0.05)  # for those on their way
            arrived = _arrived(stage)
        end = time.monotonic()
        counted = {number: at for number, at in sent.items() if at >= begun + WARM_UP}
        waits = [standstills.between(at, arrived.get(number, end)) for number, at in counted.items()]
        came = sum(number in arrived for number in counted)
        return Figures(len(counted), came, percentile(waits, 0.5), percentile(waits, 0.99), files)


def _arrived(stage: Stage) -> dict[int, float]:
    return {
        number_of(attempt.job.events()[0]): at
        for attempt, at in zip(stage.attempts, stage.ended, strict=True)
        if attempt.job.endpoint == "wh_good"
    }


async def _healthy(stage: Stage, sent: dict[int, float], begun: float, seconds: float, rate: float) -> None:
    number = 0
    while (now := time.monotonic()) < begun + seconds:
        due = begun + number / rate
        if now < due:
            await asyncio.sleep(due - now)
        sent[number] = time.monotonic()
        stage.send(number, 1, GOOD)
        number += 1


async def _table(seconds: float) -> None:
    print("| queue | lanes | fault-free | 20 hung | 60 hung | 200 hung |\n|---|---|---|---|---|---|")  # noqa: T201
    for driver in DRIVERS:
        for slow_start, name in ((True, "slow start"), (False, "fixed cap 8")):
            row = [
                str(await measure(hung, driver=driver, slow_start=slow_start, seconds=seconds))
                for hung in (0, 20, 60, 200)
            ]
            print(f"| {driver} | {name} | " + " | ".join(row) + " |", flush=True)  # noqa: T201
    print("\n| queue | " + " | ".join(BESIDE) + " |\n|---" + "|---" * len(BESIDE) + "|")  # noqa: T201
    for driver in DRIVERS:
        row = [str(await measure(*others, driver=driver, seconds=seconds)) for others in BESIDE.values()]
        print(f"| {driver} | " + " | ".join(row) + " |", flush=True)  # noqa: T201


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # thousands of failed attempts are the point
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    asyncio.run(_table(parser.parse_args().seconds))
