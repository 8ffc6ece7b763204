"""Resync: tell a receiver that lost its state which channels are occupied and which members are there.

They are sent as ordinary events with a mark, between ``resync_started`` and ``resync_completed``. What happens
meanwhile goes between them, as it does always: an event stands in the lane behind what was true before it. From the
first to the last of them the lane keeps its order (``resync_order.py``), so that a receiver that has come to
``resync_completed`` has heard of everything that is true, and can drop what it held and did not hear of.
"""

import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sockudo_py.adapters.base import Held
from sockudo_py.changes import ChannelOccupied, MemberAdded
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.events import ENCRYPTED_PREFIX, RESYNC, encode, event_of
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.resync_order import COMPLETED, STARTED, ResyncOrder

log = logging.getLogger(__name__)

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
        order: Keeps the lane in order meanwhile.
        registry: Says which channels an endpoint gets events about.
        truth: Returns what receivers hold to be true, see ``adapters.base.Tells``.
        lost: Returns how many events this process has lost.
        clock: Unix seconds.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        order: ResyncOrder,
        registry: EndpointRegistry,
        truth: Truth,
        lost: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dispatcher = dispatcher
        self.order = order
        self._registry = registry
        self._truth = truth
        self._lost = lost
        self._clock = clock
        self._running: set[str] = set()

    async def run(self, endpoint: Endpoint) -> Resynced:
        """Put a whole resync into the queue, and return when the queue has it.

        Raises AlreadyRunning, and Unavailable: nothing was completed then, and it may be asked for again.
        """
        uid = endpoint.uid
        if uid in self._running:
            raise AlreadyRunning("a resync of this webhook is under way")
        self._running.add(uid)
        try:
            return await self._run(endpoint, f"rs_{secrets.token_hex(12)}")
        finally:
            self._running.discard(uid)

    async def _run(self, endpoint: Endpoint, ident: str) -> Resynced:
        uid = endpoint.uid
        try:
            await self.order.begin(uid, ident)
            channels, members = await self._tell(endpoint, ident)
        except BaseException:
            self.order.end(uid, ident)  # its last event never comes
            raise
        last = self._frame(COMPLETED)
        await self._dispatcher.hand_over(uid, [_append(endpoint, ident, last, COMPLETED)])
        shown = {"webhook": uid, "resync": ident, "channels": channels, "members": members}
        log.info("a resync tells a webhook endpoint the occupied channels and their members", extra=shown)
        return Resynced(ident, channels, members, int(last["time_ms"]))

    async def _tell(self, endpoint: Endpoint, ident: str) -> tuple[int, int]:
        """Put all but the last event into the queue; return how many channels and members they tell of."""
        uid, lost = endpoint.uid, self._lost()
        channels = members = 0
        await self._dispatcher.hand_over(uid, [_append(endpoint, ident, self._frame(STARTED), STARTED)])
        async for moment, held in self._truth(endpoint.app_id):
            # A millisecond before: what ends in the very millisecond in which this was true must win over it.
            time_ms = (int(self._clock() * 1000) if moment is None else moment) - 1
            once = {(one.channel, one.user_id): one for one in held}.values()
            told = [one for one in once if self._wanted(endpoint, one)]
            if not told:
                continue
            events = [
                _append(
                    endpoint,
                    ident,
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
        return channels, members

    def _frame(self, name: str) -> dict[str, Any]:
        return {"name": name, "channel": "", "time_ms": int(self._clock() * 1000)}

    def _wanted(self, endpoint: Endpoint, held: Held) -> bool:
        kind = ChannelOccupied if held.user_id is None else MemberAdded
        audience = self._registry.routes.get(endpoint.app_id, {}).get(kind)
        return audience is not None and endpoint.uid in (audience.hearing(held.channel) or ())


def _append(endpoint: Endpoint, ident: str, event: dict[str, Any], what: str, *, solo: bool = False) -> Append:
    """Return an event of a resync as the queue gets it."""
    text = encode({**event, RESYNC: ident})
    moment = int(event["time_ms"])
    return Append(f"{ident}_{endpoint.uid}_{what}", endpoint.uid, endpoint.app_id, text, moment, solo, False)


def _name(held: Held) -> str:
    """Return a word for what is told: a second time in the same resync it has the same id, and the queue drops it."""
    what = (held.channel,) if held.user_id is None else (held.channel, held.user_id)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]


def _change(app_id: str, held: Held) -> ChannelOccupied | MemberAdded:
    if held.user_id is None:
        return ChannelOccupied(app_id, held.channel)
    return MemberAdded(app_id, held.channel, held.user_id, None, held.user_info)
