"""``sockudo-py listen`` as a process, and servers with a feed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.management import KEY, Said, admin_key, ask, managed
from tests.support.server import Server, TestApp, app_config, server_config

APP = TestApp()
NAME = "laptop"
DEADLINE = 30.0


def feeding(queue: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return the configuration of a server whose API makes feeds over this queue."""
    webhooks = managed(**{"batching": {"enabled": True, "duration": 20}, **settings.pop("webhooks", {})})
    webhooks["admin"] = {"api_keys": [admin_key(), admin_key("key-of-4", apps=["4"])], "rate_limit": {"per_minute": 0}}
    apps = [app_config(APP), app_config(TestApp("4", "k4", "s4"))]
    return server_config(*apps, queue={"reliability": {"shutdown_timeout_ms": 500}, **queue}, webhooks=webhooks)


def made_feed(server: Server, **fields: Any) -> str:
    """Make a feed, and return its uid."""
    said = ask(server, "POST", "/apps/3/webhooks", {"name": NAME, "event_types": ["order.made"], "feed": {}, **fields})
    assert said.status == 201, said
    uid: str = said.json["uid"]
    return uid


def raised(server: Server, number: int) -> None:
    """Let the application's event of this number happen; it is durable then."""
    body = {"event_type": "order.made", "event_id": f"order-{number}", "data": {"number": number}}
    said = ask(server, "POST", "/apps/3/webhook_events", body)
    assert said.status == 202, said


def read(server: Server, uid: str, after: str | None = None, **query: Any) -> Said:
    """Read a feed."""
    words = {**({"after": after} if after else {}), **query}
    text = "&".join(f"{name}={value}" for name, value in words.items())
    return ask(server, "GET", f"/api/webhooks/{uid}/feed" + (f"?{text}" if text else ""))


class Listener:
    """``sockudo-py listen``, whose lines go to a file."""

    def __init__(self, server: Server, folder: Path, *words: str, name: str = NAME) -> None:
        self.log_path = folder / f"listen-{time.monotonic_ns()}.log"
        place = ["--url", f"http://{server.host}:{server.port}"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sockudo_py", "listen", "--app", APP.id, "--name", name, *words, *place],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SOCKUDO_ADMIN_KEY": KEY, "PYTHONPATH": ":".join(sys.path)},
            )

    def log(self) -> str:
        """Return what it has said."""
        return self.log_path.read_text(errors="replace")

    def says(self, text: str, deadline: float = DEADLINE) -> None:
        """Wait until it has said something; fails after ``deadline`` seconds."""
        end = time.monotonic() + deadline
        while text not in self.log():
            assert time.monotonic() < end, f"it has not said {text!r}:\n{self.log()}"
            assert self.process.poll() is None or text in self.log(), f"it ended without {text!r}:\n{self.log()}"
            time.sleep(0.02)  # polls, with a deadline

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def interrupt(self) -> int:
        """Send it Ctrl-C, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE)
