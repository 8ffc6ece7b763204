"""Jobs of endpoints that this process does not know: leave them to other nodes, and give up after a while.

Nodes that share a queue learn of an endpoint at different moments. A job of an unknown endpoint goes back to its lane,
and this process keeps away from that lane for a while, so that another node takes the job. A job that keeps coming back
untouched shows that no node knows the endpoint.
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
_STALE = 15.0  # seconds: a job that has not come back for this long was with another node
_MOST = 10_000  # remembered endpoints


@dataclass(slots=True)
class _Watch:
    """The job by which a lane is judged: its identity and attempts, when it was seen first, and when last."""

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
        self._watched: dict[str, _Watch] = {}  # the one seen last at the end
        self._gone: dict[str, float] = {}  # uid -> jobs created until then (ms) become dead letters
        registry.subscribe(self._changed)

    def wait(self, job: Job, now_ms: int) -> float:
        """Return for how many seconds to leave the lane of this job to others; 0: its endpoint is gone for good.

        An endpoint is gone when this process saw its removal, or when no server has touched the job for ``grace``.
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
        """Return whether this process saw the removal of the endpoint."""
        return self._gone.get(uid) == math.inf

    def _make_room(self, now: float) -> None:
        """When there are too many, forget one that was not seen again: other nodes deliver its jobs."""
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
