"""Who is not read while the spool is crowded, from when on, and until when."""

import logging

import pytest

from sockudo_py.metrics import Metrics
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.crowding import LOOK_INTERVAL, RECENT_MS, REVIEW_INTERVAL, Crowding, Free
from sockudo_py.webhooks.spool.memory import Spool, SpoolLimits
from sockudo_py.webhooks.spool.noise import Noise

LOUD, LOUDER, QUIET = (Source("a", f"1.{number}", f"192.0.2.{number}") for number in range(3))
NOW = 1_700_000_000.0


class Scene:
    """A spool, its watch, and a brake that remembers."""

    def __init__(self, max_bytes: int = 67_108_864, max_events: int = 1000) -> None:
        self.now = NOW
        self.held: list[Noise] = []
        self.put_off = 0
        self.gone: set[Source] = set()
        self.metrics = WebhookMetrics(Metrics())
        self.spool = Spool(SpoolLimits(max_events=max_events, max_bytes=max_bytes))
        self.crowding = Crowding(self.spool, self.metrics, self, lambda: self.now)
        self._made = 0

    def hold(self, noise: Noise) -> None:
        self.held.append(noise)

    def crowded(self, crowded: bool) -> None:
        pass

    def here(self, source: Source) -> bool:
        return source not in self.gone

    def catch_up(self) -> bool:
        self.put_off -= 1
        return self.put_off > 0

    def put(self, source: Source | None, number: int = 1, size: int = 10) -> None:
        for _ in range(number):
            self._made += 1
            event = Append(str(self._made), "wh", "a", b"x" * size, int(self.now * 1000), source=source)
            if self.spool.put(event):
                self.crowding.grown()

    def take(self, number: int) -> None:
        self.spool.take(number)
        self.crowding.shrunk()

    @property
    def sources(self) -> set[Source]:
        return set(self.held[-1].sources) if self.held else set()


def test_nobody_is_held_while_the_spool_is_not_half_full() -> None:
    scene = Scene()
    scene.put(LOUD, 500)
    assert scene.held == []


def test_from_half_full_on_the_noisy_are_held_and_the_quiet_are_not() -> None:
    scene = Scene()
    scene.put(QUIET, 9)
    scene.put(LOUD, 492)
    assert scene.held == [Noise(frozenset({LOUD}))]
    assert scene.metrics.spool_noisy.values == {("connection",): 1, ("address",): 0}


def test_they_are_held_until_it_is_a_quarter_full() -> None:
    scene = Scene()
    scene.put(LOUD, 501)
    scene.take(251)
    assert scene.sources == {LOUD}
    scene.take(1)
    assert scene.sources == set()
    assert scene.metrics.spool_noisy.values == {("connection",): 0, ("address",): 0}


def test_what_was_put_off_is_told_before_anybody_is_read_again() -> None:
    scene = Scene()
    scene.put(LOUD, 501)
    scene.put_off = 3
    scene.take(500)
    scene.take(1)
    assert scene.sources == {LOUD}
    scene.take(0)
    assert scene.sources == set()


def test_nobody_is_held_for_long_because_much_was_put_off() -> None:
    scene = Scene()
    scene.put(LOUD, 501)
    scene.put_off = 1000
    scene.take(500)
    assert scene.sources == {LOUD}
    scene.now += REVIEW_INTERVAL
    scene.take(0)
    assert scene.sources == set()
    scene.put(LOUD, 501)
    assert scene.sources == {LOUD}, "it is looked at again when it is half full"


def test_who_becomes_noisy_meanwhile_is_found_at_the_next_step() -> None:
    scene = Scene()
    scene.put(LOUD, 501)
    scene.now += LOOK_INTERVAL
    scene.put(LOUDER, 62)
    assert scene.sources == {LOUD}
    scene.put(LOUDER, 2)
    assert scene.sources == {LOUD, LOUDER}


def test_a_look_is_taken_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    looks: list[int] = []

    def look(events: list[Append], *, in_bytes: bool) -> dict[Source, int]:
        looks.append(len(events))
        return {}

    monkeypatch.setattr("sockudo_py.webhooks.spool.crowding.totals_of", look)
    for _ in range(20):
        scene.put(LOUD, 25)
        scene.now += LOOK_INTERVAL / 10
    assert scene.spool.share == 0.5
    looks.clear()
    for _ in range(20):
        scene.put(LOUD, 25)
        scene.now += LOOK_INTERVAL / 10
    assert 1 <= len(looks) <= 3


def test_bytes_crowd_as_well() -> None:
    scene = Scene(max_bytes=1_000_000)
    scene.put(QUIET, 30)
    scene.put(LOUD, 50, size=10_000)
    assert scene.sources == {LOUD}


def test_a_queue_that_is_away_for_long_holds_only_those_who_were_noisy_lately() -> None:
    scene = Scene()
    scene.put(LOUD, 501)
    scene.now += RECENT_MS / 1000 - 1
    scene.crowding.shrunk()
    assert scene.sources == {LOUD}
    scene.now += REVIEW_INTERVAL + 2
    scene.put(QUIET, 9)
    scene.crowding.shrunk()
    assert scene.sources == set()


def crowd(number: int, address: str = "192.0.2.77") -> list[Source]:
    return [Source("a", f"77.{one}", address) for one in range(number)]


def test_more_than_a_thousand_connections_of_one_address_are_held_though_each_has_little() -> None:
    scene = Scene(max_events=10_000)
    many = crowd(1001)
    for source in many:
        scene.put(source, 5)
    assert len(many) - len(scene.sources) == 100, "a twentieth is left"


def test_who_is_gone_does_not_have_others_of_its_address_held() -> None:
    scene = Scene(max_events=10_000)
    (quiet, *gone) = crowd(2501)
    scene.gone = set(gone)
    for source in (quiet, *gone):
        scene.put(source, 2)
    assert scene.held[-1].addresses == {("a", "192.0.2.77")}
    assert quiet not in scene.sources


@pytest.mark.parametrize("away", [False, True])
def test_a_crowd_of_one_address_is_not_held_while_the_queue_is_away_for_long(away: bool) -> None:
    scene = Scene()
    scene.crowding.queue(away=away)
    for source in crowd(501):
        scene.put(source)
    assert scene.held[-1].addresses, "it may be back at once"
    scene.now += REVIEW_INTERVAL
    scene.crowding.shrunk()
    assert bool(scene.held[-1].addresses) is not away
    assert bool(scene.sources) is not away
    scene.put(LOUD, 20)
    scene.now += REVIEW_INTERVAL
    scene.crowding.shrunk()
    assert LOUD in scene.sources, "one connection is not a crowd"


def test_a_crowd_is_not_held_for_an_endpoint_that_the_queue_has_no_room_for() -> None:
    scene = Scene()
    for source in crowd(501):
        scene.put(source)
    scene.spool.hold_back(scene.spool.drain())
    scene.now += REVIEW_INTERVAL
    scene.crowding.shrunk()
    assert not scene.held[-1]


def test_a_crowd_is_held_for_a_full_endpoint_that_takes_some_events_as_long_as_it_does() -> None:
    scene = Scene()
    for source in crowd(501):
        scene.put(source)
    scene.spool.hold_back(scene.spool.drain())
    scene.now += REVIEW_INTERVAL
    scene.crowding.progress()
    scene.crowding.shrunk()
    assert scene.held[-1].addresses
    scene.now += REVIEW_INTERVAL
    scene.crowding.shrunk()
    assert not scene.held[-1].addresses, "it may be dead"


def test_it_is_told_when_it_begins_and_when_it_ends_and_not_in_between(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    with caplog.at_level(logging.INFO):
        scene.put(LOUD, 501)
        scene.now += LOOK_INTERVAL
        scene.put(LOUDER, 300)
        scene.take(800)
    begin, end = caplog.records
    assert begin.__dict__["clients"] == 1
    assert begin.__dict__["noisiest"] == [
        {"app_id": "a", "socket_id": LOUD.socket_id, "address": LOUD.address, "events": 501}
    ]
    assert "read again" in end.message


def test_a_spool_that_is_full_of_nobodys_events_holds_nobody_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    with caplog.at_level(logging.INFO):
        scene.put(None, 900)
        scene.take(900)
    assert scene.held == []
    assert caplog.records == []


def test_where_there_is_no_brake_nothing_happens() -> None:
    free = Free()
    free.hold(Noise(frozenset({LOUD})))
    assert not free.catch_up()
