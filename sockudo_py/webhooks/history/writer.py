"""Writes attempts to the history, in batches and behind the deliveries' back: none of them waits for it, or fails.

What has yet to be written is bounded. When the store is away or slow, rows that find no room are dropped and counted;
the statistics, which are sums, are not. A kill -9 costs what came since the last batch: a second, while the store
keeps up.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.stores.history.base import Batch, History
from sockudo_py.stores.history.figures import Counts, Tally
from sockudo_py.stores.history.packs import Pack, pack
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.history.rows import fields_of, sight_of
from sockudo_py.webhooks.metrics import WebhookMetrics

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds from one batch to the next
PRUNE_EVERY = 20.0
_PAUSE = 0.02  # seconds between two steps of pruning, for others who use the store
_FEW = 100  # attempts: of no more each is a pack of its own
_MOST_TOGETHER = 50  # attempts in a pack
_PACK_BYTES = 400_000  # of all rows together; a larger row is a pack of its own
_BATCH_BYTES = 1 << 20
_WARN_EVERY = 60.0
MOST_ROWS = 20_000
MOST_BYTES = 32 << 20
_ROW_BYTES = 2000  # that a row takes beside body and events


_Waiting = tuple[Attempt, Endpoint, int]  # with its weight


class _Lane:
    """What came from one endpoint since the last batch. The first ``counted`` of the attempts are in the tally."""

    __slots__ = ("attempts", "counted", "tally")

    def __init__(self, app_id: str) -> None:
        self.attempts: deque[_Waiting] = deque()
        self.counted = 0
        self.tally = Tally(app_id)

    def count(self) -> Tally:
        """Count what was not yet, all at once: that is cheaper than at each attempt. Returns the tally."""
        self.tally.add_all(_counts_of(islice(self.attempts, self.counted, None)))
        self.counted = len(self.attempts)
        return self.tally

    def drop_oldest(self) -> int:
        """Forget the oldest attempt, except in the tally. Returns its weight."""
        if not self.counted:
            self.count()
        self.counted -= 1
        return self.attempts.popleft()[2]


class HistoryWriter:
    """See above. ``add`` is for ``Recorder``.

    Args:
        history: Where to.
        keep: Rows of an endpoint that the history keeps: of more than these none has to be written.
        metrics: Where to count.
        interval: Seconds from one batch to the next.
        most_rows: Attempts that wait at most.
        most_bytes: What these may weigh.
        clock: Unix seconds.
    """

    def __init__(
        self,
        history: History,
        keep: int,
        metrics: WebhookMetrics,
        *,
        interval: float = INTERVAL,
        most_rows: int = MOST_ROWS,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._history = history
        self._keep = keep
        self._metrics = metrics
        self._interval = interval
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._rows = 0  # that wait, those of ``_pending`` included
        self._bytes = 0
        self._pending: deque[tuple[Batch, int]] = deque()  # made, and not written yet, with their weight
        self._dropped = 0  # since the last warning
        self._warned = -_WARN_EVERY
        self._away = False
        self._writing = asyncio.Lock()
        self._unsaid = 0
        self._ending = asyncio.Event()
        self._run_task: asyncio.Task[None] | None = None
        self._prune_task: asyncio.Task[None] | None = None

    def add(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Take an attempt. Never blocks or raises."""
        lane = self._lanes.get(endpoint.uid)
        if lane is None:
            lane = self._lanes[endpoint.uid] = _Lane(endpoint.app_id)
        attempts, request = lane.attempts, attempt.request
        size = _ROW_BYTES + len(attempt.job.events_text) + (0 if request is None else len(request.body))
        if len(attempts) >= self._keep:  # it would be deleted as soon as it is written
            self._bytes -= lane.drop_oldest()
        elif self._rows >= self._most_rows or self._bytes + size > self._most_bytes:
            self._dropped += 1
            lane.count().add_all(_counts_of([(attempt, endpoint, size)]))
            return
        else:
            self._rows += 1
        self._bytes += size
        attempts.append((attempt, endpoint, size))

    def start(self) -> None:
        """Begin to write. The history is open."""
        self._run_task = asyncio.create_task(self._run(), name="webhook-history")
        self._prune_task = asyncio.create_task(self._prune(), name="webhook-history-prune")

    async def stop(self, timeout: float = 1.0) -> None:
        """Write what is left, within ``timeout`` seconds."""
        self._ending.set()
        if self._prune_task is not None:
            self._prune_task.cancel()
            await asyncio.wait({self._prune_task})
        if self._run_task is not None:
            _, late = await asyncio.wait({self._run_task}, timeout=timeout)  # its last act is to write
            for task in late:
                task.cancel()
                await asyncio.wait({task})
        lost = self._rows + self._dropped
        if lost:
            self._metrics.history_dropped.add(amount=lost)
            log.warning("attempts that are lost for the history at shutdown: %d", lost)

    async def flush(self) -> bool:
        """Write all that came until now. Returns False when the store does not take it; it is kept then."""
        async with self._writing:
            try:
                while self._pending:
                    await self._write_first()
                lanes, self._lanes = self._lanes, {}
                await self._make(lanes)
                while self._pending:
                    await self._write_first()
            except Unavailable as error:
                if not self._away:
                    log.warning("the history of webhook deliveries can't be written; trying again: %s", error)
                self._away = True
                return False
            if self._away:
                log.info("the history of webhook deliveries is written again")
            self._away = False
            return True

    async def settle(self, timeout: float) -> None:
        """Write what came until now, as far as that takes no longer than ``timeout`` seconds."""
        if self._rows or self._lanes:
            flush = asyncio.ensure_future(self.flush())
            await asyncio.wait({flush}, timeout=timeout)
            if flush.done() and flush.exception() is not None:
                log.error("writing the history of webhook deliveries failed", exc_info=flush.exception())

    async def keep(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Write an attempt of a person who tries the endpoint, which counts in no statistics."""
        try:
            await self._history.write(Batch(_batch_id(), (_packed(((attempt, endpoint, 0),)),), {}))
        except Unavailable as error:
            self._dropped += 1
            log.warning("a test delivery is not in the history: %s", error)

    async def _write_first(self) -> None:
        batch, size = self._pending[0]
        await self._history.write(batch)
        self._pending.popleft()
        self._rows -= sum(pack.number for pack in batch.packs)
        self._bytes -= size

    async def _make(self, lanes: dict[str, _Lane]) -> None:
        """Make batches of what came; the first one has all the tallies."""
        tallies = {endpoint: lane.count() for endpoint, lane in lanes.items()}
        packs: list[Pack] = []
        weight = 0
        for some in self._portions(list(lanes.values())):
            made = self._pack(some)
            weight += sum(map(_weight_of, some))
            if made is not None:
                packs.append(made)
            if weight >= _BATCH_BYTES:
                self._pending.append((Batch(_batch_id(), packs, tallies), weight))
                packs, weight, tallies = [], 0, {}
            await asyncio.sleep(0)
        if packs or tallies or weight:
            self._pending.append((Batch(_batch_id(), packs, tallies), weight))

    def _portions(self, lanes: Sequence[_Lane]) -> Iterator[Sequence[_Waiting]]:
        """Yield attempts as they go into packs: while there are few, one by one in the order of their ends."""
        if sum(len(lane.attempts) for lane in lanes) <= _FEW:
            for one in sorted((one for lane in lanes for one in lane.attempts), key=_ended):
                yield (one,)
            return
        most = max(1, min(_MOST_TOGETHER, self._keep // 20))
        for lane in lanes:
            waiting = list(lane.attempts)
            for start in range(0, len(waiting), most):
                some = waiting[start : start + most]
                if sum(map(_weight_of, some)) <= _PACK_BYTES:
                    yield some
                else:
                    yield from ((one,) for one in some)

    def _pack(self, some: Sequence[_Waiting]) -> Pack | None:
        try:
            return _packed(some)
        except Exception:  # noqa: BLE001 - a bug, which costs one row and not the history
            good = []
            for one in some:
                try:
                    _packed((one,))
                except Exception:
                    named = {"webhook": one[1].uid, "delivery": one[0].job.id}
                    log.exception("an attempt could not be kept", extra=named)
                    self._dropped += 1
                    self._rows -= 1
                else:
                    good.append(one)
            return _packed(good) if good else None

    async def _run(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._ending.wait()
            try:
                await self.flush()
            except Exception:
                log.exception("writing the history of webhook deliveries failed")
                self._forget_pending()
            self._tell_dropped()

    def _forget_pending(self) -> None:
        """Give up what can't be written, so that the rest is."""
        while self._pending:
            batch, size = self._pending.popleft()
            number = sum(pack.number for pack in batch.packs)
            self._rows -= number
            self._bytes -= size
            self._dropped += number

    def _tell_dropped(self) -> None:
        if not self._dropped:
            return
        now = time.monotonic()
        self._metrics.history_dropped.add(amount=self._dropped)
        self._unsaid += self._dropped
        self._dropped = 0
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            log.warning("attempts that are not in the history, because its store is away or slow: %d", self._unsaid)
            self._unsaid = 0

    async def _prune(self) -> None:
        while True:
            try:
                more = await self._history.prune(int(self._clock() * 1000))
            except Unavailable:
                more = False  # ``flush`` says so
            except Exception:
                log.exception("pruning the history of webhook deliveries failed")
                more = False
            await asyncio.sleep(_PAUSE if more else PRUNE_EVERY)


def _ended(one: _Waiting) -> float:
    attempt = one[0]
    return attempt.started_ms + attempt.duration * 1000


_weight_of = itemgetter(2)


def _counts_of(waiting: Iterable[_Waiting]) -> list[Counts]:
    return [
        (
            attempt.status,
            attempt.number,
            attempt.job.redrives,
            duration_ms := round(attempt.duration * 1000),
            attempt.started_ms + duration_ms,
        )
        for attempt, _, _ in waiting
    ]


def _packed(some: Sequence[_Waiting]) -> Pack:
    endpoint = some[0][1]
    sight, of = sight_of(endpoint), endpoint
    rows, payloads = [], []
    for attempt, of_attempt, _ in some:
        if of_attempt is not of:  # it was changed meanwhile
            sight, of = sight_of(of_attempt), of_attempt
        fields = fields_of(attempt, sight)
        rows.append(fields)
        if fields[9]:
            payloads.append(attempt.job.events_text)
    return pack(endpoint.uid, endpoint.app_id, rows, payloads)


def _batch_id() -> str:
    return secrets.token_hex(12)
