"""What a client causes names its connection: by it and by its address a flood is told from everybody else."""

import pytest

from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    ConnectionTerminated,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.protocol.source import Source
from tests.unit.node.kit import VACATE_DELAY, Bench, make_app


def sources(bench: Bench, kind: type[Change]) -> list[Source | None]:
    found = [change.source for change in bench.changes if type(change) is kind]
    assert found
    return found


@pytest.mark.parametrize(
    "kind",
    [
        ChannelOccupied,
        ChannelVacated,
        MemberAdded,
        MemberRemoved,
        CacheMissed,
        SubscriptionCountChanged,
        ClientEventSent,
        ConnectionEstablished,
        ConnectionTerminated,
    ],
)
def test_every_change_names_the_connection_that_caused_it(kind: type[Change]) -> None:
    bench = Bench(app=make_app(subscription_count=True, client_events=True))
    client = bench.client()
    bench.subscribe(client, "presence-c", "u1")
    bench.subscribe(client, "cache-c")
    bench.subscribe(client, "private-c")
    bench.send(client, "client-e", "d", "private-c")
    bench.node.disconnect(client)
    bench.loop.advance(VACATE_DELAY)
    assert set(sources(bench, kind)) == {client.session.source}


def test_a_channel_is_vacated_by_who_left_it_last() -> None:
    bench = Bench()
    first, last = bench.client(), bench.client()
    for client in (first, last):
        bench.subscribe(client, "c")
    for client in (first, last):
        bench.unsubscribe(client, "c")
    bench.loop.advance(VACATE_DELAY)
    assert sources(bench, ChannelOccupied) == [first.session.source]
    assert sources(bench, ChannelVacated) == [last.session.source]


def test_a_count_that_waited_names_who_changed_it_last() -> None:
    bench = Bench(app=make_app(subscription_count=True))
    clients = [bench.client() for _ in range(103)]
    for client in clients:
        bench.subscribe(client, "c")
    bench.loop.advance(5.0)
    assert sources(bench, SubscriptionCountChanged)[-1] is clients[-1].session.source
