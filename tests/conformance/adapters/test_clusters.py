"""What every shared adapter promises about its nodes (``adapters/base.py``), asked of a cluster of three."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sockudo_py.adapters.base import (
    ChannelFull,
    CountChanged,
    Envelope,
    Joined,
    Left,
    MemberCame,
    MemberWent,
    Publication,
    SignedIn,
    UserMessage,
    UserStatus,
    UserTermination,
)
from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from tests.conformance.adapters.drivers import APP, BROKEN, CLUSTERS, DRIVERS, Cluster, Driven

ANN, BOB, CID = Member("ann", '{"name":"Ann"}'), Member("bob"), Member("cid")
ROOM = "presence-c"
VACATE_DELAY = 60.0


@pytest.fixture(params=sorted(CLUSTERS))
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with CLUSTERS[request.param](VACATE_DELAY) as started:
        yield started


class Sight:
    """What one client sees: the answer to its step, and what is delivered to its node from then on.

    ``problems`` are the news that it has heard of already.
    """

    def __init__(self, node: Driven) -> None:
        self.node = node
        self.seen: set[str] | None = None
        self.count = 0
        self.problems: list[Envelope] = []
        node.heard.append(self._hear)

    def join(self, channel: str, member: Member | None = None, *, socket: str) -> "Sight":
        source = self.node.source(socket)
        self.node.adapter.join(APP, channel, source, member, 100, member is None, self._joined)
        return self

    def sign_in(self, user_id: str, *watched: str) -> "Sight":
        self.node.adapter.sign_in(APP, user_id, watched, self._signed_in)
        return self

    def _joined(self, outcome: object) -> None:
        assert isinstance(outcome, Joined)
        self.seen, self.count = set(outcome.roster or ()), outcome.subscription_count

    def _signed_in(self, outcome: object) -> None:
        assert isinstance(outcome, SignedIn)
        self.seen = set(outcome.online)

    def _hear(self, envelope: Envelope) -> None:
        if self.seen is None:
            return  # it is contained in the answer
        match envelope:
            case MemberCame(_, _, user_id) | UserStatus(_, user_id, True):
                self._note(envelope, user_id not in self.seen)
                self.seen.add(user_id)
            case MemberWent(_, _, user_id) | UserStatus(_, user_id, False):
                self._note(envelope, user_id in self.seen)
                self.seen.discard(user_id)
            case CountChanged(_, _, count):
                self.count = count

    def _note(self, envelope: Envelope, news: bool) -> None:
        if not news:
            self.problems.append(envelope)


def ignore(outcome: object) -> None:
    pass


async def test_members_that_come_at_once_see_each_other_exactly_once(cluster: Cluster) -> None:
    members = [ANN, BOB, CID]
    sights = [
        Sight(node).join(ROOM, member, socket=f"{number}.1")
        for number, (node, member) in enumerate(zip(cluster.nodes, members, strict=True))
    ]
    await cluster.settle()
    for sight in sights:
        assert sight.seen == {"ann", "bob", "cid"}
        assert sight.problems == []


async def test_a_member_that_goes_while_another_comes_is_gone_for_it(cluster: Cluster) -> None:
    await cluster.two.join(ROOM, BOB, socket="2.1")
    sight = Sight(cluster.one).join(ROOM, ANN, socket="1.1")
    cluster.two.adapter.leave(APP, ROOM, cluster.two.source("2.1"), BOB, False, ignore)
    await cluster.settle()
    assert sight.seen == {"ann"}
    assert sight.problems == []


async def test_a_member_that_came_before_another_is_no_news_to_it(cluster: Cluster) -> None:
    await cluster.one.join(ROOM, CID, socket="1.0")  # so the node hears of what happens there
    cluster.two.adapter.join(APP, ROOM, cluster.two.source("2.1"), BOB, 100, False, ignore)
    sight = Sight(cluster.one).join(ROOM, ANN, socket="1.1")
    await cluster.settle()
    assert sight.seen == {"ann", "bob", "cid"}
    assert sight.problems == []


async def test_a_member_that_went_before_another_came_is_no_news_to_it(cluster: Cluster) -> None:
    await cluster.one.join(ROOM, CID, socket="1.0")
    await cluster.two.join(ROOM, BOB, socket="2.1")
    await cluster.settle()
    cluster.two.adapter.leave(APP, ROOM, cluster.two.source("2.1"), BOB, False, ignore)
    sight = Sight(cluster.one).join(ROOM, ANN, socket="1.1")
    await cluster.settle()
    assert sight.seen == {"ann", "cid"}
    assert sight.problems == []


async def test_a_user_that_changes_its_node_is_there_for_a_third_one(cluster: Cluster) -> None:
    sight = Sight(cluster.three).join(ROOM, CID, socket="3.1")
    await cluster.one.join(ROOM, ANN, socket="1.1")
    await cluster.settle()
    here, there = cluster.one, cluster.two
    for number in range(100):
        here.adapter.leave(APP, ROOM, here.source(f"{number}.1"), ANN, False, ignore)
        there.adapter.join(APP, ROOM, there.source(f"{number}.2"), ANN, 100, False, ignore)
        here.sources[f"{number + 1}.1"] = here.source(f"{number}.2")
        here, there = there, here
        here.sources[f"{number + 1}.1"] = here.source(f"{number}.2")
        await cluster.settle()
        assert sight.seen == {"ann", "cid"}
    assert sight.problems == []


async def test_the_last_count_that_a_node_hears_of_is_the_true_one(cluster: Cluster) -> None:
    sights = [Sight(node).join("c", socket=f"{number}.1") for number, node in enumerate(cluster.nodes)]
    await cluster.settle()
    assert [sight.count for sight in sights] == [3, 3, 3]


async def test_counts_are_told_only_where_they_are_asked_for(cluster: Cluster) -> None:
    await cluster.one.join("c", socket="1.1", tell_count=True)
    await cluster.two.join("c", socket="2.1")
    await cluster.two.leave("c", socket="2.1")
    await cluster.settle()
    assert cluster.one.delivered == []


async def test_a_user_that_signs_in_while_its_watcher_does_is_seen_exactly_once(cluster: Cluster) -> None:
    watching = Sight(cluster.one).sign_in("ann", "bob")
    Sight(cluster.two).sign_in("bob")
    await cluster.settle()
    assert watching.seen == {"bob"}
    assert watching.problems == []


async def test_a_user_that_is_online_when_its_watcher_signs_in_is_no_news(cluster: Cluster) -> None:
    await cluster.one.sign_in("cid", ["bob"])  # so the node hears of bob
    cluster.two.adapter.sign_in(APP, "bob", (), ignore)
    watching = Sight(cluster.one).sign_in("ann", "bob")
    await cluster.settle()
    assert watching.seen == {"bob"}
    assert watching.problems == []


async def test_a_user_that_signs_out_while_its_watcher_signs_in_is_offline(cluster: Cluster) -> None:
    await cluster.two.sign_in("bob")
    watching = Sight(cluster.one).sign_in("ann", "bob")
    cluster.two.adapter.sign_out(APP, "bob", (), ignore)
    await cluster.settle()
    assert watching.seen == set()
    assert watching.problems == []


EAGER: list[Callable[[Cluster], Awaitable[None]]] = [
    test_members_that_come_at_once_see_each_other_exactly_once,
    test_a_member_that_goes_while_another_comes_is_gone_for_it,
    test_a_user_that_changes_its_node_is_there_for_a_third_one,
    test_the_last_count_that_a_node_hears_of_is_the_true_one,
    test_a_user_that_signs_in_while_its_watcher_does_is_seen_exactly_once,
    test_a_user_that_signs_out_while_its_watcher_signs_in_is_offline,
]
LAGGING: list[Callable[[Cluster], Awaitable[None]]] = [
    test_a_member_that_came_before_another_is_no_news_to_it,
    test_a_member_that_went_before_another_came_is_no_news_to_it,
    test_a_user_that_is_online_when_its_watcher_signs_in_is_no_news,
]


@pytest.mark.parametrize("test", EAGER)
async def test_an_adapter_whose_news_overtakes_answers_fails(test: Callable[[Cluster], Awaitable[None]]) -> None:
    async with BROKEN["news before answers"](VACATE_DELAY) as broken:
        with pytest.raises(AssertionError):
            await test(broken)


@pytest.mark.parametrize("test", LAGGING)
async def test_an_adapter_whose_news_lags_behind_answers_fails(test: Callable[[Cluster], Awaitable[None]]) -> None:
    async with BROKEN["news after answers"](VACATE_DELAY) as broken:
        with pytest.raises(AssertionError):
            await test(broken)


async def test_an_adapter_that_has_others_is_never_alone(cluster: Cluster) -> None:
    await cluster.two.adapter.stop()
    await cluster.three.adapter.stop()
    assert not cluster.one.adapter.alone


@pytest.mark.parametrize("name", sorted(CLUSTERS))
async def test_a_shared_adapter_is_not_alone_on_a_single_node_either(name: str) -> None:
    async with DRIVERS[name](VACATE_DELAY) as driven:
        assert not driven.adapter.alone


async def test_messages_reach_the_other_nodes_that_want_them_in_order(cluster: Cluster) -> None:
    await cluster.one.join("c", socket="1.1")
    await cluster.two.join("c", socket="2.1")
    messages = [Publication(APP, "c", b"%d" % number, "1.1" if number % 2 else None) for number in range(20)]
    for message in messages:
        cluster.one.adapter.publish(message)
    await cluster.settle()
    assert cluster.two.delivered == messages
    assert cluster.one.delivered == []


async def test_messages_and_orders_to_a_user_reach_its_connections(cluster: Cluster) -> None:
    await cluster.one.sign_in("ann")
    await cluster.two.sign_in("ann")
    for message in (
        UserMessage(APP, "ann", b"{}", "1.1"),
        UserTermination(APP, "ann"),
        UserTermination(APP, "ann", reconnect=True),
    ):
        cluster.one.adapter.publish(message)
        await cluster.settle()
        assert cluster.two.delivered.pop() == message
    assert cluster.one.delivered == []


async def test_first_and_last_are_those_of_the_cluster(cluster: Cluster) -> None:
    assert await cluster.one.join(ROOM, ANN, socket="1.1") == Joined(1, True, {"ann": ANN.user_info})
    assert await cluster.two.join(ROOM, ANN, socket="2.1") == Joined(2, False, {"ann": ANN.user_info})
    assert await cluster.one.leave(ROOM, ANN, socket="1.1") == Left(1, False)
    assert await cluster.two.leave(ROOM, ANN, socket="2.1") == Left(0, True)
    assert await cluster.one.sign_in("ann") == SignedIn(True)
    assert await cluster.two.sign_in("ann") == SignedIn(False)
    assert await cluster.one.sign_out("ann") is False
    assert await cluster.two.sign_out("ann") is True


async def test_many_that_join_at_once_are_each_counted_once(cluster: Cluster) -> None:
    counts: list[int] = []

    def joined(outcome: object) -> None:
        assert isinstance(outcome, Joined)
        counts.append(outcome.subscription_count)

    for number in range(50):
        node = cluster.nodes[number % 2]
        node.adapter.join(APP, "c", node.source(f"{number}.1"), None, 100, True, joined)
    await cluster.settle()
    assert sorted(counts) == list(range(1, 51))
    assert [change for node in cluster.nodes for change in node.changes] == [ChannelOccupied(APP, "c")]


async def test_a_full_channel_is_full_on_every_node(cluster: Cluster) -> None:
    outcomes: list[object] = []
    for number in range(60):
        node = cluster.nodes[number % 2]
        source = node.source(f"{number}.1")
        node.adapter.join(APP, ROOM, source, Member(f"u{number // 3}"), 4, False, outcomes.append)
    await cluster.settle()
    assert [isinstance(outcome, ChannelFull) for outcome in outcomes].count(True) == 48
    assert len(await cluster.three.adapter.members(APP, ROOM)) == 4


async def test_transitions_are_told_once_with_an_id_and_a_time(cluster: Cluster) -> None:
    for number, node in enumerate(cluster.nodes):
        await node.join(ROOM, ANN, socket=f"{number}.1")
    for number, node in enumerate(cluster.nodes):
        await node.leave(ROOM, ANN, socket=f"{number}.1")
    await cluster.pass_time(VACATE_DELAY * 2)
    changes = [change for node in cluster.nodes for change in node.transitions]
    assert {type(change) for change in changes} == {ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved}
    assert len({change.id for change in changes} - {None}) == 4
    assert all(change.time_ms is not None for change in changes)


@pytest.mark.parametrize("stored", [False, True])
async def test_what_was_not_stored_when_its_node_died_is_told_again_by_another(cluster: Cluster, stored: bool) -> None:
    cluster.one.stores = stored
    await cluster.one.join("c", socket="1.1")
    await cluster.two.join("c", socket="2.1")
    told = cluster.one.transitions[0]
    cluster.kill(cluster.one)
    await cluster.pass_time(cluster.node_timeout * 1.5)
    again = [change for node in (cluster.two, cluster.three) for change in node.transitions]
    assert [(change, change.id, change.time_ms) for change in again] == (
        [] if stored else [(told, told.id, told.time_ms)]
    )


async def test_the_clients_of_a_dead_node_go_for_clients_counts_and_webhooks(cluster: Cluster) -> None:
    sight = Sight(cluster.two).join(ROOM, BOB, socket="2.1")
    counting = Sight(cluster.two).join("c", socket="2.2")
    watching = Sight(cluster.two).sign_in("bob", "ann")
    await cluster.one.join(ROOM, ANN, socket="1.1")
    await cluster.one.join("c", socket="1.2", tell_count=True)
    await cluster.one.join("d", socket="1.3")
    await cluster.one.sign_in("ann")
    await cluster.settle()
    assert (sight.seen, counting.count, watching.seen) == ({"ann", "bob"}, 2, {"ann"})
    cluster.kill(cluster.one)
    await cluster.pass_time(cluster.node_timeout * 1.5 + VACATE_DELAY)
    assert (sight.seen, counting.count, watching.seen) == ({"bob"}, 1, set())
    went = [change for node in (cluster.two, cluster.three) for change in node.changes]
    assert [change for change in went if isinstance(change, MemberRemoved | ChannelVacated)] == [
        MemberRemoved(APP, ROOM, "ann", "1.1", ANN.user_info),
        ChannelVacated(APP, "d"),
    ]
    assert await cluster.three.adapter.members(APP, ROOM) == ["bob"]


async def test_who_comes_back_on_another_node_cancels_a_pending_change(cluster: Cluster) -> None:
    await cluster.one.join(ROOM, ANN, socket="1.1")
    await cluster.one.leave(ROOM, ANN, socket="1.1")
    await cluster.one.adapter.stop()
    await cluster.two.join(ROOM, ANN, socket="2.1")
    await cluster.pass_time(VACATE_DELAY * 2)
    changes = [change for node in cluster.nodes for change in node.changes]
    assert changes == [ChannelOccupied(APP, ROOM), MemberAdded(APP, ROOM, "ann", "1.1", ANN.user_info)]


async def test_what_is_pending_when_its_node_stops_is_told_by_another(cluster: Cluster) -> None:
    await cluster.one.join("c", socket="1.1")
    await cluster.one.leave("c", socket="1.1")
    await cluster.one.adapter.stop()
    await cluster.one.adapter.close()
    await cluster.pass_time(VACATE_DELAY * 2)
    assert [change for node in (cluster.two, cluster.three) for change in node.changes] == [ChannelVacated(APP, "c")]


async def test_a_leave_while_the_service_is_away_is_answered_when_it_is_back(cluster: Cluster) -> None:
    sight = Sight(cluster.two).join(ROOM, BOB, socket="2.1")
    await cluster.one.join(ROOM, ANN, socket="1.1")
    answers: list[object] = []
    cluster.cut(cluster.one)
    cluster.one.adapter.leave(APP, ROOM, cluster.one.source("1.1"), ANN, False, answers.append)
    cluster.one.adapter.sign_in(APP, "ann", (), ignore)
    await cluster.settle()
    assert answers == []
    cluster.mend(cluster.one)
    await cluster.settle()
    assert answers == [Left(1, True)]
    assert sight.seen == {"bob"}


async def test_what_can_not_be_carried_out_is_unavailable_and_not_counted(cluster: Cluster) -> None:
    cluster.cut(cluster.one)
    outcome = await cluster.one.join("c", socket="1.1")
    cluster.mend(cluster.one)
    await cluster.settle()
    stats = await cluster.two.adapter.channel(APP, "c")
    assert isinstance(outcome, Unavailable) == (stats is None)


async def test_a_node_that_is_cut_off_says_so(cluster: Cluster) -> None:
    assert cluster.one.adapter.healthy()
    cluster.cut(cluster.one)
    assert not cluster.one.adapter.healthy()
    with pytest.raises(Unavailable):
        await cluster.one.adapter.channels(APP)
    assert cluster.two.adapter.healthy()
