"""What operators do to the queue in Redis with redis-cli, literally, and what is found there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from sockudo_py.errors import SockudoError
from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Claim, LanePolicy
from sockudo_py.queues.redis.queue import RedisQueue
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis

AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=100)
DEFAULT, FAILED = "sockudo_queue:default", "sockudo_queue:failed"


@pytest.fixture
async def queue(private_redis: RedisServer) -> AsyncIterator[RedisQueue]:
    """A queue with the default prefix."""
    made = RedisQueue(private_redis.url, default_policy=AT_ONCE)
    await made.open()
    yield made
    await made.close()


def event(number: int, endpoint: str = "wh_a") -> Append:
    return Append(f"e{number}", endpoint, "app", b'{"name":"channel_occupied"}', 1700)


async def bury(queue: RedisQueue, number: int) -> None:
    await queue.append([event(number)])
    (held,) = await queue.claim("w", 10, 30)
    job = jobs.decode(held.job)
    tried = jobs.encode(jobs.Job(job.id, job.endpoint, job.app_id, job.created_ms, job.events_text, attempt=5))
    await queue.fail(held.token, jobs.bury(tried, 1800, jobs.JobError("http_5xx", "503", 503)))


async def claim(queue: RedisQueue) -> list[Claim]:
    return await queue.claim("w", 100, 30)


async def test_llen_failed_counts_the_dead(queue: RedisQueue, private_redis: RedisServer) -> None:
    assert private_redis.cli("llen", FAILED) == 0
    await bury(queue, 1)
    await bury(queue, 2)
    assert private_redis.cli("llen", FAILED) == 2


async def test_lrange_failed_shows_the_newest_six_as_readable_jobs(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    for number in range(8):
        await bury(queue, number)
    shown = private_redis.cli("lrange", FAILED, 0, 5)
    assert isinstance(shown, list)
    assert [orjson.loads(text)["id"] for text in shown] == ["e7", "e6", "e5", "e4", "e3", "e2"]
    assert list(orjson.loads(shown[0])) == [
        "v",
        "id",
        "ep",
        "kind",
        "app",
        "attempt",
        "redrives",
        "created_ms",
        "events",
        "failed_ms",
        "error",
    ]
    assert orjson.loads(shown[0])["error"] == {"class": "http_5xx", "status": 503, "message": "503"}


async def test_rpoplpush_delivers_the_oldest_again_with_its_attempts_reset(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    await bury(queue, 1)
    await bury(queue, 2)
    private_redis.cli("rpoplpush", FAILED, DEFAULT)
    (held,) = await claim(queue)
    job = jobs.decode(held.job)
    assert (job.id, job.attempt, job.redrives, job.error) == ("e1", 0, 1, None)
    assert private_redis.cli("llen", FAILED) == 1


async def test_rpoplpush_on_an_empty_list_is_harmless(queue: RedisQueue, private_redis: RedisServer) -> None:
    assert private_redis.cli("rpoplpush", FAILED, DEFAULT) is None
    assert await claim(queue) == []


async def test_a_waiting_worker_notices_rpoplpush_within_half_a_second(
    queue: RedisQueue, private_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(queue, 1)
    assert await claim(queue) == []
    loop = asyncio.get_running_loop()
    call_at, planned = loop.call_at, list[float]()

    def noted(when: float, *call: Any, **context: Any) -> asyncio.TimerHandle:
        planned.append(when - loop.time())
        return call_at(when, *call, **context)

    with monkeypatch.context() as patch:  # what it sets its timer to: when that rings is up to the machine
        patch.setattr(loop, "call_at", noted)
        waiting = asyncio.create_task(queue.wait(3600))
        await asyncio.sleep(0)
    assert len(planned) == 1
    assert planned[0] <= 0.5
    await asyncio.to_thread(private_redis.cli, "rpoplpush", FAILED, DEFAULT)
    async with asyncio.timeout(60):
        await waiting
    assert len(await claim(queue)) == 1


async def test_the_traffic_says_webhook_for_those_who_monitor(queue: RedisQueue, private_redis: RedisServer) -> None:
    await bury(queue, 1)
    assert b'"kind":"webhook"' in str(private_redis.cli("lindex", FAILED, 0)).encode()


@pytest.mark.parametrize(
    "text", [b"nonsense", b"{}", b"[]", b"\xff\xfe", b'{"id":"x"}', b'{"id":"x","ep":""}', b"null", b'{"v":1,"id":"']
)
async def test_a_text_that_is_no_job_goes_to_failed_and_the_queue_goes_on(
    queue: RedisQueue, private_redis: RedisServer, text: bytes
) -> None:
    private_redis.cli("lpush", DEFAULT, text)
    await queue.append([event(1)])
    assert len(await claim(queue)) == 1
    (buried,) = await queue.failed()
    shown = orjson.loads(buried)
    assert shown["error"]["class"] == "poison"
    assert shown["raw"] == text.decode("utf-8", "replace").replace("\ufffd", "?")


async def test_poison_that_is_redriven_comes_back_once_and_unchanged(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    private_redis.cli("lpush", DEFAULT, "nonsense")
    await claim(queue)
    before = await queue.failed()
    private_redis.cli("rpoplpush", FAILED, DEFAULT)
    assert await claim(queue) == []
    assert await queue.failed() == before


async def test_a_job_with_broken_events_is_handed_out_for_its_worker_to_refuse(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    broken = jobs.encode_event(event(1)).replace(b'{"name"', b'{name"')
    private_redis.cli("lpush", DEFAULT, broken)
    (held,) = await claim(queue)
    with pytest.raises(jobs.PoisonJob):
        jobs.decode(held.job)
    assert await queue.fail(held.token, jobs.poison(held.job, 1800, "the events are not JSON"))
    assert private_redis.cli("llen", FAILED) == 1


async def test_a_reformatted_dead_job_is_delivered_again(queue: RedisQueue, private_redis: RedisServer) -> None:
    await bury(queue, 1)
    text = private_redis.cli("rpop", FAILED)
    assert isinstance(text, bytes)
    pretty = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    private_redis.cli("lpush", DEFAULT, pretty)
    (held,) = await claim(queue)
    job = jobs.decode(held.job)
    assert (job.id, job.attempt, job.redrives, job.events()) == ("e1", 0, 1, [{"name": "channel_occupied"}])
    assert await queue.ack(held.token)


async def test_a_job_of_an_endpoint_nobody_knows_is_handed_out_for_its_worker_to_judge(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    private_redis.cli("lpush", DEFAULT, jobs.encode_event(event(1, "wh_gone")))
    assert jobs.decode((await claim(queue))[0].job).endpoint == "wh_gone"


async def test_counters_that_a_hand_spoiled_are_mended_once_a_minute(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    private_redis.cli("hset", "sockudo_queue:inflight", "wh_a", 100)
    private_redis.cli("hset", "sockudo_queue:held", "nobody:2", 7)
    await queue.append([event(1)])
    metrics = Metrics()
    other = RedisQueue(private_redis.url, default_policy=AT_ONCE, metrics=metrics)
    assert len(await other.claim("w", 10, 30)) == 1  # a queue mends at its first claim, then every minute
    await other.close()
    assert metrics.series["webhook_queue_mended_total"].values[()] == 2


async def test_counts_of_what_lanes_and_apps_hold_are_mended_too(queue: RedisQueue, private_redis: RedisServer) -> None:
    await queue.append([event(1), event(2), event(3)])
    held = await queue.claim("w", 2, 30)
    for one in held:
        await queue.retry(one.token, one.job, 600)
    private_redis.cli("hset", "sockudo_queue:later", "wh_a", 100)
    private_redis.cli("hset", "sockudo_queue:apps", "app", 100, "gone", 5)
    metrics = Metrics()
    other = RedisQueue(private_redis.url, default_policy=AT_ONCE, metrics=metrics)
    await other.append([event(4)])
    assert await other.claim("w", 1, 30)
    await other.close()
    with private_redis.client() as client:
        assert client.hgetall("sockudo_queue:later") == {b"wh_a": b"2"}
        assert client.hgetall("sockudo_queue:apps") == {b"app": b"3"}
    assert metrics.series["webhook_queue_mended_total"].values[()] == 3


async def test_a_job_whose_lease_entry_is_missing_is_not_lost(queue: RedisQueue, private_redis: RedisServer) -> None:
    await queue.append([event(1)])
    await claim(queue)
    private_redis.cli("del", "sockudo_queue:leases")
    other = RedisQueue(private_redis.url, default_policy=AT_ONCE)
    assert len(await other.claim("w", 10, 30)) == 1
    await other.close()


async def test_a_cluster_needs_a_prefix_with_a_hash_tag(private_redis: RedisServer) -> None:
    plain = RedisQueue(RedisAddress(private_redis.url, nodes=(("127.0.0.1", private_redis.port),)))
    with pytest.raises(SockudoError, match=r"hash tag, such as \{sockudo_queue\}:"):
        await plain.open()
    await plain.close()


async def test_a_redrive_of_one_endpoint_walks_over_the_others_once_a_page_and_leaves_them_as_they_are(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    redis = private_redis.client()
    dead = [
        jobs.bury(jobs.encode_event(event(number, "wh_b" if number % 3 else "wh_a")), 1800, jobs.JobError("http_5xx"))
        for number in range(900)
    ]
    redis.lpush(FAILED, *dead)
    assert await queue.redrive("wh_a") == 300
    assert redis.lrange(DEFAULT, 0, -1) == [text for text in reversed(dead) if b'"ep":"wh_a"' in text]
    assert redis.lrange(FAILED, 0, -1) == [text for text in reversed(dead) if b'"ep":"wh_b"' in text]
    assert redis.info("commandstats")["cmdstat_lrem"]["calls"] <= 5


async def test_text_that_a_hand_put_among_delayed_jobs_or_into_a_lane_holds_up_nobody(
    queue: RedisQueue, private_redis: RedisServer
) -> None:
    private_redis.cli("zadd", "sockudo_queue:delayed", 1, "no job")
    private_redis.cli("lpush", "sockudo_queue:lane:wh_a", "none either")
    await queue.append([event(1), event(2, "wh_b")])
    assert sorted(jobs.decode(held.job).id for held in await claim(queue)) == ["e1", "e2"]
    dead = [orjson.loads(text) for text in await queue.failed()]
    assert sorted(one["raw"] for one in dead) == ["no job", "none either"]
    assert {one["error"]["class"] for one in dead} == {"poison"}
    assert await claim(queue) == []
