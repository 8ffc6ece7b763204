"""``sockudo-py listen``: from a client's join to the request that the receiver on this machine gets, in milliseconds.

``python -m benchmarks.listen [--joins 400] [--driver memory|sqlite] [--check]``
"""

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import websockets.asyncio.client

from benchmarks.harness import free_port, wait_until_up

KEY: Final = "benchmark-key"
TARGET: Final = 0.1  # seconds, p99
APART: Final = 0.05  # seconds between two joins
DEADLINE: Final = 30.0  # seconds


class Noting:
    """A receiver that notes when it heard of each channel first."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                now = time.perf_counter()
                for event in json.loads(self.rfile.read(int(self.headers["Content-Length"])))["events"]:
                    outer.heard.setdefault(event["channel"], now)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_port}/hook"


def config(port: int, driver: str, folder: Path) -> dict[str, Any]:
    """Return a server's configuration without endpoints."""
    app = {"id": "1", "key": "k", "secret": "s" * 16, "max_subscribes_per_second": 0, "subscribe_burst": 0}
    admin = {"api_keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}], "rate_limit": {"per_minute": 0}}
    return {
        "host": "127.0.0.1",
        "port": port,
        "metrics": {"enabled": False},
        "app_manager": {"array": {"apps": [app]}},
        "queue": {"driver": driver, "sqlite": {"path": str(folder / "queue.db")}},
        "webhooks": {"admin": admin},
    }


async def heard(receiver: Noting, channel: str) -> float:
    """Wait until the receiver has heard of a channel, and return when."""
    end = time.perf_counter() + DEADLINE
    while channel not in receiver.heard:
        if time.perf_counter() > end:
            raise RuntimeError(f"{channel} was not forwarded within {DEADLINE:.0f} s")
        await asyncio.sleep(0.002)
    return receiver.heard[channel]


async def run(joins: int, driver: str) -> tuple[float, float]:
    """Measure, print a line, and return median and p99 in seconds."""
    receiver, port = Noting(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, log = folder / "config.json", folder / "log"
        file.write_text(json.dumps(config(port, driver, folder)))
        program = [sys.executable, "-m", "sockudo_py"]
        with log.open("wb") as out:
            server = subprocess.Popen([*program, "start", str(file)], stderr=out)  # noqa: ASYNC220 - nothing else runs
        listener = None
        try:
            wait_until_up(server, f"http://127.0.0.1:{port}/up", log)
            words = ["--app", "1", "--name", "bench", "--forward", receiver.url, "--events", "channel_occupied"]
            listener = subprocess.Popen(  # noqa: ASYNC220 - as above
                [*program, "listen", *words, "--url", f"http://127.0.0.1:{port}"],
                stdout=subprocess.DEVNULL,
                env={**os.environ, "SOCKUDO_ADMIN_KEY": KEY},
            )
            client = await websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/app/k?protocol=7", max_queue=None)
            took = []
            for number in range(-20, joins):  # the first ones warm up, and wait until the listener is there
                channel = f"channel-{number}"
                begun = time.perf_counter()
                await client.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}}))
                if number < 0 and not receiver.heard:
                    await asyncio.sleep(0.5)
                    continue
                at = await heard(receiver, channel)
                if number >= 0:
                    took.append(at - begun)
                await asyncio.sleep(APART)
            client.transport.abort()
        finally:
            for process in (listener, server):
                if process is not None:
                    process.kill()
                    process.wait()
    took.sort()
    median, late = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]
    print(
        f"{driver}: {joins} joins, p50 {median * 1000:.1f} ms, p99 {late * 1000:.1f} ms, most {took[-1] * 1000:.1f} ms"
    )
    return median, late


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--joins", type=int, default=400)
    parser.add_argument("--driver", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--check", action="store_true", help=f"exit with 1 when p99 is over {TARGET * 1000:.0f} ms")
    options = parser.parse_args()
    _, late = asyncio.run(run(options.joins, options.driver))
    return int(options.check and late > TARGET)


if __name__ == "__main__":
    sys.exit(main())
