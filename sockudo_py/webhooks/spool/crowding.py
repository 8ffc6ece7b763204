"""While the spool is crowded, the clients that fill it are not read: they cause no more than the queue takes."""

import logging
from collections.abc import Callable
from typing import Final, Protocol

from sockudo_py.protocol.source import Source
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.memory import Spool
from sockudo_py.webhooks.spool.noise import Noise, noise_of, top, totals_of

log = logging.getLogger(__name__)

BEGIN: Final = 1 / 2  # shares of the spool: at this one the server looks for noisy clients, ...
STEP: Final = 1 / 16  # ... once more at each such step above it, ...
END: Final = 1 / 4  # ... and below this one all clients are read again
LOOK_INTERVAL: Final = 0.25  # seconds; a look costs some milliseconds
REVIEW_INTERVAL: Final = 15.0  # seconds between looks for clients that can be read again
RECENT_MS: Final = 60_000  # what is older says nothing about its client: the queue may be away for hours

NOBODY: Final = Noise()


class Brake(Protocol):
    """What slows clients down."""

    def hold(self, noise: Noise) -> None:
        """Stop reading exactly these noisy clients; put off the leaves that they cause."""

    def crowded(self, crowded: bool) -> None:
        """The spool begins to be crowded, before any client is held, or it is crowded no more."""

    def here(self, source: Source) -> bool:
        """Return whether this connection is there still."""

    def catch_up(self) -> bool:
        """Tell some of the changes that were put off; return whether there are more."""


class Free:
    """A brake that does nothing."""

    def hold(self, noise: Noise) -> None:
        """Do nothing."""

    def crowded(self, crowded: bool) -> None:
        """Do nothing."""

    def here(self, source: Source) -> bool:
        """Return True, since it is not known."""
        return True

    def catch_up(self) -> bool:
        """Return that nothing was put off."""
        return False


class Crowding:
    """Knows which clients are not read now.

    Args:
        spool: Watched by its mark.
        metrics: Where to show how many they are.
        brake: Slows down the clients that fill the spool.
        clock: Unix seconds.
    """

    def __init__(self, spool: Spool, metrics: WebhookMetrics, brake: Brake, clock: Callable[[], float]) -> None:
        self._spool = spool
        self._metrics = metrics
        self._brake = brake
        self._clock = clock
        self._noise = NOBODY
        self._crowded = False
        self._looked = self._reviewed = 0.0
        self._away: float | None = None  # since when the queue has taken nothing
        self._progress = float("-inf")  # when a full endpoint took some events last
        spool.mark = BEGIN

    def queue(self, *, away: bool) -> None:
        """The queue takes nothing any more (``away``), or takes events again."""
        if not away:
            self._away = None
        elif self._away is None:
            self._away = self._clock()

    def progress(self) -> None:
        """The queue has begun to refuse events of an endpoint, or has taken some of one that was full."""
        self._progress = self._clock()

    def grown(self) -> None:
        """The spool is above its mark."""
        now = self._clock()
        if self._crowded and abs(now - self._looked) < LOOK_INTERVAL:
            return
        if not self._crowded:
            self._crowded, self._reviewed = True, now
            self._brake.crowded(True)
        self._look(now)

    def shrunk(self) -> bool:
        """The spool may have less than before, or time has passed. Return whether to call again at once.

        Changes that were put off need not lead to events: perhaps no endpoint wants them.
        """
        if not self._crowded:
            return False
        now = self._clock()
        if self._spool.share < END:
            if self._brake.catch_up():  # before anything is added to it, and at least once a review
                if abs(now - self._reviewed) >= REVIEW_INTERVAL:
                    self._reviewed = now
                    self._spool.mark = BEGIN
                    self._set(NOBODY)
                return True
            self.end()
        elif abs(now - self._reviewed) >= REVIEW_INTERVAL:
            self._look(now)
        return False

    def end(self) -> None:
        """Read all clients again."""
        self._crowded = False
        self._spool.mark = BEGIN
        if self._noise:
            log.info("clients that filled the webhook spool are read again", extra={"waiting": self._spool.count})
        self._set(NOBODY)
        self._brake.crowded(False)

    def _look(self, now: float) -> None:
        spool = self._spool
        since = int(now * 1000) - RECENT_MS
        recent = [event for event in spool.all() if event.created_ms >= since]
        totals = totals_of(recent, in_bytes=spool.in_bytes)
        noise = noise_of(totals, spool.whole, here=self._brake.here, drains=self._drains(now))
        self._looked = now
        if abs(now - self._reviewed) < REVIEW_INTERVAL:
            noise |= self._noise
        else:
            self._reviewed = now
        spool.mark = max(BEGIN, spool.share + STEP)
        if noise and not self._noise:
            noisiest = [
                {"app_id": source.app_id, "socket_id": source.socket_id, "address": source.address, "events": total}
                for source, total in top(totals, noise.sources)
            ]
            log.warning(
                "the webhook spool is half full: the clients that fill it are not read until the queue has caught up",
                extra={
                    "waiting": spool.count,
                    "clients": len(noise.sources),
                    "addresses": [f"{app_id} {address}" for app_id, address in sorted(noise.addresses)[:3]],
                    "noisiest": noisiest,
                },
            )
        self._set(noise)

    def _drains(self, now: float) -> bool:
        """Return whether the spool gets emptier when clients are held: not while the queue is away.

        Nor while most of what is here is for endpoints that are full and take nothing: they may be dead for hours. A
        full endpoint that takes some events is only slower than the clients that flood it.
        """
        if self._away is not None and abs(now - self._away) >= REVIEW_INTERVAL:
            return False
        return abs(now - self._progress) < REVIEW_INTERVAL or self._spool.held_back * 2 <= self._spool.count

    def _set(self, noise: Noise) -> None:
        if noise == self._noise:
            return
        self._noise = noise
        self._metrics.spool_noisy.set("connection", value=len(noise.sources))
        self._metrics.spool_noisy.set("address", value=len(noise.addresses))
        self._brake.hold(noise)
