"""What an earlier run left behind: who is back in time is not told of, everybody else is, once."""

import pytest

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source
from tests.support.changes import Changes
from tests.support.fake_loop import FakeLoop

ANN, BOB = Member("ann", "null"), Member("bob", "null")
SOCKET = Source("1", "2.1")
ROOM = "presence-room"
LEFT: list[ChannelVacated | MemberRemoved] = [
    MemberRemoved("1", ROOM, "ann", "1.1"),
    MemberRemoved("1", ROOM, "bob", "1.2"),
    ChannelVacated("1", ROOM),
]


def ignore(outcome: object) -> None:
    pass


class Stage:
    def __init__(self, vacate_delay: float = 3.0) -> None:
        self.loop = FakeLoop()
        self.adapter = LocalAdapter(vacate_delay, self.loop.call_later, self.loop.clock)
        self.changes = Changes()
        self.adapter.start(ignore, self.changes)

    def join(self, channel: str, member: Member | None = None) -> None:
        self.adapter.join("1", channel, SOCKET, member, 100, False, ignore)

    def leave(self, channel: str, member: Member | None = None) -> None:
        self.adapter.leave("1", channel, SOCKET, member, False, ignore)


@pytest.mark.parametrize("vacate_delay", [0.0, 3.0])
def test_who_is_not_back_is_told_of_once_members_before_their_channel(vacate_delay: float) -> None:
    stage = Stage(vacate_delay)
    stage.adapter.restore(LEFT, 20.0)
    stage.loop.advance(19.9)
    assert stage.changes == []
    stage.loop.advance(0.2)
    assert stage.changes == LEFT
    stage.loop.advance(60.0)
    assert stage.changes == LEFT


@pytest.mark.parametrize("vacate_delay", [0.0, 3.0])
def test_who_is_back_is_not_told_of_at_all(vacate_delay: float) -> None:
    stage = Stage(vacate_delay)
    stage.adapter.restore(LEFT, 20.0)
    stage.join(ROOM, BOB)
    stage.loop.advance(60.0)
    assert stage.changes == [MemberRemoved("1", ROOM, "ann", "1.1")]


def test_who_is_back_and_leaves_again_within_the_grace_is_told_of_after_the_usual_delay() -> None:
    stage = Stage()
    stage.adapter.restore([ChannelVacated("1", "c")], 20.0)
    stage.join("c")
    stage.leave("c")
    stage.loop.advance(3.0)
    assert stage.changes == [ChannelVacated("1", "c")]
    stage.loop.advance(60.0)
    assert stage.changes == [ChannelVacated("1", "c")]


def test_who_comes_after_the_grace_is_new() -> None:
    stage = Stage()
    stage.adapter.restore([ChannelVacated("1", "c")], 20.0)
    stage.loop.advance(20.0)
    stage.join("c")
    assert stage.changes == [ChannelVacated("1", "c"), ChannelOccupied("1", "c")]


def test_others_are_told_of_as_ever() -> None:
    stage = Stage()
    stage.adapter.restore([ChannelVacated("1", "c")], 20.0)
    stage.join("presence-other", ANN)
    assert stage.changes == [
        ChannelOccupied("1", "presence-other"),
        MemberAdded("1", "presence-other", "ann", "2.1", None),
    ]


async def test_a_stop_tells_of_all_who_are_not_back() -> None:
    stage = Stage()
    stage.adapter.restore(LEFT, 20.0)
    await stage.adapter.stop()
    assert stage.changes == LEFT
    stage.loop.advance(60.0)
    assert stage.changes == LEFT


def test_many_are_told_in_slices_and_only_while_there_is_room() -> None:
    stage = Stage()
    room = False
    stage.adapter.restore([ChannelVacated("1", f"c{number}") for number in range(1200)], 20.0, lambda: room)
    stage.loop.advance(25.0)
    assert stage.changes == []
    room = True
    stage.loop.advance(0.02)
    assert len(stage.changes) == 500
    stage.loop.advance(0.04)
    assert [change.channel for change in stage.changes if isinstance(change, ChannelVacated)] == [
        f"c{number}" for number in range(1200)
    ]
    assert stage.loop.timers == []


def test_what_is_found_later_has_its_own_grace() -> None:
    stage = Stage()
    stage.adapter.restore([ChannelVacated("1", "a")], 20.0)
    stage.loop.advance(10.0)
    stage.adapter.restore([ChannelVacated("1", "b")], 20.0)
    stage.loop.advance(10.0)
    assert stage.changes == [ChannelVacated("1", "a")]
    stage.loop.advance(10.0)
    assert stage.changes == [ChannelVacated("1", "a"), ChannelVacated("1", "b")]


def test_present_names_channels_and_members_and_those_whose_delay_runs() -> None:
    stage = Stage()
    stage.join("c")
    stage.join(ROOM, ANN)
    stage.join("gone")
    stage.leave("gone")
    assert list(stage.adapter.present("1")) == [("c", None), (ROOM, None), (ROOM, "ann"), ("gone", None)]
    assert list(stage.adapter.present("2")) == []


def test_present_names_nobody_who_has_gone_since_it_began() -> None:
    stage = Stage(vacate_delay=0.0)
    for channel in ("a", "b", "c"):
        stage.join(channel)
    names = stage.adapter.present("1")
    assert next(names) == ("a", None)
    stage.leave("b")
    assert list(names) == [("c", None)]
