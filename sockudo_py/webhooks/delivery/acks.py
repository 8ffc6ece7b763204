"""Acknowledges deliveries to the queue: one call for all that ended in one turn of the loop."""

import asyncio
import logging
from collections.abc import Callable

from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Queue
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)


class Acks:
    """Acknowledges deliveries, and repeats that until the queue takes it.

    Args:
        queue: Where they came from.
        recorder: Records deliveries whose lease was gone.
        lost: Tokens whose lease is known to be gone; the queue gets no results of these.
        ended: Called with each token when the queue has its answer.
    """

    def __init__(self, queue: Queue, recorder: Recorder, lost: set[str], ended: Callable[[str], None]) -> None:
        self._queue = queue
        self._recorder = recorder
        self._lost = lost
        self._ended = ended
        self._tokens: list[str] = []
        self._calls: set[asyncio.Task[None]] = set()

    def add(self, token: str) -> None:
        """Acknowledge this one in the next turn of the loop, with all that come until then."""
        if not self._tokens:
            call = asyncio.get_running_loop().create_task(self._send(), name="webhook-acks")
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        self._tokens.append(token)

    async def close(self) -> None:
        """Give up on what the queue has not taken."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _send(self) -> None:
        tokens, self._tokens = self._tokens, []
        try:
            await self._acknowledge(tokens)
        except Exception:
            log.exception("acknowledging webhook deliveries broke; their jobs come back when their leases expire")
        for token in tokens:
            self._ended(token)

    async def _acknowledge(self, tokens: list[str]) -> None:
        wait, before = FIRST_WAIT, False
        while True:
            if self._lost:
                for token in self._lost.intersection(tokens):
                    self._recorder.lost(token)
                tokens = [token for token in tokens if token not in self._lost]
            try:
                gone = await self._queue.ack_all(tokens)
            except Unavailable as error:
                if not before:
                    log.error(
                        "the webhook queue does not take the result of a delivery; trying again",
                        extra={"error": str(error)},
                    )
                before = True
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            if not before:  # after Unavailable: the first call had taken effect
                for token in gone:
                    self._recorder.lost(token)
            return
