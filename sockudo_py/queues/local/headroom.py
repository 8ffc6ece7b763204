"""For whose events a queue has room: the bound that keeps the backlog of dead endpoints from shutting others out.

Of ``most`` entries in all, an event is taken while ``lane * app * total**2 < free**4``: what its lane, its app and all
hold, and what is free. So one dead endpoint stops at half of the queue, each further one at less, an app full of them
leaves more to other apps than to itself, and an empty lane is refused by a queue that is full to the last entry only.
``lua/queue_append.lua`` says the same; why so: docs/decisions/0007.
"""

from collections.abc import Collection
from itertools import groupby

from sockudo_py.queues.base import Append, endpoint_of
from sockudo_py.queues.local.book import LeaseBook


def takes(lane: int, app: int, total: int, most: int) -> bool:
    """Return whether there is room for one more entry. ``most`` 0: for any number."""
    free = most - total
    return most <= 0 or (free > 0 and lane * max(lane, app) * total * total < free**4)


class Headroom:
    """The room for the events of one call. It looks at the books once, and counts along: it may go to a thread.

    ``events``: those of the call, of each endpoint at least its first. ``number``: how many the call has, where these
    are not all. ``elsewhere``: entries that are not in the books.
    """

    __slots__ = ("_ample", "_apps", "_lanes", "_most", "_total")

    def __init__(
        self,
        book: LeaseBook,
        most: int,
        events: Collection[Append],
        *,
        number: int | None = None,
        elsewhere: int = 0,
    ) -> None:
        self._most = most
        self._total = book.held + elsewhere
        # Normal case: under half full nothing is refused, so skip the counting.
        self._ample = most <= 0 or 2 * (self._total + (len(events) if number is None else number)) < most
        self._lanes: dict[str, int] = {}
        self._apps: dict[str, int] = {}
        for endpoint, group in groupby(events, endpoint_of):
            app_id = next(group).app_id
            lane = book.lanes.owned(endpoint, app_id)
            self._lanes[endpoint] = lane.held
            self._apps[app_id] = lane.app.held

    def take(self, event: Append) -> bool:
        """Return whether there is room for this event; it counts from now on."""
        if self._ample:
            return True
        lane, app = self._lanes[event.endpoint], self._apps.get(event.app_id, 0)
        if not takes(lane, app, self._total, self._most):
            return False
        self._lanes[event.endpoint] = lane + 1
        self._apps[event.app_id] = app + 1
        self._total += 1
        return True

    def split(self, events: list[Append]) -> tuple[list[Append], list[Append]]:
        """Return the events of one endpoint that there is room for, which count from now on, and the others."""
        if self._ample:
            return events, []
        count = next((at for at, event in enumerate(events) if not self.take(event)), len(events))
        return events[:count], events[count:]
