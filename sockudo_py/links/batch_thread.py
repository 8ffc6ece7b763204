"""Many callers, one thread: what is asked while a batch is under way goes together in the next one.

As ``micro_batcher.py``, for work that blocks. Neither a task nor an executor stands between the callers and the
thread: both take longer than a small transaction.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from sockudo_py.errors import Unavailable
from sockudo_py.links.micro_batcher import copy_of

Item = TypeVar("Item")
Answer = TypeVar("Answer")
T = TypeVar("T")
_Work = Callable[[], None]


class BatchThread(Generic[Item, Answer]):
    """Answers ``ask(item)`` by calls of ``together(items)`` in the thread, which returns an answer for each item.

    When a call raises, every ``ask`` that was in it raises the same. ``most`` is how many items one call takes.
    All calls come from one loop.
    """

    def __init__(self, together: Callable[[Sequence[Item]], Sequence[Answer]], most: int, name: str) -> None:
        self._together = together
        self._most = most
        self._asked: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._flying = False  # a batch is under way, or goes when this turn of the loop is over
        self._patient: asyncio.TimerHandle | None = None  # all that is asked can wait until then
        self._landed: asyncio.Future[None] | None = None  # a call waits until none is
        self._works: SimpleQueue[_Work | None] = SimpleQueue()  # None: the end
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def ask(self, item: Item, patience: float = 0.0) -> asyncio.Future[Answer]:
        """Return the answer for one item, to be awaited.

        ``patience``: seconds for which the item may wait for others that are in a hurry, so that it goes with them.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._asked.append((item, future))
        if self._flying:
            return future
        if not patience:
            self._fly(loop)
        elif self._patient is None:
            self._patient = loop.call_later(patience, self._fly, loop)
        return future

    def _fly(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._patient is not None:
            self._patient.cancel()
            self._patient = None
        self._flying = True
        loop.call_soon(self._send, loop)  # with all that is asked until then

    async def call(self, function: Callable[[], T], *, last: bool = False) -> T:
        """Call a function in the thread, between two batches, and return its answer.

        ``last``: after all that was asked. The thread ends then.
        """
        loop = asyncio.get_running_loop()
        if last and self._patient is not None:
            self._fly(loop)
        if last and self._flying:
            self._landed = loop.create_future()
            await self._landed
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                answer = function()
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                _tell(loop, _fail, [future], error)
            else:
                _tell(loop, _settle, [future], [answer])

        self._put(work)
        if last:
            self._works.put(None)
        return await future

    def _put(self, work: _Work) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._works.put(work)

    def _serve(self) -> None:
        while (work := self._works.get()) is not None:
            work()

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._asked = self._asked[: self._most], self._asked[self._most :]
        items, futures = [item for item, _ in batch], [future for _, future in batch]

        def work() -> None:
            try:
                answers = self._together(items)
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                _tell(loop, self._answer, loop, _fail, futures, error)
            else:
                _tell(loop, self._answer, loop, _settle, futures, answers)

        self._put(work)

    def _answer(self, loop: asyncio.AbstractEventLoop, how: Callable[..., None], futures: Any, what: Any) -> None:
        how(futures, what)
        if self._asked:
            loop.call_soon(self._send, loop)  # with what those ask next who have been answered
            return
        self._flying = False
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)


def _tell(loop: asyncio.AbstractEventLoop, *call: Any) -> None:
    if not loop.is_closed():  # else nobody waits any more
        loop.call_soon_threadsafe(*call)


def _settle(futures: Sequence[asyncio.Future[T]], answers: Sequence[T]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():  # else its caller was cancelled
            future.set_result(answer)


def _fail(futures: Sequence[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(copy_of(error) if isinstance(error, Unavailable) else error)
