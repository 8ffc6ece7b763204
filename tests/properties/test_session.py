"""Whatever a client sends, a session answers; and whatever order things come in, its books are right."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Close, Effect, Join, Leave, Ping, Relay, Reply, SignIn
from sockudo_py.protocol.session import Session, Settings
from tests.unit.protocol.speak import (
    SOCKET,
    alive,
    client_event,
    make_app,
    make_session,
    sign_in,
    subscribe,
    subscribe_signed,
    text,
    unsubscribe,
)

KNOWN_EVENTS = [
    "pusher:subscribe",
    "pusher:unsubscribe",
    "pusher:signin",
    "pusher:ping",
    "pusher:pong",
    "client-a",
    "pusher:error",
    "pusher_internal:member_added",
]
VALID = [
    subscribe("my-channel", auth=""),
    subscribe_signed("private-room"),
    subscribe_signed("presence-room", '{"user_id":1,"user_info":{"name":"A"}}'),
    unsubscribe("my-channel"),
    sign_in('{"id":"12345","watchlist":["2"]}'),
    client_event("private-room", data={"on": True}),
    client_event("presence-room", data="x"),
    '{"event":"pusher:ping","data":{}}',
]
NAMES = ["my-channel", "private-room", "presence-room", "cache-x", "#server-to-user-12345", "a b", ""]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(NAMES + VALID)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
parameter_names = st.sampled_from(["channel", "auth", "channel_data", "user_data", "event", "data"])
parameters = st.dictionaries(parameter_names | st.text(max_size=5), values, max_size=5)
shaped = st.fixed_dictionaries(
    {"event": st.sampled_from(KNOWN_EVENTS) | values},
    optional={"data": parameters | parameters.map(json.dumps) | values, "channel": values, "user_id": values},
).map(json.dumps)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid message with some characters taken out, put in, or turned into others."""
    message = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(message)))
        width = draw(st.integers(0, 3))
        message = message[:at] + draw(st.text('{}[]":,\\u0d8-e19 \x00é', max_size=3)) + message[at + width :]
    return message


messages = st.text() | values.map(json.dumps) | shaped | mutated() | st.sampled_from(VALID)


def prepared() -> Session:
    """Return a session that has been through something, so that messages get far."""
    session = make_session(make_app(watchlist=True), settings=Settings(error_style="both"))
    carry_out(session, session.receive(VALID[1], 0.0))
    carry_out(session, session.receive(VALID[2], 0.0))
    return session


def carry_out(session: Session, effects: Iterable[Effect]) -> None:
    """Answer joins and sign-ins at once, as a node on its own does; check what is sent."""
    for effect in effects:
        match effect:
            case Join(channel, member):
                carry_out(session, session.joined(channel, None if member is None else {member.user_id: "null"}))
            case SignIn(user_id, watchlist):
                carry_out(session, session.signed_in(user_id, frozenset() if watchlist else None))
            case Reply(payload) | Relay(payload=payload):
                check_message(payload)
            case Leave():
                pass
            case Close():
                raise AssertionError("no message closes a connection")


def check_message(payload: bytes) -> None:
    """Check what holds for every message of the server."""
    message: dict[str, Any] = json.loads(payload)
    event, data = message["event"], message["data"]
    assert isinstance(event, str)
    if event in ("pusher:error", "pusher:subscription_error"):
        assert isinstance(data, dict)
    else:
        assert isinstance(data, str)
        return
    if event == "pusher:error":
        assert data["code"] in (None, 4301, 4302)
        assert data["message"]


@given(messages)
def test_no_text_makes_a_session_raise(message: str) -> None:
    session = prepared()
    carry_out(session, session.receive(message, 0.0))
    assert alive(session)


@given(st.binary() | st.builds(lambda valid, junk: valid.encode() + junk, st.sampled_from(VALID), st.binary()))
def test_no_bytes_make_a_session_raise(message: bytes) -> None:
    session = prepared()
    carry_out(session, session.receive(message, 0.0))
    assert alive(session)


@given(st.lists(messages, max_size=12))
def test_no_sequence_of_messages_makes_a_session_raise(sequence: list[str]) -> None:
    session = prepared()
    for message in sequence:
        carry_out(session, session.receive(message, 0.0))
    assert alive(session)


@given(st.text(), st.integers(1, 3))
def test_data_of_a_client_event_that_is_a_string_arrives_unchanged(data: str, depth: int) -> None:
    session = prepared()
    for _ in range(depth):
        data = text(data)
    (effect,) = session.receive(client_event("private-room", data=data), 0.0)
    if isinstance(effect, Relay):
        assert json.loads(effect.payload)["data"] == effect.data == data
    else:
        assert "\\ud" in text(data)  # a lone surrogate: not text, so not relayed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé", max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_data_of_a_client_event_that_is_no_string_arrives_as_its_json(data: object) -> None:
    (effect,) = prepared().receive(client_event("private-room", data=data), 0.0)
    assert isinstance(effect, Relay)
    assert json.loads(json.loads(effect.payload)["data"]) == data


CHANNELS = ["a", "presence-x"]
MEMBERS = ['{"user_id":"1"}', '{"user_id":"2"}']
steps = st.tuples(
    st.sampled_from(["subscribe", "unsubscribe", "joined", "refused", "unavailable", "end"]),
    st.sampled_from(CHANNELS),
    st.sampled_from(MEMBERS),
)


@given(st.lists(steps, max_size=25))
def test_every_join_that_was_counted_is_held_or_given_back(sequence: list[tuple[str, str, str]]) -> None:
    """The node's books: a channel is counted by its joins less its leaves, for the very same member."""
    session = make_session()
    under_way: dict[str, Join] = {}
    counted: dict[str, list[object]] = {channel: [] for channel in CHANNELS}

    def book(effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Join):
                assert effect.channel not in under_way
                under_way[effect.channel] = effect
            elif isinstance(effect, Leave):
                counted[effect.channel].remove(effect.member)
            else:
                assert isinstance(effect, Reply)
                check_message(effect.payload)

    def settle(what: str, channel: str) -> None:
        request = under_way.pop(channel)
        if what == "refused":
            book(session.join_refused(channel, 1))
        elif what == "unavailable":
            book(session.join_unavailable(channel))
        else:
            counted[channel].append(request.member)
            roster = None if request.member is None else {request.member.user_id: request.member.user_info}
            book(session.joined(channel, roster))

    for what, channel, member in sequence:
        if what == "subscribe":
            presence = channel.startswith("presence")
            book(session.receive(subscribe_signed(channel, member if presence else None), 0.0))
        elif what == "unsubscribe":
            book(session.receive(unsubscribe(channel), 0.0))
        elif what == "end":
            session.end()
        elif channel in under_way:
            settle(what, channel)
    while under_way:
        settle("joined", next(iter(under_way)))
    held = dict(session.subscriptions())
    for channel in CHANNELS:
        assert counted[channel] == ([held[channel]] if channel in held else [])
        assert session.subscribed(channel) == (channel in held)


@given(st.lists(st.tuples(st.sampled_from(["ping", "pong", "check"]), st.integers(0, 40)), max_size=30))
def test_who_answers_in_time_is_never_closed_and_who_doesnt_is(events: list[tuple[str, int]]) -> None:
    session = make_session(settings=Settings(ping_interval=20.0, pong_timeout=10.0))
    now, seen, pinged, pings = 0.0, 0.0, None, False
    for what, seconds in events:
        now += seconds
        if what == "ping":
            session.control_frame(now)
            seen, pinged, pings = now, None, True
            continue
        if what == "pong":
            session.receive('{"event":"pusher:pong"}', now)
            seen, pinged = now, None
            continue
        effects, again = session.check(now)
        if pinged is not None and now >= pinged + 10:
            assert isinstance(effects[-1], Close)
            assert again is None
            return
        assert again is not None
        assert now < again <= now + 20
        if pinged is None and now >= seen + 20:
            assert effects == [Ping()] if pings else [Ping(), Reply(codec.PING)]
            pinged = now
        else:
            assert effects == []
    assert session.socket_id == SOCKET
    assert not session.closed
