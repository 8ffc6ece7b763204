"""Subscribing too fast: nothing is refused, but the connection is not read for a moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol.effects import Effect, Pause
from sockudo_py.protocol.pacing import spend
from sockudo_py.protocol.session import Session
from tests.unit.protocol.speak import (
    client_event,
    make_app,
    make_session,
    sign_in,
    subscribe,
    subscribe_signed,
    text,
    unsubscribe,
)

RATES = st.integers(1, 10_000)


def pauses(effects: list[Effect]) -> list[float]:
    return [effect.seconds for effect in effects if isinstance(effect, Pause)]


def flood(session: Session, number: int, now: float = 0.0) -> list[list[float]]:
    """Subscribe to this many channels at once; return the pauses that each leads to."""
    found = []
    for one in range(number):
        effects = session.receive(subscribe(f"c{one}"), now)
        session.joined(f"c{one}", None)
        session.receive(unsubscribe(f"c{one}"), now)
        found.append(pauses(effects))
    return found


def test_a_burst_is_free_and_the_next_one_leads_to_a_pause() -> None:
    session = make_session(make_app(subscribes_per_second=200, subscribe_burst=500))
    *free, last = flood(session, 501)
    assert free == [[]] * 500
    assert len(last) == 1
    assert 0.005 <= last[0] <= 0.2


def test_what_leads_to_a_pause_is_not_refused() -> None:
    session = make_session(make_app(subscribes_per_second=1, subscribe_burst=1))
    flood(session, 2)
    effects = session.receive(subscribe("one-more"), 0.0)
    assert [type(effect).__name__ for effect in effects] == ["Join", "Pause"]


def test_subscriptions_that_fail_or_are_there_already_count_as_well() -> None:
    for message in (subscribe("private-c", auth="x:y"), subscribe("c"), subscribe(7)):
        session = make_session(make_app(subscribes_per_second=1, subscribe_burst=3))
        session.receive(subscribe("c"), 0.0)
        assert [pauses(session.receive(message, 0.0)) for _ in range(2)] == [[], []]
        assert pauses(session.receive(message, 0.0))


def test_everything_else_is_free() -> None:
    session = make_session(make_app(subscribes_per_second=1, subscribe_burst=1))
    session.receive(subscribe("c"), 0.0)
    for message in (unsubscribe("c"), text({"event": "pusher:ping"}), text({"event": "pusher:pong"})):
        assert pauses(session.receive(message, 0.0)) == []


def test_client_events_that_are_accepted_are_free_and_have_a_limit_of_their_own() -> None:
    session = make_session(make_app(subscribes_per_second=1, subscribe_burst=1, client_events_per_second=2))
    session.receive(subscribe_signed("private-c"), 0.0)
    session.joined("private-c", None)
    found = [pauses(session.receive(client_event("private-c"), 0.0)) for _ in range(3)]
    assert found[:2] == [[], []]
    assert found[2], "it is over its limit"


@pytest.mark.parametrize(
    "message",
    ["nonsense", "[]", text({"event": "x"}), client_event("public"), sign_in('{"id":"u"}'), sign_in("nonsense")],
    ids=["no JSON", "no object", "unknown", "client event on a public channel", "sign-in", "wrong sign-in"],
)
def test_signing_in_and_what_is_refused_counts_like_a_subscription(message: str) -> None:
    session = make_session(make_app(subscribes_per_second=1, subscribe_burst=3))
    assert [pauses(session.receive(message, 0.0)) for _ in range(3)] == [[]] * 3
    assert pauses(session.receive(message, 0.0))


def test_binary_messages_count_too() -> None:
    session = make_session(make_app(subscribes_per_second=1, subscribe_burst=1))
    assert pauses(session.receive_binary(0.0)) == []
    assert pauses(session.receive_binary(0.0))


def test_either_limit_may_be_off() -> None:
    for limits in ({"subscribes_per_second": None}, {"subscribe_burst": None}):
        session = make_session(make_app(**limits))
        assert flood(session, 2000) == [[]] * 2000


def test_an_app_may_change_its_limits_under_its_clients() -> None:
    session = make_session(make_app(subscribes_per_second=200, subscribe_burst=500))
    flood(session, 500)
    session.app = make_app(subscribes_per_second=None)
    assert flood(session, 1000) == [[]] * 1000


def test_the_default_lets_a_connection_take_all_its_10000_channels_in_48_seconds() -> None:
    session, now = make_session(), 0.0
    for number in range(10_000):
        now += sum(pauses(session.receive(subscribe_signed(f"private-{number}"), now)))
        session.joined(f"private-{number}", None)
    assert 47.0 <= now <= 48.5


@given(RATES, RATES, st.lists(st.floats(0.0, 5.0), max_size=200))
def test_who_waits_out_its_pauses_takes_no_more_than_rate_and_burst_allow(
    rate: int, burst: int, idle: list[float]
) -> None:
    paid, now, begun = 0.0, 100.0, 100.0
    for number, seconds in enumerate([*idle, *[0.0] * 200], 1):
        assert number <= burst + (now - begun) * rate + 1 + 1e-6 * rate
        paid, pause = spend(paid, now, rate, burst)
        now += pause + seconds


@given(RATES, RATES)
def test_who_has_paid_has_a_whole_burst_again(rate: int, burst: int) -> None:
    paid, now = 0.0, 0.0
    for _ in range(3):
        for number in range(min(burst, 1000)):
            paid, pause = spend(paid, now, rate, burst)
            assert pause == 0.0 or number == burst, (number, pause)
        now = paid + 0.001


@given(RATES, RATES, st.floats(0, 1e6), st.floats(0, 1e6))
def test_whoever_owes_nothing_pays_what_the_bucket_says(rate: int, burst: int, paid: float, more: float) -> None:
    """The session does not ask the bucket then."""
    now = paid + more
    session = make_session(make_app(subscribes_per_second=rate, subscribe_burst=burst))
    session.paid_until = paid
    assert pauses(session.receive(subscribe("c"), now)) == []
    assert (session.paid_until, 0.0) == spend(paid, now, rate, burst)
