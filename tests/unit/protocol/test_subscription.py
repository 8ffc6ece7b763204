"""The table of a subscription's states says what a session does: each line is tried on a real one."""

import pytest

from sockudo_py.protocol.effects import Effect, Join, Leave, Member, RefuseSubscription, Reply
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import refusal
from sockudo_py.protocol.session import Session
from sockudo_py.protocol.subscription import TRANSITIONS, Answer, Event, State
from tests.unit.protocol.speak import complaint, make_session, subscribe_signed, unsubscribe

CHANNEL = "presence-x"
FIRST, OTHER = Member("1"), Member("2")
LINES = [(state, event) for state, row in TRANSITIONS.items() for event in row]


def feed(session: Session, event: Event) -> list[Effect]:
    """Let an event happen to the subscription; the first Join is always for FIRST."""
    match event:
        case "subscribe":
            return session.receive(subscribe_signed(CHANNEL, '{"user_id":"1"}'), 0.0)
        case "subscribe as another":
            return session.receive(subscribe_signed(CHANNEL, '{"user_id":"2"}'), 0.0)
        case "unsubscribe":
            return session.receive(unsubscribe(CHANNEL), 0.0)
        case "end":
            session.end()
            return []
        case "join done":
            return session.joined(CHANNEL, {"1": "null"})
        case "join refused":
            return session.join_refused(CHANNEL, 1)
        case "join unavailable":
            return session.join_unavailable(CHANNEL)


WAYS: dict[State, list[Event]] = {
    "absent": [],
    "joining": ["subscribe"],
    "dropped": ["subscribe", "unsubscribe"],
    "changing": ["subscribe", "unsubscribe", "subscribe as another"],
    "joined": ["subscribe", "join done"],
}


def bring_to(state: State) -> Session:
    session = make_session()
    for event in WAYS[state]:
        feed(session, event)
    return session


def state_of(session: Session) -> State:
    pending = session.joins.get(CHANNEL)
    if session.subscribed(CHANNEL):
        assert pending is None
        return "joined"
    return "absent" if pending is None else pending.state


def answered(effects: list[Effect]) -> Answer:
    """Return the word for these effects, after a look at whom they are for."""
    match effects:
        case []:
            return "nothing"
        case [Join(channel=channel, member=member)] if channel == CHANNEL and member in (FIRST, OTHER):
            return "join"
        case [Leave(channel=channel, member=member)] if channel == CHANNEL and member == FIRST:
            return "leave"
        case [Leave(member=old), Join(member=new)] if (old, new) == (FIRST, OTHER):
            return "leave, join"
        case [RefuseSubscription()]:
            return "exists" if "Existing" in complaint(effects) else "refuse"
        case [Reply(payload)] if b"subscription_succeeded" in payload:
            return "confirm"
    raise AssertionError(effects)


@pytest.mark.parametrize("state", TRANSITIONS)
def test_a_session_gets_to_each_state(state: State) -> None:
    assert state_of(bring_to(state)) == state


@pytest.mark.parametrize(("state", "event"), LINES)
def test_a_session_does_what_the_table_says(state: State, event: Event) -> None:
    session = bring_to(state)
    answer = answered(feed(session, event))
    assert (state_of(session), answer) == TRANSITIONS[state][event]


@pytest.mark.parametrize("state", TRANSITIONS)
@pytest.mark.parametrize("outcome", ["join done", "join refused", "join unavailable"])
def test_a_join_that_is_not_under_way_has_no_outcome(state: State, outcome: Event) -> None:
    assert (outcome in TRANSITIONS[state]) == (state not in ("absent", "joined"))


def test_joins_of_one_session_are_not_those_of_another() -> None:
    ann, ben = make_session(), make_session()
    feed(ann, "subscribe")
    assert (state_of(ann), state_of(ben)) == ("joining", "absent")
    feed(ann, "join done")
    feed(ben, "subscribe")
    assert (state_of(ann), state_of(ben)) == ("joined", "joining")


@pytest.mark.parametrize("closed_by", ["end", "close"])
def test_a_client_that_is_gone_wants_no_join_any_more(closed_by: str) -> None:
    session = bring_to("joining")
    if closed_by == "end":
        session.end()
    else:
        session.close(refusal(ErrorCode.RECONNECT))
    assert session.joined(CHANNEL, {"1": "null"}) == [Leave(CHANNEL, FIRST)]
