"""The dead jobs of the SQS driver, in a queue of their own.

SQS offers no way to look into a queue without receiving from it. So a look hides the messages for a moment, reads
them all, and gives them back; two who look at once see a part each.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from sockudo_py.errors import Unavailable
from sockudo_py.queues import jobs
from sockudo_py.queues.clock import QueueClock
from sockudo_py.queues.sqs.link import SqsLink
from sockudo_py.queues.sqs.messages import Draft, Message

_LOOK = 30  # seconds for which a message is hidden while it is looked at
_MOST = 10_000  # are looked at


class DeadJobs:
    """The list ``failed``. ``max_len``: the oldest beyond are deleted; 0: any number. ``wait``: seconds of polling."""

    def __init__(self, link: SqsLink, url: str, *, max_len: int, wait: int, clock: QueueClock) -> None:
        self._link = link
        self._url = url
        self._max_len = max_len
        self._wait = wait
        self._clock = clock
        self._order = time.time_ns() // 1000
        self._looking = asyncio.Lock()

    async def put(self, texts: Sequence[bytes]) -> int:
        """Add dead jobs; the last one is the newest. Returns how many old ones were deleted to make room."""
        drafts = []
        for text in texts:
            self._order += 1
            drafts.append(Draft(text, order=self._order))
        for draft in await self._link.send(self._url, drafts):  # too large for SQS with its error: keep its head
            head = jobs.header(draft.text) or ("unknown", "")
            stub = jobs.Job(head[0], head[1], "", 0, b"[{}]", failed_ms=self._clock.wall(), error=_too_large(draft))
            await self._link.send(self._url, [Draft(jobs.encode(stub), order=draft.order)])
        return await self._trim() if self._max_len else 0

    async def count(self) -> int:
        """Return how many there are, as SQS estimates it."""
        return sum(await self._link.counts(self._url))

    async def page(self, offset: int, limit: int) -> list[bytes]:
        """Return dead jobs, newest first."""
        async with self._look() as found:
            return [message.text for message in list(reversed(found))[offset : offset + max(0, limit)]]

    async def purge(self, endpoint: str | None) -> int:
        """Delete those of an endpoint, or all; returns how many."""
        async with self._look() as found:
            chosen = [message for message in found if _is_of(message, endpoint)]
            return await self._delete(chosen, found)

    async def take(self, endpoint: str | None, limit: int, send: Callable[[Sequence[bytes]], Awaitable[None]]) -> int:
        """Hand the oldest (of an endpoint) to ``send``, and delete what it has sent; returns how many."""
        async with self._look() as found:
            chosen = [message for message in found if _is_of(message, endpoint)][:limit]
            await send([message.text for message in chosen])
            return await self._delete(chosen, found)

    async def _trim(self) -> int:
        if await self.count() <= self._max_len:
            return 0
        async with self._look() as found:
            return await self._delete(found[: max(0, len(found) - self._max_len)], found)

    async def _delete(self, chosen: list[Message], found: list[Message]) -> int:
        results = await self._link.delete(self._url, [message.handle for message in chosen])
        gone = {message.id for message, result in zip(chosen, results, strict=True) if result is True}
        found[:] = [message for message in found if message.id not in gone]  # the rest is given back
        error = next((result for result in results if isinstance(result, Unavailable)), None)
        if error is not None:
            raise error
        return len(gone)

    @asynccontextmanager
    async def _look(self) -> AsyncIterator[list[Message]]:
        """Receive all of them, oldest first; give back what is still in the list at the end."""
        async with self._looking:
            found: dict[str, Message] = {}
            try:
                while len(found) < _MOST:
                    batch = await self._link.receive(self._url, hide=_LOOK, wait=self._wait)
                    if not batch:
                        break
                    found.update((message.id, message) for message in batch)
                listed = sorted(found.values(), key=lambda message: message.order or message.sent_ms * 1000)
                found = {}
                try:
                    yield listed
                finally:
                    await self._give_back(listed)
            finally:
                await self._give_back(list(found.values()))

    async def _give_back(self, messages: list[Message]) -> None:
        await self._link.hide(self._url, [message.handle for message in messages], 0)


def _is_of(message: Message, endpoint: str | None) -> bool:
    return endpoint is None or (jobs.header(message.text) or ("", ""))[1] == endpoint


def _too_large(draft: Draft) -> jobs.JobError:
    return jobs.JobError(
        "too_large", f"its {len(draft.text)} bytes do not fit into a message of SQS; the events are gone"
    )
