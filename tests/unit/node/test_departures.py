"""Clients that hold many channels leave them over several turns; nothing is lost or out of order."""

from collections.abc import Callable
from typing import cast

import pytest

from sockudo_py.hub import Sink
from sockudo_py.node.departures import FEW, LEAVES_PER_TURN, Departures
from sockudo_py.protocol.effects import Member

ONE, TWO = cast("Sink", "one"), cast("Sink", "two")


class Stage:
    def __init__(self) -> None:
        self.log: list[tuple[Sink, str]] = []
        self.soon: list[Callable[[], None]] = []
        self.departures = Departures(self._leave, self.soon.append)

    def _leave(self, client: Sink, channel: str, member: Member | None) -> None:
        self.log.append((client, channel))

    def add(self, client: Sink, count: int) -> None:
        held: list[tuple[str, Member | None]] = [(str(index), None) for index in range(count)]
        self.departures.add(client, held, lambda: self.log.append((client, "done")))

    def turn(self) -> None:
        due, self.soon[:] = list(self.soon), []
        for call in due:
            call()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def everything(client: Sink, count: int) -> list[tuple[Sink, str]]:
    return [*((client, str(index)) for index in range(count)), (client, "done")]


def test_few_channels_are_left_at_once(stage: Stage) -> None:
    stage.add(ONE, FEW)
    assert stage.log == everything(ONE, FEW)
    assert stage.soon == []


def test_many_channels_are_left_over_several_turns_and_in_order(stage: Stage) -> None:
    count = LEAVES_PER_TURN + 10
    stage.add(ONE, count)
    assert stage.log == []
    stage.turn()
    assert len(stage.log) == LEAVES_PER_TURN
    stage.turn()
    assert stage.log == everything(ONE, count)
    assert stage.soon == []


def test_the_clients_of_one_moment_share_a_turn(stage: Stage) -> None:
    for client in (ONE, TWO):
        stage.add(client, LEAVES_PER_TURN)
    assert len(stage.soon) == 1
    stage.turn()
    assert len(stage.log) <= LEAVES_PER_TURN + 1
    while stage.soon:
        stage.turn()
    assert stage.log == everything(ONE, LEAVES_PER_TURN) + everything(TWO, LEAVES_PER_TURN)


def test_finishing_leaves_everything_at_once(stage: Stage) -> None:
    stage.add(ONE, 3 * LEAVES_PER_TURN)
    stage.departures.finish()
    assert stage.log == everything(ONE, 3 * LEAVES_PER_TURN)
    while stage.soon:
        stage.turn()
    assert len(stage.log) == 3 * LEAVES_PER_TURN + 1
