"""Clients that are gone are worked off over several turns where they are many; nothing is lost or out of order."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from sockudo_py.changes import ChannelVacated
from sockudo_py.hub import Sink
from sockudo_py.node.departures import STEPS_PER_TURN, Departures
from tests.unit.node.kit import Bench

ONE, TWO = cast("Sink", "one"), cast("Sink", "two")
MANY = STEPS_PER_TURN + 10


class Stage:
    def __init__(self) -> None:
        self.log: list[tuple[Sink, str]] = []
        self.soon: list[Callable[[], None]] = []
        self.channels: dict[Sink, int] = {}
        self.departures = Departures(self._depart, self.soon.append)

    def _depart(self, client: Sink) -> Iterator[None]:
        for index in range(self.channels[client]):
            self.log.append((client, str(index)))
            yield
        self.log.append((client, "done"))

    def add(self, client: Sink, count: int) -> None:
        self.channels[client] = count
        self.departures.add(client)

    def turn(self) -> None:
        due, self.soon[:] = list(self.soon), []
        for call in due:
            call()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def everything(client: Sink, count: int) -> list[tuple[Sink, str]]:
    return [*((client, str(index)) for index in range(count)), (client, "done")]


def test_few_are_gone_at_once(stage: Stage) -> None:
    stage.add(ONE, 8)
    stage.add(TWO, 8)
    assert stage.log == everything(ONE, 8) + everything(TWO, 8)
    assert stage.soon == []


def test_one_with_many_channels_leaves_them_over_several_turns_and_in_order(stage: Stage) -> None:
    stage.add(ONE, MANY)
    assert len(stage.log) == STEPS_PER_TURN
    stage.turn()
    assert stage.log == everything(ONE, MANY)
    assert stage.soon == []


def test_whoever_goes_meanwhile_comes_after_those_who_went_before(stage: Stage) -> None:
    stage.add(ONE, MANY)
    stage.add(TWO, 1)
    assert len(stage.soon) == 1
    while stage.soon:
        stage.turn()
    assert stage.log == everything(ONE, MANY) + everything(TWO, 1)


def test_the_steps_of_a_turn_are_counted_over_all_who_go_in_it(stage: Stage) -> None:
    for number in range(STEPS_PER_TURN):
        stage.add(cast("Sink", str(number)), 1)
    assert len(stage.log) == STEPS_PER_TURN
    stage.turn()
    assert len(stage.log) == 2 * STEPS_PER_TURN


async def test_finishing_leaves_everything_and_others_have_their_turns(stage: Stage) -> None:
    stage.add(ONE, 3 * STEPS_PER_TURN)
    await stage.departures.finish()
    assert stage.log == everything(ONE, 3 * STEPS_PER_TURN)
    while stage.soon:
        stage.turn()
    assert len(stage.log) == 3 * STEPS_PER_TURN + 1


def test_a_failure_costs_one_client_its_end_and_nobody_else(stage: Stage) -> None:
    def fail(client: Sink) -> Iterator[None]:
        raise RuntimeError("a fault of ours")
        yield

    depart = stage.departures._depart
    stage.departures._depart = fail
    with pytest.raises(RuntimeError, match="a fault of ours"):
        stage.add(ONE, 1)
    stage.departures._depart = depart
    stage.add(TWO, 1)
    stage.turn()
    assert stage.log == everything(TWO, 1)


def test_of_5000_clients_that_go_in_one_turn_each_turn_works_off_some_hundreds() -> None:
    """They are no connections any more at once; what they leave behind is told in order, and nothing of it is lost."""
    bench = Bench(vacate_delay=0.0)
    clients = [bench.subscriber(f"channel-{number}") for number in range(5000)]
    bench.changes.clear()
    for client in clients:
        bench.node.disconnect(client)
    assert bench.node.connections() == 0
    told = [len(bench.changes)]
    while bench.loop.soon:
        bench.loop.turn()
        told.append(len(bench.changes))
    assert told[-1] == 10_000  # a vacated channel and a terminated connection each
    assert max(after - before for before, after in zip([0, *told], told, strict=False)) <= STEPS_PER_TURN
    vacated = [change.channel for change in bench.changes if isinstance(change, ChannelVacated)]
    assert vacated == [f"channel-{number}" for number in range(5000)]
