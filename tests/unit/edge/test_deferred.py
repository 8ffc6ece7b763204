"""Connections that come before the server that serves them."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from sockudo_py.edge.fallback.deferred import DeferredServer
from tests.support.client import eventually
from tests.support.edge_stage import DEADLINE, LOOPS


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"<" + data + b">")


@asynccontextmanager
async def serving(later: DeferredServer) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(later, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        later.close()


async def dial(port: int, said: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    return reader, writer


def waiting(later: DeferredServer) -> int:
    return len(later._waiting)


def on_both_loops(scene: Callable[[DeferredServer, int], "asyncio._CoroutineLike[None]"]) -> Callable[[str], None]:
    @pytest.mark.parametrize("loop", LOOPS)
    @functools.wraps(scene, assigned=("__doc__",))
    def test(loop: str) -> None:
        async def play() -> None:
            later = DeferredServer()
            async with serving(later) as port:
                await asyncio.wait_for(scene(later, port), DEADLINE)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(play())

    del test.__wrapped__  # pytest would ask for the scene's arguments
    return test


@on_both_loops
async def test_those_who_came_early_are_served_in_full_once_there_is_a_server(later: DeferredServer, port: int) -> None:
    people = [await dial(port, b"early") for _ in range(3)]
    await eventually(lambda: waiting(later) == 3, "three that wait")
    later.open(Echo)
    assert waiting(later) == 0
    for reader, writer in people:
        assert await reader.readexactly(7) == b"<early>"
        writer.write(b"more")
        assert await reader.readexactly(6) == b"<more>"
        writer.close()


@on_both_loops
async def test_those_who_come_later_never_wait(later: DeferredServer, port: int) -> None:
    later.open(Echo)
    reader, writer = await dial(port, b"x")
    assert await reader.readexactly(3) == b"<x>"
    assert waiting(later) == 0
    writer.close()


@on_both_loops
async def test_what_another_protocol_had_read_comes_first(later: DeferredServer, port: int) -> None:
    class First(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            protocol = later()
            self.transport.set_protocol(protocol)
            protocol.connection_made(self.transport)
            protocol.data_received(data)

    server = await asyncio.get_running_loop().create_server(First, "127.0.0.1", 0)
    reader, writer = await dial(server.sockets[0].getsockname()[1], b"1")
    await eventually(lambda: waiting(later) == 1, "one that waits")
    writer.write(b"2")
    later.open(Echo)
    text = b""
    while text.count(b"2") == 0:
        text += await reader.read(100)
    assert text.replace(b"><", b"") in (b"<12>",)
    writer.close()
    server.close()


@on_both_loops
async def test_without_a_server_they_are_dropped_in_the_end(later: DeferredServer, port: int) -> None:
    reader, writer = await dial(port, b"x")
    await eventually(lambda: waiting(later) == 1, "one that waits")
    later.close()
    assert waiting(later) == 0
    with contextlib.suppress(ConnectionResetError):  # an end of the stream says the same
        assert await reader.read() == b""
    writer.close()


@on_both_loops
async def test_one_who_is_accepted_as_the_server_comes_is_served(later: DeferredServer, port: int) -> None:
    def make() -> asyncio.Protocol:
        protocol = later()
        later.open(Echo)  # the loop tells the protocol of its connection in a later turn
        return protocol

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    reader, writer = await dial(server.sockets[0].getsockname()[1], b"x")
    assert await reader.readexactly(3) == b"<x>"
    assert waiting(later) == 0
    writer.close()
    server.close()


@on_both_loops
async def test_one_who_is_accepted_as_the_server_stops_is_dropped(later: DeferredServer, port: int) -> None:
    def make() -> asyncio.Protocol:
        protocol = later()
        later.close()
        return protocol

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    reader, writer = await dial(server.sockets[0].getsockname()[1], b"x")
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert waiting(later) == 0
    writer.close()
    server.close()
