"""Answers and claims of a worker in Redis: which of them share a call."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.wire import Word
from sockudo_py.queues.redis.turns import Turns


class Script:
    """Notes what is sent; answers 1 to each answer and "jobs" to a claim. ``hold``: not before it is set."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[Word, ...], list[Word]]] = []
        self.news = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.begun = asyncio.Event()
        self.error: Exception | None = None
        self.turns = Turns(self.send, self.hear)

    def hear(self) -> None:
        self.news += 1

    async def send(self, claim: tuple[Word, ...], answers: Sequence[Word]) -> tuple[Sequence[Any], Sequence[Any]]:
        self.sent.append((claim, list(answers)))
        self.begun.set()
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        return [1] * (len(answers) // 2), ["jobs"] if claim else []


@pytest.fixture
async def script() -> Script:
    return Script()


async def test_a_claim_takes_along_the_answers_that_wait(script: Script) -> None:
    answers = [asyncio.create_task(script.turns.answer("ack", token)) for token in ("a", "b")]
    await asyncio.sleep(0)
    assert script.news == 2  # which make the worker claim
    assert await script.turns.claim("w", 1) == ["jobs"]
    assert [await each for each in answers] == [1, 1]
    assert script.sent == [(("w", 1), ["ack", "a", "ack", "b"])]


async def test_answers_go_alone_when_no_claim_comes(script: Script) -> None:
    assert list(await asyncio.gather(*(script.turns.answer("ack", token) for token in "ab"))) == [1, 1]
    assert script.sent == [((), ["ack", "a", "ack", "b"])]
    assert script.news == 3  # again afterwards: there is room for more now


async def test_what_comes_while_a_call_flies_goes_into_the_next(script: Script) -> None:
    script.hold.clear()
    claim = asyncio.create_task(script.turns.claim("w", 1))
    await script.begun.wait()
    answers = [asyncio.create_task(script.turns.answer("ack", str(number))) for number in range(3)]
    await asyncio.sleep(0.01)
    assert len(script.sent) == 1
    script.hold.set()
    await claim
    assert [await each for each in answers] == [1, 1, 1]
    assert [len(words) for _, words in script.sent] == [0, 6]


async def test_a_claim_that_is_cancelled_costs_the_answers_with_it_nothing(script: Script) -> None:
    script.hold.clear()
    answer = asyncio.create_task(script.turns.answer("ack", "a"))
    await asyncio.sleep(0)
    claim = asyncio.create_task(script.turns.claim("w", 1))
    await script.begun.wait()
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    script.hold.set()
    assert await answer == 1
    assert script.sent == [(("w", 1), ["ack", "a"])]


async def test_a_call_that_fails_fails_for_everybody_in_it_and_the_next_one_is_tried(script: Script) -> None:
    script.error = Unavailable("away")
    answer = asyncio.create_task(script.turns.answer("ack", "a"))
    await asyncio.sleep(0)
    claim = asyncio.create_task(script.turns.claim("w", 1))
    for task in (answer, claim):
        with pytest.raises(Unavailable, match="away"):
            await task
    script.error = None
    assert await script.turns.answer("ack", "a") == 1


async def test_closing_sends_what_waits(script: Script) -> None:
    answer = asyncio.create_task(script.turns.answer("ack", "a"))
    await asyncio.sleep(0)
    await script.turns.close(5.0)
    assert await answer == 1
