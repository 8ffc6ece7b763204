"""The tap tells those who follow; the recorder keeps refusals and flights within its bounds."""

import json

from sockudo_py.tap import Row, Tap
from sockudo_py.tap.recorder import FLIGHT_BYTES, FLIGHT_SECONDS, MOST_APPS, MOST_FLIGHTS, MOST_REFUSALS


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def tell(tap: Tap, socket_id: str, kind: str = "subscribe", **details: object) -> None:
    tap.tell(kind, "app", socket_id, "my-channel", None, lambda: details)


def refuse(
    tap: Tap, reason: str, *, app_id: str = "app", socket_id: str | None = None, address: str = "1.2.3.4"
) -> None:
    tap.refused("subscription", reason, f"told {reason}", app_id=app_id, socket_id=socket_id, address=address)


def test_nobody_follows_at_first_and_after_the_last_has_left() -> None:
    tap = Tap()
    rows: list[Row] = []
    assert not tap.on
    assert not tap.cold
    tap.follow(rows.append)
    assert tap.on
    assert tap.cold
    tell(tap, "1.1")
    tap.leave(rows.append)
    assert not tap.on
    assert not tap.cold
    assert [(row.kind, row.app_id, row.socket_id, row.channel) for row in rows] == [
        ("subscribe", "app", "1.1", "my-channel")
    ]


def test_a_refusal_is_kept_and_told() -> None:
    clock = Clock()
    tap = Tap(clock)
    rows: list[Row] = []
    tap.follow(rows.append)
    refuse(tap, "no_auth", socket_id="1.1")
    (kept,) = tap.recorder.refusals("app")
    assert (kept.what, kept.reason, kept.error, kept.count) == ("subscription", "no_auth", "told no_auth", 1)
    assert [row.kind for row in rows] == ["refuse"]
    assert rows[0].details()["reason"] == "no_auth"


def test_equal_refusals_are_one_with_a_count_and_the_last_comes_first() -> None:
    clock = Clock()
    tap = Tap(clock)
    refuse(tap, "no_auth")
    refuse(tap, "unknown_key")
    clock.now += 5
    refuse(tap, "no_auth")
    found = tap.recorder.refusals("app")
    assert [(one.reason, one.count) for one in found] == [("no_auth", 2), ("unknown_key", 1)]
    assert found[0].last_ms - found[0].first_ms == 5000
    assert tap.recorder.refusals("other") == []


def test_refusals_are_bounded_by_app_and_in_all() -> None:
    tap = Tap()
    for number in range(MOST_REFUSALS + 7):
        refuse(tap, "no_auth", address=f"10.0.0.{number}")
    assert len(tap.recorder.refusals("app")) == MOST_REFUSALS
    for number in range(MOST_APPS + 7):
        refuse(tap, "no_auth", app_id=f"app-{number}")
    assert len(tap.recorder.refusals()) == MOST_APPS


def test_a_flight_begins_with_a_refusal_and_holds_what_comes_then() -> None:
    clock = Clock()
    tap = Tap(clock)
    tell(tap, "1.1")
    refuse(tap, "no_auth", socket_id="1.1")
    assert tap.cold
    assert not tap.on
    tell(tap, "1.1", kind="unsubscribe")
    tell(tap, "1.2", kind="unsubscribe")
    assert [row["kind"] for row in tap.recorder.flight("1.1")] == ["refuse", "unsubscribe"]
    assert tap.recorder.flight("1.2") == []


def test_a_flight_that_somebody_asks_for_needs_all_rows() -> None:
    tap = Tap()
    tap.recorder.watch("1.1")
    assert tap.on


def test_flights_end() -> None:
    clock = Clock()
    tap = Tap(clock)
    tap.recorder.watch("1.1")
    refuse(tap, "no_auth", socket_id="1.2")
    clock.now += FLIGHT_SECONDS + 1
    tap.recorder.expire()
    assert not tap.on
    assert not tap.cold
    assert tap.recorder.flight("1.1") == []


def test_a_flight_has_at_most_a_kilobyte_and_there_are_at_most_500() -> None:
    tap = Tap()
    tap.recorder.watch("1.1")
    for number in range(100):
        tell(tap, "1.1", number=number, text="x" * 1000)
    rows = tap.recorder.flight("1.1")
    assert rows[-1]["number"] == 99
    assert sum(len(json.dumps(row, separators=(",", ":"))) for row in rows) <= FLIGHT_BYTES
    for number in range(MOST_FLIGHTS + 5):
        tap.recorder.watch(f"2.{number}")
    assert len(tap.recorder.flights) == MOST_FLIGHTS
    assert tap.recorder.watched == MOST_FLIGHTS
