import asyncio

import pytest

from tests.faults.standstills import TURN, Standstills


def found(*turns: tuple[float, float, float]) -> Standstills:
    standstills = Standstills()
    for turn in turns:
        standstills.note(*turn)
    return standstills


def test_a_late_turn_in_which_the_process_did_nothing_is_taken_off() -> None:
    standstills = found((10.0, 10.0 + TURN + 0.3, 0.0))
    assert standstills.between(9.0, 11.0) == pytest.approx(1.7)
    assert standstills.between(10.0, 10.0 + TURN + 0.3) == pytest.approx(TURN)  # it ends before the next look


def test_a_late_turn_in_which_the_process_worked_counts() -> None:
    assert found((10.0, 10.0 + TURN + 0.3, 0.3)).between(9.0, 11.0) == 2.0


def test_what_lies_before_or_after_a_standstill_does_not_profit_by_it() -> None:
    standstills = found((10.0, 10.5, 0.0))
    assert standstills.between(8.0, 9.0) == 1.0
    assert standstills.between(11.0, 12.0) == 1.0
    assert standstills.between(10.4, 12.0) == pytest.approx(1.5)


def test_small_delays_are_not_taken_off() -> None:
    assert found((10.0, 10.0 + TURN + 0.015, 0.0)).between(9.0, 11.0) == 2.0


@pytest.mark.parametrize(("worked", "counted"), [(0.5, 1.0), (0.0, 0.5)], ids=["busy", "stopped"])
async def test_the_loop_is_watched_while_the_block_runs(worked: float, counted: float) -> None:
    clock, processor = [100.0], [5.0]
    async with Standstills(lambda: clock[0], lambda: processor[0]) as standstills:
        await asyncio.sleep(0)
        clock[0] += 0.5 + TURN
        processor[0] += worked
        await asyncio.sleep(5 * TURN)  # its timer is due before this one
    assert standstills.between(100.0, 101.0) == pytest.approx(counted)
