"""Endpoints that this process does not know: whose jobs to leave to others, and when to give up.

Nodes that share a queue learn of an endpoint at different moments. A job of one that is unknown here goes back to its
lane, and this process keeps away from that lane for a while, so that another one takes it. A job that comes back again
and again, untouched, shows that there is no other.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sockudo_py.endpoints import Endpoint
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry

log = logging.getLogger(__name__)

AWAY = 2.0  # seconds for which a lane is left to others
_STALE = 15.0  # seconds: a job that has not come back for that long was with somebody else meanwhile
_MOST = 10_000  # endpoints that are remembered


@dataclass(slots=True)
class _Watch:
    """The job by which a lane is judged: the same one, as often tried as before, since when, and seen when."""

    job: tuple[str, int, int]
    since: float
    seen: float


class UnknownEndpoints:
    """Judges jobs of endpoints that the registry does not have. ``grace`` and the clock are in seconds."""

    def __init__(
        self, registry: EndpointRegistry, grace: float = 60.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._grace = grace
        self._clock = clock
        self._watched: dict[str, _Watch] = {}  # those that were seen last at the end
        self._gone: dict[str, float] = {}  # uid -> its jobs that were created until then (ms) are dead
        registry.subscribe(self._changed)

    def wait(self, job: Job, now_ms: int) -> float:
        """Return for how many seconds to leave the lane of this job to others; 0: its endpoint is gone for good.

        That is so when this process saw it being removed, and when nobody has touched the job for the time of grace.
        """
        uid = job.endpoint
        until = self._gone.get(uid, -1.0)
        if job.created_ms <= until and (until == math.inf or not job.redrives):
            return 0.0
        now = self._clock()
        ident = (job.id, job.attempt, job.redrives)
        watch = self._watched.get(uid)
        if watch is None:
            log.warning(
                "this server does not know the endpoint of a webhook job; it leaves the job to other servers for now",
                extra={"webhook": uid, "delivery": job.id, "grace": self._grace},
            )
        if watch is None or now - watch.seen > _STALE:
            watch = _Watch(ident, now, now)
            self._watched.pop(uid, None)
            self._make_room(now)
            if len(self._watched) < _MOST:  # beyond, they wait until there is room
                self._watched[uid] = watch
        if watch.job != ident:
            return AWAY
        watch.seen = now
        if uid in self._watched:
            self._watched[uid] = self._watched.pop(uid)
        if now - watch.since < self._grace:
            return AWAY
        self._watched.pop(uid, None)
        self._give_up(uid, now_ms)
        return 0.0

    def gone(self, uid: str) -> bool:
        """Return whether this process saw the endpoint being removed."""
        return self._gone.get(uid) == math.inf

    def _make_room(self, now: float) -> None:
        """Forget one that nobody saw again, if there are too many: others deliver its jobs."""
        if len(self._watched) >= _MOST:
            uid, watch = next(iter(self._watched.items()))
            if now - watch.seen > _STALE:
                del self._watched[uid]

    def _give_up(self, uid: str, until_ms: float) -> None:
        self._gone.pop(uid, None)
        self._gone[uid] = until_ms
        if len(self._gone) > _MOST:
            del self._gone[next(iter(self._gone))]

    def _changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        if new is not None:
            self._gone.pop(new.uid, None)
            self._watched.pop(new.uid, None)
        elif old is not None:
            self._give_up(old.uid, math.inf)
