"""What every adapter promises (``adapters/base.py``), asked of each driver."""

from collections.abc import AsyncIterator

import pytest

from sockudo_py.adapters.base import ChannelFull, ChannelStats, Joined, Left, Publication, SignedIn
from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.protocol.effects import Member
from tests.conformance.adapters.drivers import APP, DRIVERS, Driven

ANN = Member("ann", '{"name":"Ann"}')
BOB = Member("bob")
VACATE_DELAY = 60.0


@pytest.fixture(params=sorted(DRIVERS))
async def driven(request: pytest.FixtureRequest) -> AsyncIterator[Driven]:
    async with DRIVERS[request.param](VACATE_DELAY) as started:
        yield started


@pytest.fixture(params=sorted(DRIVERS))
async def hasty(request: pytest.FixtureRequest) -> AsyncIterator[Driven]:
    """A driver without vacate delay."""
    async with DRIVERS[request.param](0.0) as started:
        yield started


async def test_joins_and_leaves_are_counted(driven: Driven) -> None:
    assert await driven.join("c") == Joined(1)
    assert await driven.join("c", socket="1.2") == Joined(2)
    assert await driven.leave("c") == Left(1)
    assert await driven.leave("c", socket="1.2") == Left(0)


async def test_channels_and_apps_are_counted_apart(driven: Driven) -> None:
    await driven.join("c")
    assert await driven.join("d") == Joined(1)
    assert await driven.join("c", app_id="2") == Joined(1)


async def test_the_first_join_occupies_and_it_is_told_before_the_answer(driven: Driven) -> None:
    told: list[int] = []
    driven.adapter.join(
        APP, "c", driven.source("1.1"), None, 100, False, lambda outcome: told.append(len(driven.changes))
    )
    await driven.join("c", socket="1.2")
    assert told == [1]
    assert driven.changes == [ChannelOccupied(APP, "c")]


async def test_changes_name_whose_step_they_come_from(driven: Driven) -> None:
    await driven.join("presence-c", ANN, socket="1.1")
    await driven.join("presence-c", ANN, socket="1.2")
    assert [change.source for change in driven.take()] == [driven.source("1.1")] * 2
    await driven.leave("presence-c", ANN, socket="1.1")
    await driven.leave("presence-c", ANN, socket="1.2")
    await driven.pass_time(VACATE_DELAY)
    assert [change.source for change in driven.take()] == [driven.source("1.2")] * 2


async def test_what_is_put_off_is_told_when_it_is_asked_for_and_in_order(driven: Driven) -> None:
    for channel in ("a", "b", "c"):
        await driven.join(channel, socket="1.1" if channel != "b" else "1.2")
    driven.adapter.put_off(lambda source: source is driven.source("1.1"))
    for channel in ("a", "b", "c"):
        await driven.leave(channel, socket="1.1" if channel != "b" else "1.2")
    driven.take()
    await driven.pass_time(VACATE_DELAY)
    assert driven.take() == [ChannelVacated(APP, "b")], "it is another one's"
    assert driven.adapter.tell_put_off(1)
    assert driven.take() == [ChannelVacated(APP, "a")]
    assert not driven.adapter.tell_put_off(5)
    assert driven.take() == [ChannelVacated(APP, "c")]
    driven.adapter.put_off(None)
    assert not driven.adapter.tell_put_off(5)


async def test_who_comes_back_cancels_what_was_put_off(driven: Driven) -> None:
    await driven.join("presence-c", ANN)
    driven.adapter.put_off(lambda source: True)
    await driven.leave("presence-c", ANN)
    await driven.pass_time(VACATE_DELAY)
    driven.take()
    await driven.join("presence-c", ANN)
    assert driven.take() == []
    assert not driven.adapter.tell_put_off(5)
    assert driven.take() == []


async def test_stopping_tells_what_was_put_off(driven: Driven) -> None:
    await driven.join("c")
    driven.adapter.put_off(lambda source: True)
    await driven.leave("c")
    await driven.pass_time(VACATE_DELAY)
    driven.take()
    await driven.adapter.stop()
    assert driven.take() == [ChannelVacated(APP, "c")]


async def test_a_channel_is_vacated_after_the_delay_and_not_before(driven: Driven) -> None:
    await driven.join("c")
    await driven.leave("c")
    driven.take()
    await driven.pass_time(VACATE_DELAY / 2)
    assert driven.take() == []
    await driven.pass_time(VACATE_DELAY)
    assert driven.take() == [ChannelVacated(APP, "c")]


async def test_who_comes_back_within_the_delay_causes_no_change(driven: Driven) -> None:
    await driven.join("presence-c", ANN)
    driven.take()
    for _ in range(3):
        await driven.leave("presence-c", ANN)
        await driven.join("presence-c", ANN)
    await driven.pass_time(VACATE_DELAY * 3)
    assert driven.take() == []


async def test_a_second_leave_starts_the_delay_anew(driven: Driven) -> None:
    await driven.join("c")
    await driven.leave("c")
    await driven.pass_time(VACATE_DELAY * 0.7)
    await driven.join("c")
    await driven.leave("c")
    driven.take()
    await driven.pass_time(VACATE_DELAY * 0.7)
    assert driven.take() == []
    await driven.pass_time(VACATE_DELAY)
    assert driven.take() == [ChannelVacated(APP, "c")]


async def test_a_return_after_the_delay_occupies_again(driven: Driven) -> None:
    await driven.join("c")
    await driven.leave("c")
    await driven.pass_time(VACATE_DELAY * 2)
    await driven.join("c")
    assert driven.changes == [ChannelOccupied(APP, "c"), ChannelVacated(APP, "c"), ChannelOccupied(APP, "c")]


async def test_without_a_delay_everything_is_told_at_once(hasty: Driven) -> None:
    await hasty.join("presence-c", ANN)
    await hasty.leave("presence-c", ANN)
    assert hasty.take() == [
        ChannelOccupied(APP, "presence-c"),
        MemberAdded(APP, "presence-c", "ann", "1.1", '{"name":"Ann"}'),
        MemberRemoved(APP, "presence-c", "ann", "1.1", '{"name":"Ann"}'),
        ChannelVacated(APP, "presence-c"),
    ]


async def test_a_member_is_first_with_its_first_connection_and_last_with_its_last(driven: Driven) -> None:
    assert await driven.join("presence-c", ANN) == Joined(1, True, {"ann": '{"name":"Ann"}'})
    assert await driven.join("presence-c", ANN, socket="1.2") == Joined(2, False, {"ann": '{"name":"Ann"}'})
    assert await driven.leave("presence-c", ANN) == Left(1, False)
    assert await driven.leave("presence-c", ANN, socket="1.2") == Left(0, True)


async def test_a_return_within_the_delay_is_a_first_connection_again(driven: Driven) -> None:
    await driven.join("presence-c", BOB)
    await driven.join("presence-c", ANN)
    await driven.leave("presence-c", ANN)
    assert await driven.join("presence-c", ANN) == Joined(2, True, {"bob": "null", "ann": '{"name":"Ann"}'})


async def test_members_are_told_once_per_user(driven: Driven) -> None:
    await driven.join("presence-c", ANN)
    await driven.join("presence-c", ANN, socket="1.2")
    await driven.join("presence-c", BOB, socket="1.3")
    await driven.leave("presence-c", ANN)
    await driven.leave("presence-c", ANN, socket="1.2")
    await driven.pass_time(VACATE_DELAY * 2)
    assert driven.take() == [
        ChannelOccupied(APP, "presence-c"),
        MemberAdded(APP, "presence-c", "ann", "1.1", '{"name":"Ann"}'),
        MemberAdded(APP, "presence-c", "bob", "1.3", None),
        MemberRemoved(APP, "presence-c", "ann", "1.2", '{"name":"Ann"}'),
    ]


async def test_the_roster_shows_the_info_of_the_first_connection(driven: Driven) -> None:
    await driven.join("presence-c", ANN)
    outcome = await driven.join("presence-c", Member("ann", '{"name":"Other"}'), socket="1.2")
    assert isinstance(outcome, Joined)
    assert outcome.roster == {"ann": '{"name":"Ann"}'}


async def test_a_full_channel_refuses_new_users_and_counts_nothing(driven: Driven) -> None:
    await driven.join("presence-c", ANN, max_members=1)
    driven.take()
    assert await driven.join("presence-c", BOB, max_members=1) == ChannelFull(1)
    assert await driven.adapter.channel(APP, "presence-c") == ChannelStats(1, 1)
    assert driven.take() == []


async def test_a_full_channel_admits_further_connections_of_its_members(driven: Driven) -> None:
    await driven.join("presence-c", ANN, max_members=1)
    outcome = await driven.join("presence-c", ANN, max_members=1, socket="1.2")
    assert isinstance(outcome, Joined)
    assert outcome.subscription_count == 2


async def test_a_place_in_a_full_channel_is_free_as_soon_as_a_member_left(driven: Driven) -> None:
    await driven.join("presence-c", ANN, max_members=1)
    await driven.leave("presence-c", ANN)
    assert await driven.join("presence-c", BOB, max_members=1) == Joined(1, True, {"bob": "null"})


async def test_a_channel_that_may_have_no_members_is_full(driven: Driven) -> None:
    assert await driven.join("presence-c", ANN, max_members=0) == ChannelFull(0)
    assert driven.take() == []
    assert await driven.adapter.channels(APP) == {}


async def test_answers_come_in_the_order_of_the_steps(driven: Driven) -> None:
    answers: list[int] = []

    def joined(outcome: object) -> None:
        assert isinstance(outcome, Joined)
        answers.append(outcome.subscription_count)

    def left(outcome: object) -> None:
        assert isinstance(outcome, Left)
        answers.append(outcome.subscription_count)

    for number in range(3):
        driven.adapter.join(APP, "c", driven.source(f"1.{number}"), None, 100, False, joined)
    driven.adapter.leave(APP, "c", driven.source("1.0"), None, False, left)
    await driven.join("c", socket="1.9")
    assert answers == [1, 2, 3, 2]


async def test_occupied_channels_are_listed_by_prefix(driven: Driven) -> None:
    await driven.join("c")
    await driven.join("c", socket="1.2")
    await driven.join("presence-c", ANN)
    await driven.join("presence-c", ANN, socket="1.2")
    await driven.join("presence-c", BOB, socket="1.3")
    await driven.join("left")
    await driven.leave("left")
    assert await driven.adapter.channels(APP) == {"c": ChannelStats(2), "presence-c": ChannelStats(3, 2)}
    assert await driven.adapter.channels(APP, "presence-") == {"presence-c": ChannelStats(3, 2)}
    assert await driven.adapter.channels("2") == {}


async def test_one_channel_can_be_asked_for(driven: Driven) -> None:
    await driven.join("presence-c", ANN)
    assert await driven.adapter.channel(APP, "presence-c") == ChannelStats(1, 1)
    assert await driven.adapter.channel(APP, "d") is None
    await driven.leave("presence-c", ANN)
    assert await driven.adapter.channel(APP, "presence-c") is None


async def test_members_are_listed_in_the_order_in_which_they_came(driven: Driven) -> None:
    for user_id in ("zoe", "ann", "bob"):
        await driven.join("presence-c", Member(user_id), socket=f"1.{user_id}")
    await driven.leave("presence-c", Member("ann"))
    assert await driven.adapter.members(APP, "presence-c") == ["zoe", "bob"]
    assert await driven.adapter.members(APP, "presence-d") == []
    await driven.join("c")
    assert await driven.adapter.members(APP, "c") == []


async def test_user_ids_of_any_text_are_kept_apart(driven: Driven) -> None:
    ids = ["a", "a:b", "é", '"', "a b", "\\", "*", "1"]
    for user_id in ids:
        await driven.join("presence-c", Member(user_id))
    assert await driven.adapter.members(APP, "presence-c") == ids


async def test_sign_ins_are_first_and_last_once_per_user(driven: Driven) -> None:
    assert await driven.sign_in("ann") == SignedIn(True)
    assert await driven.sign_in("ann") == SignedIn(False)
    assert await driven.sign_in("bob") == SignedIn(True)
    assert await driven.sign_in("ann", app_id="2") == SignedIn(True)
    assert await driven.sign_out("ann") is False
    assert await driven.sign_out("ann") is True
    assert await driven.sign_in("ann") == SignedIn(True)


async def test_a_sign_in_tells_who_of_the_watchlist_is_online(driven: Driven) -> None:
    await driven.sign_in("ann")
    await driven.sign_in("bob")
    await driven.sign_out("bob")
    assert await driven.sign_in("dan", ["ann", "bob", "cid"]) == SignedIn(True, frozenset({"ann"}))
    assert await driven.sign_in("dan", ["ann"], app_id="2") == SignedIn(True)


async def test_who_watches_itself_is_online(driven: Driven) -> None:
    assert await driven.sign_in("ann", ["ann"]) == SignedIn(True, frozenset({"ann"}))


async def test_what_the_node_did_itself_is_not_delivered_to_it(driven: Driven) -> None:
    await driven.sign_in("ann", ["ann", "bob"])
    await driven.sign_in("bob")
    for socket in ("1.1", "1.2"):
        await driven.join("c", socket=socket, tell_count=True)
        await driven.join("presence-c", ANN if socket == "1.1" else BOB, socket=socket)
    await driven.leave("c", tell_count=True)
    await driven.leave("presence-c", ANN)
    await driven.sign_out("bob")
    assert driven.delivered == []


async def test_what_a_node_publishes_does_not_come_back_to_it(driven: Driven) -> None:
    await driven.join("c")
    driven.adapter.publish(Publication(APP, "c", b"{}"))
    await driven.join("c", socket="1.2")
    assert driven.delivered == []


async def test_stopping_tells_what_was_pending_in_order(driven: Driven) -> None:
    await driven.join("presence-c", ANN)
    await driven.join("d")
    await driven.leave("presence-c", ANN)
    await driven.leave("d")
    driven.take()
    await driven.adapter.stop()
    assert driven.take() == [
        MemberRemoved(APP, "presence-c", "ann", "1.1", '{"name":"Ann"}'),
        ChannelVacated(APP, "presence-c"),
        ChannelVacated(APP, "d"),
    ]


async def test_an_adapter_that_works_is_healthy(driven: Driven) -> None:
    assert driven.adapter.healthy()
