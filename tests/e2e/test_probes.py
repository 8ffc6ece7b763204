"""What the probes of balancers and orchestrators get to see."""

import asyncio
import csv
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.client import connected, eventually
from tests.support.debian import packages
from tests.support.server import Server, TestApp, app_config, running, server_config

APP = TestApp()
PROBES = ("/", "/up", "/live", "/ready", "/accept-traffic", f"/up/{APP.id}")
LEAVE_OPEN = ("/", "/live")  # they say that the process is there, not that it takes clients


def status(server: Server, request: str) -> int:
    """Send a request as it stands on a connection of its own and return the status of the answer."""
    with socket.create_connection((server.host, server.port), timeout=30) as sock:
        sock.sendall(request.encode())
        answer = b""
        while b"\r\n" not in answer and (more := sock.recv(4096)):
            answer += more
    return int(answer.split()[1])


def haproxy(server: Server) -> int:
    """Ask as HAProxy does with ``option httpchk`` and nothing else."""
    return status(server, "OPTIONS / HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("prefix", ["", "/realtime"])
async def test_probes_answer_200_while_clients_are_taken_and_503_while_they_are_sent_away(
    tmp_path: Path, prefix: str
) -> None:
    config = server_config(app_config(APP), drain_delay=3.0, **({"path_prefix": prefix} if prefix else {}))
    prefixes = {"", prefix}
    with running(config, tmp_path) as server:
        if prefix:
            assert await asyncio.to_thread(status, server, f"GET {prefix} HTTP/1.0\r\n\r\n") == 200
        for path in PROBES:
            for before in prefixes:
                for method in ("GET", "HEAD"):
                    request = f"{method} {before}{path} HTTP/1.0\r\n\r\n"
                    assert await asyncio.to_thread(status, server, request) == 200, request
        assert await asyncio.to_thread(haproxy, server) == 200
        async with connected(server, APP) as client:
            server.terminate()
            await eventually(lambda: server.get("/up")[0] == 503, "the drain")
            for path in PROBES:
                wanted = 200 if path in LEAVE_OPEN else 503
                for before in prefixes:
                    assert (await asyncio.to_thread(server.get, f"{before}{path}"))[0] == wanted, path
            assert await asyncio.to_thread(haproxy, server) == 503
            await client.expect_fatal(4200)


def state(stats: Path) -> str:
    """Return what HAProxy says of its server, such as ``UP L7OK``; empty while it can't be asked."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(stats))
            sock.sendall(b"show stat\n")
            rows = list(csv.DictReader(sock.makefile()))
    except OSError:
        return ""
    return next((f"{row['status']} {row['check_status']}" for row in rows if row["svname"] == "s"), "")


async def test_haproxy_with_its_default_check_takes_the_server_for_up(tmp_path: Path) -> None:
    haproxy = packages("haproxy")
    with running(server_config(app_config(APP), drain_delay=8.0), tmp_path) as server:
        stats, file = tmp_path / "stats", tmp_path / "haproxy.cfg"
        file.write_text(
            f"global\n stats socket {stats}\ndefaults\n mode http\n timeout connect 9s\n timeout client 9s\n"
            " timeout server 9s\nbackend b\n option httpchk\n default-server inter 1s rise 1 fall 1\n"
            f" server s 127.0.0.1:{server.port} check\n"
        )
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
            [haproxy.file("usr/sbin/haproxy"), "-f", file, "-db"], env=haproxy.env, cwd=tmp_path
        )
        try:
            await eventually(lambda: state(stats) == "UP L7OK", "up")
            server.terminate()
            await eventually(lambda: state(stats) == "DOWN L7STS", "down by the status while it drains")
        finally:
            process.kill()
            process.wait()
