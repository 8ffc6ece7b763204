"""Stand-ins that keep the contracts: a queue front that can be away, and a target that does as it is told."""

import asyncio
import time
from collections.abc import Callable, Sequence

from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Append, LedgerEntry, QueueFull
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.targets.base import Delivered, Outcome, Request


class FlakyQueue(MemoryQueue):
    """A memory queue that can be away. ``lost_replies``: calls that take effect although they raise."""

    def __init__(self, clock: Callable[[], float] = time.time, max_queue_len: int = 100_000) -> None:
        super().__init__(clock=clock, max_queue_len=max_queue_len)
        self.away = False
        self.results_away = False
        self.gone: set[str] = set()  # tokens whose lease somebody else has
        self.renewed: list[str] = []
        self.paused: list[str] = []
        self.left: list[str] = []  # lanes that were left to others
        self.lost_replies = 0
        self.bugs = 0
        self.calls: list[list[Append]] = []
        self.taken: list[Append] = []

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
        self.calls.append(list(events))
        if self.bugs:
            self.bugs -= 1
            raise KeyError("a bug")
        self._check()
        refused: tuple[Append, ...] = ()
        try:
            await super().append(events, ledger)
        except QueueFull as full:
            refused = full.refused
        self.taken.extend(event for event in events if event not in refused)
        if refused:
            raise QueueFull(refused)
        if self.lost_replies:
            self.lost_replies -= 1
            raise Unavailable("the reply was lost")

    async def ack_all(self, tokens: Sequence[str]) -> set[str]:
        self._check()
        if self.results_away:
            raise Unavailable("the queue is away")
        gone = await super().ack_all([token for token in tokens if token not in self.gone])
        if self.lost_replies:
            self.lost_replies -= 1
            raise Unavailable("the reply was lost")
        return gone | self.gone.intersection(tokens)

    async def release(self, token: str, *, away: float = 0.0) -> bool:
        if away:
            self.left.append(self._book.active[token].entry.endpoint)
        return await super().release(token, away=away)

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:
        self.renewed.extend(tokens)
        return await super().renew(tokens, lease) | self.gone.intersection(tokens)

    async def pause(self, endpoint: str) -> None:
        self.paused.append(endpoint)
        await super().pause(endpoint)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the queue is away")


class FakeTarget:
    """Answers with ``outcomes``, one after the other, then with success. ``hold``: endpoints that never answer."""

    name = "http"

    def __init__(self) -> None:
        self.outcomes: list[Outcome | Exception] = []
        self.requests: list[Request] = []
        self.hold: set[str] = set()
        self.takes: Callable[[], object] = lambda: None  # called while a request is under way
        self.closed = False
        self.begun = 0  # how many of them without ``send`` being asked
        self._news = asyncio.Event()
        self._released = asyncio.Event()

    async def send(self, request: Request) -> Outcome:
        self.requests.append(request)
        self._news.set()
        if request.endpoint in self.hold:
            await self._released.wait()
        self.takes()
        outcome = self.outcomes.pop(0) if self.outcomes else Delivered(200)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def release(self) -> None:
        """Let those go on that were held."""
        self._released.set()

    async def close(self) -> None:
        self.closed = True

    async def got(self, count: int) -> list[Request]:
        """Return the requests as soon as there are ``count``."""
        async with asyncio.timeout(60):
            while len(self.requests) < count:
                self._news.clear()
                await self._news.wait()
        return self.requests


class BeginningTarget(FakeTarget):
    """A ``FakeTarget`` that can be begun, too."""

    def begin(self, request: Request, done: Callable[[Outcome], None]) -> Callable[[], None] | None:
        if self.outcomes and isinstance(self.outcomes[0], Exception):
            return None  # ``send`` raises it: a bug
        self.begun += 1
        attempt = asyncio.get_running_loop().create_task(self.send(request))
        attempt.add_done_callback(lambda ended: None if ended.cancelled() else done(ended.result()))

        def abort() -> None:
            attempt.cancel()

        return abort


class Clock:
    """Unix seconds that pass when told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    """Let the loop run until ``condition`` holds; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)
