"""Servers that share a queue in Redis: each has a ledger of its own, and inherits what silent ones have left."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import LedgerEntry, Occupancy
from sockudo_py.queues.redis.ledger import packed, unpacked
from sockudo_py.queues.redis.queue import RedisQueue
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix

ROOM, ANN = Occupancy("1-room", "app", "room"), Occupancy("2-ann", "app", "room", "ann ü\n", "1.2", ("wh_1", "wh 2"))


class Servers:
    """Servers by their names; their time goes on when told to."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._shift = 0.0
        self._made: list[RedisQueue] = []

    async def start(self, name: str, *, shares_clients: bool = True) -> RedisQueue:
        queue = RedisQueue(
            self._url, prefix=self._prefix, server_id=name, clock_shift=self._shift, shares_clients=shares_clients
        )
        await queue.open()
        self._made.append(queue)
        return queue

    def advance(self, seconds: float) -> None:
        self._shift += seconds
        for queue in self._made:
            queue.clock_shift = self._shift

    async def close(self) -> None:
        for queue in self._made:
            await queue.close()


@pytest.fixture
async def servers(redis_server: RedisServer, unique_prefix: str) -> AsyncIterator[Servers]:
    made = Servers(redis_server.url, unique_prefix)
    yield made
    await made.close()


async def with_room(servers: Servers, name: str = "a") -> RedisQueue:
    """Return a server whose ledger has ROOM."""
    queue = await servers.start(name)
    assert await queue.inherit() == []
    await queue.append([], [LedgerEntry(ROOM)])
    return queue


@pytest.mark.parametrize("occupancy", [ROOM, ANN])
def test_an_occupancy_is_the_same_after_it_was_kept(occupancy: Occupancy) -> None:
    assert unpacked(occupancy.id, packed(occupancy)) == occupancy


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"[1,2,3,4,5]", b"\xff"])
def test_a_text_that_is_no_occupancy_is_none(text: bytes) -> None:
    assert unpacked("1", text) is None


async def test_a_restarted_server_has_its_own_at_once(servers: Servers) -> None:
    await with_room(servers)
    assert await (await servers.start("a")).inherit() == [ROOM]


async def test_what_a_living_server_has_stays_its_own(servers: Servers) -> None:
    await with_room(servers)
    servers.advance(29)
    assert await (await servers.start("b")).inherit() == []
    assert await (await servers.start("a")).inherit() == [ROOM]


async def test_a_start_takes_over_what_a_server_left_that_was_not_heard_of_for_thirty_seconds(servers: Servers) -> None:
    await with_room(servers)
    servers.advance(31)
    assert await (await servers.start("b")).inherit() == [ROOM]
    assert await (await servers.start("a")).inherit() == []
    assert await (await servers.start("b")).inherit() == [ROOM]  # it is b's now


async def test_only_one_of_two_starts_takes_it_over(servers: Servers) -> None:
    await with_room(servers)
    servers.advance(31)
    b, c = await servers.start("b"), await servers.start("c")
    assert [await b.inherit(), await c.inherit()] == [[ROOM], []]


async def test_more_than_one_call_takes_are_taken_over(servers: Servers) -> None:
    a = await servers.start("a")
    await a.inherit()
    many = [Occupancy(f"o{number:04}", "app", f"c{number}") for number in range(1300)]
    await a.append([], [LedgerEntry(one) for one in many])
    servers.advance(31)
    assert sorted(await (await servers.start("b")).inherit()) == many


async def test_a_running_server_takes_over_after_three_answered_beats(servers: Servers) -> None:
    b = await servers.start("b")
    assert await b.inherit() == []
    await with_room(servers)
    servers.advance(31)
    assert [await b.inherit() for _ in range(3)] == [[], [ROOM], []]


async def test_a_server_that_could_not_reach_redis_waits_until_others_had_the_time_to_be_heard(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = await servers.start("b")
    for _ in range(5):
        await b.inherit()
    a = await with_room(servers)
    with monkeypatch.context() as patch:
        patch.setattr(b._ledger, "_call", unavailable)
        with pytest.raises(Unavailable):
            await b.inherit()
    servers.advance(60)  # Redis was away from both
    assert await b.inherit() == []
    assert await a.inherit() == []
    servers.advance(10)
    assert [await b.inherit(), await b.inherit(), await b.inherit()] == [[], [], []]


async def test_an_answer_that_is_lost_loses_nothing(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    b = await servers.start("b")
    await b.inherit()
    await b.inherit()
    await with_room(servers)
    servers.advance(31)
    call = b._ledger._call

    async def lost(name: str, *words: Any) -> Any:
        answer = await call(name, *words)
        if name == "adopt":
            raise Unavailable("the answer was lost")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(b._ledger, "_call", lost)
        with pytest.raises(Unavailable):
            await b.inherit()
    assert [await b.inherit() for _ in range(3)] == [[], [], [ROOM]]


async def test_a_server_that_is_heard_of_meanwhile_keeps_its_own(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await with_room(servers)
    servers.advance(31)
    b = await servers.start("b")
    read = b._ledger._read

    async def read_slowly(server: str) -> dict[str, Occupancy]:
        found = await read(server)
        await a.inherit()
        return found

    monkeypatch.setattr(b._ledger, "_read", read_slowly)
    assert await b.inherit() == []
    assert await (await servers.start("a")).inherit() == [ROOM]


async def test_two_servers_of_one_name_are_an_error_in_the_log(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await servers.start("a"), await servers.start("a")
    await first.inherit()
    await second.inherit()
    assert "server_id" not in caplog.text
    with caplog.at_level(logging.ERROR):
        await first.inherit()
        await second.inherit()
        await first.inherit()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 2  # each server once
    assert told[0].startswith("another running server has the server_id a too")


async def test_events_with_entries_are_bounded_by_one_call(servers: Servers) -> None:
    a = await servers.start("a")
    with pytest.raises(ValueError, match="501 events"):
        await a.append([None] * 501, [LedgerEntry(ROOM)])  # type: ignore[list-item]


async def unavailable(name: str, *words: Any) -> Any:
    raise Unavailable("away")


# -- servers that know nothing of each other's clients


async def test_another_server_that_beats_is_warned_of_once_where_clients_are_not_shared(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await servers.start("one", shares_clients=False), await servers.start("other", shares_clients=False)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            await one.inherit()
            await other.inherit()
            servers.advance(10)
    texts = [record.getMessage() for record in caplog.records]
    warned = [text for text in texts if "other servers use this queue in Redis" in text]
    assert sorted(text.partition('("')[2].partition('"')[0] for text in warned) == ["one", "other"]
    assert "set adapter.driver to redis" in warned[0]


@pytest.mark.parametrize("shared", [True, False])
async def test_a_server_that_has_just_gone_and_shared_clients_are_no_reason(
    servers: Servers, caplog: pytest.LogCaptureFixture, shared: bool
) -> None:
    gone, one = await servers.start("gone"), await servers.start("one", shares_clients=shared)
    with caplog.at_level(logging.WARNING):
        await gone.inherit()
        for _ in range(4):
            await one.inherit()
            servers.advance(10)
            if shared:
                await gone.inherit()
    assert [record for record in caplog.records if "other servers" in record.getMessage()] == []
