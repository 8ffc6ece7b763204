"""Redis dies, hangs, forgets, fills up, or loses an answer: no event is lost, none is taken twice."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Claim, LanePolicy
from sockudo_py.queues.redis.queue import RedisQueue
from tests.support.redis_proxy import reply_proxy
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis

AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=1000)
BATCHES = LanePolicy(window=0.0, size=10, slow_start=False)


def event(number: int) -> Append:
    return Append(f"e{number:04}", "wh_a", "app", b'{"n":%d}' % number, 1700)


def ids(claims: list[Claim]) -> list[str]:
    return [jobs.decode(got.job).id for got in claims]


class Queues:
    """Makes queues on one server and closes them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[RedisQueue] = []

    def make(self, url: str = "", **options: object) -> RedisQueue:
        options = {"default_policy": AT_ONCE, "response_timeout": 30.0, **options}
        queue = RedisQueue(url or self.url, **options)  # type: ignore[arg-type]
        self.made.append(queue)
        return queue


@pytest.fixture
async def queues(private_redis: RedisServer) -> AsyncIterator[Queues]:
    made = Queues(private_redis.url)
    yield made
    for queue in made.made:
        await queue.close()


async def until_available(call: Callable[[], Awaitable[list[Claim]]]) -> list[Claim]:
    """Call until it no longer raises Unavailable."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.01)


async def test_all_that_was_appended_or_claimed_is_there_after_a_sigkill_of_redis(
    queues: Queues, private_redis: RedisServer
) -> None:
    queue = queues.make()
    for start in range(0, 200, 20):
        await queue.append([event(number) for number in range(start, start + 20)])
    held = await queue.claim("w", 50, 30)
    for one in held[:20]:
        await queue.ack(one.token)
    await asyncio.to_thread(private_redis.restart)
    rest = await until_available(lambda: queue.claim("w", 200, 30))
    assert sorted(ids(held) + ids(rest)) == [f"e{number:04}" for number in range(200)]
    assert await queue.ack(held[20].token)
    assert not await queue.ack(held[0].token)


async def test_while_redis_is_down_every_call_says_unavailable(queues: Queues, private_redis: RedisServer) -> None:
    queue = queues.make()
    await queue.append([event(1)])
    private_redis.kill()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: queue.append([event(2)]),
        lambda: queue.claim("w", 1, 30),
        lambda: queue.ack("t"),
        lambda: queue.retry("t", jobs.encode_event(event(1)), 1),
        lambda: queue.fail("t", jobs.encode_event(event(1))),
        lambda: queue.release("t"),
        lambda: queue.renew(["t"], 30),
        lambda: queue.pause("wh_a"),
        lambda: queue.resume("wh_a"),
        lambda: queue.drop("wh_a", "expired"),
        queue.redrive,
        queue.failed,
        queue.purge,
        queue.depths,
        lambda: queue.set_policy("wh_a", AT_ONCE),
        queue.open,
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="no connection"):
            await call()


async def test_a_frozen_redis_is_unavailable_and_a_repeated_append_adds_once(
    queues: Queues, private_redis: RedisServer
) -> None:
    metrics = Metrics()
    queue = queues.make(response_timeout=2.0, metrics=metrics)
    await queue.append([event(1)])
    private_redis.freeze()
    with pytest.raises(Unavailable, match="did not answer in time"):
        await queue.append([event(2), event(3)])
    private_redis.thaw()
    await queue.append([event(2), event(3), event(4)])
    assert ids(await queue.claim("w", 10, 30)) == ["e0001", "e0002", "e0003", "e0004"]
    assert metrics.series["webhook_redis_errors_total"].values[("timeout",)] >= 1


async def test_a_claim_that_timed_out_returns_the_same_jobs_when_repeated(
    queues: Queues, private_redis: RedisServer
) -> None:
    queue = queues.make(response_timeout=2.0)
    await queue.append([event(1), event(2)])
    assert len(await queue.claim("w", 1, 30)) == 1
    private_redis.freeze()
    with pytest.raises(Unavailable):
        await queue.claim("w", 5, 30)
    private_redis.thaw()
    assert ids(await until_available(lambda: queue.claim("w", 5, 30))) == ["e0002"]


async def test_an_append_whose_answer_is_lost_adds_once(queues: Queues, private_redis: RedisServer) -> None:
    async with reply_proxy(private_redis.port) as proxy:
        queue = queues.make(proxy.url)
        await queue.append([event(1)])
        proxy.lose_replies = 1
        with pytest.raises(Unavailable):
            await queue.append([event(2), event(3)])
        assert proxy.lost == 1
        assert (await queue.depths()).waiting == 3
        await queue.append([event(3), event(4)])
        await queue.append([event(2)])
        assert sorted(ids(await queue.claim("w", 10, 30))) == ["e0001", "e0002", "e0003", "e0004"]
        await queue.close()


async def test_a_claim_whose_answer_is_lost_is_answered_again(queues: Queues, private_redis: RedisServer) -> None:
    async with reply_proxy(private_redis.port) as proxy:
        queue = queues.make(proxy.url, default_policy=BATCHES)
        await queue.append([event(1), event(2)])
        assert await queue.claim("w", 0, 30) == []
        await queue.depths()
        await queue.claim("w", 1, 30)
        await queue.append([event(3), event(4)])
        proxy.lose_replies = 1
        with pytest.raises(Unavailable):
            await queue.claim("w", 10, 30)
        await queue.append([event(5)])
        (again,) = await queue.claim("w", 10, 30)
        assert [item["n"] for item in jobs.decode(again.job).events()] == [3, 4]
        assert await queue.ack(again.token)
        await queue.close()


@pytest.mark.parametrize("answer", ["ack", "retry", "fail", "release"])
async def test_an_answer_whose_reply_is_lost_took_effect_once(
    queues: Queues, private_redis: RedisServer, answer: str
) -> None:
    async with reply_proxy(private_redis.port) as proxy:
        queue = queues.make(proxy.url)
        await queue.append([event(1)])
        (held,) = await queue.claim("w", 1, 30)
        dead = jobs.bury(held.job, 1, jobs.JobError("http_5xx"))
        calls: dict[str, Callable[[], Awaitable[bool]]] = {
            "ack": lambda: queue.ack(held.token),
            "retry": lambda: queue.retry(held.token, held.job, 100),
            "fail": lambda: queue.fail(held.token, dead),
            "release": lambda: queue.release(held.token),
        }
        await queue.depths()
        await warm(queue)
        proxy.lose_replies = 1
        with pytest.raises(Unavailable):
            await calls[answer]()
        assert not await calls[answer]()
        depths = await queue.depths()
        places = (depths.waiting, depths.active, depths.delayed, depths.failed)
        assert (
            places
            == {"ack": (0, 0, 0, 0), "retry": (0, 0, 1, 0), "fail": (0, 0, 0, 1), "release": (1, 0, 0, 0)}[answer]
        )
        await queue.close()


async def warm(queue: RedisQueue) -> None:
    """Load the scripts, so that the first answer to a call is not "unknown script"."""
    for call in (queue.ack("x"), queue.release("x")):
        assert not await call
    assert not await queue.retry("x", jobs.encode_event(event(9)), 1)
    assert not await queue.fail("x", b"")


async def test_after_flushall_answers_are_too_late_and_new_events_and_policies_work(
    queues: Queues, private_redis: RedisServer
) -> None:
    queue = queues.make()
    await queue.set_policy("wh_a", BATCHES)
    await queue.append([event(1)])
    (held,) = await queue.claim("w", 1, 30)
    private_redis.cli("flushall")
    assert not await queue.ack(held.token)
    assert await queue.claim("w", 1, 30) == []
    await queue.append([event(1), event(2)])
    assert len(await queue.claim("w", 10, 30)) == 1


async def test_after_flushall_each_node_sends_its_policies_again_however_many_another_has(
    queues: Queues, private_redis: RedisServer
) -> None:
    many, few = queues.make(), queues.make()
    for number in range(5):
        await many.set_policy(f"wh_{number}", BATCHES)
    await few.set_policy("wh_a", BATCHES)
    for queue in (many, few):
        await queue.claim("w", 1, 30)
    private_redis.cli("flushall")
    await many.claim("w", 1, 30)  # five are there again, and it is one that is missing
    await few.claim("w", 1, 30)
    with private_redis.client() as client:
        assert len(client.hkeys("sockudo_queue:policy")) == 6


async def test_a_policy_that_another_node_removed_is_sent_again_and_none_is_overwritten(
    queues: Queues, private_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockudo_py.queues.redis.queue._MEND_EVERY", 0.0)
    old, new = queues.make(), queues.make()
    for uid in ("wh_a", "wh_b"):
        await old.set_policy(uid, AT_ONCE)
    await new.set_policy("wh_b", BATCHES)
    await new.drop("wh_a", "endpoint_deleted")
    await old.claim("w", 1, 30)
    with private_redis.client() as client:
        assert client.hget("sockudo_queue:policy", "wh_a").split()[1] == b"1"
        assert client.hget("sockudo_queue:policy", "wh_b").split()[1] == b"10"


async def test_a_claim_that_can_not_send_the_policies_returns_the_same_jobs_when_repeated(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queues.make()
    await queue.append([event(1)])

    async def away() -> None:
        raise Unavailable("away")

    await queue._mend(30_000)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_send_missing_policies", away)
        with pytest.raises(Unavailable):
            await queue.claim("w", 5, 30)
    assert ids(await queue.claim("w", 5, 30)) == ["e0001"]


async def test_flushed_scripts_are_loaded_again(queues: Queues, private_redis: RedisServer) -> None:
    queue = queues.make()
    await queue.append([event(1)])
    private_redis.cli("script", "flush")
    await queue.append([event(2)])
    private_redis.cli("script", "flush")
    assert len(await queue.claim("w", 10, 30)) == 2


async def test_killed_connections_cost_nothing(queues: Queues, private_redis: RedisServer) -> None:
    queue = queues.make()
    await queue.append([event(1)])
    private_redis.cli("client", "kill", "type", "normal", "skipme", "yes")
    assert ids(await until_available(lambda: queue.claim("w", 10, 30))) == ["e0001"]


async def test_a_full_redis_refuses_events_and_lets_go_of_those_it_has(
    queues: Queues, private_redis: RedisServer
) -> None:
    metrics = Metrics()
    queue = queues.make(metrics=metrics)
    await queue.append([event(number) for number in range(5)])
    private_redis.cli("config", "set", "maxmemory", "1")
    with pytest.raises(Unavailable, match="out of memory"):
        await queue.append([event(6)])
    acked, retried, failed, released, held = await queue.claim("w", 10, 30)
    assert await queue.ack(acked.token)
    assert await queue.retry(retried.token, retried.job, 0)
    assert await queue.fail(failed.token, jobs.bury(failed.job, 1, jobs.JobError("http_5xx")))
    assert await queue.release(released.token)
    assert await queue.renew([held.token], 30) == set()
    assert await queue.redrive() == 1
    assert len(await queue.claim("w", 10, 30)) == 3
    private_redis.cli("config", "set", "maxmemory", "0")
    await queue.append([event(6)])
    assert ids(await queue.claim("w", 10, 30)) == ["e0006"]
    assert metrics.series["webhook_redis_errors_total"].values[("oom",)] == 1


async def test_a_read_only_replica_is_unavailable_until_it_is_master_again(
    queues: Queues, private_redis: RedisServer
) -> None:
    metrics = Metrics()
    queue = queues.make(metrics=metrics)
    await queue.append([event(1)])
    private_redis.cli("replicaof", "127.0.0.1", "1")
    with pytest.raises(Unavailable, match="read-only replica"):
        await queue.append([event(2)])
    with pytest.raises(Unavailable, match="read-only replica"):
        await queue.claim("w", 1, 30)
    private_redis.cli("replicaof", "no", "one")
    await queue.append([event(2)])
    assert len(await queue.claim("w", 10, 30)) == 2
    assert metrics.series["webhook_redis_errors_total"].values[("readonly",)] == 2


async def test_events_wait_for_the_replicas_that_are_asked_for(
    queues: Queues, private_redis: RedisServer, tmp_path: Path
) -> None:
    private_redis.cli("config", "set", "repl-diskless-sync-delay", 0)
    queue = queues.make(wait_replicas=1)
    with pytest.raises(Unavailable, match="only 0 of 1 replicas"):
        await queue.append([event(1)])
    replica = RedisServer(tmp_path / "replica", options=("--replicaof", "127.0.0.1", str(private_redis.port)))
    replica.start()
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await queue.append([event(1)])
                    break
                except Unavailable:
                    await asyncio.sleep(0.02)
        assert replica.cli("llen", "sockudo_queue:gather:wh_a") == 1
    finally:
        replica.kill()


async def test_many_callers_share_few_connections(queues: Queues, private_redis: RedisServer) -> None:
    queue = queues.make(max_connections=3)
    await asyncio.gather(*(queue.append([event(number)]) for number in range(60)))
    clients = private_redis.cli("client", "list", "type", "normal")
    assert isinstance(clients, bytes)
    assert len(clients.splitlines()) <= 3 + 1  # and the one that asks
    assert (await queue.depths()).waiting == 60


async def test_an_evicting_redis_is_an_error_in_the_log(
    queues: Queues, private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    private_redis.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    await queues.make().open()
    (record,) = [record for record in caplog.records if record.name == "sockudo_py.queues.redis.queue"]
    assert record.levelno == logging.ERROR
    assert "maxmemory-policy allkeys-lru" in record.getMessage()


async def test_a_redis_that_keeps_nothing_is_a_warning_in_the_log(
    queues: Queues, private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    private_redis.cli("config", "set", "appendonly", "no")
    await queues.make().open()
    (record,) = [record for record in caplog.records if record.name == "sockudo_py.queues.redis.queue"]
    assert record.levelno == logging.WARNING
    assert "appendonly no" in record.getMessage()


async def test_an_old_redis_is_refused(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queues.make()

    async def old() -> dict[str, str]:
        return {"redis_version": "6.2.14"}

    monkeypatch.setattr(queue._link, "info", old)
    with pytest.raises(SockudoError, match=r"is 6\.2\.14; the queue needs 7\.0 or later"):
        await queue.open()


async def test_no_error_shows_the_password(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", password="tell-nobody")
    server.start()
    right = RedisQueue(server.url)
    wrong = RedisQueue(server.url.replace("tell-nobody", "not-that-one"))
    try:
        await right.open()
        with pytest.raises(Unavailable, match="refuses user or password") as refused:
            await wrong.open()
        server.kill()
        with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}") as gone:
            await right.depths()
    finally:
        await right.close()
        await wrong.close()
        server.kill()
    for caught in (refused, gone):
        assert caught.value.__cause__ is not None
        said = f"{caught.value} {caught.value.__cause__!r}"
        assert "tell-nobody" not in said
        assert "not-that-one" not in said


async def opened(queue: RedisQueue) -> list[Claim]:
    await queue.open()
    return await queue.claim("w", 10, 30)


async def test_the_queue_runs_on_a_redis_cluster(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", options=("--cluster-enabled", "yes"))
    server.start()
    queue = RedisQueue(
        RedisAddress(server.url, nodes=(("127.0.0.1", server.port),)), prefix="{sockudo_queue}:", default_policy=AT_ONCE
    )
    try:
        server.cli("cluster", "addslotsrange", 0, 16383)
        await until_available(lambda: opened(queue))  # a cluster takes two seconds to find itself healthy
        await queue.append([event(1), event(2)])
        one, other = await queue.claim("w", 10, 30)
        assert await queue.ack(one.token)
        assert await queue.fail(other.token, jobs.bury(other.job, 1, jobs.JobError("http_5xx")))
        server.cli("rpoplpush", "{sockudo_queue}:failed", "{sockudo_queue}:default")
        assert len(await queue.claim("w", 10, 30)) == 1
    finally:
        await queue.close()
        server.kill()


async def test_what_a_clock_that_was_ahead_left_behind_waits_no_longer_than_any_may(
    queues: Queues, private_redis: RedisServer
) -> None:
    ahead = 10 * 86_400.0
    old = queues.make(clock_shift=ahead)
    gathers = LanePolicy(window=10.0, size=100, slow_start=False)
    limited = LanePolicy(window=0.0, size=1, slow_start=False, per_hour=1)
    for uid, policy in (("wh_gathers", gathers), ("wh_limited", limited)):
        await old.set_policy(uid, policy)
    await old.append([event(1)])
    (late,) = await old.claim("w", 10, 30)
    await old.retry(late.token, late.job, 3600)
    lanes = ("wh_leased", "wh_limited", "wh_gated", "wh_gathers", "wh_due")
    await old.append([event(number)._replace(endpoint=uid) for number, uid in enumerate(lanes, 2)])
    await old.gate("wh_gated", 3600)
    await old.gate("wh_due", 3600)
    assert ids(await old.claim("w", 10, 30)) == ["e0002", "e0003"]
    await old.append([event(9)._replace(endpoint="wh_limited")])
    await old.gate("wh_due", 0)
    private_redis.cli("del", "sockudo_queue:clock")  # as versions left it that had none

    new = queues.make(longest_wait=60.0)
    assert ids(await new.claim("v", 10, 30)) == ["e0006", "e0009"]
    new.clock_shift = 11.0
    assert ids(await new.claim("v", 10, 30)) == ["e0005"]
    new.clock_shift = 31.0
    again = ids(await new.claim("v", 10, 30))
    assert again[:2] == ["e0002", "e0003"] or "e0002" in again
    new.clock_shift = 62.0
    assert {"e0001", "e0004"} <= {*again, *ids(await new.claim("v", 10, 30))}


async def test_a_wait_that_a_policy_allows_is_not_cut(queues: Queues, private_redis: RedisServer) -> None:
    old = queues.make()
    await old.append([event(1)])
    (held,) = await old.claim("w", 10, 30)
    await old.retry(held.token, held.job, 3600)
    new = queues.make(longest_wait=60.0)
    await new.set_policy("wh_b", LanePolicy(longest_wait=3600.0))
    await new.claim("v", 10, 30)
    new.clock_shift = 3500.0
    assert await new.claim("v", 10, 30) == []
    new.clock_shift = 3601.0
    assert ids(await new.claim("v", 10, 30)) == ["e0001"]


async def test_an_idle_queue_writes_nothing(queues: Queues, private_redis: RedisServer) -> None:
    queue = queues.make()
    await queue.append([event(1)])
    (held,) = await queue.claim("w", 10, 30)
    await queue.ack(held.token)
    await queue.claim("w", 10, 30)
    with private_redis.client() as client:
        before = client.info("persistence")["rdb_changes_since_last_save"]
        for shift in range(1, 20):
            queue.clock_shift = 5.0 * shift
            assert await queue.claim("w", 10, 30) == []
        assert client.info("persistence")["rdb_changes_since_last_save"] == before
