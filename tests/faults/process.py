"""A worker as a process of its own: ``python -m tests.faults.process OPTIONS`` (JSON, see ``Options``).

Reads commands from standard input, one JSON object a line: ``{"send": [first, count]}``, ``{"tell": true}``. Writes
what happened to standard output, one JSON object a line: ``ready``, ``taken`` (numbers of events whose append has
returned), ``attempt`` (id, number, status), ``told``. SIGTERM stops it as it stops the server.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sockudo_py.endpoints import Batching, Endpoint, RetryPolicy
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Queue
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.service import DeliverySettings, WebhookService
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.targets.base import Outcome, Request
from sockudo_py.webhooks.targets.http.target import HttpTarget
from tests.faults.harness import APP, event, hook, note_appends


@dataclass(frozen=True, slots=True)
class Options:
    """What a worker process is told. Seconds. ``redis``: URL; ``sqlite``: path; one of the two."""

    endpoints: dict[str, str]  # uid -> URL
    redis: str = ""
    sqlite: str = ""
    window: float = 0.0  # batching; 0: each event is a request of its own
    size: int = 100
    timeout: float = 10.0
    schedule: list[float] = field(default_factory=lambda: [0.2] * 30)
    max_in_flight: int = 8
    slow_start: bool = False
    slots: int = 80
    lease: float = 1.0
    renew: float = 0.3
    response_timeout: float = 5.0
    shutdown_timeout: float = 5.0
    spool: str = ""
    wait_replicas: int = 0
    crash_on: int = -1  # this event takes the process down when it is sent

    def queue(self) -> Queue:
        """Return the queue, not open yet."""
        if self.sqlite:
            return SqliteQueue(self.sqlite, slots=self.slots)
        return RedisQueue(
            self.redis,
            slots=self.slots,
            response_timeout=self.response_timeout,
            wait_replicas=self.wait_replicas,
        )

    def service(self, queue: Queue, metrics: Metrics, tell: Any) -> WebhookService:
        """Return the service over a queue."""
        target = _Crashing(self.crash_on)
        settings = DeliverySettings(
            worker=WorkerSettings(slots=self.slots, lease=self.lease, renew_interval=self.renew, poll_interval=0.1),
            spool=SpoolLimits(path=Path(self.spool) if self.spool else None),
            slow_start=self.slow_start,
            shutdown_timeout=self.shutdown_timeout,
        )
        service = WebhookService(queue, {"http": target}, metrics, settings, on_attempt=tell)
        batching = Batching(enabled=self.window > 0, duration=self.window, size=self.size)
        service.replace(
            APP,
            "config",
            [
                hook(
                    url,
                    uid,
                    batching=batching,
                    retry=RetryPolicy(schedule=tuple(self.schedule)),
                    request_timeout=self.timeout,
                    max_in_flight=self.max_in_flight,
                )
                for uid, url in self.endpoints.items()
            ],
        )
        return service


class _Crashing(HttpTarget):
    """Ends the process, as a crash would, when it is to send a certain event."""

    def __init__(self, crash_on: int) -> None:
        super().__init__(guard=AddressGuard(), trusted_guard=AddressGuard(allow_private=True))
        self._mark = b'"data":"%d"' % crash_on

    def begin(self, request: Request, done: Callable[[Outcome], None]) -> Callable[[], None] | None:
        return None if self._mark in request.body else super().begin(request, done)

    async def send(self, request: Request) -> Outcome:
        if self._mark in request.body:
            os._exit(70)
        return await super().send(request)


def _say(**fields: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(fields) + b"\n")
    sys.stdout.buffer.flush()


def _tell_attempt(attempt: Attempt, endpoint: Endpoint) -> None:
    _say(attempt=[attempt.job.id, attempt.number, attempt.status])


async def _main(options: Options) -> None:
    loop = asyncio.get_running_loop()
    metrics = Metrics()
    queue = options.queue()
    lacking: Counter[int] = Counter()  # appends of one event may go in two calls, one for each endpoint

    def note(numbers: Sequence[int]) -> None:
        lacking.update(numbers)
        whole = [number for number in dict.fromkeys(numbers) if lacking[number] == len(options.endpoints)]
        _say(taken=whole)

    note_appends(queue, note)
    service = options.service(queue, metrics, _tell_attempt)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await queue.open()
    await service.start()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say(ready=os.getpid())
    listening = asyncio.create_task(_listen(reader, service, metrics, stop))
    await stop.wait()
    listening.cancel()
    await service.stop()
    await queue.close()


async def _listen(reader: asyncio.StreamReader, service: WebhookService, metrics: Metrics, stop: asyncio.Event) -> None:
    while line := await reader.readline():
        command = orjson.loads(line)
        if "send" in command:
            first, count = command["send"]
            for number in range(first, first + count):
                service.add(event(number))
        if "tell" in command:
            lost = metrics.series["webhook_lost_ack_total"].values.get((), 0)
            _say(told={"waiting": service.dispatcher.waiting, "active": len(service.worker.tokens), "lost": lost})
    stop.set()  # whoever started this is gone


def encode(options: Options) -> str:
    """Return the argument of this program."""
    return orjson.dumps(asdict(options)).decode()


if __name__ == "__main__":
    asyncio.run(_main(Options(**orjson.loads(sys.argv[1]))))
