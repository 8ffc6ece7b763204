"""Many callers, one call."""

import asyncio
from collections.abc import Sequence

import pytest

from sockudo_py.errors import Unavailable
from sockudo_py.links.micro_batcher import MicroBatcher


class Calls:
    """Answers True for items that do not begin with ``x``, once it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[str]) -> list[bool]:
        self.batches.append(list(items))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [not item.startswith("x") for item in items]


async def test_those_who_ask_together_share_a_call_and_get_their_own_answer() -> None:
    calls = Calls()
    calls.go.set()
    gather = MicroBatcher(calls, 100)
    assert await asyncio.gather(*(gather.ask(item) for item in ("a", "x", "b"))) == [True, False, True]
    assert calls.batches == [["a", "x", "b"]]


async def test_who_asks_during_a_call_is_in_the_next_one() -> None:
    calls = Calls()
    gather = MicroBatcher(calls, 100)
    first = asyncio.create_task(gather.ask("a"))
    while not calls.batches:  # noqa: ASYNC110 (a turn of the loop, no time)
        await asyncio.sleep(0)
    others = [asyncio.create_task(gather.ask(item)) for item in ("b", "c")]
    await asyncio.sleep(0)
    calls.go.set()
    await asyncio.gather(first, *others)
    assert calls.batches == [["a"], ["b", "c"]]


async def test_a_call_takes_no_more_than_it_may() -> None:
    calls = Calls()
    calls.go.set()
    gather = MicroBatcher(calls, 2)
    await asyncio.gather(*(gather.ask(item) for item in "abcde"))
    assert calls.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_failed_call_fails_for_all_that_were_in_it_and_for_no_other() -> None:
    calls = Calls()
    calls.error = Unavailable("gone")
    calls.go.set()
    gather = MicroBatcher(calls, 100)
    results = await asyncio.gather(gather.ask("a"), gather.ask("b"), return_exceptions=True)
    assert [str(result) for result in results] == ["gone", "gone"]
    assert results[0] is not results[1]
    calls.error = None
    assert await gather.ask("c")


async def test_a_caller_that_is_cancelled_takes_no_other_with_it() -> None:
    calls = Calls()
    gather = MicroBatcher(calls, 100)
    one, other = (asyncio.create_task(gather.ask(item)) for item in ("a", "b"))
    while not calls.batches:  # noqa: ASYNC110 (a turn of the loop, no time)
        await asyncio.sleep(0)
    one.cancel()
    calls.go.set()
    assert await other
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_closing_waits_for_the_call_that_is_under_way() -> None:
    calls = Calls()
    gather = MicroBatcher(calls, 100)
    asking = asyncio.create_task(gather.ask("a"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(gather.close())
    await asyncio.sleep(0)
    assert not closing.done()
    calls.go.set()
    await closing
    assert await asking
