import asyncio

from sockudo_py.clients.census import Census


async def test_an_empty_house_is_empty_at_once() -> None:
    assert await Census().empty(0)


async def test_it_waits_for_the_last_to_leave() -> None:
    census = Census()
    census.enter()
    census.enter()
    waiting = asyncio.ensure_future(census.empty(10))
    await asyncio.sleep(0)
    census.leave()
    await asyncio.sleep(0)
    assert not waiting.done()
    census.leave()
    assert await waiting


async def test_it_does_not_wait_longer_than_it_is_told() -> None:
    census = Census()
    census.enter()
    assert not await census.empty(0.01)
    assert census.count == 1
