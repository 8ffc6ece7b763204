"""``python -m benchmarks.webhook_path``: instructions of a webhook event, from a join or leave to the receiver's answer.

All happens in this process: adapter, intake, queue, worker and target. With ``stub`` the target answers at once, with
``http`` a receiver in another process does. Needs valgrind. It counts instructions, so the machine may be busy.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sockudo_py.adapters.base import Envelope, Joined, Left
from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.endpoints import Batching, Endpoint
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import AppKey
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Queue
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.stores.history.base import Bounds, History
from sockudo_py.stores.history.memory import MemoryHistory
from sockudo_py.stores.history.sqlite import SqliteHistory
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.service import DeliverySettings, WebhookService
from sockudo_py.webhooks.targets.base import Delivered, Outcome, Request, Target
from sockudo_py.webhooks.targets.http.target import HttpTarget

FORMS = [f"{queue} {kind}" for queue in ("memory", "sqlite") for kind in ("batched", "single")]
FEW, MANY = 500, 2_500  # events; the difference leaves out what a start costs
IN_A_TURN = 10  # events in a turn of the loop and a millisecond: 5,000 pairs a second
A_SECOND = 500  # events until what came is written to the history, which is done once a second: valgrind is slow
THERE = 50  # channels that are occupied at a time: the ledger has them
APP = "1"


class Clock:
    """Seconds that go on when the driver says so: under valgrind a window of 50 ms would hold few events."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


class Stub:
    """A target that takes everything."""

    name = "http"

    def __init__(self) -> None:
        self.answer = Delivered(200)

    def begin(self, request: Request, done: Callable[[Outcome], None]) -> Callable[[], None] | None:
        """Take it."""
        return asyncio.get_running_loop().call_soon(done, self.answer).cancel

    async def send(self, request: Request) -> Outcome:
        """Take it."""
        return self.answer

    async def close(self) -> None:
        """Nothing to do."""


class Counted:
    """Counts the deliveries that ended, by ``on_attempt``."""

    def __init__(self) -> None:
        self.events = 0
        self.enough: asyncio.Event = asyncio.Event()
        self.wanted = 0

    def __call__(self, attempt: Any, endpoint: Endpoint) -> None:
        self.events += attempt.job.count()
        if self.events >= self.wanted:
            self.enough.set()

    async def wait(self, events: int) -> None:
        """Wait until the receiver has the events."""
        self.wanted = events
        if self.events < events:
            self.enough.clear()
            await asyncio.wait_for(self.enough.wait(), 300)


async def drive(
    queue: Queue,
    target: Target,
    url: str,
    clock: Clock,
    *,
    batched: bool,
    events: int,
    history: History | None = None,
) -> None:
    """Have channels occupied and vacated, and wait for the events to be delivered."""
    counted = Counted()
    adapter = LocalAdapter(0.0, asyncio.get_running_loop().call_later, clock)
    service = WebhookService(
        queue,
        {"http": target},
        Metrics(),
        DeliverySettings(history_interval=3600.0),
        occupancy=adapter,
        history=history,
        on_attempt=counted,
        clock=clock,
    )
    batching = Batching(enabled=batched)
    keys = (AppKey("key", b"secret"),)
    kinds = frozenset({"channel_occupied", "channel_vacated"})
    service.replace(APP, "config", [Endpoint("ep", 1, APP, keys, url=url, event_types=kinds, batching=batching)])
    await queue.open()
    if history is not None:
        await history.open()
    adapter.start(_nobody, service.add)
    await service.start()
    sources = [Source(APP, f"{number}.1") for number in range(IN_A_TURN)]
    made, there = 0, deque[str]()
    while made < events:
        for source in sources[: IN_A_TURN // 2]:
            adapter.join(APP, f"channel-{made}", source, None, 100, False, _joined)
            there.append(f"channel-{made}")
            if len(there) > THERE:
                adapter.leave(APP, there.popleft(), source, None, False, _left)
                made += 2
            else:
                made += 1
        clock.now += 0.001
        if made % 100 == 0:
            await counted.wait(made)
            if service.history is not None and made % A_SECOND == 0:
                await service.history.flush()
        else:
            await asyncio.sleep(0)
    await service.stop()
    if history is not None:
        await history.close()
    await queue.close()


def _nobody(envelope: Envelope) -> None:
    raise AssertionError("there is no other node")


def _joined(result: object) -> None:
    assert isinstance(result, Joined)


def _left(result: object) -> None:
    assert isinstance(result, Left)


async def run(form: str, way: str, events: int, attempts: int) -> None:
    """Send events through, with a history that keeps this number of attempts of each endpoint."""
    driver, kind = form.split()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        queue: Queue
        history: History
        if driver == "memory":
            queue, history = MemoryQueue(clock=clock), MemoryHistory(Bounds(attempts))
        else:
            queue = SqliteQueue(Path(folder) / "queue.sqlite3", clock=clock)
            history = SqliteHistory(Path(folder) / "queue.sqlite3.history", Bounds(attempts))
        settings: dict[str, Any] = {
            "batched": kind == "batched",
            "events": events,
            "history": history if attempts else None,
        }
        if way == "stub":
            await drive(queue, Stub(), "http://127.0.0.1:9/", clock, **settings)
            return
        receiver = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.webhook_path", "--receiver", stdout=subprocess.PIPE
        )
        assert receiver.stdout is not None
        try:
            port = int(await receiver.stdout.readline())
            target = HttpTarget(guard=AddressGuard(), trusted_guard=AddressGuard(allow_private=True))
            url = f"http://127.0.0.1:{port}/hooks"
            await drive(queue, target, url, clock, **settings)
        finally:
            receiver.kill()
            await receiver.wait()


async def receive() -> None:
    """Answer requests until somebody ends this process; print the port."""
    from benchmarks.receiver import receiving

    async with receiving(b"channel_occupied") as received:
        print(received.port, flush=True)
        await asyncio.Event().wait()


def count(form: str, way: str, attempts: int = 0) -> float:
    """Return the instructions of one event. ``attempts``: as in ``run``."""
    found = []
    for events in (FEW, MANY):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m"]
        command += ["benchmarks.webhook_path", "--run", form, way, str(events), str(attempts)]
        same = {**os.environ, "PYTHONHASHSEED": "0"}  # the same count each time
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=same)
        counted = re.search(r"Collected : (\d+)", done.stderr)
        assert counted is not None, done.stderr
        found.append(int(counted[1]))
    return (found[1] - found[0]) / (MANY - FEW)


def main() -> None:
    """Print a line for each form."""
    import uvloop

    parser = argparse.ArgumentParser(prog="benchmarks.webhook_path", description=__doc__)
    parser.add_argument("forms", nargs="*", default=FORMS, help=f"of: {', '.join(FORMS)}")
    parser.add_argument("--way", choices=("stub", "http"), action="append", help="default: both")
    parser.add_argument(
        "--run", nargs=4, metavar=("FORM", "WAY", "EVENTS", "ATTEMPTS"), help="send events through, count nothing"
    )
    parser.add_argument("--history", type=int, default=0, help="attempts of each endpoint that a history keeps")
    parser.add_argument("--receiver", action="store_true", help="be the receiver of http")
    arguments = parser.parse_args()
    go: Callable[[Any], None] = uvloop.run
    if arguments.receiver:
        go(receive())
    elif arguments.run:
        form, way, events, attempts = arguments.run
        go(run(form, way, int(events), int(attempts)))
    else:
        for form in arguments.forms:
            for way in arguments.way or ("stub", "http"):
                print(
                    f"{form:16} {way:5} {count(form, way, arguments.history):10,.0f} instructions an event", flush=True
                )


if __name__ == "__main__":
    main()
