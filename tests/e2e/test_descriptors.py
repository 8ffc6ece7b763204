"""More clients than the server may have files open: it refuses some and goes on."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.ports import free_ports
from tests.support.server import Config, Server, TestApp, app_config, server_config, start

APP = TestApp()
FILES = 256
CLIENTS = 600
HANDSHAKE = (
    f"GET /app/{APP.key}?protocol=7 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def subscribe(channel: str) -> bytes:
    """Return the masked frame of a short subscription."""
    text = json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}}).encode()
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


class Storm:
    """Clients that all want in, and try again a moment after they were refused."""

    def __init__(self, port: int, clients: int = CLIENTS, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self.inside = 0
        self.refused = 0  # in Pusher's words
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, number: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._once(number)
            await asyncio.sleep(0.2 + number % 10 / 50)  # as clients do that were refused

    async def _once(self, number: int) -> None:
        async with asyncio.timeout(10):
            name = None if self._tls is None else "localhost"
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls, server_hostname=name)
        try:
            writer.write(HANDSHAKE)
            async with asyncio.timeout(10):
                await reader.readuntil(b"\r\n\r\n")
                told = await reader.readuntil(b"}")
            if b"4100" in told:
                self.refused += 1
                return
            self.inside += 1
            writer.write(subscribe(f"storm-{number}"))
            try:
                await reader.read()
            finally:
                self.inside -= 1
        finally:
            writer.close()


@asynccontextmanager
async def stormed(
    config: Config, folder: Path, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Server, Storm]]:
    """Start a server that may have few files open while many clients try to connect already."""
    ports = free_ports(2)
    clients = Storm(ports[0], tls=tls)
    try:
        server = await asyncio.to_thread(start, config, folder, None, ports, FILES)
        try:
            yield server, clients
            await clients.end()
            await asyncio.to_thread(server.stop)
        finally:
            server.process.kill()
            server.process.wait()
    finally:
        await clients.end()


async def scraped(server: Server) -> dict[str, float]:
    status, body = await asyncio.to_thread(server.get, "/metrics", server.metrics_port)
    assert status == 200
    lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


@pytest.mark.parametrize("attempt", range(3))
async def test_more_clients_at_the_start_than_files_may_be_open_are_refused_and_the_server_goes_on(
    tmp_path: Path, attempt: int
) -> None:
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "event_types": ["channel_occupied"]}
        config = server_config(app_config(APP, webhooks=[hook]))
        async with stormed(config, tmp_path) as (server, storm):
            await eventually(lambda: storm.inside >= 50, "clients get in")
            await eventually(lambda: storm.refused >= 100, "clients are told that the server is full")
            await eventually(lambda: len(receiver.hooks("/hook")) >= 50, "webhooks are delivered")
            figures = await scraped(server)
            assert figures["process_open_fds"] < FILES
            assert figures['sockudo_out_of_descriptors_total{use="client"}'] > 0
            await storm.end()
            async with AsyncExitStack() as stack:
                for _ in range(50):
                    client = await stack.enter_async_context(connected(server, APP))
                await client.subscribe("after-the-storm")
                await eventually(
                    lambda: any(b"after-the-storm" in hook.body for hook in receiver.hooks("/hook")), "the webhook"
                )
        log = server.log()
    assert log.count("out of file descriptors") == 1
    assert "ulimit -n" in log
    assert "Traceback" not in log
    assert '"level": "error"' not in log


async def test_clients_that_never_finish_their_tls_handshake_leave_files_for_the_server(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    config = server_config(app_config(APP), ssl={"enabled": True, "cert_path": str(chain), "key_path": str(key)})
    silent: list[socket.socket] = []
    async with stormed(config, tmp_path, client_tls) as (server, storm):
        try:
            await eventually(lambda: storm.inside >= 20, "clients get in")
            for _ in range(FILES):
                silent.append(socket.create_connection(("127.0.0.1", server.port)))
            assert (await scraped(server))["process_open_fds"] < FILES
        finally:
            for each in silent:
                each.close()
        await eventually(lambda: storm.inside >= 50, "clients get in again")
    assert "Traceback" not in server.log()
