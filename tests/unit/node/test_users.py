"""Signed-in users: messages to them, watchlists, terminating."""

from sockudo_py.adapters.base import UserMessage, UserStatus, UserTermination
from sockudo_py.node.users import user_channel
from sockudo_py.protocol.channels import user_of
from tests.unit.node.kit import Bench, RecordingSink, make_app

WATCHING = make_app(watchlist=True)


def signed_in(bench: Bench, user_id: str, watchlist: list[str] | None = None) -> RecordingSink:
    client = bench.client()
    bench.sign_in(client, user_id, watchlist)
    bench.adapter.answer()
    bench.loop.settle()
    client.take()
    return client


def watchlist_events(name: str, *user_ids: str) -> tuple[str, str]:
    ids = ",".join(f'"{user_id}"' for user_id in user_ids)
    return ("pusher_internal:watchlist_events", f'{{"events":[{{"name":"{name}","user_ids":[{ids}]}}]}}')


def test_the_channel_of_a_user_is_the_one_that_backends_publish_to() -> None:
    assert user_of(user_channel("7")) == "7"


def test_a_sign_in_is_confirmed() -> None:
    bench = Bench()
    client = bench.client()
    bench.sign_in(client, "7")
    assert [event for event, _ in client.take()] == ["pusher:signin_success"]
    assert client.session.user_id == "7"


def test_a_message_to_a_user_reaches_each_connection_once_subscribed_or_not() -> None:
    bench = Bench()
    subscribed, plain, other = signed_in(bench, "7"), signed_in(bench, "7"), signed_in(bench, "8")
    bench.send(subscribed, "pusher:subscribe", {"channel": "#server-to-user-7", "auth": ""})
    assert [event for event, _ in subscribed.take()] == ["pusher_internal:subscription_succeeded"]
    bench.publish("#server-to-user-7")
    bench.loop.settle()
    expected = [{"event": "e", "data": "d", "channel": "#server-to-user-7"}]
    assert subscribed.messages == plain.messages == expected
    assert other.messages == []


def test_a_message_to_a_user_from_another_node_reaches_the_connections_here() -> None:
    bench = Bench()
    client = signed_in(bench, "7")
    bench.adapter.deliver(UserMessage("1", "7", b'{"event":"e","data":"d"}'))
    bench.loop.settle()
    assert client.take() == [("e", "d")]


def test_somebody_who_did_not_sign_in_gets_no_messages_to_users() -> None:
    bench = Bench()
    client = bench.client()
    bench.send(client, "pusher:subscribe", {"channel": "#server-to-user-7", "auth": ""})
    client.take()
    bench.publish("#server-to-user-7")
    bench.loop.settle()
    assert client.take() == []


def test_the_first_connection_of_a_user_brings_it_online_and_the_last_takes_it_offline() -> None:
    bench = Bench(app=WATCHING)
    watcher = signed_in(bench, "1", ["2"])
    first, second = signed_in(bench, "2"), signed_in(bench, "2")
    bench.loop.settle()
    assert watcher.take() == [watchlist_events("online", "2")]
    bench.node.disconnect(first)
    bench.loop.settle()
    assert watcher.take() == []
    bench.node.disconnect(second)
    bench.loop.settle()
    assert watcher.take() == [watchlist_events("offline", "2")]


def test_a_sign_in_says_who_of_the_watchlist_is_online() -> None:
    bench = Bench(app=WATCHING)
    signed_in(bench, "2")
    client = bench.client()
    bench.sign_in(client, "1", ["2", "3"])
    events = [event for event, _ in client.events]
    assert events == ["pusher:signin_success", "pusher_internal:watchlist_events"]
    assert client.events[1][1] == (
        '{"events":[{"name":"online","user_ids":["2"]},{"name":"offline","user_ids":["3"]}]}'
    )


def test_a_watcher_that_is_gone_hears_nothing() -> None:
    bench = Bench(app=WATCHING)
    watcher = signed_in(bench, "1", ["2"])
    bench.node.disconnect(watcher)
    signed_in(bench, "2")
    assert watcher.take() == []


def test_what_users_of_other_nodes_do_reaches_who_watches_them_here() -> None:
    bench = Bench(app=WATCHING)
    watcher = signed_in(bench, "1", ["2"])
    bench.adapter.deliver(UserStatus("1", "2", True))
    bench.adapter.deliver(UserStatus("1", "2", False))
    bench.loop.settle()
    assert watcher.take() == [watchlist_events("online", "2"), watchlist_events("offline", "2")]


def test_the_node_publishes_nothing_that_the_adapter_tells_the_others() -> None:
    bench = Bench(app=make_app(watchlist=True, subscription_count=True))
    client = signed_in(bench, "1", ["2"])
    bench.subscribe(client, "c")
    bench.subscribe(client, "presence-c", "1")
    bench.node.disconnect(client)
    assert bench.adapter.published == []


def test_a_client_that_goes_while_its_sign_in_is_under_way_is_signed_out_again() -> None:
    bench = Bench(app=WATCHING)
    watcher = signed_in(bench, "1", ["2"])
    bench.adapter.slow = True
    client = bench.client()
    bench.sign_in(client, "2")
    bench.node.disconnect(client)
    bench.adapter.answer()
    bench.loop.settle()
    assert watcher.take() == [watchlist_events("online", "2"), watchlist_events("offline", "2")]
    assert client.take() == []


def test_a_sign_in_that_the_cluster_can_not_carry_out_is_told_and_can_be_tried_again() -> None:
    bench = Bench(app=WATCHING, slow_adapter=True)
    client = bench.client()
    bench.adapter.away = True
    bench.sign_in(client, "1", ["2"])
    bench.adapter.answer()
    assert client.take() == [("pusher:error", None)]
    assert client.session.user_id is None
    bench.publish("#server-to-user-1")
    bench.loop.settle()
    assert client.take() == []
    bench.adapter.away = False
    bench.sign_in(client, "1", ["2"])
    bench.adapter.answer()
    assert [event for event, _ in client.take()] == ["pusher:signin_success", "pusher_internal:watchlist_events"]


def test_a_sign_out_while_the_cluster_is_away_counts_when_it_is_back() -> None:
    bench = Bench(app=WATCHING)
    watcher = signed_in(bench, "1", ["2"])
    client = signed_in(bench, "2")
    watcher.take()
    bench.adapter.away = True
    bench.node.disconnect(client)
    bench.loop.settle()
    assert watcher.take() == []
    bench.adapter.away = False
    bench.loop.settle()
    assert watcher.take() == [watchlist_events("offline", "2")]


def test_terminating_a_user_closes_its_connections_and_nobody_elses() -> None:
    bench = Bench()
    one, two, other = signed_in(bench, "7"), signed_in(bench, "7"), signed_in(bench, "8")
    anonymous = bench.subscriber("presence-c", "7")
    bench.publish("#server-to-user-7")
    bench.node.terminate_user(bench.app, "7")
    for client in (one, two):
        assert client.closed == 4009
        assert sorted(client.take(), key=str) == [("e", "d"), ("pusher:error", 4009)]
    assert other.closed is None
    assert anonymous.closed is None
    assert bench.adapter.published[-1] == UserTermination("1", "7")


def test_other_nodes_can_terminate_a_user_here() -> None:
    bench = Bench()
    client = signed_in(bench, "7")
    bench.adapter.published.clear()
    bench.adapter.deliver(UserTermination("1", "7"))
    assert client.closed == 4009
    assert UserTermination("1", "7") not in bench.adapter.published


def test_a_user_who_is_made_to_reconnect_is_closed_with_4200() -> None:
    bench = Bench()
    client, other = signed_in(bench, "7"), signed_in(bench, "8")
    bench.node.terminate_user(bench.app, "7", reconnect=True)
    assert client.closed == 4200
    assert client.take() == [("pusher:error", 4200)]
    assert other.closed is None
    assert bench.adapter.published[-1] == UserTermination("1", "7", reconnect=True)


def test_other_nodes_can_make_a_user_here_reconnect() -> None:
    bench = Bench()
    client = signed_in(bench, "7")
    bench.adapter.deliver(UserTermination("1", "7", reconnect=True))
    assert client.closed == 4200


async def test_the_connections_of_an_app_are_those_of_all_nodes() -> None:
    bench = Bench()
    bench.adapter.elsewhere = 3
    signed_in(bench, "7")
    signed_in(bench, "8")
    assert await bench.node.app_connections(bench.app) == 5


def test_terminating_an_unknown_user_does_nothing() -> None:
    bench = Bench()
    client = signed_in(bench, "7")
    bench.node.terminate_user(bench.app, "8")
    assert client.closed is None
