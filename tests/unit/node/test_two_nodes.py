"""Two nodes of a cluster: what clients of one see of a step at the other, however late it arrives."""

import pytest

from sockudo_py.adapters.base import CountChanged, MemberCame, MemberWent
from sockudo_py.changes import SubscriptionCountChanged
from sockudo_py.protocol.app import App
from tests.unit.node.kit import Bench, make_app
from tests.unit.node.test_counts import count
from tests.unit.node.test_subscriptions import added, removed, succeeded_with
from tests.unit.node.test_users import WATCHING, signed_in, watchlist_events

COUNTING = make_app(subscription_count=True)


class Pair:
    """Two nodes, one of which hears late."""

    def __init__(self, app: App | None = None) -> None:
        self.slow = Bench(slow_adapter=True, app=app)
        self.other = Bench(beside=self.slow)

    def settle(self) -> None:
        self.slow.adapter.answer()
        self.slow.loop.settle()


def counts(bench: Bench) -> list[int]:
    """Return the counts that webhooks of a node heard of."""
    return [one.subscription_count for one in bench.changes if isinstance(one, SubscriptionCountChanged)]


def test_a_member_that_comes_while_a_join_is_under_way_is_seen_by_the_joiner() -> None:
    pair = Pair()
    joiner = pair.slow.client()
    pair.slow.subscribe(joiner, "presence-c", "ann")
    pair.other.subscriber("presence-c", "x")
    pair.settle()
    assert joiner.take() == [succeeded_with("ann"), added("x")]


def test_a_member_that_came_before_a_join_is_in_its_answer_and_not_told_again() -> None:
    pair = Pair()
    pair.slow.subscriber("presence-c", "bob")
    pair.other.subscriber("presence-c", "x")
    joiner = pair.slow.client()
    pair.slow.subscribe(joiner, "presence-c", "ann")
    pair.settle()
    assert joiner.take() == [succeeded_with("bob", "x", "ann")]


def test_a_member_that_goes_while_a_join_is_under_way_is_gone_for_the_joiner() -> None:
    pair = Pair()
    member = pair.other.subscriber("presence-c", "x")
    joiner = pair.slow.client()
    pair.slow.subscribe(joiner, "presence-c", "ann")
    pair.other.node.disconnect(member)
    pair.settle()
    assert joiner.take() == [succeeded_with("x", "ann"), removed("x")]


def test_clients_hear_of_members_of_the_other_node_once() -> None:
    pair = Pair()
    watcher = pair.slow.subscriber("presence-c", "ann")
    pair.other.node.disconnect(pair.other.subscriber("presence-c", "x"))
    pair.settle()
    assert watcher.take() == [added("x"), removed("x")]


def test_counts_of_the_other_node_reach_the_clients_and_no_webhook_a_second_time() -> None:
    pair = Pair(COUNTING)
    watcher = pair.slow.subscriber("c")
    pair.other.node.disconnect(pair.other.subscriber("c"))
    pair.settle()
    assert watcher.take() == [count(2), count(1)]
    assert counts(pair.slow) == [1]
    assert counts(pair.other) == [2, 1]


def test_the_last_count_is_the_true_one_on_both_nodes() -> None:
    pair = Pair(COUNTING)
    here, there = pair.slow.client(), pair.other.client()
    pair.slow.subscribe(here, "c")
    pair.other.subscribe(there, "c")
    pair.settle()
    assert here.take()[-1] == there.take()[-1] == count(2)


def test_a_node_without_subscribers_remembers_no_counts_of_others() -> None:
    bench = Bench(app=COUNTING)
    bench.adapter.deliver(CountChanged("1", "c", 200))
    assert bench.loop.timers == []


def test_a_step_that_no_client_here_made_reaches_the_clients() -> None:
    bench = Bench(app=COUNTING)
    member, plain = bench.subscriber("presence-c", "ann"), bench.subscriber("c")
    bench.adapter.deliver(MemberCame("1", "presence-c", "x", '{"name":"X"}'))
    bench.adapter.deliver(MemberWent("1", "presence-c", "x"))
    bench.adapter.deliver(CountChanged("1", "c", 7))
    bench.loop.settle()
    came = ("pusher_internal:member_added", '{"user_id":"x","user_info":{"name":"X"}}')
    assert member.take() == [came, removed("x")]
    assert plain.take() == [count(7)]
    assert counts(bench) == [1]


def test_the_clients_of_a_node_that_died_are_gone_for_those_of_the_other() -> None:
    pair = Pair(COUNTING)
    member, plain = pair.slow.subscriber("presence-c", "ann"), pair.slow.subscriber("c")
    pair.other.subscriber("presence-c", "x")
    pair.other.subscriber("c")
    pair.settle()
    member.take()
    plain.take()
    pair.slow.cluster.kill(pair.other.adapter)
    pair.slow.loop.advance(pair.slow.cluster.node_timeout)
    pair.settle()
    assert member.take() == [removed("x")]
    assert plain.take() == [count(1)]


def test_a_user_of_the_other_node_is_seen_once_by_who_watches_it() -> None:
    pair = Pair(WATCHING)
    watcher = pair.slow.client()
    pair.slow.sign_in(watcher, "ann", ["x"])
    user = pair.other.client()
    pair.other.sign_in(user, "x")
    pair.settle()
    assert watcher.take()[1:] == [watchlist_events("offline", "x"), watchlist_events("online", "x")]
    pair.other.node.disconnect(user)
    pair.settle()
    assert watcher.take() == [watchlist_events("offline", "x")]


def test_who_watches_nobody_any_more_makes_the_node_hear_nothing() -> None:
    pair = Pair(WATCHING)
    pair.slow.node.disconnect(signed_in(pair.slow, "ann", ["x"]))
    pair.settle()
    signed_in(pair.other, "x")
    assert pair.slow.adapter.waiting == []


@pytest.mark.parametrize("back", [False, True])
def test_a_leave_while_the_cluster_is_away_reaches_the_others_when_it_is_back(back: bool) -> None:
    pair = Pair()
    watcher = pair.other.subscriber("presence-c", "x")
    client = pair.slow.subscriber("presence-c", "ann")
    neighbour = pair.slow.subscriber("presence-c", "bob")
    for one in (watcher, neighbour):
        pair.slow.loop.settle()
        one.take()
    pair.slow.adapter.away = True
    pair.slow.node.disconnect(client)
    if back:
        pair.slow.adapter.away = False
    pair.settle()
    assert watcher.take() == neighbour.take() == ([removed("ann")] if back else [])
