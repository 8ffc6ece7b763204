"""Who is found to be the master, by what sentinels and nodes of a cluster say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from sockudo_py.links.redis.address import Host, RedisAddress, Sentinels
from sockudo_py.links.redis.masters import BySentinels, BySlot, NoMaster, Range, SlotMap, slot_of
from tests.support.ports import free_port

SECRET = "only-for-this-test"


def bulk(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words)


def slots(*ranges: tuple[int, int, str, int]) -> bytes:
    said = [b"*3\r\n:%d\r\n:%d\r\n*2\r\n$%d\r\n%b\r\n:%d\r\n" % (a, z, len(h), h.encode(), p) for a, z, h, p in ranges]
    return b"*%d\r\n" % len(said) + b"".join(said)


@asynccontextmanager
async def saying(*answers: bytes | None) -> AsyncIterator[tuple[Host, ...]]:
    """Run servers that answer everything with the same words; None: with nothing. Settings of clients are fine."""

    async def serve(answer: bytes | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                await reader.readline()
                words.append((await reader.readline()).strip().upper())
            if words[0] in (b"CLIENT", b"SELECT") or (words[0] == b"AUTH" and b"-" not in (answer or b"")[:1]):
                writer.write(b"+OK\r\n")
            elif answer is not None:
                writer.write(answer)
        writer.close()

    async with AsyncExitStack() as stack:
        hosts = []
        for answer in answers:
            server = await asyncio.start_server(partial(serve, answer), "127.0.0.1", 0)
            await stack.enter_async_context(server)
            hosts.append(("127.0.0.1", server.sockets[0].getsockname()[1]))
        yield tuple(hosts)


async def master(hosts: tuple[Host, ...], timeout: float = 30.0) -> Host:
    return await BySentinels(Sentinels(hosts, "main", None, SECRET), timeout).get_master_address()


async def test_most_sentinels_decide_and_those_that_hang_or_are_gone_do_not_matter() -> None:
    old, new = bulk("10.0.0.1", "6379"), bulk("10.0.0.2", "6380")
    async with saying(new, old, new, None) as hosts:
        assert await master((("127.0.0.1", free_port()), *hosts)) == ("10.0.0.2", 6380)


async def test_sentinels_that_know_no_such_master_are_named_with_it() -> None:
    async with saying(b"*-1\r\n") as hosts:
        with pytest.raises(NoMaster, match=f"127.0.0.1:{hosts[0][1]} know no master with the name main"):
            await master(hosts)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"-WRONGPASS invalid\r\n", "it refuses user or password"),
        (b"-NOPERM no\r\n", "ACL"),
        (b"-ERR unknown command 'SENTINEL'\r\n", "unknown command"),
        (None, "no answer in time"),
    ],
)
async def test_the_reason_is_told_and_no_secret(answer: bytes | None, reason: str) -> None:
    async with saying(answer) as hosts:
        with pytest.raises(NoMaster, match=reason) as caught:
            await master(hosts, timeout=0.3 if answer is None else 30.0)
    assert SECRET not in repr(caught.value)


async def test_the_map_of_a_cluster_is_what_most_nodes_say() -> None:
    stale = slots((0, 16383, "10.0.0.9", 1))
    said = slots((8192, 16383, "", 7002), (0, 8191, "10.0.0.1", 7001))
    async with saying(said, said, stale) as hosts:
        address = RedisAddress("redis://h/0", nodes=hosts)
        found = await SlotMap(address, 30.0).ranges()
        assert found in ((Range(0, 8191, ("10.0.0.1", 7001)), Range(8192, 16383, ("127.0.0.1", 7002))),)
        assert await BySlot(SlotMap(address, 30.0), 5).get_master_address() == ("10.0.0.1", 7001)


async def test_a_slot_without_an_owner_and_a_cluster_without_nodes_are_told_apart() -> None:
    async with saying(slots((0, 5, "10.0.0.1", 7001))) as hosts:
        with pytest.raises(NoMaster, match="no node of the cluster has the slot 6"):
            await BySlot(SlotMap(RedisAddress("redis://h", nodes=hosts), 30.0), 6).get_master_address()
    gone = ("127.0.0.1", free_port())
    with pytest.raises(NoMaster, match=f"no node of the cluster says .*127.0.0.1:{gone[1]}: no connection"):
        await SlotMap(RedisAddress("redis://h", nodes=(gone,)), 1.0).ranges()
    async with saying(b"-ERR This instance has cluster support disabled\r\n") as hosts:
        with pytest.raises(NoMaster, match="cluster support disabled"):
            await SlotMap(RedisAddress("redis://h", nodes=hosts), 30.0).ranges()


async def test_who_gives_up_asking_leaves_no_connection_behind() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        ended.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        nodes = (("127.0.0.1", server.sockets[0].getsockname()[1]),)
        asking = asyncio.create_task(SlotMap(RedisAddress("redis://h", nodes=nodes), 30.0).ranges())
        while not server._active_count:  # type: ignore[attr-defined]  # noqa: ASYNC110 - it has connected
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait({asking})
        async with asyncio.timeout(30):
            await ended.wait()


def test_slots_are_those_of_the_specification() -> None:
    assert (slot_of("123456789"), slot_of(b"foo"), slot_of("a{foo}b{bar}")) == (12739, 12182, 12182)
    assert slot_of("{}x") != slot_of("{}y")


def test_what_may_be_shown_of_an_address_holds_no_secret() -> None:
    login = f"redis://u:{SECRET}@h:1/0"
    for address in (
        RedisAddress(login),
        RedisAddress(login, Sentinels((("s", 26379),), "main", "u", SECRET)),
        RedisAddress(login, nodes=(("::1", 7000),)),
    ):
        assert SECRET not in repr(address) + address.where
    assert RedisAddress(login, Sentinels((("s", 26379),), "main")).where == "main of the sentinels s:26379"
    assert RedisAddress(login, nodes=(("::1", 7000),)).where == "the cluster of [::1]:7000"
