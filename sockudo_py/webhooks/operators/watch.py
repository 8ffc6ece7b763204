"""Finds transitions in the figures of the queue and of the spool, for operators."""

from collections.abc import Callable

from sockudo_py.endpoints import OPERATORS
from sockudo_py.queues.base import ChoosesDead, DeadLetters, Depths, Queue
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.operators.kinds import DEAD_LETTERS_HIGH, QUEUE_OLD, SPOOL_DROPPING
from sockudo_py.webhooks.operators.notices import Notices

OLD_MS = 60_000


class Watch:
    """Looks at samples. What the operators' own endpoints have in the queue does not count, as far as that is known.

    Args:
        notices: Told of transitions.
        queue: Whose figures they are.
        registry: Which endpoints are the operators'.
        most_dead: From how many dead letters on; 0: never.
        dropped: Returns how many events the spool has lost so far.
    """

    def __init__(
        self,
        notices: Notices,
        queue: Queue,
        registry: EndpointRegistry,
        *,
        most_dead: int,
        dropped: Callable[[], float],
    ) -> None:
        self._notices = notices
        self._queue = queue
        self._registry = registry
        self._most_dead = most_dead
        self._dropped = dropped
        self._dead_high = self._old = self._dropping = False
        self._lost = 0.0

    async def look(self, depths: Depths) -> None:
        """Compare the figures of the queue with those before. May raise Unavailable."""
        if not self._notices.wanted:
            return
        high = bool(self._most_dead) and depths.failed >= self._most_dead
        if high and not self._dead_high:
            failed = depths.failed - await self._own_dead()
            high = failed >= self._most_dead
            if high:
                self._notices.tell(DEAD_LETTERS_HIGH, {"dead_letters": failed, "threshold": self._most_dead})
        self._dead_high = high
        own = sum(lane.waiting for lane in depths.lanes if lane.endpoint in self._own())
        old = depths.oldest_waiting_ms > OLD_MS and depths.waiting > own
        if old and not self._old:
            about = {"oldest_waiting_s": depths.oldest_waiting_ms // 1000, "threshold_s": OLD_MS // 1000}
            self._notices.tell(QUEUE_OLD, about)
        self._old = old

    def look_at_spool(self, waiting: int) -> None:
        """Compare what the spool has lost with the figure before; ``waiting``: events that are in it."""
        lost = self._dropped()
        dropping = lost > self._lost
        if dropping and not self._dropping:
            self._notices.tell(SPOOL_DROPPING, {"dropped": int(lost - self._lost), "waiting": waiting})
        self._dropping, self._lost = dropping, lost

    def _own(self) -> frozenset[str]:
        return frozenset(endpoint.uid for endpoint in self._registry.by_app(OPERATORS))

    async def _own_dead(self) -> int:
        if not isinstance(self._queue, ChoosesDead):
            return 0
        return len(await self._queue.find_dead(DeadLetters(app_id=OPERATORS), 0, 1000))
