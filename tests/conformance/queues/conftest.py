"""Every queue driver, one after the other, behind one handle that can also move its time."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.queues.base import Append, Claim, LanePolicy, Queue
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.queues.sqs.queue import SqsQueue
from tests.support.aws import Aws
from tests.support.aws import aws as aws
from tests.support.aws import aws_server as aws_server
from tests.support.redis_cluster import EVERYWHERE
from tests.support.redis_cluster import redis_cluster as redis_cluster
from tests.support.redis_sentinel import redis_sentinel as redis_sentinel
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.still_redis import NOW, StillScripts

KINDS = ["redis-cluster", "redis-sentinel"] if EVERYWHERE else []
AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False)  # one event, one job, claimable at once
LEASE = 30.0


class Driver:
    """Makes queues of one driver, and moves the time that they live in: else it stands still."""

    def __init__(
        self, kind: str, folder: Path, redis_url: str | RedisAddress = "", prefix: str = "", aws: Aws | None = None
    ) -> None:
        self.kind = kind
        self._folder = folder
        self._url = redis_url
        self._prefix = prefix
        self._aws = aws
        self._shift = 0.0
        self._made: list[Queue] = []
        self._files = 0
        self._same = False

    async def restart(self, **options: Any) -> Queue:
        """Close the queue that was made last, and return one over the same store, as the next run of the server."""
        await self._made[-1].close()
        self._same = True
        return await self.make(**options)

    async def make(self, **options: Any) -> Queue:
        """Return an open queue; ``options`` are those that all drivers have."""
        queue: Queue
        if self.kind == "memory":
            queue = MemoryQueue(clock=self.now, **options)
        elif self.kind == "sqlite":
            self._files += not self._same
            path = self._folder / f"queue{self._files}.sqlite3"
            queue = SqliteQueue(path, clock=self.now, **options)
        elif self._aws is not None:
            queue = SqsQueue(
                endpoint_url=self._aws.url,
                prefix=self._prefix,
                wait_time=1,
                look_wait=0,
                threads=2,
                clock=self.now,
                **options,
            )
        else:
            queue = RedisQueue(self._url, prefix=self._prefix, clock_shift=self._shift, **options)
            queue._scripts = StillScripts()
        await queue.open()
        self._same = False
        self._made.append(queue)
        return queue

    async def restarted(self, queue: Queue, **options: Any) -> Queue:
        """Return what another process finds in the store of a queue; the first one has died."""
        await queue.close()
        if isinstance(queue, SqliteQueue):
            again: Queue = SqliteQueue(queue._file.path, clock=self.now, **options)
            await again.open()
            self._made.append(again)
            return again
        return await self.make(**options)

    def now(self) -> float:
        """Return the Unix seconds that it is there. With SQS they run on: it hides and delays by its own clock."""
        return (NOW if self._aws is None else time.time()) + self._shift

    def advance(self, seconds: float, *, everywhere: bool = True) -> None:
        """Let time pass; else only in this process, if the store has a clock of its own."""
        self._shift += seconds
        if self._aws is not None and everywhere:
            self._aws.shift += seconds
        for queue in self._made:
            if isinstance(queue, RedisQueue):
                queue.clock_shift = self._shift

    async def close(self) -> None:
        """Close all queues."""
        for queue in self._made:
            await queue.close()


# What does not hold for SQS, with the reason.
_CLOCK = "its calls take longer than the fast classes grant; the books are those of the memory driver"
NOT_WITH_SQS = {
    "test_the_slower_lanes_are_the_more_slots_they_leave_free": _CLOCK,
    "test_every_class_finds_a_slot_when_all_slower_ones_are_full": _CLOCK,
    "test_every_class_has_a_share_that_no_faster_one_takes": _CLOCK,
    "test_what_nobody_owns_goes_to_the_fastest_first": _CLOCK,
    "test_with_few_slots_no_class_starves_while_all_others_are_busy": _CLOCK,
    "test_the_pace_is_smoothed_over_the_last_attempts": _CLOCK,
    "test_attempts_that_hang_count_while_others_of_their_lane_are_answered": _CLOCK,
    "test_failed_attempts_count_too_and_what_was_not_tried_does_not": _CLOCK,
    "test_the_time_of_a_dead_worker_is_not_the_endpoints": _CLOCK,
    "test_drop_moves_waiting_and_delayed_jobs_with_their_error_class": "delayed messages can't be reached",
    "test_more_dead_jobs_than_one_script_moves_are_all_purged_and_redriven": "moto needs minutes for 900",
}


@pytest.fixture(
    params=["memory", "sqlite", "redis", "sqs", *(["redis-cluster", "redis-sentinel"] if EVERYWHERE else [])]
)
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    """The driver under test."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        made = Driver("redis", tmp_path, server.url, request.getfixturevalue("unique_prefix"))
    elif request.param in ("redis-cluster", "redis-sentinel"):
        servers = request.getfixturevalue(request.param.replace("-", "_"))
        prefix = request.getfixturevalue("unique_prefix")
        made = Driver(
            "redis", tmp_path, servers.address, f"{{{prefix}}}:" if request.param == "redis-cluster" else prefix
        )
    elif request.param == "sqs":
        reason = NOT_WITH_SQS.get(request.node.originalname)
        if reason is not None:
            pytest.skip(reason)
        aws = request.getfixturevalue("aws")
        made = Driver("sqs", tmp_path, prefix=aws.prefix(), aws=aws)
    else:
        made = Driver(request.param, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def queue(driver: Driver) -> Queue:
    """A queue that hands out each event at once as a job of its own."""
    return await driver.make(default_policy=AT_ONCE)


def event(number: int | str, endpoint: str = "wh_a", *, solo: bool = False) -> Append:
    """Return an event; its id is ``e<number>``."""
    return Append(f"e{number}", endpoint, "app", b'{"name":"e%b"}' % str(number).encode(), int(NOW * 1000), solo)


async def claim(queue: Queue, limit: int = 100) -> list[Claim]:
    """Claim as worker ``w``."""
    return await queue.claim("w", limit, LEASE)


async def claim_one(queue: Queue) -> Claim:
    """Claim exactly one job."""
    (only,) = await claim(queue)
    return only
