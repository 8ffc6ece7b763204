"""Counting clients in and out."""

from typing import get_args

import pytest

from sockudo_py.changes import ChannelVacated, ConnectionEstablished, ConnectionTerminated
from sockudo_py.protocol.effects import Effect, Ping
from tests.unit.node.kit import VACATE_DELAY, Bench, make_app


def test_connecting_and_leaving_are_counted_and_told() -> None:
    bench = Bench()
    client = bench.client()
    assert bench.node.connections() == bench.node.connections("1") == 1
    bench.node.disconnect(client)
    assert bench.node.connections() == bench.node.connections("1") == 0
    assert bench.changes == [ConnectionEstablished("1", "1.1"), ConnectionTerminated("1", "1.1")]
    counters = bench.metrics.app("1")
    assert (counters.connections, counters.new_connections, counters.new_disconnections) == (0, 1, 1)


def test_the_quota_of_an_app_is_refused_with_4004_until_somebody_leaves() -> None:
    bench = Bench(app=make_app(max_connections=1))
    first = bench.client()
    _, refusal = bench.try_to_connect()
    assert refusal is not None
    assert refusal.code == 4004
    assert bench.metrics.app("1").connection_errors == 1
    bench.node.disconnect(first)
    _, refusal = bench.try_to_connect()
    assert refusal is None


def test_the_quota_of_an_app_does_not_count_other_apps() -> None:
    bench = Bench(app=make_app(max_connections=1))
    bench.client()
    _, refusal = bench.try_to_connect(make_app("2", max_connections=1))
    assert refusal is None


def test_the_capacity_of_the_node_is_refused_with_4100() -> None:
    bench = Bench(max_connections=1)
    bench.client()
    _, refusal = bench.try_to_connect(make_app("2"))
    assert refusal is not None
    assert refusal.code == 4100


def test_a_refused_client_is_told_nothing_of_and_not_counted() -> None:
    bench = Bench(max_connections=0)
    client, refusal = bench.try_to_connect()
    assert refusal is not None
    bench.node.disconnect(client)
    assert bench.changes == []
    assert bench.node.connections() == 0


def test_disconnecting_twice_is_the_same_as_once() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.node.disconnect(client)
    bench.node.disconnect(client)
    bench.loop.advance(VACATE_DELAY)
    assert [type(change) for change in bench.changes].count(ChannelVacated) == 1
    assert bench.metrics.app("1").connections == 0


def test_a_disconnected_client_is_on_no_channel() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.node.disconnect(client)
    bench.publish("c")
    bench.loop.settle()
    assert client.writes == []
    counters = bench.metrics.app("1")
    assert (counters.subscriptions, counters.channels) == (0, 0)


def test_a_close_disconnects_at_once_and_delivers_what_was_published_before() -> None:
    bench = Bench(app=make_app(authorization_timeout=5.0))
    client = bench.subscriber("c")
    bench.publish("c")
    effects, _ = client.session.check(1e9)
    bench.node.perform(client, effects)
    assert client.closed == 4009
    assert client.take() == [("e", "d"), ("pusher:error", 4009)]  # nothing follows the error but the close
    assert bench.node.connections() == 0
    bench.loop.settle()
    assert client.writes == []


def test_replies_are_framed_and_counted() -> None:
    bench = Bench()
    client = bench.client()
    bench.node.perform(client, client.session.open())
    assert client.messages[0]["event"] == "pusher:connection_established"
    counters = bench.metrics.app("1")
    assert (counters.messages_sent, counters.sent_bytes) == (1, len(client.writes[0]))


def test_the_node_has_a_step_for_every_effect() -> None:
    assert set(Bench().node._steps) == set(get_args(Effect))


def test_a_ping_is_the_sinks_own_business_and_no_message() -> None:
    bench = Bench()
    client = bench.client()
    bench.node.perform(client, [Ping()])
    assert client.pings == 1
    assert client.writes == []


@pytest.mark.parametrize("channels", [1, 30])
def test_thousands_can_leave_at_once(channels: int) -> None:
    """Each leave touches only its own channels; a scan of all subscribers per leave would take minutes here."""
    bench = Bench()
    clients = [bench.client() for _ in range(3000)]
    for number, client in enumerate(clients):
        bench.subscribe(client, f"c{number % channels}")
    for client in clients:
        bench.node.disconnect(client)
    assert bench.node.connections() == 0
    bench.loop.settle()
    assert bench.metrics.app("1").subscriptions == 0
    assert bench.metrics.app("1").channels == 0
