"""Halves of characters in JSON texts: what JavaScript, Python and Java send of an emoji that was cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orjson import JSONDecodeError

from sockudo_py.protocol.effects import Join, Member, Relay, SignIn
from sockudo_py.protocol.surrogates import loads, without_surrogates
from tests.unit.protocol.speak import join, make_session, sign_in, subscribe_signed


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\uDE00"', "\ufffd"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"a\ud83db"', "a\ufffdb"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d\ud83d\ude00\ude00"', "\ufffd😀\ufffd"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\\ud83d"', "\\\ufffd"),
        (r'"\"\\\\\ud83d"', '"\\\\\ufffd'),
        (r'{"\udfff":1}', {"\ufffd": 1}),
        ('"\ud83d"', "\ufffd"),
        ('"\ud83d\ude00"', "😀"),
        (b'"\xed\xa0\xbd"', "\ufffd"),
        (b'"\xed\xa0\xbd\xed\xb8\x80"', "😀"),
    ],
)
def test_half_a_character_becomes_the_replacement_character(text: str | bytes, meant: object) -> None:
    assert loads(text) == meant


@pytest.mark.parametrize("text", ["", r'"\ud83d', r'"\ud83', r"\ud83d", '"\0\\ud83d"', b'"\xff\\ud83d"', "[" * 2000])
def test_what_is_no_json_is_refused_as_before(text: str | bytes) -> None:
    with pytest.raises(JSONDecodeError):
        loads(text)


@given(st.text(st.sampled_from('\ud83d\ude00\udbffa"\\u\nd8'), max_size=12))
def test_every_text_that_the_standard_library_escapes_is_read(text: str) -> None:
    assert loads(json.dumps(text)) == without_surrogates(text)


@given(st.text(max_size=12))
def test_texts_without_such_halves_stay_as_they_are(text: str) -> None:
    assert loads(json.dumps(text)) == without_surrogates(text) == text


def test_a_client_event_with_half_a_character_is_relayed() -> None:
    session = make_session()
    join(session, "private-room")
    (relay,) = session.receive(r'{"event":"client-a","channel":"private-room","data":{"t":"\ud83d"}}', 0.0)
    assert isinstance(relay, Relay)
    assert relay.data == '{"t":"\ufffd"}'


def test_a_client_event_whose_data_is_text_stays_as_it_is() -> None:
    session = make_session()
    join(session, "private-room")
    data = r'{"t":"\ud83d"}'
    (relay,) = session.receive(json.dumps({"event": "client-a", "channel": "private-room", "data": data}), 0.0)
    assert isinstance(relay, Relay)
    assert relay.data == data


def test_a_members_name_may_have_half_a_character() -> None:
    channel_data = r'{"user_id":"1","user_info":{"name":"Ann \ud83d"}}'
    effects = make_session().receive(subscribe_signed("presence-x", channel_data), 0.0)
    assert effects == [Join("presence-x", Member("1", '{"name":"Ann \ufffd"}'))]


def test_what_node_signed_over_half_a_character_is_verified() -> None:
    signed = subscribe_signed("presence-x", '{"user_id":"1","user_info":{"name":"\ufffd"}}')
    assert signed.count(r"\ufffd") == 1
    (effect,) = make_session().receive(signed.replace(r"\ufffd", r"\udc00"), 0.0)
    assert isinstance(effect, Join)


def test_a_user_may_be_signed_in_under_a_name_with_half_a_character() -> None:
    effects = make_session().receive(sign_in(r'{"id":"1","user_info":{"name":"\ud83d"}}'), 0.0)
    assert effects == [SignIn("1")]


def test_parameters_that_are_a_text_may_hold_half_a_character() -> None:
    data = r'{"channel":"public-room","note":"\ud83d"}'
    message = json.dumps({"event": "pusher:subscribe", "data": data})
    assert make_session().receive(message, 0.0) == [Join("public-room")]
