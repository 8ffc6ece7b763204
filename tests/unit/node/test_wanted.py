"""Changes that nobody wants to hear of are not made; that somebody wants them from now on counts at once."""

from sockudo_py.changes import Change, ClientEventSent, ConnectionEstablished, ConnectionTerminated
from sockudo_py.protocol.effects import Relay
from tests.unit.node.kit import Bench, make_app

EVENT = Relay("private-x", "client-a", "{}", None, b'{"event":"client-a"}')


def kinds(bench: Bench) -> list[type[Change]]:
    told, bench.changes[:] = [type(change) for change in bench.changes], []
    return told


def come_and_go(bench: Bench) -> None:
    client = bench.client()
    bench.node.relay(client, EVENT)
    bench.node.disconnect(client)


def test_what_nobody_wants_is_not_told() -> None:
    bench = Bench(wanted={"1": {ConnectionTerminated: ()}})
    come_and_go(bench)
    assert kinds(bench) == [ConnectionTerminated]


def test_nothing_is_told_of_an_app_that_nobody_asks_for() -> None:
    bench = Bench(app=make_app("2"), wanted={"1": {ClientEventSent: ()}})
    come_and_go(bench)
    assert kinds(bench) == []


def test_what_is_wanted_from_now_on_is_told() -> None:
    wanted: dict[str, dict[type[Change], tuple[()]]] = {}
    bench = Bench(wanted=wanted)
    come_and_go(bench)
    wanted["1"] = {ClientEventSent: (), ConnectionEstablished: ()}
    come_and_go(bench)
    assert kinds(bench) == [ConnectionEstablished, ClientEventSent]


def test_without_a_word_everything_is_wanted() -> None:
    bench = Bench()
    come_and_go(bench)
    assert kinds(bench) == [ConnectionEstablished, ClientEventSent, ConnectionTerminated]
