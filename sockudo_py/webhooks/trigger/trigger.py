"""Triggers events: into the queue, and only then is it said that they are there."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from sockudo_py.endpoints import Endpoint
from sockudo_py.queues.base import Append, Queue, QueueFull
from sockudo_py.queues.jobs import Job
from sockudo_py.queues.once import OnceKey
from sockudo_py.webhooks.delivery.requests.envelopes import bodies
from sockudo_py.webhooks.endpoints.filters import wants
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.trigger.asked import Asked, NotTriggered, read, read_key

log = logging.getLogger(__name__)

CUSTOM = "custom"  # the label of applications' events in metrics: their names are without bound
_ENVELOPE_BYTES = 1024  # that an envelope adds at most
_LONGEST_ESCAPE = 6  # bytes of \u00e9, by which Python's json.dumps replaces what takes two or more


Check = Callable[[str, str, Any], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Triggered:
    """The queue has the event. ``answer``: a JSON object; ``replayed``: it is that of an earlier request."""

    answer: Mapping[str, Any]
    replayed: bool = False


class Trigger:
    """Hands events of applications to the queue, for each endpoint that wants them.

    Args:
        queue: Open by the time of the first event.
        registry: Which endpoints there are.
        metrics: Where to count.
        max_payload_bytes: Of a request body to a receiver.
        check: Called with app, type and data of an event; returns where the data is wrong, and how.
        clock: Unix seconds.
    """

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        metrics: WebhookMetrics,
        *,
        max_payload_bytes: int,
        check: Check = lambda app_id, event_type, data: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._metrics = metrics
        self._max_payload_bytes = max_payload_bytes
        self._check = check
        self._clock = clock
        self._under_way: set[asyncio.Task[Triggered]] = set()

    async def fire(self, app_id: str, asked: Mapping[str, Any], key: str | None = None) -> Triggered:
        """Trigger the event that a JSON object describes, once per key, and answer when the queue has it.

        The work goes on after its client has gone away: the client will ask again.
        Raises NotTriggered and Unavailable.
        """
        task = asyncio.get_running_loop().create_task(self._fire(app_id, read(asked, app_id), read_key(key)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """Wait for what is under way; the queue bounds how long that is."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _fire(self, app_id: str, asked: Asked, key: str | None) -> Triggered:
        now = int(self._clock() * 1000)
        event_id = asked.event_id or f"evt_{secrets.token_hex(12)}"
        try:
            text = asked.text(event_id, now)
        except orjson.JSONEncodeError:
            raise NotTriggered(422, "invalid_field", "data: is nested too deeply", ("data", "too deep")) from None
        self._check_data(app_id, asked)
        hearing = [one for one in self._registry.by_app(app_id) if one.enabled and wants(one, asked.event_type)]
        self._check_size(hearing, app_id, text, now)
        name = f"dl_{secrets.token_hex(12)}"
        events = [Append(f"{name}_{one.uid}", one.uid, app_id, text, now, solo=True) for one in hearing]
        once = None if key is None else _Once(app_id, key, asked)
        refused: list[str] = []
        known: Mapping[str, Any] | None = None
        while True:
            answer = _answer(event_id, len(events), refused)
            try:
                known = await self._append(events, once, answer)
                break
            except QueueFull as full:
                refused += [event.endpoint for event in full.refused]
                events = [event for event in events if event.endpoint not in refused]
                if once is None:  # those with room have been taken
                    answer = _answer(event_id, len(events), refused)
                    break
                if not events:
                    break
        if refused:
            self._metrics.enqueue_failures.add("full")
            log.warning(
                "the webhook queue has no room for a triggered event", extra={"app_id": app_id, "webhooks": refused}
            )
            if not events:
                raise NotTriggered(503, "queue_full", "the queue has no room for more events of these endpoints")
        if known is not None:
            return Triggered(known, replayed=True)
        self._metrics.events.add(app_id, CUSTOM)
        self._metrics.enqueued.add(app_id, amount=len(events))
        return Triggered(answer)

    async def _append(
        self, events: Sequence[Append], once: "_Once | None", answer: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Have the queue take the events; return the answer that another request with the key got, or None."""
        if once is None:
            if events:
                await self._queue.append(events)
            return None
        first, last = events[: -self._queue.at_once], events[-self._queue.at_once :]
        if first:  # more than go in one step: a kill in between doubles these, for the key comes with the last
            await self._queue.append(first)
        found = await self._queue.append_once(once.with_answer(answer), last)
        return None if found is None else once.answer_of(found)

    def _check_data(self, app_id: str, asked: Asked) -> None:
        problems = self._check(app_id, asked.event_type, asked.data)
        if problems:
            fields = [("data" + (f".{place}" if place else ""), what) for place, what in problems]
            text = "; ".join(f"{place}: {what}" for place, what in fields[:3])
            message = f"the data does not fit the schema of {asked.event_type}: {text}"
            raise NotTriggered(422, "invalid_data", message, *fields)

    def _check_size(self, hearing: Sequence[Endpoint], app_id: str, text: bytes, now: int) -> None:
        """Raise NotTriggered when a receiver's request would be too large: what is accepted can be sent."""
        most = self._max_payload_bytes
        if len(text) * _LONGEST_ESCAPE + _ENVELOPE_BYTES <= most:
            return
        largest = len(text)
        job = Job(id="dl_" + "0" * 64, endpoint="", app_id=app_id, created_ms=now, events_text=b"[%b]" % text)
        for shape in {(one.profile, one.envelope, one.json_style, one.payload): one for one in hearing}.values():
            largest = max(largest, *(len(body.content) for body in bodies(shape, job, lambda: now)))
        if largest > most:
            message = f"the event takes {largest} bytes; webhooks.security.max_payload_bytes allows {most}"
            raise NotTriggered(413, "too_large", message)


class _Once:
    """An idempotency key of an app, and the fingerprint of its request."""

    def __init__(self, app_id: str, key: str, asked: Asked) -> None:
        self._app_id = app_id
        self._digest = sha256(key.encode()).hexdigest()[:40]
        self._asked = asked.fingerprint()

    def with_answer(self, answer: Mapping[str, Any]) -> OnceKey:
        return OnceKey(self._app_id, self._digest, json.dumps([self._asked, answer]).encode())

    def answer_of(self, value: bytes) -> Mapping[str, Any]:
        """Return what the first request was answered. Raises NotTriggered when it was another one."""
        asked, answer = orjson.loads(value)
        if asked != self._asked:
            message = "this Idempotency-Key was used for another event within the last 24 hours; use a new one"
            raise NotTriggered(409, "idempotency_mismatch", message)
        found: Mapping[str, Any] = answer
        return found


def _answer(event_id: str, matched: int, refused: Sequence[str]) -> Mapping[str, Any]:
    answer: dict[str, Any] = {"event_id": event_id, "matched": matched}
    if refused:
        answer["refused"] = list(refused)
    return answer
