"""Commands that wait for their answers, and what their callers get instead of one."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.stream import Answer, ReplyError


class Commands:
    """The commands under way on one connection. Each is answered exactly once."""

    __slots__ = ("_number", "_waiting")

    def __init__(self) -> None:
        self._number = 0
        self._waiting: dict[int, Answer] = {}

    def add(self, then: Answer) -> Answer:
        """Return a function for the answer, which hands it to ``then``."""
        self._number += 1
        self._waiting[self._number] = then
        return partial(self._answered, self._number)

    def _answered(self, number: int, answer: Any) -> None:
        self._waiting.pop(number)(answer)

    def end(self, name: str) -> None:
        """Answer all of them with ``Unavailable``: the connection to ``name`` is lost."""
        waiting, self._waiting = self._waiting, {}
        for then in waiting.values():
            then(away(name))


def away(name: str) -> Unavailable:
    """Return the error for commands while there is no connection."""
    return Unavailable(f"{name} is away")


def refusal(name: str, error: ReplyError) -> Unavailable:
    """Return the error for a command that Redis refused."""
    return Unavailable(f"{name} answered with an error: {str(error)[:200]}")


async def answer_to(ask: Callable[[Answer], None]) -> Any:
    """Return the answer that ``ask`` hands to its argument; it may be a ``ReplyError``. Raises ``Unavailable``."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ask(lambda found: None if answer.done() else answer.set_result(found))
    found = await answer
    if isinstance(found, Unavailable):
        raise found
    return found
