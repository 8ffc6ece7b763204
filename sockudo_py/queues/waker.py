"""When to look into the queue again, without asking it all the time."""

import asyncio


class Waker:
    """Knows the next moment at which a claim may find something. ``poll``: look at least that often (seconds)."""

    def __init__(self, poll: float) -> None:
        self._poll = poll
        self._due: float | None = None  # of the loop's clock
        self._news = asyncio.Event()

    def begin(self) -> None:
        """Call before a claim: forgets known due times; later calls of ``soon`` count."""
        self._due = None

    def soon(self, seconds: float = 0.0) -> None:
        """Something can be claimed in ``seconds``."""
        due = asyncio.get_running_loop().time() + seconds
        if self._due is None or due < self._due:
            self._due = due
            self._news.set()

    async def wait(self, timeout: float) -> None:
        """Return when something is due, at the latest after ``timeout`` seconds or the poll interval."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(timeout, self._poll)
        while True:
            until = end if self._due is None else min(end, self._due)
            delay = until - loop.time()
            if delay <= 0:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(delay):
                    await self._news.wait()
            except TimeoutError:
                return
