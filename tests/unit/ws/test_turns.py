"""One turn of the loop works off a bounded number of messages, however many connections have more."""

import asyncio

from sockudo_py.ws.turns import MESSAGES_PER_TURN, Turns
from tests.support.edge_bench import Bench, FakeLoop, Peer, message

PING = message("pusher:ping", data={})
CLIENTS, EACH = 100, 100


def bench_with_turns() -> tuple[Bench, FakeLoop]:
    """Return a bench and the loop that its turns go by; nothing runs before ``advance``."""
    bench, loop = Bench(), FakeLoop()
    bench.connections.turns = Turns(loop.call_soon)
    return bench, loop


def answers(peers: list[Peer]) -> list[int]:
    return [len(peer.frames()) for peer in peers]


def one_turn(loop: FakeLoop) -> None:
    """Run what was to be called soon, but not what that leads to."""
    soon, loop._timers = loop._timers, []
    for _, _, handle in soon:
        assert handle.call is not None
        handle.call()


def test_a_turn_is_bounded_over_all_connections_and_everybody_gets_everything() -> None:
    bench, loop = bench_with_turns()
    peers = [bench.websocket() for _ in range(CLIENTS)]
    for peer in peers:
        peer.send(PING * EACH)
    got = answers(peers)
    assert sum(got) <= MESSAGES_PER_TURN + 64
    turns = 0
    while loop.pending:
        one_turn(loop)
        turns += 1
        more = answers(peers)
        assert sum(more) <= MESSAGES_PER_TURN + 64
        got = [before + now for before, now in zip(got, more, strict=True)]
    assert got == [EACH] * CLIENTS
    assert turns >= CLIENTS * EACH // (MESSAGES_PER_TURN + 64)
    assert all(peer.transport.reading for peer in peers)


def test_who_waits_longest_has_the_next_turn() -> None:
    bench, loop = bench_with_turns()
    peers = [bench.websocket() for _ in range(CLIENTS)]
    for peer in peers:
        peer.send(PING * EACH)
    got = answers(peers)
    while not all(got):
        assert loop.pending
        one_turn(loop)
        got = [before + now for before, now in zip(got, answers(peers), strict=True)]
    assert max(got) <= 128  # nobody had a third slice before everybody had a first one


def test_a_message_that_comes_alone_is_answered_at_once_whoever_waits() -> None:
    bench, _ = bench_with_turns()
    busy, other = bench.websocket(), bench.websocket()
    bench.connections.turns.left = 0
    busy.send(PING * 2)
    other.send(PING)
    assert answers([busy, other]) == [0, 1]


def test_a_connection_that_is_lost_while_it_waits_is_passed_over() -> None:
    bench, loop = bench_with_turns()
    gone, other = bench.websocket(), bench.websocket()
    bench.connections.turns.left = 0
    gone.send(PING * 2)
    other.send(PING * 2)
    gone.lose()
    loop.advance()
    assert answers([other]) == [2]


async def test_the_turns_are_those_of_the_running_loop() -> None:
    bench = Bench()
    peer = bench.websocket()
    bench.connections.turns.left = 0
    peer.send(PING * 2)
    assert answers([peer]) == [0]
    await asyncio.sleep(0)
    assert answers([peer]) == [2]
