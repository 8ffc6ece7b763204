"""Sends results of jobs, and claims, in one script call at a time; what comes meanwhile goes into the next call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sockudo_py.errors import Unavailable
from sockudo_py.links.micro_batcher import copy_of
from sockudo_py.links.redis.wire import Word

_MOST_ANSWERS = 500  # in one script call
_PATIENCE = 0.001  # seconds that answers wait for a claim to go with
APART = 0.001  # seconds between the beginnings of two calls that follow each other: more goes into each

Words = tuple[Word, ...]
Waiting = tuple[Words, asyncio.Future[Any]]


class Turns:
    """Sends the answers that a worker gives, with its claim whenever there is one.

    Args:
        send: Runs the script with the words of a claim, or none, and those of the answers. Returns what the script says
            to the answers, one by one, and to the claim.
        news: Called when answers wait: a worker that has room should claim, and take them along.
    """

    def __init__(
        self,
        send: Callable[[Words, Sequence[Word]], Awaitable[tuple[Sequence[Any], Sequence[Any]]]],
        news: Callable[[], None],
    ) -> None:
        self._send = send
        self._news = news
        self._answers: list[Waiting] = []
        self._claim: Waiting | None = None
        self._late = False  # answers have waited long enough for a claim
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0  # not before this (the loop's clock) does a call begin

    async def answer(self, *words: Word) -> Any:
        """Return what the script says to one answer. Raises Unavailable."""
        return await self.ask(*words)

    def ask(self, *words: Word) -> asyncio.Future[Any]:
        """Ask for one answer without waiting for it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._answers.append((words, done))
        if self._timer is None:
            self._timer = loop.call_later(_PATIENCE, self._go_alone)
        self._news()
        return done

    async def claim(self, *words: Word) -> Sequence[Any]:
        """Return what the script says to a claim, one at a time. Raises Unavailable.

        A claim that is cancelled may have been sent, with answers of others. Those get theirs.
        """
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._claim = (words, done)
        self._begin()
        said: Sequence[Any] = await done
        return said

    async def close(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds."""
        if self._timer is not None:
            self._timer.cancel()
            self._go_alone()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=timeout)
            for task in late:
                task.cancel()
                await asyncio.wait({task})

    def _go_alone(self) -> None:
        self._timer = None
        if self._answers:
            self._late = True
            self._begin()

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            while self._claim is not None or self._late:
                if (wait := self._next - loop.time()) > 0:
                    await asyncio.sleep(wait)
                self._next = loop.time() + APART
                claim, self._claim = self._claim, None
                if claim is not None and claim[1].done():  # it was cancelled before it was sent
                    claim = None
                answers, self._answers = self._answers[:_MOST_ANSWERS], self._answers[_MOST_ANSWERS:]
                self._late = bool(self._answers)
                if answers or claim is not None:
                    await self._fly(answers, claim)
        finally:
            self._task = None

    async def _fly(self, answers: list[Waiting], claim: Waiting | None) -> None:
        everybody = [*answers, claim] if claim is not None else answers
        try:
            said, found = await self._send(
                () if claim is None else claim[0], [word for words, _ in answers for word in words]
            )
        except BaseException as error:
            for _, done in everybody:
                if not done.done():  # else its caller was cancelled
                    done.set_exception(copy_of(error) if isinstance(error, Unavailable) else error)
            if isinstance(error, Exception):
                return  # the callers have the error
            raise
        for (_, done), answer in zip(everybody, [*said, found], strict=False):
            if not done.done():
                done.set_result(answer)
        if claim is None:
            self._news()
