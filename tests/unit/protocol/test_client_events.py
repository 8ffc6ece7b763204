"""Client events: section H of the checklist, as far as the sender's connection decides it."""

import json
import sys

import pytest

from sockudo_py.protocol.effects import Effect, Relay, Reply
from sockudo_py.protocol.readers.client_events import SlidingWindow
from sockudo_py.protocol.session import Session
from tests.unit.protocol.speak import (
    alive,
    client_event,
    complaint,
    join,
    make_app,
    make_session,
    subscribe_signed,
    text,
)

LIMITED = [Reply(b'{"event":"pusher:error","data":{"code":4301,"message":"Client event rejected due to rate limit"}}')]


@pytest.fixture
def session() -> Session:
    session = make_session()
    join(session, "private-room")
    join(session, "presence-room", '{"user_id":10}')
    join(session, "private-encrypted-room")
    join(session, "public-room")
    join(session, "cache-room")
    return session


def relayed(effects: list[Effect]) -> dict[str, object]:
    """Return the message that the others get."""
    (effect,) = effects
    assert isinstance(effect, Relay)
    message = json.loads(effect.payload)
    assert message["event"] == effect.event
    assert message["channel"] == effect.channel
    assert message["data"] == effect.data
    assert message.get("user_id") == effect.user_id
    assert isinstance(message, dict)
    return message


def test_H110_an_app_without_client_events_refuses_them(session: Session) -> None:
    session.app = make_app(client_events=False)
    said = complaint(session.receive(client_event("private-room", data={}), 0.0))
    assert said.startswith("To send client events, you must enable this feature")


def test_H111_H112_H116_an_object_is_relayed_as_a_string(session: Session) -> None:
    effects = session.receive(client_event("private-room", data={"on": True}), 0.0)
    payload = b'{"event":"client-typing","data":"{\\"on\\":true}","channel":"private-room"}'
    assert effects == [Relay("private-room", "client-typing", '{"on":true}', None, payload)]


def test_H113_a_string_is_relayed_as_it_is(session: Session) -> None:
    assert relayed(session.receive(client_event("private-room", data='{"a": 1}'), 0.0))["data"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("data", "sent"),
    [("{}", "{}"), ("null", "null"), ("5", "5"), ("[1, 2]", "[1,2]"), ("false", "false"), ('""', ""), ('"x"', "x")],
)
def test_H112_what_becomes_of_data(session: Session, data: str, sent: str) -> None:
    message = '{"event":"client-a","channel":"private-room","data":' + data + "}"
    assert relayed(session.receive(message, 0.0))["data"] == sent


def test_absent_data_is_an_empty_object(session: Session) -> None:
    assert relayed(session.receive(client_event("private-room"), 0.0))["data"] == "{}"


def test_H114_H115_on_presence_the_user_id_is_the_members(session: Session) -> None:
    message = client_event("presence-room", data="x", user_id="999", socket_id="1.1", extra={})
    payload = b'{"event":"client-typing","data":"x","channel":"presence-room","user_id":"10"}'
    assert session.receive(message, 0.0) == [Relay("presence-room", "client-typing", "x", "10", payload)]


def test_H115_H116_a_forged_user_id_is_dropped_on_private_channels(session: Session) -> None:
    message = relayed(session.receive(client_event("private-room", data="x", user_id="999"), 0.0))
    assert message == {"event": "client-typing", "data": "x", "channel": "private-room"}


@pytest.mark.parametrize("channel", ["public-room", "cache-room", "#server-to-user-1", "my-private-x"])
def test_H117_H125_other_classes_refuse_client_events(session: Session, channel: str) -> None:
    said = complaint(session.receive(client_event(channel, data={}), 0.0))
    assert said == "Client event rejected - only supported on private and presence channels"


def test_H118_only_subscribers_may_send(session: Session) -> None:
    said = complaint(session.receive(client_event("private-other", data={}), 0.0))
    assert said == "Cannot broadcast client event (connection not subscribed to channel private-other)"


def test_H118_a_join_under_way_is_no_subscription_yet() -> None:
    session = make_session()
    session.receive(subscribe_signed("private-b"), 0.0)
    assert "Cannot broadcast" in complaint(session.receive(client_event("private-b", data={}), 0.0))


@pytest.mark.parametrize(
    "event",
    ["my-event", "xclient-a", "client", "Client-a", "", "pusher:foo", "pusher_internal:member_added"],
)
def test_H119_H126_no_other_event_is_accepted(session: Session, event: str) -> None:
    message = text({"event": event, "channel": "private-room", "data": "{}"})
    assert complaint(session.receive(message, 0.0)) == f"Unsupported event received on socket: {event}"


def test_H120_the_eleventh_within_a_second_is_refused_and_the_connection_lives_on(session: Session) -> None:
    event = client_event("private-room", data={})
    for number in range(10):
        assert relayed(session.receive(event, number * 0.09))
    assert session.receive(event, 0.99) == LIMITED
    assert not session.closed
    assert alive(session)
    assert relayed(session.receive(event, 1.0))  # a second after the first
    assert session.receive(event, 1.05) == LIMITED
    assert relayed(session.receive(event, 1.1))


def test_H121_the_limit_is_per_connection(session: Session) -> None:
    other = make_session(session.app, socket_id="5678.5678")
    other.channels["private-room"] = None
    event = client_event("private-room", data={})
    for _ in range(10):
        session.receive(event, 0.0)
    assert session.receive(event, 0.0) == LIMITED
    assert relayed(other.receive(event, 0.0))


def test_the_limit_can_be_set_lifted_and_closed(session: Session) -> None:
    event = client_event("private-room", data={})
    session.app = make_app(client_events_per_second=1)
    assert relayed(session.receive(event, 0.0))
    assert session.receive(event, 0.5) == LIMITED
    session.app = make_app(client_events_per_second=None)
    assert all(relayed(session.receive(event, 0.5)) for _ in range(100))
    session.app = make_app(client_events_per_second=0)
    assert session.receive(event, 9.0) == LIMITED


def test_what_is_refused_for_another_reason_does_not_count(session: Session) -> None:
    for _ in range(20):
        session.receive(client_event("private-other", data={}), 0.0)
    assert relayed(session.receive(client_event("private-room", data={}), 0.0))


def test_a_window_admits_its_limit_in_any_second_and_refills_as_time_goes() -> None:
    window = SlidingWindow(3)
    times = [0.0, 0.5, 0.875, 0.9375, 1.0, 1.25, 1.5, 1.625, 1.875]
    assert [window.allow(now) for now in times] == [True, True, True, False, True, False, True, False, True]


@pytest.mark.parametrize("limit", [1, 15, 16, 17, 33, 100])
def test_a_window_that_grew_admits_what_one_that_keeps_all_times_admits(limit: int) -> None:
    """Bursts and pauses, against the plainest form of the rule."""
    window, accepted = SlidingWindow(limit), list[float]()
    now, verdicts = 0.0, list[bool]()
    for number in range(2_000):
        now += (0.0, 0.0, 0.03125, 0.0, 0.5)[number % 5] if number % 300 > 150 else 0.0
        expected = sum(now - time < 1.0 for time in accepted[-limit:]) < limit
        verdicts.append(window.allow(now))
        assert verdicts[-1] is expected, f"event {number} at {now}"
        if expected:
            accepted.append(now)
    assert True in verdicts
    assert False in verdicts


def test_a_window_takes_memory_for_the_events_it_saw_and_not_for_its_limit() -> None:
    window = SlidingWindow(1_000_000)
    assert all(window.allow(0.0) for _ in range(100))
    assert sys.getsizeof(window._times) < 8 * 256


def test_H122_data_of_10240_bytes_is_relayed_and_one_more_is_not(session: Session) -> None:
    assert relayed(session.receive(client_event("private-room", data="x" * 10240), 0.0))
    said = complaint(session.receive(client_event("private-room", data="x" * 10241), 0.0))
    assert said == "Client event rejected - the data is larger than 10240 bytes"
    assert complaint(session.receive(client_event("private-room", data="é" * 5121), 0.0)) == said
    assert complaint(session.receive(client_event("private-room", data={"a": "x" * 10240}), 0.0)) == said


def test_H123_a_name_of_200_characters_is_relayed_and_one_more_is_not(session: Session) -> None:
    name = "client-" + "x" * 193
    assert relayed(session.receive(client_event("private-room", name, data=""), 0.0))["event"] == name
    said = complaint(session.receive(client_event("private-room", name + "x", data=""), 0.0))
    assert said == "Client event rejected - the event name is longer than 200 characters"


@pytest.mark.parametrize("channel", [None, 5, "", [], {}])
def test_a_channel_that_is_no_text_is_missing(session: Session, channel: object) -> None:
    assert complaint(session.receive(client_event(channel, data={}), 0.0)) == "Missing parameter: channel"


def test_H127_ciphertext_is_relayed_byte_for_byte(session: Session) -> None:
    data = '{"nonce": "a+b/c==",  "ciphertext":"x"}'
    assert relayed(session.receive(client_event("private-encrypted-room", data=data), 0.0))["data"] == data


def test_an_app_can_refuse_client_events_on_encrypted_channels(session: Session) -> None:
    session.app = make_app(client_events_on_encrypted=False)
    assert "encrypted" in complaint(session.receive(client_event("private-encrypted-room", data="x"), 0.0))
    assert relayed(session.receive(client_event("private-room", data="x"), 0.0))


@pytest.mark.parametrize("channel", ["private-cache-x", "presence-cache-x"])
def test_F101_cache_channels_of_these_classes_allow_client_events(channel: str) -> None:
    session = make_session()
    join(session, channel, '{"user_id":"1"}')
    assert relayed(session.receive(client_event(channel, data="x"), 0.0))


def test_data_nested_too_deeply_is_refused(session: Session) -> None:
    deep = '{"event":"client-a","channel":"private-room","data":' + "[" * 300 + "]" * 300 + "}"
    assert "nested too deeply" in complaint(session.receive(deep, 0.0))
    assert alive(session)
