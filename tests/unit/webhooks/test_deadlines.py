import asyncio
from collections.abc import Callable

from sockudo_py.webhooks.targets.http.deadlines import Deadlines
from tests.unit.webhooks.fakes import until


class Request:
    def __init__(self, ended: list[str], name: str, then: Callable[[], None] = lambda: None) -> None:
        self.ended = ended
        self.name = name
        self.then = then

    def time_out(self) -> None:
        self.ended.append(self.name)
        self.then()


async def test_each_ends_when_its_time_is_up_also_one_that_is_due_before_those_that_came_first() -> None:
    deadlines, ended = Deadlines(), list[str]()
    began = asyncio.get_running_loop().time()
    deadlines.set(Request(ended, "late"), 0.06)
    deadlines.set(Request(ended, "early"), 0.02)
    await until(lambda: ended == ["early"])
    assert asyncio.get_running_loop().time() - began >= 0.019
    await until(lambda: ended == ["early", "late"])
    assert asyncio.get_running_loop().time() - began >= 0.059


async def test_what_is_done_never_ends_and_those_that_came_since_do() -> None:
    deadlines, ended = Deadlines(), list[str]()
    done = Request(ended, "done")
    deadlines.set(done, 0.01)
    deadlines.clear(done)
    deadlines.clear(done)
    deadlines.set(Request(ended, "next"), 0.03)
    await until(lambda: ended == ["next"])


async def test_what_comes_while_others_end_counts_and_one_end_may_be_that_of_another() -> None:
    deadlines, ended = Deadlines(), list[str]()
    second = Request(ended, "second")

    def then() -> None:
        deadlines.clear(second)
        deadlines.set(Request(ended, "third"), 0.0)

    deadlines.set(Request(ended, "first", then), 0.01)
    deadlines.set(second, 0.01)
    await until(lambda: ended == ["first", "third"])


async def test_nothing_ends_after_the_close() -> None:
    deadlines, ended = Deadlines(), list[str]()
    deadlines.set(Request(ended, "one"), 0.0)
    deadlines.close()
    await asyncio.sleep(0.02)
    assert ended == []
