"""How long a stop takes, and what a signal does at other moments."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from benchmarks.crowd import Crowd
from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.ports import free_ports
from tests.support.server import Config, Server, TestApp, app_config, running, server_config, start

APP = TestApp()
ALL_PARTS = 9.0  # seconds: docs/stopping.md
SLOW_MACHINE = 2.0  # seconds that a busy machine may take for what takes none


def default_stop(receiver: HookReceiver, folder: Path) -> Config:
    """Return a configuration whose stop has the default bounds, and whose queue outlives the server."""
    hook = {"url": f"{receiver.url}/hook", "event_types": ["channel_occupied"], "request_timeout_ms": 60_000}
    config = server_config(app_config(APP, webhooks=[hook]))
    del config["shutdown_grace_period"]
    config["queue"] = {"driver": "sqlite", "sqlite": {"path": str(folder / "queue.sqlite3")}}
    return config


def unfinished(port: int, request: str) -> socket.socket:
    """Return a connection whose request has begun and does not go on."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(request.encode())
    return sock


def stopped_within(server: Server) -> float:
    """Stop the server and return how many seconds that took."""
    before = time.monotonic()
    server.stop()
    return time.monotonic() - before


async def test_a_stop_with_clients_and_receivers_that_hang_takes_nine_seconds_and_loses_nothing(tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        config = default_stop(receiver, tmp_path)
        receiver.answer("/hook", *[60.0] * 8)
        with running(config, tmp_path) as server:
            async with AsyncExitStack() as stack:
                for _ in range(120):  # so many that they are told in slices
                    client = await stack.enter_async_context(connected(server, APP))
                await client.subscribe("room")
                await eventually(lambda: bool(receiver.hooks("/hook")), "the request that is never answered")
                hanging = [
                    unfinished(
                        server.port,
                        f"GET /app/{APP.key}?protocol=7 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n",  # and never an answer to the close frame
                    ),
                    unfinished(server.port, "POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{"),
                    unfinished(
                        server.port,
                        "POST /apps/3/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
                    ),
                    unfinished(server.metrics_port, "GET /metrics HTTP/1.1\r\nHost"),
                ]
                for each in hanging:
                    stack.enter_context(each)
                took = await asyncio.to_thread(stopped_within, server)
        assert took < ALL_PARTS + SLOW_MACHINE
        assert "Traceback" not in server.log()
        receiver.answer("/hook")
        before = len(receiver.hooks("/hook"))
        with running(config, tmp_path):
            await eventually(lambda: len(receiver.hooks("/hook")) > before, "what was cut off comes again")
        assert any(b"room" in hook.body for hook in receiver.hooks("/hook")[before:])


async def test_a_stop_says_what_it_waits_for_and_how_long_at_most(tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        config = default_stop(receiver, tmp_path) | {"drain_delay": 0.5, "shutdown_grace_period": 2}
        config["queue"]["reliability"] = {"shutdown_timeout_ms": 1500}
        receiver.answer("/hook", 60.0)
        with running(config, tmp_path) as server:
            async with connected(server, APP) as client, connected(server, APP):
                await client.subscribe("room")
                await eventually(lambda: bool(receiver.hooks("/hook")), "the request that is never answered")
                await asyncio.to_thread(server.stop)
            said = [json.loads(line)["message"] for line in server.log().splitlines()]
    begin = said.index("stopping, which takes at most about 5s; another signal leaves at once, without finishing")
    assert [line for line in said[begin + 1 :] if not line.startswith("waiting for the ends of ")] == [
        "/up says 503 from now on; the port is closed in 0.5s",
        "the port is closed; sending 2 clients away, at most 2s",
        "webhooks: events for the queue: 0, deliveries under way: 1; waiting for them at most 1.5s",
        "deliveries that were cut off and go back to the queue: 1",
        "stopped",
    ]


async def test_a_stop_that_nobody_holds_up_is_over_in_a_moment(tmp_path: Path) -> None:
    with HookReceiver() as receiver, running(default_stop(receiver, tmp_path), tmp_path) as server:
        async with connected(server, APP) as client:
            await client.subscribe("room")
            assert await asyncio.to_thread(stopped_within, server) < 1.0 + SLOW_MACHINE


async def test_a_name_look_up_that_hangs_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    # What Python runs at its start: the name service of this server is dead.
    (tmp_path / "sitecustomize.py").write_text(
        "import socket, time\n"
        "really = socket.getaddrinfo\n"
        "def look_up(host, *more, **options):\n"
        "    if host == 'receiver.test' and not options.get('flags'):\n"
        f"        open({str(tmp_path / 'asked')!r}, 'w').close()\n"
        "        time.sleep(120)\n"
        "    return really(host, *more, **options)\n"
        "socket.getaddrinfo = look_up\n"
    )
    hook = {"url": "https://receiver.test/hook", "event_types": ["channel_occupied"]}
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with running(server_config(app_config(APP, webhooks=[hook])), tmp_path, {"PYTHONPATH": paths}) as server:
        async with connected(server, APP) as client:
            await client.subscribe("room")
            await eventually((tmp_path / "asked").exists, "the look-up")
        assert await asyncio.to_thread(stopped_within, server) < ALL_PARTS + SLOW_MACHINE


async def test_up_says_503_for_the_drain_delay_while_everything_else_goes_on(tmp_path: Path) -> None:
    config = server_config(app_config(APP), drain_delay=5.0)
    with running(config, tmp_path) as server:
        async with connected(server, APP) as client:
            server.terminate()
            told = time.monotonic()
            while (await asyncio.to_thread(server.get, "/up"))[0] == 200:
                assert time.monotonic() - told < 5.0
            assert (await asyncio.to_thread(server.get, "/live"))[0] == 200
            await client.subscribe("room")
            async with connected(server, APP) as late:
                await late.subscribe("room")
                await client.expect_fatal(4200)
                assert time.monotonic() - told >= 4.9  # timers may be a few milliseconds early
        assert await asyncio.to_thread(server.wait) == 0


async def test_the_port_is_closed_before_clients_are_told_to_reconnect(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with connected(server, APP) as client:
            server.terminate()
            await client.expect_fatal(4200)
            with pytest.raises(OSError):  # noqa: PT011 - refused, or reset
                await asyncio.to_thread(server.get, "/up")


async def test_a_crowd_that_comes_back_at_once_is_refused_once_at_most(tmp_path: Path) -> None:
    config, ports = server_config(app_config(APP), shutdown_grace_period=30), free_ports(2)
    with running(config, tmp_path / "first", ports=ports) as server:
        crowd = Crowd(server.port, 300, APP.key)
        await crowd.come()
        took = await asyncio.to_thread(stopped_within, server)
    with running(config, tmp_path / "second", ports=ports):
        returned = await crowd.come_back()
        await crowd.leave()
    assert took < 5.0 + SLOW_MACHINE  # nothing is spread over the grace: there is nowhere else to go
    assert (returned.told, returned.lost) == (300, 0)
    assert returned.most_refused <= 1
    assert len(returned.back_at) >= 297


# -- signals at other moments --

SLOW_MODULE = "import time\nopen({marker!r}, 'w').close()\ntime.sleep(60)\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["pydantic", "uvloop"], ids=["the command line", "the server"])
async def test_a_signal_while_it_is_still_importing_ends_it_without_a_traceback(
    tmp_path: Path, number: signal.Signals, module: str
) -> None:
    marker = tmp_path / "importing"
    (tmp_path / f"{module}.py").write_text(SLOW_MODULE.format(marker=str(marker)))
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
        [sys.executable, "-m", "sockudo_py", "start"],
        env={**os.environ, "PYTHONPATH": paths, "QUEUE_DRIVER": "memory"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        await eventually(marker.exists, "the import")
        process.send_signal(number)
        said, _ = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number
    assert b"Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_come_until_the_very_end_of_a_stop_change_nothing(tmp_path: Path, number: signal.Signals) -> None:
    ports = free_ports(2)
    for _ in range(3):
        server = start(server_config(app_config(APP)), tmp_path, ports=ports)
        until = time.monotonic() + 0.4  # then a signal would mean: at once
        while time.monotonic() < until and server.process.poll() is None:
            with suppress(ProcessLookupError):
                server.process.send_signal(number)
            time.sleep(0.001)  # spreads them over the stop
        assert server.wait() == 0
        assert "Traceback" not in server.log()
