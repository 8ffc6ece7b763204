"""Events from the backend and from clients, and what comes from and goes to other nodes."""

from collections.abc import Callable

import pytest

from sockudo_py.adapters.base import ChannelStats, Publication, UserMessage
from sockudo_py.changes import ClientEventSent
from sockudo_py.protocol import codec
from tests.conformance.adapters.late import LateAdapter
from tests.unit.node.kit import Bench, make_app


def test_an_event_reaches_each_channel_with_that_channels_name() -> None:
    bench = Bench()
    one, two = bench.subscriber("c"), bench.subscriber("d")
    bench.publish("c", "d", event="App\\Events\\X", data='{"a":"é"}')
    bench.loop.settle()
    assert one.messages == [{"event": "App\\Events\\X", "data": '{"a":"é"}', "channel": "c"}]
    assert two.messages == [{"event": "App\\Events\\X", "data": '{"a":"é"}', "channel": "d"}]


def test_a_channel_named_twice_gets_one_message() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.publish("c", "d", "c")
    bench.loop.settle()
    assert client.take() == [("e", "d")]


def test_the_excluded_socket_is_left_out_on_every_channel() -> None:
    bench = Bench()
    sender, other = bench.subscriber("c"), bench.subscriber("c")
    bench.subscribe(sender, "d")
    sender.take()
    bench.publish("c", "d", exclude=sender.session.socket_id)
    bench.loop.settle()
    assert sender.take() == []
    assert other.take() == [("e", "d")]


def test_an_unknown_excluded_socket_excludes_nobody() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.publish("c", exclude="9.9")
    bench.loop.settle()
    assert client.take() == [("e", "d")]


def test_a_hundred_events_arrive_in_order() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    for number in range(100):
        bench.publish("c", data=str(number))
        if number % 7 == 0:
            bench.loop.turn()
    bench.loop.settle()
    assert [data for _, data in client.take()] == [str(number) for number in range(100)]


def test_apps_do_not_share_channels() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.node.publish(make_app("2"), ["c"], "e", "d")
    bench.loop.settle()
    assert client.take() == []


def test_publishing_is_counted_per_event_and_delivery_per_subscriber() -> None:
    bench = Bench()
    bench.subscriber("c")
    bench.subscriber("c")
    counters = bench.metrics.app("1")
    before = counters.messages_sent
    bench.publish("c", "nobody")
    bench.loop.settle()
    assert counters.published_events == 1
    assert counters.messages_sent - before == 2


def test_a_lone_node_serves_whoever_is_there_and_makes_no_message_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def kept(make: Callable[..., bytes]) -> Callable[..., bytes]:
        def keep(*parts: object) -> bytes:
            made.append(make(*parts))
            return made[-1]

        return keep

    monkeypatch.setattr(LateAdapter, "alone", True)
    monkeypatch.setattr(codec, "server_event", kept(codec.server_event))
    monkeypatch.setattr(codec, "event", kept(codec.event))
    bench = Bench()
    client = bench.subscriber("c")
    user = bench.client()
    bench.sign_in(user, "7")
    user.take()
    made.clear()
    bench.publish("nobody", "c", "#server-to-user-7", "#server-to-user-8")
    bench.loop.settle()
    assert client.take() == [("e", "d")]
    assert user.take() == [("e", "d")]
    assert [b'"#server-to-user-7"' in payload for payload in made] == [False, True]
    bench.node.disconnect(client)
    made.clear()
    bench.publish("c")
    assert made == []
    assert bench.metrics.app("1").published_events == 2


def test_a_client_event_reaches_all_but_its_sender() -> None:
    bench = Bench(app=make_app(client_events=True))
    sender, other = bench.subscriber("private-c"), bench.subscriber("private-c")
    bench.send(sender, "client-e", {"on": True}, "private-c")
    bench.loop.settle()
    assert sender.take() == []
    assert other.messages == [{"event": "client-e", "data": '{"on":true}', "channel": "private-c"}]
    assert bench.changes[-1] == ClientEventSent("1", "private-c", "client-e", '{"on":true}', "1.1")
    assert bench.metrics.app("1").client_events == 1


def test_a_client_event_on_a_presence_channel_says_whose_it_is() -> None:
    bench = Bench(app=make_app(client_events=True))
    sender, same_user = bench.subscriber("presence-c", "7"), bench.subscriber("presence-c", "7")
    bench.send(sender, "client-e", "x", "presence-c")
    bench.loop.settle()
    assert same_user.messages == [{"event": "client-e", "data": "x", "channel": "presence-c", "user_id": "7"}]
    assert bench.changes[-1] == ClientEventSent("1", "presence-c", "client-e", "x", "1.1", "7")


def test_events_are_sent_to_other_nodes() -> None:
    bench = Bench(app=make_app(client_events=True))
    bench.publish("c", "#server-to-user-7", exclude="9.9")
    sender = bench.subscriber("private-c")
    bench.send(sender, "client-e", "x", "private-c")
    assert bench.adapter.published == [
        Publication("1", "c", b'{"event":"e","data":"d","channel":"c"}', "9.9"),
        UserMessage("1", "7", b'{"event":"e","data":"d","channel":"#server-to-user-7"}', "9.9"),
        Publication("1", "private-c", b'{"event":"client-e","data":"x","channel":"private-c"}', "1.1"),
    ]


def test_events_of_other_nodes_are_delivered_here_and_not_sent_on() -> None:
    bench = Bench()
    one, two = bench.subscriber("c"), bench.subscriber("c")
    bench.adapter.published.clear()
    bench.adapter.deliver(Publication("1", "c", b'{"event":"e","data":"d"}', one.session.socket_id))
    bench.loop.settle()
    assert one.take() == []
    assert two.take() == [("e", "d")]
    assert bench.adapter.published == []


async def test_the_node_answers_what_the_adapter_knows() -> None:
    bench = Bench()
    bench.subscriber("presence-c", "7")
    bench.subscriber("presence-c", "7")
    bench.subscriber("d")
    assert await bench.node.channels(bench.app, "presence-") == {"presence-c": ChannelStats(2, 1)}
    assert await bench.node.channel(bench.app, "d") == ChannelStats(1)
    assert await bench.node.channel(bench.app, "e") is None
    assert await bench.node.members(bench.app, "presence-c") == ["7"]


@pytest.mark.parametrize("channel", ["#server-to-user-7", "#watchers-7"])
async def test_internal_channels_are_not_listed(channel: str) -> None:
    bench = Bench(app=make_app(watchlist=True))
    client = bench.client()
    bench.sign_in(client, "7", ["7"])
    bench.send(client, "pusher:subscribe", {"channel": channel})
    assert await bench.node.channels(bench.app, "") == {}
    assert bench.metrics.app("1").channels == 0
