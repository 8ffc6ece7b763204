"""When to look into the queue again, without asking it all the time."""

import asyncio


class Waker:
    """Knows the next moment at which a claim may find something. ``poll``: look at least that often (seconds)."""

    def __init__(self, poll: float) -> None:
        self._poll = poll
        self._due: float | None = None  # of the loop's clock
        self._waiting: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Call before a claim: forgets known due times; later calls of ``soon`` count."""
        self._due = None

    def soon(self, seconds: float = 0.0) -> None:
        """Something can be claimed in ``seconds``."""
        due = asyncio.get_running_loop().time() + seconds
        if self._due is None or due < self._due:
            self._due = due
            for waiting in self._waiting:
                _end(waiting)

    async def wait(self, timeout: float) -> None:
        """Return when something is due, at the latest after ``timeout`` seconds or the poll interval."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(timeout, self._poll)
        while True:
            until = end if self._due is None else min(end, self._due)
            delay = until - loop.time()
            if delay <= 0:
                return
            # A future and a timer: an event below ``asyncio.timeout`` takes three times as long.
            waiting: asyncio.Future[None] = loop.create_future()
            self._waiting.add(waiting)
            timer = loop.call_later(delay, _end, waiting)
            try:
                await waiting
            finally:
                timer.cancel()
                self._waiting.discard(waiting)


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
