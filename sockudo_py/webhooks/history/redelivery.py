"""Sends deliveries again, from the history or from the dead letters: each becomes a new delivery.

The old delivery's rows stay as they are. Its dead letter goes when the new job is durable, so a kill in between leaves
both, and none is lost.
"""

import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, DeadLetters, Queue, QueueFull
from sockudo_py.stores.history.base import History, Link, Scope
from sockudo_py.stores.history.packs import Kept
from sockudo_py.webhooks.history.reader import Chosen
from sockudo_py.webhooks.history.writer import HistoryWriter

log = logging.getLogger(__name__)

_PAGE = 500  # rows that are looked at together
_TOGETHER = 100  # deliveries that are appended together
_SETTLE = 1.0  # seconds in which pending rows are written


class Dead(Protocol):
    """Where dead letters are: ``ChoosesDead``, or what stands for it."""

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]: ...  # noqa: D102

    async def purge_dead(self, which: DeadLetters) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    ``matched`` deliveries are meant, ``sent`` of them were sent again. ``place``: the last of these in the history;
    those behind it are left. None: none is. ``full``: the queue had no more room.
    """

    matched: int
    sent: int = 0
    place: int | None = None
    full: bool = False


class Redelivery:
    """Makes new deliveries of old ones. Every method may raise ``Unavailable``.

    Args:
        history: Has the payloads.
        writer: Has what this process has not written yet.
        queue: Gets the new jobs.
        dead: Has the dead letters of the queue.
        endpoint: Returns the endpoint of a uid; None: there is none.
        clock: Unix seconds.
    """

    def __init__(
        self,
        history: History,
        writer: HistoryWriter,
        queue: Queue,
        dead: Dead,
        endpoint: Callable[[str], Endpoint | None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._history = history
        self._writer = writer
        self._queue = queue
        self._dead = dead
        self._endpoint = endpoint
        self._clock = clock

    async def payload(self, delivery: str, endpoint: str, attempts: Sequence[Kept]) -> bytes | None:
        """Return the events of a delivery: from one of its attempts, or from its dead letter. None: they are gone."""
        for found in await self._history.payloads([kept for kept in reversed(attempts) if kept.held]):
            if found is not None:
                return found
        text = await self.dead_letter(delivery, endpoint)
        if text is None:
            return None
        try:
            return jobs.decode(text).events_text
        except jobs.PoisonJob:
            return None

    async def dead_letter(self, delivery: str, endpoint: str) -> bytes | None:
        """Return the dead letter of a delivery; None: it has none."""
        texts = await self._dead.find_dead(DeadLetters(ids=frozenset({delivery}), endpoint=endpoint), 0, 1)
        return texts[0] if texts else None

    async def retry(self, delivery: str, endpoint: Endpoint, payload: bytes) -> str:
        """Send one delivery again; return the id of the new one, which is durable then."""
        [made] = await self._again([(delivery, endpoint, payload)])
        await self._bury(endpoint, [delivery])
        return made

    async def replay(
        self, scope: Scope, chosen: Chosen, *, after: int | None = None, limit: int = 1000, dry_run: bool = False
    ) -> Replayed:
        """Send all deliveries again that are meant, those first whose last attempt is oldest.

        A delivery counts by its last attempt. Left out are tests, deliveries that are under way, those whose endpoint
        or payload is gone, and retries of deliveries that are meant themselves.

        Args:
            scope: Whose.
            chosen: Which.
            after: Only those behind this place.
            limit: How many at most.
            dry_run: Only count.
        """
        await self._writer.settle(_SETTLE)
        matched, first = 0, deque[Kept](maxlen=limit + 1)
        async for kept in self._meant(scope, chosen, after):
            matched += 1
            first.append(kept._replace(details=()))
        if dry_run:
            return Replayed(matched)
        more = matched > limit
        if more:
            first.popleft()
        sent, place = 0, None
        oldest_first = list(reversed(first))
        for start in range(0, len(oldest_first), _TOGETHER):
            some = oldest_first[start : start + _TOGETHER]
            again = []
            for one, payload in zip(some, await self._history.payloads(some), strict=True):
                endpoint = self._endpoint(one.endpoint)
                if endpoint is not None and payload is not None:
                    again.append((one.delivery, endpoint, payload))
            try:
                await self._again(again)
            except QueueFull as full:
                return Replayed(matched, sent + len(again) - len(full.refused), place, full=True)
            sent += len(again)
            place = some[-1].place
            for endpoint in {one.uid: one for _, one, _ in again}.values():
                await self._bury(endpoint, [delivery for delivery, one, _ in again if one is endpoint])
        return Replayed(matched, sent, place if more else None)

    async def _meant(self, scope: Scope, chosen: Chosen, after: int | None) -> AsyncIterator[Kept]:
        """Yield the last attempts of the deliveries that are meant, newest first."""
        before: int | None = None
        seen: set[str] = set()  # deliveries with earlier attempts to come
        while True:
            rows = await self._history.page(scope, before, _PAGE)
            latest = []
            for kept in rows:
                if after is not None and kept.place <= after:
                    break
                first = kept.number == 1 and not kept.redrive
                if kept.delivery in seen:
                    if first:
                        seen.discard(kept.delivery)
                    continue
                if not first:
                    seen.add(kept.delivery)
                if self._is_meant(kept, chosen):
                    latest.append(kept)
            for kept in await self._without_retries(latest, chosen):
                yield kept
            if len(rows) < _PAGE or (after is not None and rows[-1].place <= after):
                return
            before = rows[-1].place

    def _is_meant(self, kept: Kept, chosen: Chosen) -> bool:
        if kept.status == "retrying" or kept.test or not kept.held or not chosen.fits(kept):
            return False
        return self._endpoint(kept.endpoint) is not None

    async def _without_retries(self, rows: Sequence[Kept], chosen: Chosen) -> Sequence[Kept]:
        """Return the deliveries that are no retry of another one in this selection."""
        links = await self._history.links([kept.delivery for kept in rows])
        if not links:
            return rows
        found = []
        for kept in rows:
            link = links.get(kept.delivery)
            if link is not None:
                origin = await self._history.delivery(link.retry_of, Scope(endpoint=kept.endpoint))
                if origin and self._is_meant(origin[-1], chosen):
                    continue
            found.append(kept)
        return found

    async def _again(self, deliveries: Sequence[tuple[str, Endpoint, bytes]]) -> list[str]:
        """Append the events of deliveries as new ones; return their ids."""
        now_ms = int(self._clock() * 1000)
        made = [f"dl_{secrets.token_hex(12)}" for _ in deliveries]
        await self._history.link(
            [
                Link(ident, delivery, endpoint.uid, endpoint.app_id, now_ms)
                for ident, (delivery, endpoint, _) in zip(made, deliveries, strict=True)
            ]
        )
        await self._queue.append(
            [
                # Alone, so that they stay one delivery, with the id that the answer names.
                Append(ident, endpoint.uid, endpoint.app_id, payload[1:-1], now_ms, solo=True)
                for ident, (_, endpoint, payload) in zip(made, deliveries, strict=True)
            ]
        )
        return made

    async def _bury(self, endpoint: Endpoint, deliveries: Sequence[str]) -> None:
        """Delete the dead letters of deliveries that were sent again."""
        try:
            await self._dead.purge_dead(DeadLetters(ids=frozenset(deliveries), endpoint=endpoint.uid))
        except Unavailable as error:
            log.warning(
                "dead letters of deliveries that were sent again stay: %s", error, extra={"webhook": endpoint.uid}
            )
