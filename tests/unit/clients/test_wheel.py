import pytest

from sockudo_py.clients.wheel import MAX_TICK, MIN_TICK, Wheel, tick_for
from tests.support.edge_bench import FakeLoop


class Item:
    def __init__(self, *answers: float | None) -> None:
        self.tick = 0
        self.answers = list(answers)
        self.asked: list[float] = []
        self.aborted = 0

    def check(self, now: float) -> float | None:
        self.asked.append(now)
        return self.answers.pop(0) if self.answers else None

    def abort(self) -> None:
        self.aborted += 1


class Broken(Item):
    def check(self, now: float) -> float | None:
        raise ValueError("broken")


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def wheel(loop: FakeLoop) -> Wheel:
    wheel = Wheel(loop.clock, loop.call_later, tick=0.25)
    wheel.start()
    return wheel


def test_an_item_is_asked_at_its_time_or_up_to_a_tick_later_but_never_earlier(loop: FakeLoop, wheel: Wheel) -> None:
    items = [(1000 + 0.01 * n, Item()) for n in range(1, 400)]
    for due, item in items:
        wheel.schedule(item, due)
    loop.advance(10)
    for due, item in items:
        (asked,) = item.asked
        assert due <= asked <= due + 0.2500001


def test_the_answer_of_a_check_is_the_next_time(loop: FakeLoop, wheel: Wheel) -> None:
    item = Item(1010.0, 1020.0, None)
    wheel.schedule(item, 1005.0)
    loop.advance(100)
    assert [int(at) for at in item.asked] == [1005, 1010, 1020]
    assert len(wheel) == 0


def test_scheduling_again_moves_the_item(loop: FakeLoop, wheel: Wheel) -> None:
    item = Item()
    wheel.schedule(item, 1100.0)
    wheel.schedule(item, 1001.0)
    assert len(wheel) == 1
    loop.advance(200)
    assert [int(at) for at in item.asked] == [1001]


def test_a_cancelled_item_is_not_asked_and_not_kept(loop: FakeLoop, wheel: Wheel) -> None:
    item = Item()
    wheel.schedule(item, 1001.0)
    wheel.cancel(item)
    wheel.cancel(item)
    loop.advance(5)
    assert item.asked == []
    assert len(wheel) == 0


def test_an_item_may_schedule_itself_while_it_is_asked(loop: FakeLoop, wheel: Wheel) -> None:
    class Closing(Item):
        def check(self, now: float) -> float | None:
            if not self.asked:
                wheel.schedule(self, now + 2)
            return super().check(now)

    item = Closing()
    wheel.schedule(item, 1001.0)
    loop.advance(10)
    assert [int(at) for at in item.asked] == [1001, 1003]


def test_an_item_that_is_always_due_is_asked_once_a_tick(loop: FakeLoop, wheel: Wheel) -> None:
    item = Item(*[0.0] * 100)
    wheel.schedule(item, 0.0)
    loop.advance(2)
    assert len(item.asked) == 8


def test_an_item_whose_check_raises_is_aborted_and_the_others_are_asked(
    loop: FakeLoop, wheel: Wheel, caplog: pytest.LogCaptureFixture
) -> None:
    broken, item = Broken(), Item()
    wheel.schedule(broken, 1001.0)
    wheel.schedule(item, 1001.0)
    loop.advance(5)
    assert broken.aborted == 1
    assert len(item.asked) == 1
    assert "a timed check failed" in caplog.text


def test_thousands_due_at_once_are_asked_in_slices_of_the_loop(loop: FakeLoop, wheel: Wheel) -> None:
    items = [Item() for _ in range(1800)]
    for item in items:
        wheel.schedule(item, 1001.0)
    turns = loop.turns
    loop.advance(1.25)
    assert all(len(item.asked) == 1 for item in items)
    assert loop.turns - turns >= 5 + 3


def test_after_a_long_sleep_of_the_machine_everything_overdue_is_asked_once(loop: FakeLoop, wheel: Wheel) -> None:
    items = [Item() for _ in range(10)]
    for number, item in enumerate(items):
        wheel.schedule(item, 1001.0 + number)
    loop.now += 86400
    loop.advance(1)
    assert [len(item.asked) for item in items] == [1] * 10


def test_a_stopped_wheel_asks_nobody(loop: FakeLoop, wheel: Wheel) -> None:
    item = Item()
    wheel.schedule(item, 1001.0)
    wheel.stop()
    loop.advance(5)
    assert item.asked == []
    assert loop.pending == 0


def test_abort_all_empties_the_wheel(wheel: Wheel) -> None:
    items = [Item() for _ in range(5)]
    for number, item in enumerate(items):
        wheel.schedule(item, 1001.0 + number)
    wheel.abort_all()
    assert [item.aborted for item in items] == [1] * 5
    assert len(wheel) == 0


@pytest.mark.parametrize(
    ("timeouts", "tick"), [((120.0, 30.0), MAX_TICK), ((1.0, 120.0), 0.1), ((0.001,), MIN_TICK), ((), MAX_TICK)]
)
def test_the_tick_follows_the_shortest_timeout(timeouts: tuple[float, ...], tick: float) -> None:
    assert tick_for(*timeouts) == tick
