"""Clients that fill what webhooks wait in are not read; everybody else is."""

from sockudo_py.hub import CROWDING
from tests.unit.node.kit import Bench


def test_the_clients_that_are_named_are_held_and_no_others() -> None:
    bench = Bench()
    loud, quiet = bench.client(), bench.client()
    bench.node.hold({loud.session.source})
    assert (loud.held, quiet.held) == (CROWDING, 0)
    bench.node.hold({quiet.session.source})
    assert (loud.held, quiet.held) == (0, CROWDING)


def test_a_client_that_is_gone_is_passed_over() -> None:
    bench = Bench()
    gone, loud = bench.client(), bench.client()
    bench.node.disconnect(gone)
    bench.node.hold({gone.session.source, loud.session.source})
    assert (gone.held, loud.held) == (0, CROWDING)
    bench.node.disconnect(loud)
    bench.node.hold(frozenset())


def test_many_are_released_some_at_a_time() -> None:
    bench = Bench()
    clients = [bench.client() for _ in range(100)]
    bench.node.hold({client.session.source for client in clients})
    bench.node.hold(frozenset())
    assert 0 < sum(client.held == 0 for client in clients) < 50
    bench.loop.advance(1.0)
    assert all(client.held == 0 for client in clients)


def test_who_is_held_again_before_it_was_released_stays_held() -> None:
    bench = Bench()
    clients = [bench.client() for _ in range(100)]
    everybody = {client.session.source for client in clients}
    bench.node.hold(everybody)
    bench.node.hold(frozenset())
    bench.node.hold(everybody)
    bench.loop.advance(1.0)
    assert all(client.held == CROWDING for client in clients)
