"""New connections of an address that fills the webhook spool wait for the answer to their handshake."""

from collections.abc import Iterator

import pytest

from sockudo_py.edge import newcomers
from sockudo_py.edge.newcomers import CAPACITY, LET_IN_AT_ONCE
from tests.support.client import eventually
from tests.support.edge_bench import APP, KEY, PING, PONG, Bench, Peer, frame, subscribe, upgrade

NOISY = "192.0.2.1"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.context.newcomers.set({(APP.id, NOISY)})
    yield bench
    assert bench.connections.open.count == len(bench.context.newcomers) + bench.node.connections()


def knock(bench: Bench, peer: str = NOISY, path: str = f"/app/{KEY}?protocol=7") -> Peer:
    client = bench.dial(peer=peer)
    client.send(upgrade(path))
    return client


def test_it_is_not_answered_and_others_are(bench: Bench) -> None:
    waiting, other = knock(bench), knock(bench, peer="192.0.2.2")
    assert waiting.transport.written == b""
    assert other.accepted()
    assert bench.node.connections() == 1
    assert len(bench.context.newcomers) == 1


def test_nothing_is_told_of_it_before_it_is_let_in(bench: Bench) -> None:
    client = knock(bench)
    assert bench.changes == []
    bench.context.newcomers.set(())
    assert client.accepted()
    assert len(bench.changes) == 1


def test_what_it_sent_meanwhile_is_worked_on_in_order(bench: Bench) -> None:
    client = knock(bench)
    client.send(subscribe("a"))
    client.send(subscribe("b"))
    bench.context.newcomers.set(())
    assert client.accepted()
    assert [one.get("channel") for one in client.messages()] == [None, "a", "b"]


def test_an_app_that_is_not_there_is_told_so_at_once(bench: Bench) -> None:
    client = knock(bench, path="/app/unknown")
    assert client.accepted()
    assert client.closing()[0] == 4001
    client.lose()


def test_when_there_is_no_room_the_one_that_waited_longest_goes_before_those_who_only_ask(bench: Bench) -> None:
    first, second, asks = knock(bench), knock(bench), bench.dial(peer="192.0.2.2")
    assert bench.context.make_room()
    assert [client.transport.aborted for client in (first, second, asks)] == [True, False, False]
    first.lose()
    assert bench.context.make_room()
    second.lose()
    assert bench.context.make_room()
    assert asks.transport.aborted
    asks.lose()
    assert not bench.context.make_room()


def test_one_that_gives_up_is_forgotten(bench: Bench) -> None:
    knock(bench).lose()
    assert len(bench.context.newcomers) == 0
    bench.context.newcomers.set(())
    assert bench.node.connections() == 0


async def test_one_that_talks_before_it_is_answered_is_not_read_any_more(bench: Bench) -> None:
    client = knock(bench)
    client.send(frame(PING, "x" * 100) * 100)
    assert not client.transport.reading
    bench.context.newcomers.set(())
    assert client.accepted()
    await eventually(lambda: client.transport.reading, "all is worked on")
    assert (PONG, b"x" * 100) in client.frames()


def test_there_is_a_bound_to_how_many_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CAPACITY == 10_000
    monkeypatch.setattr(newcomers, "CAPACITY", 3)
    clients = [knock(bench) for _ in range(5)]
    assert [client.transport.aborted for client in clients] == [True, True, False, False, False]
    for client in clients[:2]:
        client.lose()


def test_at_the_servers_end_they_are_dropped(bench: Bench) -> None:
    client = knock(bench)
    bench.context.newcomers.abort()
    assert client.transport.aborted
    client.lose()


async def test_many_are_let_in_some_at_a_time_and_only_while_there_is_room(bench: Bench) -> None:
    clients = [knock(bench) for _ in range(LET_IN_AT_ONCE * 3)]
    room = bench.context.newcomers
    room.set(())
    assert bench.node.connections() == LET_IN_AT_ONCE
    room.set({(APP.id, NOISY)})
    late = knock(bench)
    room.set(())
    room.set(())
    await eventually(lambda: len(room) == 0, "all are in")
    assert bench.node.connections() == len(clients) + 1
    assert late.accepted()
