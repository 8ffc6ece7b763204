"""F23 to F27, F33 to F39: Redis dies, freezes, fails over, fills up, forgets; the whole delivery runs over it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sockudo_py.endpoints import RetryPolicy
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Append, Claim
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.webhooks.delivery.worker import LAST_WORDS
from tests.faults.harness import (
    APP,
    QUICK,
    Clock,
    Stage,
    assert_duplicates_alike,
    assert_nothing_lost,
    numbers,
    staged,
    stored_in_redis,
    until,
)
from tests.support.receiver import Answer, Hang
from tests.support.redis_proxy import ReplyProxy, reply_proxy
from tests.support.redis_sentinel import follows, watched
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis

WORKER = {"lease": 1.0, "renew_interval": 0.3}
PATIENT = {"lease": 120.0, "renew_interval": 0.3}  # no lease expires, however slow this machine is


@asynccontextmanager
async def over_redis(
    url: str | RedisAddress, *, worker: Mapping[str, float] = WORKER, **options: object
) -> AsyncIterator[Stage]:
    metrics = Metrics()
    queue = RedisQueue(url, metrics=metrics, **{"response_timeout": 1.0, **options})  # type: ignore[arg-type]
    async with staged({"retry": QUICK}, queue=queue, worker=worker, metrics=metrics) as stage:
        yield stage


async def flow(stage: Stage, first: int, count: int, rate: float = 400.0) -> None:
    """Raise events at a steady rate."""
    for number in range(first, first + count):
        stage.send(number)
        await asyncio.sleep(1 / rate)


async def all_arrive(stage: Stage, count: int, timeout: float = 60.0) -> None:
    """L, to the end: every event that was raised has arrived. And D."""
    await stage.receiver.until(lambda: len(set(numbers(stage.receiver.received))) == count, "all events", timeout)
    await stage.settled()
    assert_nothing_lost(range(count), stage.receiver.received)
    assert_duplicates_alike(stage.receiver.received)


async def test_F23_a_sigkill_of_redis_in_full_flow_loses_nothing_and_says_little(
    private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_redis(private_redis.url) as stage:
        stage.receiver.default = Answer(delay=0.01)
        flowing = asyncio.create_task(flow(stage, 0, 600))
        await stage.receiver.wait_for(50)
        private_redis.kill()
        await asyncio.sleep(0.7)
        await asyncio.to_thread(private_redis.start)
        await flowing
        await all_arrive(stage, 600)
    said = [one for one in caplog.records if one.name.startswith("sockudo_py") and one.levelno >= logging.WARNING]
    complaints = [one for one in said if "lease" not in one.getMessage()]
    by_text = {
        text: sum(one.getMessage() == text for one in complaints) for text in {c.getMessage() for c in complaints}
    }
    # once an outage, however often it is tried meanwhile; on its way back Redis may be there and away again
    assert all(times <= 3 for text, times in by_text.items() if "result" not in text), by_text


@pytest.mark.slow
async def test_F24_redis_frozen_for_20_seconds_fills_the_spool_and_doubles_nothing(private_redis: RedisServer) -> None:
    async with over_redis(private_redis.url) as stage:
        await flow(stage, 0, 100)
        private_redis.freeze()
        await flow(stage, 100, 400, rate=20)  # 20 seconds
        assert stage.service.dispatcher.waiting >= 390
        private_redis.thaw()
        await all_arrive(stage, 500)
        assert stage.service.dispatcher.waiting == 0


@pytest.mark.parametrize("timeout", [0.0, 1.0])
async def test_F24_a_stop_while_redis_is_frozen_ends_in_time_and_says_what_is_left(
    private_redis: RedisServer, timeout: float, caplog: pytest.LogCaptureFixture
) -> None:
    queue = RedisQueue(private_redis.url, response_timeout=60.0)
    async with staged({"retry": QUICK}, queue=queue, shutdown_timeout=timeout) as stage:
        stage.receiver.script(Hang())
        stage.send(0)
        await stage.receiver.wait_for(1)
        try:
            private_redis.freeze()
            stage.send(1, 5)
            await until(lambda: bool(stage.service.dispatcher._in_hand), "an append to be under way")
            caplog.clear()
            started = time.monotonic()
            await stage.service.stop()
            await queue.close()
            assert time.monotonic() - started < timeout + LAST_WORDS + 10
        finally:
            private_redis.thaw()
    said = [(one.getMessage(), getattr(one, "jobs", getattr(one, "events", 0))) for one in caplog.records]
    assert [one for one in said if one[1]] == [
        ("webhook events are lost at shutdown: the queue did not take them and webhooks.spool.path is not set", 5),
        ("the webhook queue did not take jobs back at shutdown; their leases will expire", 1),
    ]


async def test_F24_an_idle_stop_while_redis_is_frozen_is_told(
    private_redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_redis(private_redis.url, response_timeout=60.0) as stage:
        claim = stage.queue.claim
        asked: list[str] = []

        async def noted(worker: str, limit: int, lease: float) -> list[Claim]:
            asked.append(worker)
            return await claim(worker, limit, lease)

        try:
            private_redis.freeze()
            monkeypatch.setattr(stage.queue, "claim", noted)
            await until(lambda: bool(asked), "a claim to be under way")
            await stage.service.worker.stop(0.0)
        finally:
            private_redis.thaw()
    assert [one.getMessage() for one in caplog.records if "at shutdown" in one.getMessage()] == [
        "the webhook queue does not answer at shutdown; its last jobs wait for their leases to expire"
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_F25_F26_F27_lost_replies_of_whatever_call_neither_lose_nor_double(
    private_redis: RedisServer, seed: int
) -> None:
    async with reply_proxy(private_redis.port) as proxy, over_redis(proxy.url, worker=PATIENT) as stage:
        await flow(stage, 0, 20)  # the scripts are known now: each reply is one of append, claim, ack
        sent = 20
        for turn in range(12):
            passing = 20 + 3 * ((turn * 7 + seed * 3) % 10)
            await flow(stage, sent, passing)
            sent += passing
            proxy.lose_replies = 1
            await until(lambda turn=turn: proxy.lost == turn + 1, "a reply to get lost")  # type: ignore[misc]
        await all_arrive(stage, sent)
        assert len(numbers(stage.receiver.received)) == sent  # each exactly once: no append, claim or ack counted twice


@pytest.mark.parametrize("what", ["append", "claim", "ack"])
async def test_F25_F26_F27_the_lost_reply_of_one_call_changes_nothing(
    private_redis: RedisServer, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reply_proxy(private_redis.port) as proxy, over_redis(proxy.url, worker=PATIENT) as stage:
        stage.send(0)
        await stage.settled()
        queue = stage.queue
        assert isinstance(queue, RedisQueue)
        call = queue._call
        sending = False

        async def losing(name: str, *words: str | bytes | int) -> object:
            # once, and only where there is something to lose
            told = name if name == "append" else "ack" if "ack" in words else "claim"
            if told == what and sending and not proxy.lost:
                proxy.lose_replies = 1
            return await call(name, *words)

        monkeypatch.setattr(queue, "_call", losing)
        sending = True
        stage.send(1)
        await until(lambda: proxy.lost == 1, f"the reply of {what} to get lost")
        await all_arrive(stage, 2)
        assert numbers(stage.receiver.received) == [0, 1]


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    fast = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
    master, replica = RedisServer(folder / "one", aof=True, options=fast), RedisServer(folder / "two", aof=True)
    try:
        master.start()
        replica.start()
        replica.cli("replicaof", "127.0.0.1", master.port)
        await until(lambda: b"master_link_status:up" in _info(replica), "the replica to follow")
        yield master, replica
    finally:
        master.kill()
        replica.kill()


def _info(server: RedisServer) -> bytes:
    with server.client() as client:
        return repr(client.info("replication")).replace("'", "").replace(": ", ":").encode()


async def test_F33_after_a_failover_to_a_replica_nothing_that_was_promised_is_lost(tmp_path: Path) -> None:
    async with (
        pair(tmp_path) as (master, replica),
        reply_proxy(master.port) as proxy,
        over_redis(proxy.url, wait_replicas=1) as stage,
    ):
        stage.receiver.default = Answer(delay=0.01)
        flowing = asyncio.create_task(flow(stage, 0, 400))
        await stage.receiver.wait_for(50)
        _fail_over(master, replica, proxy)
        await flowing
        await all_arrive(stage, 400)
        assert stage.value("webhook_redis_errors_total", "readonly") >= 1
        assert stored_in_redis(replica) == []


@pytest.mark.slow
async def test_F33_after_a_failover_by_sentinel_nothing_that_was_promised_is_lost(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        redis = stack.enter_context(watched(tmp_path, password="only-for-this-test"))
        stage = await stack.enter_async_context(over_redis(redis.address, wait_replicas=1))
        stage.receiver.default = Answer(delay=0.01)
        flowing = asyncio.create_task(flow(stage, 0, 400))
        await stage.receiver.wait_for(50)
        dead = await asyncio.to_thread(redis.kill_master)
        await asyncio.to_thread(dead.start)  # Sentinel makes it a replica; until then no append is promised
        await flowing
        await all_arrive(stage, 400, timeout=90)
        await until(lambda: follows(dead), "the old master to be a replica")
        assert stored_in_redis(redis.master) == []


def _fail_over(master: RedisServer, replica: RedisServer, proxy: ReplyProxy) -> None:
    """The replica takes over, the name leads to it, the old master follows it."""
    replica.cli("replicaof", "no", "one")
    proxy.target_port = replica.port
    master.cli("replicaof", "127.0.0.1", replica.port)


Switch = Callable[[RedisServer, bool], object]


def read_only(server: RedisServer, on: bool) -> None:
    server.cli("replicaof", *(("127.0.0.1", 1) if on else ("no", "one")))


def out_of_memory(server: RedisServer, on: bool) -> None:
    server.cli("config", "set", "maxmemory", 1 if on else 0)


def disk_full(server: RedisServer, on: bool) -> None:
    server.fill_disk(on)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(read_only, "readonly", id="F34-read-only"),
        pytest.param(out_of_memory, "oom", id="F35-out-of-memory"),
        pytest.param(disk_full, "response", id="F36-disk-full"),
    ],
)
async def test_F34_F35_F36_a_redis_that_takes_nothing_for_a_while_gets_it_from_the_spool(
    private_redis: RedisServer, fault: Switch, kind: str
) -> None:
    async with over_redis(private_redis.url) as stage:
        stage.receiver.default = Answer(delay=0.01)
        await flow(stage, 0, 100)
        fault(private_redis, True)
        await flow(stage, 100, 200)
        await until(lambda: stage.service.dispatcher.waiting > 0, "the spool to fill")
        await until(lambda: stage.value("webhook_redis_errors_total", kind) >= 1, "the error to be counted")
        if fault is out_of_memory:  # claims and acks still work: what was there goes out
            await stage.receiver.until(lambda: set(range(100)) <= set(numbers(stage.receiver.received)))
        fault(private_redis, False)
        await all_arrive(stage, 300)


async def test_F37_an_evicting_redis_does_lose_queued_events_which_is_why_it_is_an_error(
    private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with private_redis.client() as client:
        used = int(client.info("memory")["used_memory"])
    private_redis.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    private_redis.cli("config", "set", "maxmemory", used + 4_000_000)
    queue = RedisQueue(private_redis.url)
    await queue.open()
    assert any("maxmemory-policy allkeys-lru" in one.getMessage() for one in caplog.records)
    taken = 0
    for start in range(0, 8000, 100):
        events = [b'{"data":"%d %b"}' % (number, b"x" * 1000) for number in range(start, start + 100)]
        with contextlib.suppress(Unavailable):
            await queue.append([Append(f"e{start + at}", f"wh_{start}", APP, one, 1) for at, one in enumerate(events)])
            taken += 100
    await queue.close()
    assert len(stored_in_redis(private_redis)) < taken


FORGETFUL: dict[str, tuple[tuple[str, ...], ...]] = {
    "script-flush": (("script", "flush"),),
    "client-kill": (("client", "kill", "type", "normal", "skipme", "yes"),),
    "debug-sleep": (("debug", "sleep", "1.5"),),
    "flushall": (("flushall",),),
}


@pytest.mark.parametrize("name", list(FORGETFUL))
async def test_F38_what_an_operator_may_do_to_redis_stops_nothing(name: str, tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", aof=True, options=("--enable-debug-command", "local"))
    server.start()
    try:
        async with over_redis(server.url) as stage:
            stage.receiver.default = Answer(delay=0.01)
            await flow(stage, 0, 100)
            for words in FORGETFUL[name]:
                await asyncio.to_thread(server.cli, *words)
            await flow(stage, 100, 100)
            if name != "flushall":
                await all_arrive(stage, 200)
                return
            # What the store forgot is gone (W14); what comes after is delivered as ever.
            await until(lambda: stage.service.dispatcher.waiting == 0, "the queue to take them")
            await stage.receiver.until(lambda: set(range(110, 200)) <= set(numbers(stage.receiver.received)))
            await stage.settled()
            assert_duplicates_alike(stage.receiver.received)
    finally:
        server.kill()


@pytest.mark.parametrize("hours", [1, -1])
async def test_F39_a_worker_whose_clock_is_wrong_retries_no_earlier_and_signs_its_own_time(
    private_redis: RedisServer, hours: int
) -> None:
    clock = Clock(time.time() + hours * 3600)
    queue = RedisQueue(private_redis.url)
    policy = RetryPolicy(schedule=(0.5,))
    async with staged({"retry": policy}, queue=queue, worker=PATIENT, clock=clock) as stage:
        stage.receiver.script(Answer(500))
        stage.send(0)
        first, second = await stage.receiver.wait_for(2)
        assert second.at - first.at >= 0.5 - 0.002  # times in the queue are whole milliseconds
        assert int(second.headers["webhook-timestamp"]) == int(clock.now)
        await stage.settled()
        assert len(stage.receiver.received) == 2
        assert_duplicates_alike(stage.receiver.received)


async def test_F39_a_jump_of_the_clock_of_redis_brings_retries_early_and_duplicates_and_loses_nothing(
    private_redis: RedisServer,
) -> None:
    queue = RedisQueue(private_redis.url)
    policy = RetryPolicy(schedule=(3000.0,))
    async with staged({"retry": policy, "max_in_flight": 1}, queue=queue, worker={"lease": 30.0}) as stage:
        stage.receiver.script(Answer(500), Hang())
        stage.send(0)
        await stage.attempted(1)
        stage.send(1)
        await stage.receiver.wait_for(2)
        queue.clock_shift = 3600.0  # the delay of 0 and the lease of 1 are over at once
        await stage.receiver.wait_for(4)
        assert sorted(set(numbers(stage.receiver.received))) == [0, 1]
        assert_duplicates_alike(stage.receiver.received)


async def test_F39_a_clock_of_redis_that_is_set_right_after_it_was_ahead_makes_no_retry_late(
    private_redis: RedisServer,
) -> None:
    queue = RedisQueue(private_redis.url, clock_shift=10 * 86_400.0)
    policy = RetryPolicy(schedule=(0.5, 0.5))
    async with staged({"retry": policy, "ordering": "endpoint"}, queue=queue, worker=PATIENT) as stage:
        stage.receiver.script(Answer(500), Answer(500))
        stage.send(0)
        await stage.attempted(1)
        queue.clock_shift = 0.0
        stage.send(1)
        requests = await stage.receiver.wait_for(4)
        assert numbers(requests) == [0, 0, 0, 1]
        assert requests[3].at - requests[0].at < 10
