"""Listening: TLS, the Unix socket, several servers on one port, and errors that an operator can act upon."""

import asyncio
import json
import socket
import ssl
import stat
from collections.abc import Coroutine
from pathlib import Path

import pytest
import trustme
import websockets.asyncio.client

from sockudo_py.errors import SockudoError
from tests.support.edge_bench import CLOSE, KEY, TEXT, frame, message
from tests.support.edge_stage import DEADLINE, LOOPS, Stage, on_stage, signed, stage

EVENT = json.dumps({"name": "e", "channel": "c", "data": "{}"}).encode()
AUTHORITY = trustme.CA()


def server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


def client_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> "Runner":
    return Runner(request.param)


class Runner:
    """Runs a coroutine in a new event loop of either kind."""

    def __init__(self, loop_name: str) -> None:
        self._new_loop = LOOPS[loop_name]

    def run(self, main: Coroutine[None, None, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(DEADLINE):
                await main

        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            runner.run(bounded())


# -- TLS --


@on_stage(tls=server_tls())
async def test_both_lanes_and_aiohttp_work_over_tls(stage: Stage) -> None:
    client = await stage.websocket(client_tls=client_tls())
    await client.send(message("pusher:subscribe", data={"channel": "c"}))
    assert (await client.message())["event"] == "pusher_internal:subscription_succeeded"
    backend = await stage.dial(client_tls())
    await backend.send(signed(EVENT) + b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await backend.response() == (200, b"{}")
    assert await backend.response() == (200, b"OK")
    assert (await client.message())["event"] == "e"
    await client.send(frame(CLOSE, b"\x03\xe8"))
    assert await client.frame() == (CLOSE, b"\x03\xe8")
    assert await client.ended() == b""


@on_stage(tls=server_tls())
async def test_a_refusal_over_tls_can_be_read(stage: Stage) -> None:
    plain = await stage.dial(client_tls())
    await plain.send(b"nonsense\r\n\r\n")
    assert (await plain.response())[0] == 400
    client = await stage.websocket(client_tls=client_tls())
    await client.send(frame(TEXT, b"x" * 200_000))
    opcode, payload = await client.frame()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 1009)


@on_stage(tls=server_tls())
async def test_a_client_without_tls_harms_nobody_on_a_tls_port(stage: Stage) -> None:
    plain = await stage.dial()
    await plain.send(b"GET / HTTP/1.1\r\n\r\n")
    await plain.reader.read()
    client = await stage.websocket(client_tls=client_tls())
    await client.send(message("pusher:ping"))
    assert (await client.message())["event"] == "pusher:pong"


@on_stage()
async def test_a_tls_client_on_a_plain_port_is_told_what_this_is(stage: Stage) -> None:
    peer = await stage.dial()
    await peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    status, text = await peer.response()
    assert status == 400
    assert b"TLS is not spoken on this port" in text


# -- a client that was not written here --


@on_stage()
async def test_the_websockets_client_connects_talks_and_closes(stage: Stage) -> None:
    url = f"ws://127.0.0.1:{stage.server.port}/app/{KEY}?protocol=7"
    async with websockets.asyncio.client.connect(url, proxy=None) as client:
        assert "pusher:connection_established" in str(await client.recv())
        await (await client.ping(b"x"))
        await client.send('{"event":"pusher:ping"}')
        assert "pusher:pong" in str(await client.recv())
        await client.send(["{", '"event"', ':"pusher:ping"}'])
        assert "pusher:pong" in str(await client.recv())
    assert client.close_code == 1000


# -- the Unix socket --


def test_a_unix_socket_serves_with_its_mode_and_goes_with_the_server(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def main() -> None:
        async with stage(unix_path=path, unix_mode=0o600) as running:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            client = await running.websocket(unix_path=path)
            await client.send(message("pusher:ping"))
            assert (await client.message())["event"] == "pusher:pong"
            backend = await running.dial(unix_path=path)
            await backend.send(signed(EVENT))
            assert await backend.response() == (200, b"{}")
        assert not path.exists()

    runner.run(main())


def test_a_stale_unix_socket_is_replaced(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def main() -> None:
        async with stage(unix_path=path) as running:
            await running.websocket(unix_path=path)

    runner.run(main())


def test_a_unix_socket_in_use_is_left_alone(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def main() -> None:
        async with stage(unix_path=path) as first:
            second = Stage(unix_path=path)
            with pytest.raises(SockudoError, match="a running server uses it"):
                await second.start()
            await second.stop()
            await first.websocket(unix_path=path)

    runner.run(main())


def test_the_successors_unix_socket_survives_the_predecessors_end(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def main() -> None:
        async with stage(unix_path=path) as first:
            path.unlink()
            async with stage(unix_path=path) as second:
                first.server.stop_accepting()
                await second.websocket(unix_path=path)

    runner.run(main())


def test_a_file_that_is_no_socket_is_not_removed(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("precious")

    async def main() -> None:
        server = Stage(unix_path=path)
        with pytest.raises(SockudoError, match="no socket; remove it or choose another path"):
            await server.start()
        await server.stop()

    runner.run(main())
    assert path.read_text() == "precious"


def test_a_missing_directory_is_named(runner: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        server = Stage(unix_path=tmp_path / "absent" / "s.sock")
        with pytest.raises(SockudoError, match=r"absent/s\.sock: the directory is not there; create it"):
            await server.start()
        await server.stop()

    runner.run(main())


# -- the port --


@on_stage()
async def test_a_port_in_use_is_named_with_the_remedy(first: Stage) -> None:
    second = Stage()
    second.server._port = first.server.port
    with pytest.raises(SockudoError) as caught:
        await second.start()
    await second.stop()
    assert str(caught.value) == (
        f"can't listen on 127.0.0.1:{first.server.port}: the address is in use; "
        "stop the program that uses it or choose another port"
    )


@pytest.mark.parametrize(
    ("host", "text"), [("192.0.2.1", "does not have that address"), ("no.invalid", "can't be resolved")]
)
def test_a_host_that_is_not_ours_is_named_with_the_remedy(runner: Runner, host: str, text: str) -> None:
    async def main() -> None:
        server = Stage()
        server.server._host = host
        with pytest.raises(SockudoError, match=f"can't listen on {host}:0: .*{text}"):
            await server.start()
        await server.stop()

    runner.run(main())


def test_several_servers_may_share_a_port(runner: Runner) -> None:
    async def main() -> None:
        async with stage(reuse_port=True) as first:
            second = Stage(reuse_port=True)
            second.server._port = first.server.port
            await second.start()
            first.server.stop_accepting()
            await asyncio.gather(*[second.websocket() for _ in range(10)])
            assert second.node.connections() == 10
            await second.stop()

    runner.run(main())


@on_stage()
async def test_the_port_taken_for_0_is_known(stage: Stage) -> None:
    assert stage.server.port > 0
    await stage.dial()


@on_stage()
async def test_after_stop_accepting_the_open_connections_live_on(stage: Stage) -> None:
    client = await stage.websocket()
    stage.server.stop_accepting()
    with pytest.raises(OSError, match=r"onnect"):
        await stage.dial()
    await client.send(message("pusher:ping"))
    assert (await client.message())["event"] == "pusher:pong"
