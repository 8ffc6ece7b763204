"""What quiet clients feel of strangers who flood: ``python -m tests.faults.strangers [--seconds 30] [KIND...]``.

A real server with its default queue. One endpoint of the app wants everything and answers after 100 ms, another one
wants the quiet clients' channels only. Everybody comes from one address, which is the harder case.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.flood import KINDS
from tests.faults.harness import percentile
from tests.faults.standstills import Standstills
from tests.support.client import Client, channel_auth, connected
from tests.support.receiver import Answer, Receiver
from tests.support.server import Server, TestApp, app_config, running, server_config

QUIET = 4  # clients
EVERY = 0.2  # seconds between two steps of each of them
VACATE_DELAY = 0.5  # seconds
EVENTS = ["*", "connection_established", "connection_terminated"]
ALL, OTHERS = "/all", "/others"
_DROPPED = re.compile(rb"^sockudo_webhook_spool_dropped_total\{[^}]*\} ([\d.e+]+)", re.MULTILINE)


@dataclass(slots=True)
class Figures:
    """``caused``: events of the quiet clients; ``lost``: how many never came, by endpoint; ``waits``: seconds from a
    quiet client's step to its event at the endpoint of its own; ``flood``: the strangers' events; ``dropped``: by the
    server, of anybody's."""

    caused: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    flood: int = 0
    dropped: int = 0

    @property
    def p99(self) -> float:
        return percentile(self.waits, 0.99)

    def __str__(self) -> str:
        return (
            f"quiet events {self.caused}, lost {self.lost}, p50 {percentile(self.waits, 0.5):.3f} s, "
            f"p99 {self.p99:.3f} s; strangers' events {self.flood}, dropped {self.dropped}"
        )


class Quiet:
    """A client that does little, and remembers what it did and when."""

    def __init__(self, number: int, client: Client) -> None:
        self._number = number
        self._client = client
        self._app = TestApp()
        self.done: dict[str, float] = {}

    async def run(self, until: float) -> None:
        home = f"private-quiet-{self._number}"
        await self._client.send(_subscription(self._client, self._app, home))
        await asyncio.sleep(0.1)
        turn = 0
        while time.monotonic() < until:
            turn += 1
            mark = f"{home}/{turn}"
            self._note(f"client_event {mark}")
            await self._client.send({"event": "client-step", "channel": home, "data": mark})
            if turn % 5 == 0:
                name = f"quiet-{self._number}-{turn}"
                self._note(f"channel_occupied {name}")
                await self._client.send({"event": "pusher:subscribe", "data": {"channel": name}})
            if turn % 5 == 2 and turn > 5:
                name = f"quiet-{self._number}-{turn - 2}"
                self._note(f"channel_vacated {name}", VACATE_DELAY)
                await self._client.send({"event": "pusher:unsubscribe", "data": {"channel": name}})
            await asyncio.sleep(EVERY)

    def _note(self, what: str, later: float = 0.0) -> None:
        self.done[what] = time.monotonic() + later


def _subscription(client: Client, app: TestApp, channel: str) -> dict[str, Any]:
    auth = channel_auth(app, client.socket_id, channel)
    return {"event": "pusher:subscribe", "data": {"channel": channel, "auth": auth}}


def _name_of(event: dict[str, Any]) -> str:
    return f"{event['name']} {event['data'] if event['name'] == 'client_event' else event.get('channel')}"


class Ledger:
    """What came at an endpoint, read as it comes."""

    def __init__(self, receiver: Receiver, path: str) -> None:
        self._receiver = receiver
        self._path = path
        self._read = 0
        self.came: dict[str, float] = {}
        self.others = 0

    def look(self) -> None:
        requests = self._receiver.received
        for request in requests[self._read :]:
            if request.path != self._path:
                continue
            for event in request.json()["events"]:
                if "quiet" in (event.get("channel") or ""):
                    self.came.setdefault(_name_of(event), request.at)
                else:
                    self.others += 1
        self._read = len(requests)


def _config(receiver: Receiver, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    hooks = [
        # Each connection event is a request of its own: with 8 at a time the last of them would come after minutes.
        {"url": receiver.url(ALL), "event_types": EVENTS, "max_in_flight": 60},
        {"url": receiver.url(OTHERS), "event_types": ["*"], "filter": {"channel_pattern": "quiet"}},
    ]
    return server_config(
        app_config(TestApp(), webhooks=hooks, enable_client_messages=True),
        queue={"driver": "sqlite", "sqlite": {"path": str(folder / "queue.sqlite3")}},
        webhooks={"vacate_delay_ms": int(VACATE_DELAY * 1000)},
        **settings,
    )


async def measure(kinds: list[str], seconds: float, folder: Path, *, after: float = 300.0, **settings: Any) -> Figures:
    """Return what quiet clients feel while a stranger of each kind floods."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        receiver.script(path=ALL, then=Answer(delay=0.1))
        server = await asyncio.to_thread(stack.enter_context, running(_config(receiver, folder, settings), folder))
        standstills = await stack.enter_async_context(Standstills())
        quiet = [Quiet(one, await stack.enter_async_context(connected(server, TestApp()))) for one in range(QUIET)]
        end = time.monotonic() + seconds
        steps = asyncio.gather(*(one.run(end) for one in quiet))
        await asyncio.sleep(0.5)
        strangers = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.flood", str(server.port), str(seconds - 0.5), *kinds
        )
        await steps
        assert await strangers.wait() == 0
        figures = Figures()
        wanted = {what: at for one in quiet for what, at in one.done.items()}
        ledgers = {path: Ledger(receiver, path) for path in (ALL, OTHERS)}
        deadline = time.monotonic() + after
        while True:
            for ledger in ledgers.values():
                ledger.look()
            figures.lost = {path: len(wanted.keys() - ledger.came.keys()) for path, ledger in ledgers.items()}
            if not any(figures.lost.values()) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        figures.caused = len(wanted)
        now = time.monotonic()
        came = ledgers[OTHERS].came
        figures.waits = [standstills.between(at, max(at, came.get(what, now))) for what, at in wanted.items()]
        figures.flood = ledgers[ALL].others
        figures.dropped = sum(_dropped(server))
        return figures


def _dropped(server: Server) -> Iterator[int]:
    for number in _DROPPED.findall(server.get("/metrics", server.metrics_port)[1]):
        yield int(float(number))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--alone", action="store_true", help="each kind for itself")
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    given = parser.parse_args()
    for several in [[kind] for kind in given.kinds] if given.alone else [given.kinds]:
        with tempfile.TemporaryDirectory() as name:
            print(*several, asyncio.run(measure(several, given.seconds, Path(name))), flush=True)  # noqa: T201
