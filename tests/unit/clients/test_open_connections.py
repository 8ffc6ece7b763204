import asyncio

from sockudo_py.clients.open_connections import OpenConnections


async def test_an_empty_house_is_empty_at_once() -> None:
    assert await OpenConnections().empty(0)


async def test_it_waits_for_the_last_to_leave() -> None:
    connections = OpenConnections()
    connections.enter()
    connections.enter()
    waiting = asyncio.ensure_future(connections.empty(10))
    await asyncio.sleep(0)
    connections.leave()
    await asyncio.sleep(0)
    assert not waiting.done()
    connections.leave()
    assert await waiting


async def test_it_does_not_wait_longer_than_it_is_told() -> None:
    connections = OpenConnections()
    connections.enter()
    assert not await connections.empty(0.01)
    assert connections.count == 1
