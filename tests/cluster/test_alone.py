"""One node over Redis keeps its promises by itself: when it is killed and started again, and while Redis is away.

Without Redis a ledger keeps the first one (tests/faults/test_ledger.py); with it the next start sweeps.
"""

import asyncio
from pathlib import Path

import pytest

from tests.cluster.site import NODE_TIMEOUT_MS, clients, nodes
from tests.support.client import eventually, member
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow

PAIR = ["channel_occupied", "channel_vacated"]
MEMBER = ["member_added", "member_removed"]


@pytest.mark.parametrize("away", [0.0, 2.0], ids=["before-the-node-timeout", "after-it"])
async def test_who_was_there_at_a_kill_is_told_of_once(private_redis: RedisServer, tmp_path: Path, away: float) -> None:
    with nodes(1, private_redis, tmp_path, vacate_ms=4000) as site:
        async with clients(site, 0, 0) as (ann, bob):
            await ann.subscribe("presence-room", member("ann"))
            await bob.subscribe("presence-room", member("bob"))
            await bob.subscribe("lonely")
            await eventually(lambda: len(site.events()) == 4, "all came")
            site.servers[0].kill()
        await asyncio.sleep(away * NODE_TIMEOUT_MS / 1000)
        site.start()
        async with clients(site, 1) as (back,):
            await back.subscribe("presence-room", member("ann"))
            await eventually(lambda: len(site.events()) >= 6, "the ends are told")
            assert site.of("lonely") == ["channel_occupied", "channel_vacated"]
            assert site.api(1).users("presence-room") == ["ann"]
            gone = [event.get("user_id") for event in site.events() if event["name"] == "member_removed"]
            assert gone == ["bob"]
        await eventually(lambda: len(site.events()) >= 8, "who came back has gone")
    told = [(event["name"], event["channel"], event.get("user_id")) for event in site.events()]
    assert sorted(map(str, told)) == sorted(
        map(
            str,
            [
                *((name, channel, None) for name in PAIR for channel in ("presence-room", "lonely")),
                *((name, "presence-room", user) for name in MEMBER for user in ("ann", "bob")),
            ],
        )
    )


async def test_while_redis_is_away_local_messages_go_on_and_up_says_so(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with nodes(1, private_redis, tmp_path) as site:
        async with clients(site, 0, 0) as (ann, bob):
            await ann.subscribe("c")
            private_redis.freeze()
            try:
                await eventually(lambda: b"degraded: adapter" in site.servers[0].get("/up")[1], "it is said in /up")
                assert site.servers[0].get("/up")[0] == site.servers[0].get("/ready")[0] == 200
                site.api(0).publish("c", "hello", "1")
                assert (await ann.expect("hello", "c")).text == "1"
                await bob.subscribe("c")  # after five seconds, without Redis
            finally:
                private_redis.thaw()
            await eventually(lambda: site.servers[0].get("/up") == (200, b"OK"), "all is well again")
            assert site.api(0).subscription_count("c") == 2
