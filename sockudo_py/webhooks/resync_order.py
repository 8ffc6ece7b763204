"""Keeps the lane of an endpoint in order from the first event of a resync until its last one has arrived.

A *note* of each resync says so, and outlives the process that made it: a later start, and other servers with the same
queue, keep the order, too. Whoever delivers ``resync_completed`` strikes the note out.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.webhooks.delivery.lane_keeper import LaneKeeper
from sockudo_py.webhooks.delivery.requests.attempt import RESYNC_TEXT, Attempt
from sockudo_py.webhooks.events import RESYNC
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)

STARTED: Final = "resync_started"
COMPLETED: Final = "resync_completed"
LONGEST_ORDER: Final = 900.0  # seconds after which a lane may give up its order, whatever became of the resync

Noted = Mapping[str, Mapping[str, int]]  # uid of the endpoint -> id of the resync -> Unix milliseconds of its beginning


class OrderNotes(Protocol):
    """Keeps the notes, and passes all of them to ``ResyncOrder.noted`` whenever they have changed."""

    async def add(self, uid: str, resync: str, began_ms: int) -> None:
        """Note that a resync begins. Raises Unavailable, StoreFull.

        When this returns the note is kept, and other servers have had the time to see it: from then on none of them
        tells the queue that the lane needs no order.
        """

    async def strike(self, uid: str, resync: str) -> None:
        """Delete the note of a resync, if there is one, whoever wrote it. Raises Unavailable."""


class ResyncOrder:
    """Keeps the order.

    Args:
        lanes: Keeps lanes in order.
        clock: Unix seconds.
    """

    def __init__(self, lanes: LaneKeeper, clock: Callable[[], float] = time.time) -> None:
        self._lanes = lanes
        self._clock = clock
        self.notes: OrderNotes = _OwnNotes(self.noted)  # the server has better ones
        self._ends: dict[tuple[str, str], asyncio.TimerHandle] = {}  # (uid, resync) -> when its order ends anyway
        self._striking: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def begin(self, uid: str, resync: str) -> None:
        """Keep the lane in order from now on. Raises Unavailable, StoreFull, and what the queue raises."""
        await self.notes.add(uid, resync, int(self._clock() * 1000))
        await self._lanes.set_now(uid)

    def end(self, uid: str, resync: str) -> None:
        """Let the lane go, as soon as the note is struck out, unless another resync needs its order."""
        key = uid, resync
        if key not in self._striking:
            task = self._striking[key] = asyncio.get_running_loop().create_task(self._strike(key), name="resync-order")
            task.add_done_callback(lambda _: self._striking.pop(key, None))

    def noted(self, notes: Noted) -> None:
        """Take up what the notes say: all of them."""
        found = {(uid, resync): began_ms for uid, resyncs in notes.items() for resync, began_ms in resyncs.items()}
        for key in [key for key in self._ends if key not in found]:
            self._ends.pop(key).cancel()
        for key, began_ms in found.items():
            left = min(LONGEST_ORDER, LONGEST_ORDER - self._clock() + began_ms / 1000)  # clocks may differ, and jump
            if key in self._ends:
                continue
            if left > 0:
                self._ends[key] = asyncio.get_running_loop().call_later(left, self._expire, *key)
            else:
                self.end(*key)
        self._show()

    def attempted(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Take note of an attempt: the order of a resync ends when its last event has arrived, or is given up."""
        # Another server may have made the resync just now, so no note of it may be known here yet.
        if attempt.status == "retrying" or RESYNC_TEXT not in attempt.job.events_text:
            return
        for event in attempt.job.events():
            if event.get("name") == COMPLETED and isinstance(resync := event.get(RESYNC), str):
                self.end(endpoint.uid, resync)

    async def stop(self, timeout: float) -> None:
        """Strike out what is to be, within ``timeout`` seconds, and forget the timers. Notes that are left stay."""
        tasks = list(self._striking.values())
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for timer in self._ends.values():
            timer.cancel()
        self._ends.clear()

    def _show(self) -> None:
        self._lanes.keep_order({uid for uid, _ in self._ends})

    def _expire(self, uid: str, resync: str) -> None:
        self._ends.pop((uid, resync), None)
        self._show()
        self.end(uid, resync)

    async def _strike(self, key: tuple[str, str]) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                return await self.notes.strike(*key)
            except Unavailable:
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
            except SockudoError as problem:
                log.error("the order of a webhook endpoint's lane ends later than its resync: %s", problem)
                return None


class _OwnNotes:
    """Notes that end with this process."""

    def __init__(self, changed: Callable[[Noted], None]) -> None:
        self._changed = changed
        self._notes: dict[str, dict[str, int]] = {}

    async def add(self, uid: str, resync: str, began_ms: int) -> None:
        self._notes.setdefault(uid, {})[resync] = began_ms
        self._changed(self._notes)

    async def strike(self, uid: str, resync: str) -> None:
        self._notes.get(uid, {}).pop(resync, None)
        self._changed(self._notes)
