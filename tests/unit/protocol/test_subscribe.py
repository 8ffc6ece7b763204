"""Public and private channels: sections C and D of the checklist, and joins that are still under way."""

import json
from collections.abc import Callable
from typing import Literal

import pytest

from sockudo_py.protocol import codec
from sockudo_py.protocol.app import AppKey
from sockudo_py.protocol.effects import Effect, Join, Leave, Member, RefuseSubscription, Reply
from sockudo_py.protocol.session import Settings
from sockudo_py.protocol.signatures import channel_string, sign
from tests.unit.protocol.speak import (
    KEY,
    SECRET,
    SOCKET,
    alive,
    auth_for,
    complaint,
    join,
    make_app,
    make_session,
    only,
    read,
    sign_in,
    subscribe,
    subscribe_signed,
    text,
    unsubscribe,
)


def succeeded(channel: str) -> list[Effect]:
    return [Reply(codec.subscription_succeeded(channel))]


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"pusher:subscribe","data":{"channel":"my-channel"}}',
        '{"event":"pusher:subscribe","data":{"auth":"","channel":"my-channel"}}',
        '{"event":"pusher:subscribe","data":{"auth":"garbage","channel_data":5,"channel":"my-channel"}}',
        '{"event":"pusher:subscribe","data":"{\\"channel\\":\\"my-channel\\"}"}',
    ],
)
def test_C38_C39_C40_C41_a_public_channel_is_joined(message: str) -> None:
    session = make_session()
    assert session.receive(message, 0.0) == [Join("my-channel")]
    assert not session.subscribed("my-channel")
    assert session.joined("my-channel", None) == succeeded("my-channel")
    assert session.subscribed("my-channel")
    assert list(session.subscriptions()) == [("my-channel", None)]


def test_C42_a_second_subscribe_is_refused() -> None:
    session = make_session()
    join(session, "my-channel")
    assert complaint(session.receive(subscribe("my-channel"), 0.0)) == "Existing subscription to channel my-channel"
    assert session.subscribed("my-channel")


def test_C42_a_second_subscribe_is_told_as_a_plain_error_in_every_style() -> None:
    session = make_session(settings=Settings(error_style="both"))
    join(session, "my-channel")
    assert "Existing subscription" in complaint(session.receive(subscribe("my-channel"), 0.0))


def test_a_second_subscribe_is_refused_while_the_first_is_under_way() -> None:
    session = make_session()
    session.receive(subscribe("c"), 0.0)
    assert "Existing subscription" in complaint(session.receive(subscribe("c"), 0.0))
    assert session.joined("c", None) == succeeded("c")


def test_C43_unsubscribing_leaves_without_a_reply() -> None:
    session = make_session()
    join(session, "my-channel")
    assert session.receive(unsubscribe("my-channel"), 0.0) == [Leave("my-channel")]
    assert not session.subscribed("my-channel")
    assert session.receive(unsubscribe("my-channel"), 0.0) == []


def test_C44_unsubscribing_from_an_unknown_channel_is_passed_over() -> None:
    session = make_session()
    assert session.receive(unsubscribe("my-channel"), 0.0) == []
    assert alive(session)


def test_C45_C50_a_channel_can_be_joined_again() -> None:
    session = make_session()
    join(session, "c")
    assert session.receive(unsubscribe("c"), 0.0) == [Leave("c")]
    assert session.receive(subscribe("c"), 0.0) == [Join("c")]
    assert session.joined("c", None) == succeeded("c")


@pytest.mark.parametrize("channel", [None, 5, "", [], {}, True])
def test_C46_a_channel_that_is_no_text_is_missing(channel: object) -> None:
    session = make_session()
    assert complaint(session.receive(subscribe(channel), 0.0)) == "Missing parameter: data.channel"
    assert complaint(session.receive(unsubscribe(channel), 0.0)) == "Missing parameter: data.channel"
    assert alive(session)


@pytest.mark.parametrize("data", [None, 5, [], "", "x", "[]", '"x"', "{", {}, "\\ud800"])
def test_C46_data_that_holds_no_channel_is_reported(data: object) -> None:
    session = make_session()
    message = text({"event": "pusher:subscribe", "data": data})
    assert complaint(session.receive(message, 0.0)) == "Missing parameter: data.channel"
    assert complaint(session.receive('{"event":"pusher:subscribe"}', 0.0)) == "Missing parameter: data.channel"


@pytest.mark.parametrize("name", ["a b", "a/b", "a:b", "#x", "*", "é", "a\n", "private-a:b", "a" * 201])
def test_C47_C48_an_invalid_name_is_refused(name: str) -> None:
    session = make_session(settings=Settings(error_style="both"))
    assert "Invalid channel name" in complaint(session.receive(subscribe(name, auth=auth_for(name)), 0.0))
    assert alive(session)


@pytest.mark.parametrize("name", ["A-z_=@,.;9", "a" * 200])
def test_C47_C48_a_valid_name_is_joined(name: str) -> None:
    assert make_session().receive(subscribe(name), 0.0) == [Join(name)]


def test_C49_a_hundred_channels_each_succeed_once() -> None:
    session = make_session()
    for number in range(100):
        assert session.receive(subscribe(f"c{number}"), 0.0) == [Join(f"c{number}")]
        assert session.joined(f"c{number}", None) == succeeded(f"c{number}")
    assert len(list(session.subscriptions())) == 100


def test_subscriptions_past_the_limit_are_refused_and_make_room_again() -> None:
    session = make_session(make_app(max_subscriptions=2))
    join(session, "a")
    session.receive(subscribe("b"), 0.0)  # still under way: counts
    assert "at most 2" in complaint(session.receive(subscribe("c"), 0.0))
    assert session.receive(unsubscribe("a"), 0.0) == [Leave("a")]
    assert session.receive(subscribe("c"), 0.0) == [Join("c")]


# -- private --


def test_D56_D57_the_published_signature_is_admitted() -> None:
    session = make_session()
    auth = f"{KEY}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    assert session.receive(subscribe("private-foobar", auth=auth), 0.0) == [Join("private-foobar")]
    assert session.joined("private-foobar", None) == succeeded("private-foobar")


def test_J144_an_encrypted_channel_is_a_private_one_to_us() -> None:
    session = make_session()
    message = subscribe("private-encrypted-x", auth=auth_for("private-encrypted-x"), shared_secret="c2VjcmV0")
    assert session.receive(message, 0.0) == [Join("private-encrypted-x")]
    assert session.joined("private-encrypted-x", None) == succeeded("private-encrypted-x")


RIGHT = sign(SECRET, channel_string(SOCKET, "private-foobar"))


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (None, "Auth info required to subscribe to private-foobar"),
        ("", "Auth info required to subscribe to private-foobar"),
        (5, "Auth info required to subscribe to private-foobar"),
        ({"key": KEY}, "Auth info required to subscribe to private-foobar"),
        ("abc", "should be of format 'key:signature'"),
        (f"other:{RIGHT}", "Invalid key in subscription auth data: 'other'"),
        (f":{RIGHT}", "Invalid key in subscription auth data: ''"),
        (f"{KEY}:0", "Invalid signature: Expected HMAC SHA256 hex digest of 1234.1234:private-foobar, but got 0"),
        (f"{KEY}:", "Invalid signature"),
        (f"{KEY}::{RIGHT}", "Invalid signature"),
        (f"{KEY}: {RIGHT}", "Invalid signature"),
        (f"{KEY}:{RIGHT.upper()}", "Invalid signature"),  # D66
        (f"{KEY}:{'é' * 64}", "Invalid signature"),  # D67
        (f"é:{RIGHT}", "Invalid key"),
        (auth_for("private-foobar", socket_id="1234.1235"), "Invalid signature"),  # D62
        (auth_for("private-other"), "Invalid signature"),
    ],
)
def test_D58_to_D62_D64_D66_D67_a_bad_auth_is_refused_and_a_good_one_still_works(auth: object, said: str) -> None:
    session = make_session()
    assert said in complaint(session.receive(subscribe("private-foobar", auth=auth), 0.0))
    assert not session.subscribed("private-foobar")
    assert session.receive(subscribe_signed("private-foobar"), 0.0) == [Join("private-foobar")]


def test_the_secret_is_in_no_refusal() -> None:
    session = make_session(settings=Settings(error_style="both"))
    for auth in ("", "abc", "other:x", f"{KEY}:x"):
        for effect in session.receive(subscribe("private-x", auth=auth), 0.0):
            assert isinstance(effect, Reply)
            assert SECRET not in effect.payload
    assert SECRET.decode() not in repr(session.app)


def test_D63_in_the_style_both_a_refusal_is_told_in_both_dialects() -> None:
    session = make_session(settings=Settings(error_style="both"))
    error, subscription_error = session.receive(subscribe("private-foobar", auth="abc"), 0.0)
    assert read(error)["event"] == "pusher:error"
    assert read(subscription_error) == {
        "event": "pusher:subscription_error",
        "channel": "private-foobar",
        "data": {"type": "AuthError", "error": read(error)["data"]["message"], "status": 401},
    }


def test_D63_in_the_style_soketi_there_is_only_the_subscription_error() -> None:
    session = make_session(settings=Settings(error_style="soketi"))
    message = only(session.receive(subscribe("private-foobar", auth="abc"), 0.0))
    assert message["event"] == "pusher:subscription_error"


def test_D65_channel_data_on_a_private_channel_is_part_of_what_is_signed() -> None:
    session = make_session()
    assert session.receive(subscribe_signed("private-x", "anything"), 0.0) == [Join("private-x")]
    unsigned = subscribe("private-y", auth=auth_for("private-y"), channel_data="anything")
    assert "Invalid signature" in complaint(session.receive(unsigned, 0.0))


@pytest.mark.parametrize("channel_data", [None, ""])
def test_empty_channel_data_counts_as_none(channel_data: str | None) -> None:
    message = subscribe("private-x", auth=auth_for("private-x"), channel_data=channel_data)
    assert make_session().receive(message, 0.0) == [Join("private-x")]


def test_channel_data_that_is_no_string_is_refused() -> None:
    message = subscribe("private-x", auth=auth_for("private-x"), channel_data={"user_id": "1"})
    assert "must be a string" in complaint(make_session().receive(message, 0.0))


def test_D70_any_key_of_the_app_may_have_signed() -> None:
    session = make_session(make_app(keys=(AppKey(KEY, SECRET), AppKey("second", b"other"))))
    signature = sign(b"other", channel_string(SOCKET, "private-x"))
    assert session.receive(subscribe("private-x", auth=f"second:{signature}"), 0.0) == [Join("private-x")]
    assert session.receive(subscribe_signed("private-y"), 0.0) == [Join("private-y")]
    mixed = subscribe("private-z", auth=f"{KEY}:{sign(b'other', channel_string(SOCKET, 'private-z'))}")
    assert "Invalid signature" in complaint(session.receive(mixed, 0.0))


def test_an_app_that_was_replaced_is_asked_with_its_new_keys() -> None:
    session = make_session()
    session.app = make_app(keys=(AppKey("new", b"secret"),))
    assert "Invalid key" in complaint(session.receive(subscribe_signed("private-x"), 0.0))


def test_the_auth_is_checked_before_the_duplicate() -> None:
    session = make_session()
    join(session, "private-x")
    assert "Auth info required" in complaint(session.receive(subscribe("private-x"), 0.0))
    assert "Existing subscription" in complaint(session.receive(subscribe_signed("private-x"), 0.0))


# -- joins under way --


def test_an_unsubscribe_while_the_join_is_under_way_undoes_it_when_it_is_known() -> None:
    session = make_session()
    session.receive(subscribe("c"), 0.0)
    assert session.receive(unsubscribe("c"), 0.0) == []
    assert session.joined("c", None) == [Leave("c")]
    assert not session.subscribed("c")
    assert session.receive(subscribe("c"), 0.0) == [Join("c")]


def test_an_unsubscribe_while_the_join_is_under_way_needs_nothing_when_it_fails() -> None:
    for refused in (True, False):
        session = make_session()
        session.receive(subscribe("c"), 0.0)
        session.receive(unsubscribe("c"), 0.0)
        assert (session.join_refused("c", 100) if refused else session.join_unavailable("c")) == []
        assert session.receive(subscribe("c"), 0.0) == [Join("c")]


def test_subscribe_unsubscribe_subscribe_at_once_is_one_join_and_one_confirmation() -> None:
    session = make_session()
    assert session.receive(subscribe("c"), 0.0) == [Join("c")]
    assert session.receive(unsubscribe("c"), 0.0) == []
    assert session.receive(subscribe("c"), 0.0) == []
    assert session.joined("c", None) == succeeded("c")


def test_coming_back_as_another_member_while_the_join_is_under_way_joins_anew() -> None:
    session = make_session()
    old, new = Member("1"), Member("2")
    assert session.receive(subscribe_signed("presence-x", '{"user_id":"1"}'), 0.0) == [Join("presence-x", old)]
    session.receive(unsubscribe("presence-x"), 0.0)
    assert session.receive(subscribe_signed("presence-x", '{"user_id":"2"}'), 0.0) == []
    assert session.joined("presence-x", {"1": "null"}) == [Leave("presence-x", old), Join("presence-x", new)]
    assert session.joined("presence-x", {"2": "null"}) == [
        Reply(codec.subscription_succeeded("presence-x", {"2": "null"}))
    ]
    assert list(session.subscriptions()) == [("presence-x", new)]


def test_coming_back_as_another_member_is_tried_also_when_the_first_was_refused() -> None:
    session = make_session()
    session.receive(subscribe_signed("presence-x", '{"user_id":"1"}'), 0.0)
    session.receive(unsubscribe("presence-x"), 0.0)
    session.receive(subscribe_signed("presence-x", '{"user_id":"2"}'), 0.0)
    assert session.join_refused("presence-x", 1) == [Join("presence-x", Member("2"))]


def test_a_join_that_the_cluster_cant_carry_out_is_a_soft_error_and_can_be_tried_again() -> None:
    session = make_session()
    session.receive(subscribe("c"), 0.0)
    assert "please try again" in complaint(session.join_unavailable("c"))
    assert session.receive(subscribe("c"), 0.0) == [Join("c")]
    both = make_session(settings=Settings(error_style="both"))
    both.receive(subscribe("c"), 0.0)
    assert read(both.join_unavailable("c")[1])["data"]["status"] == 503


def test_C51_a_join_that_comes_after_the_end_is_undone() -> None:
    session = make_session()
    join(session, "a")
    session.receive(subscribe("b"), 0.0)
    session.end()
    assert list(session.subscriptions()) == [("a", None)]
    assert session.joined("b", None) == [Leave("b")]
    assert session.receive(subscribe("c"), 0.0) == []


@pytest.mark.parametrize("outcome", ["joined", "refused", "unavailable"])
def test_an_outcome_that_nothing_asked_for_is_a_mistake_of_the_shell(outcome: str) -> None:
    session = make_session()
    report: dict[str, Callable[[str], object]] = {
        "joined": lambda channel: session.joined(channel, None),
        "refused": lambda channel: session.join_refused(channel, 1),
        "unavailable": session.join_unavailable,
    }
    join(session, "joined-already")
    for channel in ("never-asked", "joined-already"):
        with pytest.raises(KeyError):
            report[outcome](channel)
    assert session.subscribed("joined-already")


# -- the internal channel of a user --


def test_I133_the_own_internal_channel_is_confirmed_without_a_join() -> None:
    session = make_session()
    session.receive(sign_in('{"id":"12345"}'), 0.0)
    session.signed_in("12345", None)
    message = '{"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-12345"}}'
    assert session.receive(message, 0.0) == succeeded("#server-to-user-12345")
    assert "Existing subscription" in complaint(session.receive(message, 0.0))
    assert list(session.subscriptions()) == []
    assert session.receive(unsubscribe("#server-to-user-12345"), 0.0) == []
    assert session.receive(message, 0.0) == succeeded("#server-to-user-12345")


@pytest.mark.parametrize("channel", ["#server-to-user-1", "#server-to-user-", "#server-to-user-12345 "])
def test_I134_no_other_internal_channel_is_admitted(channel: str) -> None:
    session = make_session()
    assert "Not signed in" in complaint(session.receive(subscribe(channel, auth=""), 0.0))
    session.receive(sign_in('{"id":"12345"}'), 0.0)
    assert "Not signed in" in complaint(session.receive(subscribe("#server-to-user-12345", auth=""), 0.0))
    session.signed_in("12345", None)
    assert "Not signed in" in complaint(session.receive(subscribe(channel, auth=auth_for(channel)), 0.0))


def test_an_internal_channel_with_an_id_that_needs_escaping_is_confirmed() -> None:
    session = make_session()
    session.receive(sign_in('{"id":"a\\"b"}'), 0.0)
    session.signed_in('a"b', None)
    message = only(session.receive(subscribe('#server-to-user-a"b'), 0.0))
    assert message["channel"] == '#server-to-user-a"b'
    assert json.loads(message["data"]) == {}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (subscribe(None), "no_channel"),
        (subscribe("a b"), "invalid_channel"),
        (subscribe("#server-to-user-1"), "not_signed_in"),
        (subscribe("private-x"), "no_auth"),
        (subscribe("private-x", auth="nonsense"), "auth_format"),
        (subscribe("private-x", auth="nobody:abc"), "unknown_key"),
        (subscribe("private-x", auth=f"{KEY}:abc"), "wrong_signature"),
        (subscribe("private-x", auth=f"{KEY}:abc", channel_data=5), "channel_data"),
        (subscribe_signed("presence-x", "{}"), "channel_data"),
        (subscribe("there"), "already_subscribed"),
        (subscribe("another"), "too_many_subscriptions"),
    ],
)
@pytest.mark.parametrize("style", ["pusher", "soketi", "both"])
def test_each_refusal_names_its_reason_once(
    message: str, reason: str, style: Literal["pusher", "soketi", "both"]
) -> None:
    session = make_session(make_app(max_subscriptions=1), Settings(error_style=style))
    join(session, "there")
    effects = session.receive(message, 0.0)
    assert [effect.reason for effect in effects if isinstance(effect, RefuseSubscription)] == [reason]


def test_a_full_channel_and_a_cluster_that_is_away_are_reasons_too() -> None:
    session = make_session()
    session.receive(subscribe("a"), 0.0)
    session.receive(subscribe("b"), 0.0)
    effects = [*session.join_refused("a", 1), *session.join_unavailable("b")]
    assert [getattr(effect, "reason", None) for effect in effects] == ["channel_full", "unavailable"]
