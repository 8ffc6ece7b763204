"""What only the local adapter promises: one timer, and no work that grows."""

import asyncio
from itertools import pairwise

import pytest

from sockudo_py.adapters.base import Left
from sockudo_py.adapters.local import CHANGES_PER_TURN, LocalAdapter
from sockudo_py.changes import ChannelVacated
from sockudo_py.protocol.source import Source
from tests.support.changes import Changes
from tests.support.fake_loop import FakeLoop

SOURCE = Source("1", "1.1", "192.0.2.1")


def ignore(outcome: object) -> None:
    pass


def started(loop: FakeLoop, delay: float = 3.0) -> tuple[LocalAdapter, Changes]:
    adapter = LocalAdapter(delay, loop.call_later, loop.clock)
    changes = Changes()
    adapter.start(ignore, changes)
    return adapter, changes


def test_one_timer_serves_all_pending_changes_each_at_its_time() -> None:
    loop = FakeLoop()
    adapter, changes = started(loop)
    for number in range(3):
        adapter.join("1", f"c{number}", SOURCE, None, 100, False, ignore)
        adapter.leave("1", f"c{number}", SOURCE, None, False, ignore)
        assert len(loop.timers) == 1
        loop.advance(1.0)
    changes_at = []
    for _ in range(3):
        changes_at.append([change.channel for change in changes if isinstance(change, ChannelVacated)])
        loop.advance(1.0)
    assert changes_at == [["c0"], ["c0", "c1"], ["c0", "c1", "c2"]]
    assert loop.timers == []


def test_flapping_leaves_nothing_behind() -> None:
    loop = FakeLoop()
    adapter, changes = started(loop)
    for _ in range(1000):
        adapter.join("1", "c", SOURCE, None, 100, False, ignore)
        adapter.leave("1", "c", SOURCE, None, False, ignore)
    assert len(loop.timers) == 1
    loop.advance(3.0)
    assert len(changes) == 2
    assert loop.timers == []


def test_there_is_a_bound_to_what_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockudo_py.adapters.local.PUT_OFF_AT_MOST", 3)
    adapter, changes = started(FakeLoop(), delay=0.0)
    adapter.put_off(lambda source: True)
    for number in range(5):
        adapter.join("1", f"c{number}", SOURCE, None, 100, False, ignore)
        adapter.leave("1", f"c{number}", SOURCE, None, False, ignore)
    assert [change.channel for change in changes if isinstance(change, ChannelVacated)] == ["c0", "c1"]


def test_answers_come_before_the_call_returns() -> None:
    adapter, _ = started(FakeLoop())
    answers: list[object] = []
    adapter.join("1", "c", SOURCE, None, 100, False, answers.append)
    adapter.leave("1", "c", SOURCE, None, False, answers.append)
    assert answers[1:] == [Left(0)]


def test_an_answer_may_lead_to_the_next_step() -> None:
    adapter, _ = started(FakeLoop())
    answers: list[object] = []
    adapter.join(
        "1", "c", SOURCE, None, 100, False, lambda _: adapter.leave("1", "c", SOURCE, None, False, answers.append)
    )
    assert answers == [Left(0)]


def test_an_adapter_that_was_not_started_says_so() -> None:
    loop = FakeLoop()
    adapter = LocalAdapter(3.0, loop.call_later, loop.clock)
    with pytest.raises(RuntimeError, match="before start"):
        adapter.join("1", "c", SOURCE, None, 100, False, ignore)


def test_a_crowd_that_is_due_at_once_is_told_in_slices() -> None:
    loop = FakeLoop()
    adapter, changes = started(loop)
    for number in range(3 * CHANGES_PER_TURN):
        adapter.join("1", f"c{number}", SOURCE, None, 100, False, ignore)
        adapter.leave("1", f"c{number}", SOURCE, None, False, ignore)
    changes.clear()
    loop.now += 3.0
    slices = []
    while loop.timers:
        _, _, emit = loop.timers.pop()
        emit()
        slices.append(len(changes))
    assert slices == [CHANGES_PER_TURN, 2 * CHANGES_PER_TURN, 3 * CHANGES_PER_TURN]
    assert changes == [ChannelVacated("1", f"c{number}") for number in range(3 * CHANGES_PER_TURN)]


@pytest.mark.parametrize("put_off", [False, True])
async def test_a_stop_tells_everything_in_order_and_leaves_turns_to_others(put_off: bool) -> None:
    adapter, changes = started(FakeLoop(), delay=0.0 if put_off else 3.0)
    adapter.put_off(lambda source: True)
    for number in range(3 * CHANGES_PER_TURN):
        adapter.join("1", f"c{number}", SOURCE, None, 100, False, ignore)
        adapter.leave("1", f"c{number}", SOURCE, None, False, ignore)
    changes.clear()
    stopping = asyncio.create_task(adapter.stop())
    seen = [0]
    while not stopping.done():
        await asyncio.sleep(0)
        seen.append(len(changes))
    assert max(after - before for before, after in pairwise(seen)) == CHANGES_PER_TURN
    assert changes == [ChannelVacated("1", f"c{number}") for number in range(3 * CHANGES_PER_TURN)]
