"""Resync: tell a receiver that lost its state which channels are occupied and which members are there.

They are sent as ordinary events with a mark, between ``resync_started`` and ``resync_completed``. What happens
meanwhile goes between them, as it does always: an event stands in the lane behind what was true before it. From the
first to the last of them the lane keeps its order, so that a receiver that has come to ``resync_completed`` has heard
of everything that is true, and can drop what it held and did not hear of.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from sockudo_py.adapters.base import Held
from sockudo_py.changes import ChannelOccupied, MemberAdded
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.delivery.lane_keeper import LaneKeeper
from sockudo_py.webhooks.delivery.requests.attempt import RESYNC_TEXT, Attempt
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.events import ENCRYPTED_PREFIX, RESYNC, encode, event_of
from sockudo_py.webhooks.intake.dispatcher import Dispatcher

log = logging.getLogger(__name__)

STARTED: Final = "resync_started"
COMPLETED: Final = "resync_completed"
LONGEST_ORDER: Final = (
    900.0  # seconds after which a lane need not keep its order any more, whatever became of the resync
)

Truth = Callable[[str], AsyncIterator[tuple[int | None, list[Held]]]]


@dataclass(frozen=True, slots=True)
class Resynced:
    """A resync whose events the queue has. ``stamp_ms``: Unix milliseconds at which all of it was told."""

    id: str
    channels: int
    members: int
    stamp_ms: int


class AlreadyRunning(SockudoError):
    """A resync of this endpoint is being put into the queue."""


class Resync:
    """Makes resyncs.

    Args:
        dispatcher: Gets the events.
        lanes: Keeps lanes in order.
        registry: Says which channels an endpoint gets events about.
        truth: Returns what receivers hold to be true, see ``adapters.base.Tells``.
        lost: Returns how many events this process has lost.
        clock: Unix seconds.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        lanes: LaneKeeper,
        registry: EndpointRegistry,
        truth: Truth,
        lost: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dispatcher = dispatcher
        self._lanes = lanes
        self._registry = registry
        self._truth = truth
        self._lost = lost
        self._clock = clock
        self._running: set[str] = set()
        self._ending: dict[str, tuple[str, asyncio.TimerHandle]] = {}  # uid -> resync, and when its order ends anyway

    async def run(self, endpoint: Endpoint) -> Resynced:
        """Put a whole resync into the queue, and return when the queue has it.

        Raises AlreadyRunning, and Unavailable: nothing was completed then, and it may be asked for again.
        """
        uid = endpoint.uid
        if uid in self._running:
            raise AlreadyRunning("a resync of this webhook is under way")
        self._running.add(uid)
        try:
            await self._lanes.order(uid)
            return await self._run(endpoint, f"rs_{secrets.token_hex(12)}")
        except BaseException:
            if uid not in self._ending:
                self._lanes.let_go(uid)
            raise
        finally:
            self._running.discard(uid)

    async def _run(self, endpoint: Endpoint, ident: str) -> Resynced:
        uid, lost = endpoint.uid, self._lost()
        channels = members = 0

        def append(event: dict[str, Any], what: str, *, solo: bool = False) -> Append:
            text = encode({**event, RESYNC: ident})
            moment = int(event["time_ms"])
            return Append(f"{ident}_{uid}_{what}", uid, endpoint.app_id, text, moment, solo, False)

        await self._dispatcher.hand_over(uid, [append(self._frame(STARTED), STARTED)])
        async for moment, held in self._truth(endpoint.app_id):
            # A millisecond before: what ends in the very millisecond in which this was true must win over it.
            time_ms = (int(self._clock() * 1000) if moment is None else moment) - 1
            once = {(one.channel, one.user_id): one for one in held}.values()
            told = [one for one in once if self._wanted(endpoint, one)]
            if not told:
                continue
            events = [
                append(
                    event_of(_change(endpoint.app_id, one), time_ms),
                    _name(one),
                    solo=one.channel.startswith(ENCRYPTED_PREFIX),
                )
                for one in told
            ]
            members += sum(1 for one in told if one.user_id is not None)
            channels += sum(1 for one in told if one.user_id is None)
            await self._dispatcher.hand_over(uid, events)
        if self._lost() > lost:
            raise Unavailable("events were lost meanwhile, since webhooks.spool was full; ask for the resync again")
        last = self._frame(COMPLETED)
        self._keep_order_until(uid, ident)
        await self._dispatcher.hand_over(uid, [append(last, COMPLETED)])
        shown = {"webhook": uid, "resync": ident, "channels": channels, "members": members}
        log.info("a resync tells a webhook endpoint the occupied channels and their members", extra=shown)
        return Resynced(ident, channels, members, int(last["time_ms"]))

    def _frame(self, name: str) -> dict[str, Any]:
        return {"name": name, "channel": "", "time_ms": int(self._clock() * 1000)}

    def _wanted(self, endpoint: Endpoint, held: Held) -> bool:
        kind = ChannelOccupied if held.user_id is None else MemberAdded
        audience = self._registry.routes.get(endpoint.app_id, {}).get(kind)
        return audience is not None and endpoint.uid in (audience.hearing(held.channel) or ())

    # -- the order of the lane

    def _keep_order_until(self, uid: str, ident: str) -> None:
        before = self._ending.pop(uid, None)
        if before is not None:
            before[1].cancel()
        timer = asyncio.get_running_loop().call_later(LONGEST_ORDER, self._let_go, uid)
        self._ending[uid] = (ident, timer)

    def attempted(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Take note of an attempt: the last event of a resync lets its lane go when it has arrived, or is given up."""
        found = self._ending.get(endpoint.uid)
        if found is None or attempt.status == "retrying" or RESYNC_TEXT not in attempt.job.events_text:
            return
        if any(event.get(RESYNC) == found[0] and event.get("name") == COMPLETED for event in attempt.job.events()):
            self._let_go(endpoint.uid)

    def _let_go(self, uid: str) -> None:
        found = self._ending.pop(uid, None)
        if found is not None:
            found[1].cancel()
        if uid not in self._running:
            self._lanes.let_go(uid)

    def stop(self) -> None:
        """Forget the timers."""
        for _, timer in self._ending.values():
            timer.cancel()
        self._ending.clear()


def _name(held: Held) -> str:
    """Return a word for what is told: a second time in the same resync it has the same id, and the queue drops it."""
    what = (held.channel,) if held.user_id is None else (held.channel, held.user_id)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]


def _change(app_id: str, held: Held) -> ChannelOccupied | MemberAdded:
    if held.user_id is None:
        return ChannelOccupied(app_id, held.channel)
    return MemberAdded(app_id, held.channel, held.user_id, None, held.user_info)
