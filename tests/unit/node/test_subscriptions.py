"""Subscribing and unsubscribing: what the client, the others and the webhooks see, whenever the adapter answers."""

from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from tests.unit.node.kit import VACATE_DELAY, Bench, make_app

SUCCEEDED = ("pusher_internal:subscription_succeeded", "{}")


def added(user_id: str) -> tuple[str, str]:
    return ("pusher_internal:member_added", f'{{"user_id":"{user_id}","user_info":null}}')


def removed(user_id: str) -> tuple[str, str]:
    return ("pusher_internal:member_removed", f'{{"user_id":"{user_id}"}}')


def succeeded_with(*user_ids: str) -> tuple[str, str]:
    ids = ",".join(f'"{user_id}"' for user_id in user_ids)
    infos = ",".join(f'"{user_id}":null' for user_id in user_ids)
    data = f'{{"presence":{{"count":{len(user_ids)},"ids":[{ids}],"hash":{{{infos}}}}}}}'
    return ("pusher_internal:subscription_succeeded", data)


def test_a_subscriber_is_confirmed_at_once_and_gets_what_comes_after() -> None:
    bench = Bench()
    client = bench.client()
    bench.publish("c", data="before")
    bench.subscribe(client, "c")
    assert client.take() == [SUCCEEDED]
    bench.publish("c", data="after")
    bench.loop.settle()
    assert client.take() == [("e", "after")]


def test_nothing_is_delivered_before_the_confirmation_even_when_it_takes_long() -> None:
    bench = Bench(slow_adapter=True)
    bench.subscriber("c")
    client = bench.client()
    bench.subscribe(client, "c")
    bench.publish("c", data="too early")
    bench.loop.settle()
    assert client.take() == []
    bench.publish("c", data="same turn")
    bench.adapter.answer()
    bench.publish("c", data="after")
    bench.loop.settle()
    assert client.take() == [SUCCEEDED, ("e", "after")]


def test_an_unsubscribed_client_gets_what_was_published_before_and_nothing_after() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.publish("c", data="before")
    bench.unsubscribe(client, "c")
    bench.publish("c", data="after")
    bench.loop.settle()
    assert client.take() == [("e", "before")]


def test_unsubscribing_while_the_join_is_under_way_ends_unsubscribed() -> None:
    bench = Bench(slow_adapter=True)
    client = bench.client()
    bench.subscribe(client, "c")
    bench.unsubscribe(client, "c")
    bench.adapter.answer()
    bench.publish("c")
    bench.loop.settle()
    assert client.take() == []
    assert bench.metrics.app("1").subscriptions == 0
    bench.loop.advance(VACATE_DELAY)
    bench.adapter.answer()
    assert bench.changes[1:] == [ChannelOccupied("1", "c"), ChannelVacated("1", "c")]


def test_a_client_that_goes_while_the_join_is_under_way_leaves_nothing_behind() -> None:
    bench = Bench(slow_adapter=True)
    watcher = bench.subscriber("presence-c", "1")
    client = bench.client()
    bench.subscribe(client, "presence-c", "2")
    bench.node.disconnect(client)
    bench.adapter.answer()
    bench.loop.settle()
    assert client.writes == []
    assert watcher.take() == [added("2"), removed("2")]
    bench.loop.advance(VACATE_DELAY)
    bench.adapter.answer()
    assert [change for change in bench.changes if isinstance(change, MemberAdded | MemberRemoved)] == [
        MemberAdded("1", "presence-c", "1", "1.1"),
        MemberAdded("1", "presence-c", "2", "1.2"),
        MemberRemoved("1", "presence-c", "2", "1.2"),
    ]
    assert bench.metrics.app("1").subscriptions == 1


def test_coming_back_as_another_member_while_the_join_is_under_way_ends_as_that_member() -> None:
    bench = Bench(slow_adapter=True)
    client = bench.client()
    bench.subscribe(client, "presence-c", "1")
    bench.unsubscribe(client, "presence-c")
    bench.subscribe(client, "presence-c", "2")
    bench.adapter.answer()
    assert client.take() == [succeeded_with("2")]
    assert bench.metrics.app("1").subscriptions == 1


def test_a_join_that_the_cluster_can_not_carry_out_is_told_and_can_be_tried_again() -> None:
    bench = Bench()
    client = bench.client()
    bench.adapter.away = True
    bench.subscribe(client, "c")
    assert client.take() == [("pusher:error", None)]
    assert client.closed is None
    bench.adapter.away = False
    bench.subscribe(client, "c")
    assert client.take() == [SUCCEEDED]


def test_a_leave_that_the_cluster_can_not_carry_out_still_ends_delivery() -> None:
    bench = Bench()
    client = bench.subscriber("c")
    bench.adapter.away = True
    bench.unsubscribe(client, "c")
    bench.publish("c")
    bench.loop.settle()
    assert client.take() == []


def test_the_first_and_last_subscription_are_told_once() -> None:
    bench = Bench()
    one, two = bench.subscriber("c"), bench.subscriber("c")
    bench.unsubscribe(one, "c")
    bench.node.disconnect(two)
    bench.loop.advance(VACATE_DELAY)
    told = [change for change in bench.changes if isinstance(change, ChannelOccupied | ChannelVacated)]
    assert told == [ChannelOccupied("1", "c"), ChannelVacated("1", "c")]


def test_others_hear_of_a_new_member_and_the_new_one_sees_itself() -> None:
    bench = Bench()
    one = bench.subscriber("presence-c", "1")
    two = bench.client()
    bench.subscribe(two, "presence-c", "2")
    bench.loop.settle()
    assert one.take() == [added("2")]
    assert two.take() == [succeeded_with("1", "2")]


def test_a_second_connection_of_a_member_is_news_to_nobody() -> None:
    bench = Bench()
    one = bench.subscriber("presence-c", "1")
    again = bench.client()
    bench.subscribe(again, "presence-c", "1")
    bench.loop.settle()
    assert one.take() == []
    assert again.take() == [succeeded_with("1")]


def test_only_the_last_connection_of_a_member_is_missed_and_at_once() -> None:
    bench = Bench()
    stays = bench.subscriber("presence-c", "1")
    first, second = bench.subscriber("presence-c", "2"), bench.subscriber("presence-c", "2")
    stays.take()
    bench.unsubscribe(first, "presence-c")
    bench.loop.settle()
    assert stays.take() == []
    bench.node.disconnect(second)
    bench.loop.settle()
    assert stays.take() == [removed("2")]
    assert first.take() == []


def test_a_member_that_comes_and_goes_within_a_turn_is_added_and_removed_in_order() -> None:
    bench = Bench()
    stays = bench.subscriber("presence-c", "1")
    hops = bench.client()
    for _ in range(3):
        bench.subscribe(hops, "presence-c", "2")
        bench.unsubscribe(hops, "presence-c")
    bench.loop.settle()
    assert stays.take() == [added("2"), removed("2")] * 3


def test_a_full_presence_channel_refuses_new_users_but_not_new_connections() -> None:
    bench = Bench(app=make_app(max_presence_members=1))
    bench.subscriber("presence-c", "1")
    other, again = bench.client(), bench.client()
    bench.subscribe(other, "presence-c", "2")
    bench.subscribe(again, "presence-c", "1")
    assert other.take() == [("pusher:error", None)]
    assert other.closed is None
    assert again.take() == [succeeded_with("1")]


def test_refused_subscriptions_are_counted_by_their_reason() -> None:
    bench = Bench()
    client = bench.client()
    for channel in ("a b", "private-x", "private-y"):
        bench.send(client, "pusher:subscribe", {"channel": channel})
    counted = bench.metrics.series["subscriptions_refused_total"].values
    assert counted == {("1", "invalid_channel"): 1, ("1", "no_auth"): 2}
    assert ("pusher:error", None) in client.take()
