"""Sets the queue's lanes as the endpoints say: policies, pauses, and the end of a deleted endpoint's jobs."""

import asyncio
import logging
from collections.abc import Set
from dataclasses import replace

from sockudo_py.endpoints import Endpoint, gathers
from sockudo_py.errors import Unavailable
from sockudo_py.process.tasks import cancel
from sockudo_py.queues.base import ENDPOINT_DELETED, LanePolicy, Queue
from sockudo_py.webhooks.endpoints.registry import GATHER, EndpointRegistry, patient, target_of
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)

_AT_ONCE = 50
_ENVELOPE_BYTES = 1024  # room for what surrounds the events in a body


def lane_policy(endpoint: Endpoint, *, slow_start: bool = True, max_payload_bytes: int = 1_048_576) -> LanePolicy:
    """Return how the queue treats an endpoint. Envelopes that hold one event get one event per job."""
    batching = endpoint.batching
    together = gathers(endpoint)
    window = batching.duration - GATHER if patient(endpoint) else batching.duration  # the rest is the dispatcher's
    return LanePolicy(
        window=window if together else 0.0,
        size=batching.size if together else 1,
        max_bytes=min(batching.max_bytes, max(1, max_payload_bytes - _ENVELOPE_BYTES)),
        max_in_flight=endpoint.max_in_flight,
        slow_start=slow_start,
        # "channel" asks for less than "endpoint" gives: one request at a time keeps the order of every channel, too.
        ordered=endpoint.ordering != "none",
        per_second=endpoint.rate_limit.per_second,
        per_minute=endpoint.rate_limit.per_minute,
        per_hour=endpoint.rate_limit.per_hour,
        longest_wait=endpoint.retry.longest_wait,
    )


class LaneKeeper:
    """Passes endpoints on to the queue: all at the start, then each change, repeated until the queue takes it."""

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        *,
        slow_start: bool = True,
        max_payload_bytes: int = 1_048_576,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._slow_start = slow_start
        self._max_payload_bytes = max_payload_bytes
        self._changed: set[str] = set()
        self._in_order: Set[str] = frozenset()  # lanes that keep their order now, whatever their endpoints say
        self._freed: set[str] = set()  # enabled, or with another target: the lane's gate has to go
        self._deleted: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        registry.subscribe(self._note)

    async def start(self) -> None:
        """Set every lane. Returns when the queue knows them all; raises what the queue raises."""
        self._changed.clear()
        uids = [endpoint.uid for endpoint in self._registry.all()]
        for start in range(0, len(uids), _AT_ONCE):
            await asyncio.gather(*(self._set(uid) for uid in uids[start : start + _AT_ONCE]))
        for uid in await self._queue.paused_lanes():
            # It was disabled, and removed while this process was down. If it stays paused, its jobs stay for ever.
            if self._registry.by_uid(uid) is None:
                await self._queue.resume(uid)
                log.info(
                    "resumed the lane of a webhook endpoint that this server does not know", extra={"webhook": uid}
                )
        self._task = asyncio.create_task(self._run(), name="webhook-lanes")

    async def stop(self) -> None:
        """Stop. The next start passes on the changes that the queue has not taken."""
        await cancel(self._task)
        self._task = None

    def keep_order(self, uids: Set[str]) -> None:
        """Let these lanes, and no others, keep their order whatever their endpoints say: one request at a time.

        Soon; ``set_now`` says when. Before the start: from the start on.
        """
        changed = self._in_order ^ uids
        self._in_order = frozenset(uids)
        if changed:
            self._changed |= changed
            self._wake.set()

    async def set_now(self, uid: str) -> None:
        """Return when the queue knows how a lane is to be. Raises what the queue raises."""
        await self._set(uid)

    def _note(self, old: Endpoint | None, new: Endpoint | None) -> None:
        if new is not None:
            self._changed.add(new.uid)
            moved = old is not None and target_of(old) != target_of(new)
            if moved or (old is not None and new.enabled and not old.enabled):
                self._freed.add(new.uid)
            self._deleted.discard(new.uid)
        elif old is not None:
            self._changed.discard(old.uid)
            self._freed.discard(old.uid)
            self._deleted.add(old.uid)
        self._wake.set()

    async def _run(self) -> None:
        wait = FIRST_WAIT
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._settle()
                wait = FIRST_WAIT
            except Unavailable:
                pass  # the dispatcher and the worker log it
            except Exception:
                log.exception("setting the queue's lane of a webhook endpoint failed")
            if self._changed or self._deleted:
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                self._wake.set()

    async def _settle(self) -> None:
        # Out of the set first: a change that comes during the call must be passed on, too.
        for uid in list(self._changed):
            self._changed.discard(uid)
            try:
                await self._set(uid)
            except BaseException:
                self._changed.add(uid)
                raise
        for uid in list(self._deleted):
            self._deleted.discard(uid)
            try:
                count = await self._queue.drop(uid, ENDPOINT_DELETED)
            except BaseException:
                if self._registry.by_uid(uid) is None:
                    self._deleted.add(uid)
                raise
            log.info("a webhook endpoint was deleted", extra={"webhook": uid, "dead_letters": count})

    async def _set(self, uid: str) -> None:
        endpoint = self._registry.by_uid(uid)
        if endpoint is None:
            return
        policy = lane_policy(endpoint, slow_start=self._slow_start, max_payload_bytes=self._max_payload_bytes)
        if uid in self._in_order:
            policy = replace(policy, ordered=True)
        await self._queue.set_policy(uid, policy)
        if uid in self._freed:
            self._freed.discard(uid)
            try:
                await self._queue.gate(uid, 0)
            except BaseException:
                self._freed.add(uid)
                raise
        if endpoint.enabled and endpoint.feed is None:  # a feed's reader takes what waits, and no worker does
            await self._queue.resume(uid)
        else:
            await self._queue.pause(uid)
