"""Presence channels: section E of the checklist, as far as one connection decides it."""

import json
from typing import Any

import pytest

from sockudo_py.protocol.effects import Effect, Join, Leave, Member
from sockudo_py.protocol.session import Settings
from tests.unit.protocol.speak import (
    KEY,
    auth_for,
    complaint,
    make_app,
    make_session,
    only,
    read,
    sign_in,
    subscribe,
    subscribe_signed,
    unsubscribe,
)


def ask(channel_data: str, **settings: Any) -> list[Effect]:
    """Subscribe with this channel_data, rightly signed."""
    return make_session(make_app(**settings)).receive(subscribe_signed("presence-x", channel_data), 0.0)


def test_E71_E82_the_confirmation_lists_the_members_and_the_new_one() -> None:
    session = make_session()
    channel_data = '{"user_id":"10","user_info":{"name":"Mr. Pusher"}}'
    member = Member("10", '{"name":"Mr. Pusher"}')
    assert session.receive(subscribe_signed("presence-x", channel_data), 0.0) == [Join("presence-x", member)]
    message = only(session.joined("presence-x", {"9": "null", member.user_id: member.user_info}))
    assert message["event"] == "pusher_internal:subscription_succeeded"
    assert message["channel"] == "presence-x"
    assert json.loads(message["data"]) == {
        "presence": {"count": 2, "ids": ["9", "10"], "hash": {"9": None, "10": {"name": "Mr. Pusher"}}}
    }


def test_E72_the_published_vector_is_admitted() -> None:
    session = make_session()
    channel_data = '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}'
    auth = f"{KEY}:afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"
    message = subscribe("presence-foobar", auth=auth, channel_data=channel_data)
    assert session.receive(message, 0.0) == [Join("presence-foobar", Member("10", '{"name":"Mr. Pusher"}'))]


@pytest.mark.parametrize(
    ("channel_data", "member"),
    [
        ('{"user_id":669}', Member("669")),  # E74, E75
        ('{"user_id":"669","user_info":null}', Member("669")),
        ('{"user_id":-1}', Member("-1")),
        ('{"user_id":0}', Member("0")),
        ('{"user_id":18446744073709551615}', Member("18446744073709551615")),
        ('{"user_id":1.0}', Member("1")),
        ('{"user_id":1.5}', Member("1.5")),
        ('{ "user_id" : "1" }', Member("1")),  # E76
        ('{"user_id": "1", "user_info": {"a": [1, 2]}}', Member("1", '{"a":[1,2]}')),
        ('{"user_id":"1","user_info":"text"}', Member("1", '"text"')),
        ('{"user_id":"\\u00e9","user_info":{"n":"\\u00e9"}}', Member("é", '{"n":"é"}')),
    ],
)
def test_E74_E75_E76_who_a_member_is(channel_data: str, member: Member) -> None:
    assert ask(channel_data) == [Join("presence-x", member)]


@pytest.mark.parametrize(
    "channel_data",
    [
        "not json",
        "[]",
        '"x"',
        "null",
        "{}",
        '{"user_id":""}',
        '{"user_id":null}',
        '{"user_id":true}',
        '{"user_id":{}}',
        '{"user_id":[]}',
        '{"user_id":1e999}',
        '{"user_id":NaN}',
        '{"user_id":123456789012345678901234567890}',  # would be rounded, and two users be one
        '{"user_id":"1","user_info":' + "[" * 300 + "]" * 300 + "}",
        "[" * 100_000,
    ],
)
def test_E80_bad_channel_data_is_refused(channel_data: str) -> None:
    assert "Invalid channel_data for presence-x" in complaint(ask(channel_data))


def test_E77_channel_data_is_required_of_who_is_not_signed_in() -> None:
    session = make_session()
    assert "channel_data is required" in complaint(session.receive(subscribe_signed("presence-x"), 0.0))


def test_E78_who_is_signed_in_needs_no_channel_data() -> None:
    session = make_session()
    session.receive(sign_in('{"id":"7","user_info":{"name":"G"}}'), 0.0)
    session.signed_in("7", None)
    assert session.receive(subscribe_signed("presence-foobar"), 0.0) == [
        Join("presence-foobar", Member("7", '{"name":"G"}'))
    ]


def test_E78_the_published_vector_of_a_signed_in_user_is_admitted() -> None:
    session = make_session()
    session.receive(sign_in('{"id":"7"}'), 0.0)
    session.signed_in("7", None)
    auth = f"{KEY}:71506e66e7fdca106571b8999a849ad34245bc653772e51e0026c1a2475b92ba"
    assert session.receive(subscribe("presence-foobar", auth=auth), 0.0) == [Join("presence-foobar", Member("7"))]


def test_E79_channel_data_wins_over_who_is_signed_in() -> None:
    session = make_session()
    session.receive(sign_in('{"id":"7","user_info":{"name":"G"}}'), 0.0)
    session.signed_in("7", None)
    assert session.receive(subscribe_signed("presence-x", '{"user_id":"8"}'), 0.0) == [Join("presence-x", Member("8"))]


def test_a_signed_in_user_past_the_limits_of_presence_is_refused() -> None:
    session = make_session()
    session.receive(sign_in(json.dumps({"id": "7", "user_info": {"a": "x" * 1024}})), 0.0)
    session.signed_in("7", None)
    assert "user_info is larger" in complaint(session.receive(subscribe_signed("presence-x"), 0.0))


def test_a_signature_without_the_channel_data_does_not_admit_it() -> None:
    message = subscribe("presence-x", auth=auth_for("presence-x"), channel_data='{"user_id":"1"}')
    assert "Invalid signature" in complaint(make_session().receive(message, 0.0))


def test_E76_the_signature_is_over_the_text_as_it_was_sent() -> None:
    auth = auth_for("presence-x", '{"user_id":"1"}')
    message = subscribe("presence-x", auth=auth, channel_data='{"user_id": "1"}')
    assert "Invalid signature" in complaint(make_session().receive(message, 0.0))


def test_E87_a_second_subscribe_is_refused_and_one_unsubscribe_leaves() -> None:
    session = make_session()
    session.receive(subscribe_signed("presence-x", '{"user_id":"1"}'), 0.0)
    session.joined("presence-x", {"1": "null"})
    second = session.receive(subscribe_signed("presence-x", '{"user_id":"2"}'), 0.0)
    assert "Existing subscription" in complaint(second)
    assert session.receive(unsubscribe("presence-x"), 0.0) == [Leave("presence-x", Member("1"))]


def test_E88_a_full_channel_is_a_refusal_that_does_not_close() -> None:
    session = make_session(settings=Settings(error_style="both"))
    session.receive(subscribe_signed("presence-x", '{"user_id":"101"}'), 0.0)
    error, subscription_error = session.join_refused("presence-x", 100)
    assert read(error)["data"]["code"] is None
    assert "at most 100 members" in read(error)["data"]["message"]
    assert read(subscription_error)["data"]["type"] == "LimitReached"
    assert read(subscription_error)["data"]["status"] == 403
    assert not session.closed
    again = subscribe_signed("presence-x", '{"user_id":"101"}')
    assert session.receive(again, 0.0) == [Join("presence-x", Member("101"))]


def test_E89_the_length_of_user_ids_is_limited() -> None:
    assert ask(json.dumps({"user_id": "x" * 128})) == [Join("presence-x", Member("x" * 128))]
    assert "user_id is longer than 128" in complaint(ask(json.dumps({"user_id": "x" * 129})))
    assert "user_id is longer than 2" in complaint(ask('{"user_id":100}', max_user_id_length=2))


def test_E89_the_size_of_user_info_is_limited_in_bytes() -> None:
    fits, too_big = "x" * 1022, "é" * 512  # with its two quotes: 1024 and 1026 bytes
    assert ask(json.dumps({"user_id": "1", "user_info": fits})) == [Join("presence-x", Member("1", f'"{fits}"'))]
    assert "user_info is larger than 1024" in complaint(ask(json.dumps({"user_id": "1", "user_info": too_big})))


def test_F100_presence_cache_channels_need_auth_and_send_the_roster() -> None:
    session = make_session()
    assert "Auth info required" in complaint(session.receive(subscribe("presence-cache-x"), 0.0))
    message = subscribe_signed("presence-cache-x", '{"user_id":"1"}')
    assert session.receive(message, 0.0) == [Join("presence-cache-x", Member("1"))]
    assert "presence" in json.loads(only(session.joined("presence-cache-x", {"1": "null"}))["data"])
