"""Resync of many channels: seconds from the request to the answer, and until the receiver has the last event.

``python -m benchmarks.resync [--channels 100000] [--driver memory|sqlite]``
"""

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import websockets.asyncio.client

from benchmarks.harness import free_port, wait_until_up

KEY: Final = "benchmark-key"
PER_CLIENT: Final = 5000  # channels
DEADLINE: Final = 300.0  # seconds


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the server under test is killed at the end."""


class Counting:
    """A receiver that counts the events of a resync."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.completed = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for event in body["events"]:
                    if "resync" in event:
                        outer.names[event["name"]] = outer.names.get(event["name"], 0) + 1
                        if event["name"] == "resync_completed":
                            outer.completed.set()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_port}/hook"


def config(port: int, driver: str, url: str, folder: Path) -> dict[str, Any]:
    """Return a server's configuration with one endpoint."""
    hook = {"uid": "wh_bench", "url": url, "event_types": ["channel_occupied", "channel_vacated"]}
    app = {"id": "1", "key": "k", "secret": "s" * 16, "max_subscribes_per_second": 0, "subscribe_burst": 0}
    return {
        "host": "127.0.0.1",
        "port": port,
        "metrics": {"enabled": False},
        "app_manager": {"array": {"apps": [{**app, "webhooks": [hook]}]}},
        "queue": {"driver": driver, "sqlite": {"path": str(folder / "queue.db")}},
        "webhooks": {"admin": {"api_keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}]}},
    }


async def occupy(port: int, first: int, count: int) -> websockets.asyncio.client.ClientConnection:
    """Subscribe a client to channels of its own, and wait for the last confirmation."""
    client = await websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/app/k?protocol=7", max_queue=None)
    await client.recv()
    for number in range(first, first + count):
        await client.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": f"channel-{number}"}}))
    for _ in range(count):
        await client.recv()
    return client


def ask(port: int, method: str, path: str) -> dict[str, Any]:
    """Ask the management API."""
    headers = {"Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


async def run(channels: int, driver: str) -> None:
    """Measure, and print a line."""
    receiver, port = Counting(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, log = folder / "config.json", folder / "log"
        file.write_text(json.dumps(config(port, driver, receiver.url, folder)))
        with log.open("wb") as out:
            command = [sys.executable, "-m", "sockudo_py", "start", str(file)]
            process = subprocess.Popen(command, stderr=out)  # noqa: ASYNC220 - nothing else runs yet
        try:
            wait_until_up(process, f"http://127.0.0.1:{port}/up", log)
            clients = [await occupy(port, start, PER_CLIENT) for start in range(0, channels, PER_CLIENT)]
            while ask(port, "GET", "/api/webhooks/queue/stats")["waiting"]:
                await asyncio.sleep(0.2)
            begun = time.perf_counter()
            answer = await asyncio.to_thread(ask, port, "POST", "/api/webhooks/wh_bench/resync")
            answered = time.perf_counter() - begun
            if not await asyncio.to_thread(receiver.completed.wait, DEADLINE):
                raise RuntimeError(f"not completed within {DEADLINE} s: {receiver.names}")
            took = time.perf_counter() - begun
            if receiver.names.get("channel_occupied", 0) < channels:
                raise RuntimeError(f"not all were told: {receiver.names}")
            print(f"{driver}: {answer['channels']} channels, answered after {answered:.1f} s, told after {took:.1f} s")
            for client in clients:
                client.transport.abort()
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=100_000)
    parser.add_argument("--driver", choices=("memory", "sqlite"), default="memory")
    options = parser.parse_args()
    asyncio.run(run(options.channels, options.driver))


if __name__ == "__main__":
    main()
