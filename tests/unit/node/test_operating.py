"""Apps that change while clients are connected, and draining."""

import asyncio

import pytest

from tests.unit.node.kit import Bench, make_app


def test_live_sessions_get_the_changed_app() -> None:
    bench = Bench()
    client = bench.client()
    new = make_app(client_events=True)
    bench.node.app_changed(bench.app, new)
    assert client.session.app is new
    assert client.closed is None


def test_a_disabled_app_closes_its_clients_with_4003_and_no_others() -> None:
    bench = Bench()
    client, other = bench.subscriber("c"), bench.client(make_app("2"))
    bench.node.app_changed(bench.app, make_app(enabled=False))
    assert client.closed == 4003
    assert client.take() == [("pusher:error", 4003)]
    assert other.closed is None
    assert bench.node.connections() == 1


def test_a_removed_app_closes_its_clients_with_4001() -> None:
    bench = Bench()
    client = bench.client()
    bench.node.app_changed(bench.app, None)
    assert client.closed == 4001


def test_an_added_app_changes_nothing() -> None:
    bench = Bench()
    client = bench.client()
    bench.node.app_changed(None, make_app("2"))
    assert client.closed is None


def test_many_clients_of_a_removed_app_are_closed_in_slices() -> None:
    bench = Bench()
    clients = [bench.client() for _ in range(1200)]
    bench.node.app_changed(bench.app, None)
    assert sum(client.closed is not None for client in clients) == 500
    bench.loop.advance(0.05)
    assert sum(client.closed is not None for client in clients) == 1000
    bench.loop.advance(0.05)
    assert {client.closed for client in clients} == {4001}


async def test_a_drain_closes_everybody_with_4200_spread_over_the_time() -> None:
    bench = Bench()
    clients = [bench.client() for _ in range(1000)]
    drained = asyncio.ensure_future(bench.node.drain(0.5))
    await asyncio.sleep(0)
    closed = []
    while bench.loop.timers:
        closed.append(sum(client.closed is not None for client in clients))
        bench.loop.advance(0.05)
    await drained
    assert closed == [100, 200, 300, 400, 500, 600, 700, 800, 900]
    assert {client.closed for client in clients} == {4200}
    assert clients[0].take() == [("pusher:error", 4200)]
    assert bench.node.connections() == 0


async def test_a_lone_node_drains_without_spreading_since_nobody_can_come_back_before_it_is_gone() -> None:
    bench = Bench(alone=True)
    clients = [bench.client() for _ in range(1200)]
    drained = asyncio.ensure_future(bench.node.drain(30.0))
    await asyncio.sleep(0)
    assert sum(client.closed is not None for client in clients) == 500  # the loop has its turn in between
    bench.loop.advance(0.0)
    await drained
    assert {client.closed for client in clients} == {4200}


@pytest.mark.parametrize("seconds", [0.0, 30.0])
async def test_a_small_node_drains_at_once(seconds: float) -> None:
    bench = Bench()
    clients = [bench.client() for _ in range(50)]
    await bench.node.drain(seconds)
    assert {client.closed for client in clients} == {4200}


async def test_a_draining_node_takes_no_new_clients() -> None:
    bench = Bench()
    assert not bench.node.draining
    await bench.node.drain(1.0)
    assert bench.node.draining
    _, refusal = bench.try_to_connect()
    assert refusal is not None
    assert refusal.code == 4200


async def test_a_drain_passes_over_clients_that_went_by_themselves() -> None:
    bench = Bench()
    clients = [bench.client() for _ in range(60)]
    drained = asyncio.ensure_future(bench.node.drain(0.1))
    await asyncio.sleep(0)
    bench.node.disconnect(clients[-1])
    bench.loop.advance(0.1)
    await drained
    assert clients[-1].closed is None
    assert clients[-2].closed == 4200


async def test_what_was_published_before_a_drain_is_delivered() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.publish("c")
    await bench.node.drain(0.0)
    assert ("e", "d") in client.take()
