"""Accepting connections that begin with TLS."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from sockudo_py.edge.sockets import tls_listener
from sockudo_py.edge.sockets.tls_listener import TlsListener
from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors, lowest_free
from tests.support.client import eventually


class Greeter(asyncio.Protocol):
    """Says hello to whoever has shaken hands."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Greeter.made += 1
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


class Listening(socket.socket):
    """A listening socket whose first accepts fail."""

    problems: list[OSError]

    def accept(self) -> tuple[socket.socket, Any]:
        if self.problems:
            raise self.problems.pop()
        return super().accept()


class Stage:
    def __init__(self) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.client_tls = ssl.create_default_context()
        authority.configure_trust(self.client_tls)
        self.metrics = Metrics()
        self.descriptors = Descriptors(1 << 20, deliveries=1, metrics=self.metrics)
        self.socket = Listening()
        self.socket.problems = []
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.listener = TlsListener([self.socket], Greeter, context, self.descriptors, lambda: False)

    async def greeting(self) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.client_tls, server_hostname="localhost"
        )
        try:
            return await reader.read()
        finally:
            writer.close()

    @property
    def short(self) -> float:
        return self.metrics.series["out_of_descriptors_total"].values.get(("connection",), 0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    made.listener.close()


async def test_who_shakes_hands_is_served(stage: Stage) -> None:
    assert await stage.greeting() == b"hello"


async def test_a_connection_that_is_one_too_many_is_closed_before_any_handshake(stage: Stage) -> None:
    before = Greeter.made
    stage.descriptors.connections = 0
    with pytest.raises(OSError):  # noqa: PT011 - a reset, or the end in the midst of a handshake
        await stage.greeting()
    assert stage.short == 1
    assert Greeter.made == before
    stage.descriptors.connections = 1000
    assert await stage.greeting() == b"hello"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
async def test_an_accept_that_fails_is_tried_again_a_moment_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr(tls_listener, "_REST", 0.01)
    stage.socket.problems = [OSError(number, os.strerror(number))] * 3
    assert await stage.greeting() == b"hello"
    assert stage.socket.problems == []
    assert stage.short == (0 if number == errno.ENOBUFS else 3)
    assert all(record.exc_info is None for record in caplog.records)


async def test_handshakes_that_break_leave_no_line_and_no_descriptor(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello"):
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(said)
        if not said:
            writer.close()
        await reader.read()
        writer.close()
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= open_before, "all are closed")
    assert caplog.records == []


async def test_closing_drops_who_has_not_finished_its_handshake(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    await eventually(lambda: bool(stage.listener._shaking), "it is accepted")
    stage.listener.close()
    assert await reader.read() == b""
    writer.close()
    await eventually(lambda: not stage.listener._shaking, "the task has ended")


async def test_who_does_not_shake_hands_makes_room_for_those_who_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(3)]
    await eventually(lambda: len(stage.listener._shaking) == 3, "they are accepted")
    stage.descriptors.connections = lowest_free() - 1  # full, but for the margin
    with pytest.raises(OSError):  # noqa: PT011 - as above: nobody is slow yet
        await stage.greeting()
    monkeypatch.setattr(tls_listener, "SLOW", 0.0)
    assert await stage.greeting() == b"hello"
    assert await silent[0][0].read() == b""  # the first one went
    assert len(stage.listener._shaking) == 2
    for _, writer in silent:
        writer.close()
