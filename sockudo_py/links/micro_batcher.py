"""Many callers, one call: what is asked while a call is under way goes together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sockudo_py.errors import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class MicroBatcher(Generic[Item, Answer]):
    """Answers ``ask(item)`` by calls of ``together(items)``, which returns an answer for each item, in order.

    When a call raises, every ``ask`` that was in it raises the same. ``most`` is how many items one call takes.
    """

    def __init__(self, together: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], most: int) -> None:
        self._together = together
        self._most = most
        self._asked: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Answer:
        """Return the answer for one item."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def close(self, timeout: float | None = None) -> None:
        """Wait for what is under way, for at most ``timeout`` seconds."""
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=timeout)
            for task in late:
                task.cancel()
                await asyncio.wait({task})

    async def _run(self) -> None:
        try:
            while self._asked:
                await asyncio.sleep(0)  # let all that are ready now ask
                batch, self._asked = self._asked[: self._most], self._asked[self._most :]
                await self._answer(batch)
        finally:
            self._task = None

    async def _answer(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._together([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():  # else its caller was cancelled
                    future.set_exception(copy_of(error) if isinstance(error, Unavailable) else error)
            if isinstance(error, Exception):
                return  # the callers have the error
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def copy_of(error: Unavailable) -> Unavailable:
    """Return an equal error: one exception object raised in many tasks would mix their tracebacks."""
    copy = Unavailable(str(error))
    copy.__cause__ = error.__cause__
    return copy
