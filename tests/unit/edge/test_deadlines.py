from sockudo_py.clients.wheel import Wheel
from sockudo_py.edge.deadlines import DeadlineQueue
from tests.support.edge_bench import FakeLoop


class Visitor:
    def __init__(self) -> None:
        self.fate = ""

    def on_timeout(self, queue: DeadlineQueue) -> None:
        self.fate = "late"

    def on_evicted(self, queue: DeadlineQueue) -> None:
        self.fate = "evicted"

    def drop(self) -> None:
        self.fate = "dropped"


def queue(loop: FakeLoop, seconds: float = 10.0, capacity: int = 100) -> tuple[DeadlineQueue, Wheel]:
    wheel = Wheel(loop.clock, loop.call_later)
    wheel.start()
    return DeadlineQueue(wheel, seconds, capacity), wheel


def test_who_waits_too_long_is_told_within_a_tick() -> None:
    loop = FakeLoop()
    waiting, _ = queue(loop)
    visitor = Visitor()
    waiting.enter(visitor, loop.now)
    loop.advance(9.9)
    assert visitor.fate == ""
    loop.advance(0.4)
    assert visitor.fate == "late"
    assert len(waiting) == 0


def test_who_leaves_is_not_told_and_not_kept() -> None:
    loop = FakeLoop()
    waiting, _ = queue(loop)
    visitor = Visitor()
    waiting.enter(visitor, loop.now)
    waiting.leave(visitor)
    waiting.leave(visitor)
    assert len(waiting) == 0
    loop.advance(30)
    assert visitor.fate == ""


def test_entering_again_begins_anew() -> None:
    loop = FakeLoop()
    waiting, _ = queue(loop)
    patient, other = Visitor(), Visitor()
    waiting.enter(patient, loop.now)
    waiting.enter(other, loop.now)
    for _ in range(5):
        loop.advance(8)
        waiting.enter(patient, loop.now)
    assert (patient.fate, other.fate) == ("", "late")


def test_each_is_told_at_its_own_time() -> None:
    loop = FakeLoop()
    waiting, _ = queue(loop)
    visitors = [Visitor() for _ in range(20)]
    for visitor in visitors:
        waiting.enter(visitor, loop.now)
        loop.advance(1)
    for number, visitor in enumerate(visitors):
        age = 20 - number
        assert visitor.fate == ("late" if age > 10 else ""), number


def test_a_full_queue_sends_away_who_waited_longest() -> None:
    loop = FakeLoop()
    waiting, _ = queue(loop, capacity=3)
    visitors = [Visitor() for _ in range(5)]
    for visitor in visitors:
        waiting.enter(visitor, loop.now)
    assert [visitor.fate for visitor in visitors] == ["evicted", "evicted", "", "", ""]
    assert len(waiting) == 3


def test_thousands_that_are_late_at_once_are_told_in_slices() -> None:
    loop = FakeLoop()
    waiting, _ = queue(loop, capacity=10_000)
    visitors = [Visitor() for _ in range(1700)]
    for visitor in visitors:
        waiting.enter(visitor, loop.now)
    loop.advance(10.3)
    assert sum(visitor.fate == "late" for visitor in visitors) == 1000
    loop.advance(1)
    assert sum(visitor.fate == "late" for visitor in visitors) == 1700


def test_an_empty_queue_costs_the_wheel_nothing() -> None:
    loop = FakeLoop()
    waiting, wheel = queue(loop)
    waiting.enter(visitor := Visitor(), loop.now)
    waiting.leave(visitor)
    loop.advance(20)
    assert len(wheel) == 0


def test_aborting_the_wheel_drops_everybody() -> None:
    loop = FakeLoop()
    waiting, wheel = queue(loop)
    visitors = [Visitor() for _ in range(3)]
    for visitor in visitors:
        waiting.enter(visitor, loop.now)
    wheel.abort_all()
    assert {visitor.fate for visitor in visitors} == {"dropped"}
