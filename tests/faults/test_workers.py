"""F28 to F32, F41: worker processes are killed, frozen, stopped; deliveries are cancelled or crash their process."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import pytest

from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.targets.base import Delivered, Outcome, Request
from tests.faults.harness import (
    PREFIX,
    QUICK,
    assert_duplicates_alike,
    assert_nothing_lost,
    error_class,
    numbers,
    staged,
    stored_in_redis,
    stored_in_sqlite,
    until,
)
from tests.faults.process import Options
from tests.faults.workers import workers
from tests.support.receiver import OK, Answer, Hang, Receiver
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis


def options(receiver: Receiver, redis: RedisServer, **fields: object) -> Options:
    return Options({"wh_1": receiver.url()}, redis.url, **fields)  # type: ignore[arg-type]


async def test_F28_after_a_sigkill_between_sending_and_acknowledging_the_same_delivery_comes_again(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    async with Receiver() as receiver, workers(options(receiver, private_redis, timeout=60.0), tmp_path) as crew:
        receiver.script(Hang())
        doomed = await crew.start()
        survivor = await crew.start(max_in_flight=8)
        survivor.signal(signal.SIGSTOP)  # so that the doomed one gets it
        doomed.send(1)
        await receiver.wait_for(1)
        await doomed.kill()
        killed = time.monotonic()
        survivor.signal(signal.SIGCONT)
        _, again = await receiver.wait_for(2)
        assert again.at - killed < crew.options.lease + 45  # not the 60 s of the request's timeout
        assert again.headers["x-sockudo-attempt"] == "1"  # what nobody saw fail is no attempt
        assert_duplicates_alike(receiver.received)


@pytest.mark.parametrize("driver", ["redis", "sqlite"])
async def test_F29_a_sigkill_in_the_batching_window_loses_nothing_that_the_queue_has(
    driver: str, private_redis: RedisServer, tmp_path: Path
) -> None:
    place = {"redis": private_redis.url} if driver == "redis" else {"sqlite": str(tmp_path / "queue.sqlite3")}
    async with Receiver() as receiver:
        made = Options({"wh_1": receiver.url()}, window=3.0, size=1000, **place)  # type: ignore[arg-type]
        async with workers(made, tmp_path) as crew:
            doomed = await crew.start()
            doomed.send(0, 100)
            await until(lambda: len(doomed.taken) == 100, "the queue to take them")
            await doomed.kill()
            assert receiver.received == []  # it was within the window
            stored = stored_in_redis(private_redis) if driver == "redis" else stored_in_sqlite(Path(place["sqlite"]))
            assert stored == list(range(100))
            await crew.start()
            (got,) = await receiver.wait_for(1)
            assert numbers([got]) == list(range(100))


async def test_F30_at_sigterm_fifty_in_flight_are_finished_or_given_back(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    async with Receiver() as receiver:
        made = Options(
            {"wh_quick": receiver.url("/quick"), "wh_hung": receiver.url("/hung")},
            private_redis.url,
            max_in_flight=25,
            timeout=60.0,
            shutdown_timeout=5.0,
            lease=120.0,
            renew=10.0,
        )
        async with workers(made, tmp_path) as crew:
            stopping = asyncio.Event()
            receiver.script(path="/quick", then=Answer(after=stopping, delay=0.5))
            receiver.script(path="/hung", then=Hang())
            worker = await crew.start()
            worker.send(0, 50)
            await receiver.wait_for(50)
            worker.signal(signal.SIGTERM)
            started = time.monotonic()
            stopping.set()
            assert await worker.ended() == 0
            assert time.monotonic() - started < 45  # not the 60 s of the hung requests
            delivered = [number for _, number, status in worker.attempts if status == "delivered"]
            assert len(delivered) == 25
            assert private_redis.cli("hlen", f"{PREFIX}active") == 0  # released, not left to their leases
            assert stored_in_redis(private_redis, "wh_hung") == list(range(50))
            assert len(stored_in_redis(private_redis, "wh_quick")) == 25
            receiver.script(path="/quick", then=OK)
            receiver.script(path="/hung", then=OK)
            await crew.start()
            await receiver.until(lambda: set(numbers(receiver.at("/hung")[25:])) == set(range(50)))
            await receiver.until(lambda: set(numbers(receiver.at("/quick"))) == set(range(50)))
            for path in ("/quick", "/hung"):
                assert_nothing_lost(crew.taken, receiver.at(path))
                assert_duplicates_alike(receiver.at(path))


@pytest.mark.parametrize(
    ("lease", "frozen_for"),
    [(1.0, 0.0), pytest.param(30.0, 60.0, marks=pytest.mark.slow)],  # the second: as the defaults are
    ids=["quick", "60-seconds"],
)
async def test_F31_a_frozen_worker_is_overtaken_and_finds_its_lease_gone(
    private_redis: RedisServer, tmp_path: Path, lease: float, frozen_for: float
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        leases = options(receiver, private_redis, lease=lease, renew=lease / 3)
        crew = await stack.enter_async_context(workers(leases, tmp_path))
        overtaken = asyncio.Event()
        receiver.script(Answer(after=overtaken), OK)
        frozen = await crew.start()
        frozen.send(1)
        await receiver.wait_for(1)
        frozen.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        other = await crew.start()
        await receiver.wait_for(2, timeout=2 * lease + 60)  # only when the lease had expired
        await until(lambda: bool(other.attempts), "the other's delivery")
        overtaken.set()
        await asyncio.sleep(max(0.0, stopped + frozen_for - time.monotonic()))
        frozen.signal(signal.SIGCONT)
        await until(lambda: bool(frozen.attempts), "the first one's answer")
        end = time.monotonic() + 60
        while (await frozen.tell())["lost"] != 1:
            assert time.monotonic() < end, "the late result was not noticed"
        assert stored_in_redis(private_redis) == []  # neither a retry nor a dead letter
        assert len(receiver.received) == 2
        assert_duplicates_alike(receiver.received)


class Cancelling:
    """Its first request is cancelled from inside, as a library's bug would do it."""

    name = "http"

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, request: Request) -> Outcome:
        self.sent += 1
        if self.sent == 1:
            raise asyncio.CancelledError
        return Delivered(200)

    async def close(self) -> None:
        """Nothing to do."""


async def test_F32_a_cancellation_that_nobody_asked_for_is_a_failed_attempt() -> None:
    sender = Cancelling()
    async with staged({"retry": QUICK}, sender=sender, queue=MemoryQueue(slots=2), worker={"slots": 1}) as stage:
        stage.send(1)
        await stage.attempted(2)
        await stage.settled()
        assert [(one.status, error_class(one)) for one in stage.attempts] == [
            ("retrying", "internal"),
            ("delivered", ""),
        ]


async def test_F32_a_delivery_task_that_somebody_cancels_is_given_back() -> None:
    async with staged() as stage:
        stage.receiver.script(Hang())
        stage.send(1)
        await stage.receiver.wait_for(1)
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "webhook-delivery")
        task.cancel()
        await stage.receiver.wait_for(2)
        await stage.settled()
        assert_duplicates_alike(stage.receiver.received)


@pytest.mark.slow
async def test_F41_a_job_that_crashes_its_worker_is_poison_after_five_redeliveries(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    async with (
        Receiver() as receiver,
        workers(options(receiver, private_redis, crash_on=3, lease=0.5, renew=0.2, max_in_flight=1), tmp_path) as crew,
    ):
        first = await crew.start()
        first.send(0, 10)
        crashes = 0
        async with asyncio.timeout(180):
            while private_redis.cli("llen", f"{PREFIX}failed") != 1:
                worker = crew.all[-1]
                if worker.process.returncode is None:
                    await asyncio.sleep(0.05)
                    continue
                assert await worker.ended() == 70
                crashes += 1
                await asyncio.sleep(0.5)  # the lease that it left
                await crew.start()
        assert crashes == 6
        await receiver.until(lambda: len(set(numbers(receiver.received))) == 9)
        await until(lambda: stored_in_redis(private_redis) == [3], "the acknowledgement of what the receiver has")
        assert_nothing_lost(range(10), receiver.received, [3])
        dead = private_redis.cli("lindex", f"{PREFIX}failed", 0)
        assert isinstance(dead, bytes)
        assert b'"class":"poison"' in dead
