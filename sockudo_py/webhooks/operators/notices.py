"""Tells operators of transitions, by webhooks: at most one notice of each kind about each endpoint in an hour.

Over several nodes too: the queue knows under which keys notices were appended. A notice about an endpoint of the
operators' own is never made, so none causes another.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from sockudo_py.endpoints import OPERATORS, Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.process.tasks import cancel
from sockudo_py.queues.base import Append, Queue, QueueFull
from sockudo_py.queues.once import OnceKey
from sockudo_py.webhooks.endpoints.filters import wants
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.operators.kinds import ENDPOINT_DISABLED

log = logging.getLogger(__name__)

WINDOW_MS = 3600 * 1000
MOST = 1000  # notices that wait, and subjects that are remembered
AGAIN = 5.0  # seconds until the queue is asked again
_NONE = b"0"  # a key of a window in which there was no notice

Subject = tuple[str, str]  # kind, uid of the endpoint ("": of the whole server)


class Notices:
    """Takes notices, and has the queue deliver them to the operators' endpoints.

    Args:
        queue: Open by the time of ``start``.
        registry: Has the operators' endpoints, as those of the app ``OPERATORS``.
        metrics: Where to count.
        clock: Unix seconds.
    """

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        metrics: WebhookMetrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._told: dict[Subject, int] = {}
        self._waiting: dict[Subject, tuple[int, Mapping[str, Any]]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        registry.subscribe(self._changed)

    @property
    def wanted(self) -> bool:
        """Whether any endpoint gets notices."""
        return bool(self._registry.by_app(OPERATORS))

    def start(self) -> None:
        """Begin to hand over."""
        self._task = asyncio.create_task(self._run(), name="webhook-notices")

    async def stop(self) -> None:
        """Hand over what waits, if the queue takes it at once."""
        if self._task is None:
            return
        await cancel(self._task)
        self._task = None
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(0.5):
                await self._hand_over()

    def tell(self, kind: str, data: Mapping[str, Any], endpoint: Endpoint | None = None) -> None:
        """Tell of a transition, of an endpoint perhaps. Never blocks, never raises."""
        if not self.wanted or (endpoint is not None and endpoint.app_id == OPERATORS):
            return
        now = int(self._clock() * 1000)
        subject = (kind, "" if endpoint is None else endpoint.uid)
        if subject in self._waiting or now - self._told.get(subject, -WINDOW_MS) < WINDOW_MS:
            return
        if len(self._waiting) >= MOST:
            log.warning("too many notices for operators wait; this one is not sent", extra={"kind": kind})
            return
        about: dict[str, Any] = {}
        if endpoint is not None:
            about = {"webhook_id": endpoint.uid, "webhook_name": endpoint.name, "app_id": endpoint.app_id}
        self._waiting[subject] = (now, {**about, **data})
        self._news.set()

    def _changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        if old is not None and new is not None and old.enabled and not new.enabled:
            self.tell(ENDPOINT_DISABLED, {"reason": "switched_off"}, new)

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._hand_over()
            except Unavailable:
                self._news.set()
            except Exception:
                log.exception("handing a notice for operators to the queue failed")
                self._news.set()
            if self._waiting:
                await asyncio.sleep(AGAIN)

    async def _hand_over(self) -> None:
        while self._waiting:
            subject, (time_ms, data) = next(iter(self._waiting.items()))
            told = await self._append(subject, time_ms, data)
            del self._waiting[subject]
            self._told.pop(subject, None)
            self._told[subject] = told
            while len(self._told) > MOST:
                del self._told[next(iter(self._told))]

    async def _append(self, subject: Subject, time_ms: int, data: Mapping[str, Any]) -> int:
        """Append a notice, unless there was one in the hour before. Return the time of the latest one."""
        kind, uid = subject
        window = time_ms // WINDOW_MS
        before = await self._queue.append_once(_key(kind, uid, window - 1, _NONE), ())
        if before is not None and time_ms - int(before) < WINDOW_MS:
            return int(before)
        event = {"name": kind, "event_id": f"op_{kind}_{uid}_{window}", "data": data, "time_ms": time_ms}
        text = orjson.dumps(event)
        events: Sequence[Append] = [
            Append(f"op_{kind}_{uid}_{window}_{one.uid}", one.uid, OPERATORS, text, time_ms, solo=True)
            for one in self._registry.by_app(OPERATORS)
            if one.enabled and wants(one, kind)
        ]
        while True:
            try:
                known = await self._queue.append_once(_key(kind, uid, window, b"%d" % time_ms), events)
                break
            except QueueFull as full:
                gone = {event.endpoint for event in full.refused}
                log.warning(
                    "the webhook queue has no room for a notice for operators", extra={"webhooks": sorted(gone)}
                )
                events = [event for event in events if event.endpoint not in gone]
        if known is None:
            self._metrics.notices.add(kind)
            return time_ms
        return int(known) or time_ms


def _key(kind: str, uid: str, window: int, value: bytes) -> OnceKey:
    return OnceKey(OPERATORS, f"{kind}:{uid}:{window}", value)
