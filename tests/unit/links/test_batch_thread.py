"""What many ask of one thread: together, in order, and each answered by the batch that it was in."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from sockudo_py.errors import Unavailable
from sockudo_py.links.batch_thread import BatchThread


class Together:
    """Doubles numbers, and notes the batches. ``open`` says when the next batch may end."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.open.wait(10)
        if 13 in items:
            raise Unavailable("not thirteen")
        return [2 * item for item in items]

    async def hold(self) -> None:
        """Return when a batch is under way that does not end until ``open`` is set."""
        assert await asyncio.to_thread(self.begun.wait, 10)


def held() -> Together:
    together = Together()
    together.open.clear()
    return together


async def test_what_is_asked_in_one_turn_of_the_loop_goes_together() -> None:
    together = Together()
    thread = BatchThread(together, 10, "test")
    assert await asyncio.gather(*(thread.ask(number) for number in range(3))) == [0, 2, 4]
    assert together.batches == [[0, 1, 2]]


async def test_what_is_asked_while_a_batch_is_under_way_goes_into_the_next_ones_in_order() -> None:
    together = held()
    thread = BatchThread(together, 2, "test")
    first = thread.ask(0)
    await together.hold()
    rest = [thread.ask(number) for number in range(1, 4)]
    together.open.set()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6]
    assert together.batches == [[0], [1, 2], [3]]


async def test_when_a_batch_fails_everybody_in_it_gets_an_error_of_their_own_and_others_go_on() -> None:
    thread = BatchThread(Together(), 10, "test")
    one, other = await asyncio.gather(thread.ask(13), thread.ask(1), return_exceptions=True)
    assert isinstance(one, Unavailable)
    assert isinstance(other, Unavailable)
    assert one is not other
    assert await thread.ask(1) == 2


async def test_a_caller_that_was_cancelled_does_not_stop_the_others() -> None:
    together = held()
    thread = BatchThread(together, 10, "test")
    gone, stays = thread.ask(1), thread.ask(2)
    await together.hold()
    gone.cancel()
    together.open.set()
    assert await stays == 4


async def test_the_last_call_comes_after_all_that_was_asked_and_ends_the_thread() -> None:
    together = held()
    thread = BatchThread(together, 1, "test")
    asked = [thread.ask(number) for number in range(3)]
    await together.hold()
    last = asyncio.create_task(thread.call(lambda: len(together.batches), last=True))
    await asyncio.sleep(0)
    together.open.set()
    assert await last == 3
    assert await asyncio.gather(*asked) == [0, 2, 4]
    await asyncio.to_thread(thread._thread.join, 10)
    assert not thread._thread.is_alive()


async def test_what_a_call_raises_comes_to_its_caller() -> None:
    def fail() -> None:
        raise Unavailable("no")

    thread = BatchThread(Together(), 1, "test")
    with pytest.raises(Unavailable, match="no"):
        await thread.call(fail)
    assert await thread.ask(1) == 2


def test_a_loop_that_has_ended_meanwhile_ends_no_thread() -> None:
    together = held()
    thread = BatchThread(together, 1, "test")

    async def ask() -> None:
        thread.ask(1).cancel()
        await together.hold()

    asyncio.run(ask())
    together.open.set()
    thread._works.put(None)
    thread._thread.join(10)
    assert not thread._thread.is_alive()


async def test_what_can_wait_goes_with_what_is_in_a_hurry_and_by_itself_when_its_time_is_over() -> None:
    together = Together()
    thread = BatchThread(together, 10, "test")
    patient = thread.ask(1, patience=60.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert together.batches == []
    assert list(await asyncio.wait_for(asyncio.gather(thread.ask(2), patient), 10)) == [4, 2]
    assert together.batches == [[1, 2]]
    assert await asyncio.wait_for(thread.ask(3, patience=0.001), 10) == 6


async def test_the_end_does_not_wait_for_what_can() -> None:
    together = Together()
    thread = BatchThread(together, 10, "test")
    patient = thread.ask(1, patience=60.0)
    assert await asyncio.wait_for(thread.call(lambda: "end", last=True), 10) == "end"
    assert await patient == 2
