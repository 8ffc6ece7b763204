"""Which servers the adapter starts over, and what it says of those it can't use."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sockudo_py.adapters.redis.servers import policy_problem, problem_of
from sockudo_py.errors import SockudoError, Unavailable
from tests.cluster.in_process import Site
from tests.conformance.adapters.over_redis import OverRedis
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer


def test_versions_that_can_not_be_used_are_named_with_a_remedy() -> None:
    assert problem_of({"redis_version": "7.0.15", "role": "master"}) is None
    assert problem_of({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}) is None
    assert "6.2.14" in str(problem_of({"redis_version": "6.2.14"}))
    assert "Dragonfly" in str(problem_of({"redis_version": "7.4.0", "dragonfly_version": "df-v1.30.0"}))
    assert "replica" in str(problem_of({"redis_version": "8.2.3", "role": "slave"}))


def test_only_a_server_that_evicts_nothing_will_do() -> None:
    assert policy_problem("noeviction") is None
    assert "allkeys-lru" in str(policy_problem("allkeys-lru"))


@asynccontextmanager
async def answering(info: bytes) -> AsyncIterator[int]:
    """Run what says of itself that it is some server; give its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [b""] * int(line[1:])
            for number in range(len(words)):
                await reader.readline()
                words[number] = (await reader.readline()).strip().upper()
            writer.write({b"INFO": b"$%d\r\n%b\r\n" % (len(info), info), b"HELLO": b"%0\r\n"}.get(words[0], b"+OK\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_dragonfly_is_refused_at_the_start_with_a_remedy() -> None:
    async with answering(b"redis_version:7.4.0\r\ndragonfly_version:df-v1.30.0\r\n") as port:
        site = OverRedis(f"redis://127.0.0.1:{port}", 1.0, 1)
        with pytest.raises(SockudoError, match="Dragonfly"):
            async with site.running():
                pass


async def test_a_server_that_evicts_is_refused_at_the_start(private_redis: RedisServer) -> None:
    private_redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(SockudoError, match="maxmemory-policy noeviction"):
        async with Site(private_redis, 1).running():
            pass


async def test_no_server_is_an_error_that_says_where_it_was_looked_for() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=re.escape(f"127.0.0.1:{port}")):
        async with OverRedis(f"redis://:secret@127.0.0.1:{port}", 1.0, 1).running():
            pass
