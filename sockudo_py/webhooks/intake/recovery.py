"""After a crash: sends the ends of occupancies that do not return in time. Updates the ledger when endpoints change."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from sockudo_py.adapters.base import Restorable
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.process.tasks import cancel
from sockudo_py.queues.base import Occupancy, Queue
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.intake.ledger import Key, Ledger
from sockudo_py.webhooks.intake.occupancies import ending

log = logging.getLogger(__name__)

_LOOK_INTERVAL = 10.0  # seconds; see ``Queue.inherit``
_AT_ONCE = 1000  # channels and members that are looked at in one turn of the loop
_BEHIND = 1000  # events; while more of them wait for the queue, no further ends are sent


class Recovery:
    """Brings together the ledger, the queue that keeps it, and the adapter that notices what is back.

    Args:
        queue: Keeps the ledger.
        ledger: What this process notes.
        dispatcher: Hands over what the ledger goes with.
        adapter: Takes what is missed as pending.
        registry: Whose changes decide what is worth noting.
        grace: Seconds that missed channels and members get to come back.
    """

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        dispatcher: Dispatcher,
        adapter: Restorable,
        registry: EndpointRegistry,
        *,
        grace: float,
    ) -> None:
        if dispatcher.occupancies is None:
            raise ValueError("the dispatcher knows of no ledger")
        self._occupancies = dispatcher.occupancies
        self._queue = queue
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._adapter = adapter
        self._grace = grace
        self._found: list[Occupancy] = []
        self._changed: set[str] = set()  # apps whose endpoints changed
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        registry.subscribe(self._endpoint_changed)

    async def load(self) -> None:
        """Read what earlier runs left. To be called before events that they left are. Raises what the queue raises."""
        self._inherited(await self._queue.inherit())

    def start(self) -> None:
        """Have those missed from now on. To be called before clients come."""
        self._changed.clear()  # before the first client
        self._settle()
        self._task = asyncio.create_task(self._run(), name="webhook-recovery")

    async def stop(self) -> None:
        """Look for no more."""
        await cancel(self._task)
        self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        look = loop.time() + _LOOK_INTERVAL
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look):
                    await self._news.wait()
            self._news.clear()
            try:
                while self._changed:
                    await self._review(self._changed.pop())
                if loop.time() >= look:
                    look = loop.time() + _LOOK_INTERVAL
                    self._inherited(await self._queue.inherit())
                    self._settle()
            except Unavailable as error:  # the dispatcher logs it too, at its next events
                log.debug("the ledger of the webhook queue can't be read", extra={"error": str(error)})
            except Exception:
                log.exception("looking for what other servers left occupied failed")

    def _inherited(self, found: Sequence[Occupancy]) -> None:
        self._found += found
        self._ledger.inherit(found)

    def _settle(self) -> None:
        """Have those missed who were found, unless events on disk may say more about them."""
        if not self._found or self._dispatcher.unread:
            return
        found, self._found = len(self._found), []
        missed, owed = self._ledger.settle(self._occupancies.wanted)
        self._occupancies.owe(owed)
        self._adapter.restore(map(ending, missed), self._grace, lambda: self._dispatcher.behind < _BEHIND)
        self._dispatcher.wake()
        kinds = Counter("channels" if one.user_id is None else "members" for one in missed)
        log.warning(
            "a server ended without a shutdown while channels were occupied: webhooks report the channels and members "
            "that are not back in %gs",
            self._grace,
            extra={
                "channels": kinds["channels"],
                "members": kinds["members"],
                "without_endpoint": found - len(missed) - len({one.occupancy.id for one in owed}),
            },
        )

    def _endpoint_changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        self._changed.update(endpoint.app_id for endpoint in (old, new) if endpoint is not None)
        self._news.set()

    async def _review(self, app_id: str) -> None:
        """Note what is occupied and wanted now, and forget what no endpoint wants any more."""
        await _in_turns(self._forget_unwanted(app_id))
        await _in_turns(self._note_wanted(app_id))
        self._dispatcher.wake()

    def _forget_unwanted(self, app_id: str) -> Iterator[None]:
        for key in self._ledger:
            if key[0] == app_id and self._occupancies.wanted(key) is None:
                self._ledger.end(key)
            yield

    def _note_wanted(self, app_id: str) -> Iterator[None]:
        for channel, user_id in self._adapter.present(app_id):
            key: Key = (app_id, channel, user_id)
            if key not in self._ledger and self._occupancies.wanted(key) is not None:
                self._ledger.begin(key, None)
            yield


async def _in_turns(steps: Iterator[None]) -> None:
    """Take all steps, some in each turn of the loop: what a step looks at is as it is then."""
    for number, _ in enumerate(steps, 1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
