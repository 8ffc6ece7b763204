"""Signing in, the watchlist, and connections that must authorise: section I of the checklist."""

import json
from typing import Any

import pytest

from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Close, Effect, Member, Reply, SignIn
from sockudo_py.protocol.session import Session
from sockudo_py.protocol.signatures import sign, user_string
from tests.unit.protocol.speak import (
    KEY,
    SECRET,
    SOCKET,
    complaint,
    join,
    make_app,
    make_session,
    read,
    sign_in,
    subscribe,
    subscribe_signed,
    text,
)

DATA = '{"id":"12345"}'


def success(user_data: str) -> Reply:
    return Reply(codec.signin_success(user_data))


def signed_in_session(user_data: str = DATA, **settings: Any) -> Session:
    session = make_session(make_app(**settings))
    session.receive(sign_in(user_data), 0.0)
    session.signed_in(json.loads(user_data)["id"], None)
    return session


def test_I128_I129_the_published_signature_signs_in() -> None:
    session = make_session()
    auth = f"{KEY}:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
    message = text({"event": "pusher:signin", "data": {"auth": auth, "user_data": DATA}})
    assert session.receive(message, 0.0) == [SignIn("12345")]
    assert session.user_id is None
    assert session.signed_in("12345", None) == [success(DATA)]
    assert session.user_id == "12345"
    assert session.user == Member("12345")


RIGHT = sign(SECRET, user_string(SOCKET, DATA))


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (None, "Invalid format: auth must have the format key:signature"),
        (5, "Invalid format: auth must have the format key:signature"),
        ("", "Invalid format: auth must have the format key:signature"),
        (RIGHT, "Invalid format: auth must have the format key:signature"),
        (f"other:{RIGHT}", "Invalid key in sign-in auth data: 'other'"),
        (f"{KEY}:0", 'Expected HMAC SHA256 hex digest of 1234.1234::user::{"id":"12345"}, but got 0'),
        (f"{KEY}:é", "Invalid signature"),
        (f"{KEY}::user::{RIGHT}", "Invalid signature"),  # as the docs print it by mistake
        (f"{KEY}:{RIGHT.upper()}", "Invalid signature"),
    ],
)
def test_I130_a_bad_auth_is_refused_and_a_good_one_still_works(auth: object, said: str) -> None:
    session = make_session()
    message = text({"event": "pusher:signin", "data": {"auth": auth, "user_data": DATA}})
    assert said in complaint(session.receive(message, 0.0))
    assert session.receive(sign_in(DATA), 0.0) == [SignIn("12345")]


@pytest.mark.parametrize("user_data", [None, 5, {"id": "12345"}])
def test_user_data_that_is_no_text_is_missing(user_data: object) -> None:
    message = text({"event": "pusher:signin", "data": {"auth": f"{KEY}:x", "user_data": user_data}})
    assert complaint(make_session().receive(message, 0.0)) == "Missing parameter: data.user_data"


@pytest.mark.parametrize(
    "user_data",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"id":12345}',
        '{"id":""}',
        '{"id":null}',
        '{"id":true}',
        '{"id":"a\\u0000"}',
        '{"id":"a\\n"}',
        '{"id":"\\u007f"}',
        '{"id":"' + "x" * 201 + '"}',
        '{"id":"1","user_info":"x"}',
        '{"id":"1","user_info":[]}',
        '{"id":"1","user_info":{"a":' + "[" * 300 + "]" * 300 + "}}",
    ],
)
def test_I131_bad_user_data_is_refused(user_data: str) -> None:
    assert "Invalid user_data" in complaint(make_session().receive(sign_in(user_data), 0.0))


@pytest.mark.parametrize("user_id", ["x" * 200, "é", "a b", "a/b:c"])
def test_an_id_is_any_text_of_up_to_200_characters(user_id: str) -> None:
    assert make_session().receive(sign_in(json.dumps({"id": user_id})), 0.0) == [SignIn(user_id)]


def test_data_may_be_a_string() -> None:
    auth = f"{KEY}:{RIGHT}"
    message = text({"event": "pusher:signin", "data": text({"auth": auth, "user_data": DATA})})
    assert make_session().receive(message, 0.0) == [SignIn("12345")]


def test_an_app_can_refuse_sign_ins() -> None:
    session = make_session(make_app(user_authentication=False))
    assert complaint(session.receive(sign_in(DATA), 0.0)) == "User authentication is not enabled for this app"


def test_I132_signing_in_as_another_user_is_refused() -> None:
    session = signed_in_session()
    assert complaint(session.receive(sign_in('{"id":"2"}'), 0.0)) == "Already signed in as user 12345"
    assert session.user_id == "12345"


def test_I132_signing_in_again_as_the_same_user_succeeds_and_asks_nothing_of_the_shell() -> None:
    session = signed_in_session()
    again = '{"id":"12345","user_info":{"a":1}}'
    assert session.receive(sign_in(again), 0.0) == [success(again)]
    assert session.user == Member("12345", '{"a":1}')


def test_I132_a_second_sign_in_while_the_first_is_under_way() -> None:
    session = make_session()
    assert session.receive(sign_in(DATA), 0.0) == [SignIn("12345")]
    assert complaint(session.receive(sign_in('{"id":"2"}'), 0.0)) == "Already signed in as user 12345"
    assert session.receive(sign_in(DATA), 0.0) == []
    assert session.signed_in("12345", None) == [success(DATA)]


def test_a_sign_in_that_the_cluster_cant_carry_out_can_be_tried_again() -> None:
    session = make_session()
    session.receive(sign_in(DATA), 0.0)
    assert "please try again" in complaint(session.sign_in_failed("12345"))
    assert session.user_id is None
    assert session.receive(sign_in(DATA), 0.0) == [SignIn("12345")]


def test_an_outcome_that_nothing_asked_for_is_passed_over() -> None:
    session = make_session()
    assert session.signed_in("1", None) == []
    assert session.sign_in_failed("1") == []
    session.receive(sign_in(DATA), 0.0)
    assert session.signed_in("1", None) == []
    assert session.sign_in_failed("1") == []
    assert session.user_id is None


def test_a_sign_in_that_succeeds_after_the_end_says_whom_to_sign_out() -> None:
    session = make_session()
    session.receive(sign_in(DATA), 0.0)
    session.end()
    assert session.signed_in("12345", None) == []
    assert session.user_id == "12345"


def watch(watchlist: object, **settings: Any) -> tuple[Session, list[Effect]]:
    session = make_session(make_app(watchlist=True, **settings))
    return session, session.receive(sign_in(json.dumps({"id": "1", "watchlist": watchlist})), 0.0)


def test_I136_the_state_of_the_watchlist_follows_the_success() -> None:
    session, effects = watch(["2", "3"])
    assert effects == [SignIn("1", ("2", "3"))]
    _, state = session.signed_in("1", frozenset({"2"}))
    assert state == Reply(codec.watchlist_events(["2"], ["3"]))


def test_a_watchlist_counts_only_where_the_app_has_it_on() -> None:
    session = make_session(make_app(watchlist=False))
    message = sign_in('{"id":"1","watchlist":"not even a list"}')
    assert session.receive(message, 0.0) == [SignIn("1")]


@pytest.mark.parametrize("watchlist", [[], None])
def test_an_empty_watchlist_is_none(watchlist: object) -> None:
    session, effects = watch(watchlist)
    assert effects == [SignIn("1")]
    assert len(session.signed_in("1", frozenset())) == 1


@pytest.mark.parametrize("watchlist", ["2", [2], [""], [None], {"2": 1}, [["2"]]])
def test_a_watchlist_of_other_things_is_refused(watchlist: object) -> None:
    assert "watchlist must be an array" in complaint(watch(watchlist)[1])


def test_I138_a_long_watchlist_is_cut_and_reported_after_the_success() -> None:
    ids = [str(number) for number in range(101)]
    session, effects = watch(ids)
    assert effects == [SignIn("1", tuple(ids[:100]))]
    confirmed, state, error = session.signed_in("1", frozenset())
    assert read(confirmed)["event"] == "pusher:signin_success"
    assert read(state) == json.loads(codec.watchlist_events([], ids[:100]))
    assert read(error) == {
        "event": "pusher:error",
        "data": {"code": 4302, "message": "Watchlist limit exceeded. Only the first 100 user IDs are accepted."},
    }
    assert not session.closed


def test_a_watchlist_of_exactly_the_limit_is_not_cut_and_duplicates_dont_count() -> None:
    ids = [str(number) for number in range(100)]
    session, effects = watch(ids + ids)
    assert effects == [SignIn("1", tuple(ids))]
    assert len(session.signed_in("1", frozenset())) == 2


# -- connections that must authorise --

TIMED_OUT = [
    Reply(b'{"event":"pusher:error","data":{"code":4009,"message":"Connection not authorized within timeout"}}'),
    Close(4009, "Connection not authorized within timeout"),
]


def test_I142_an_anonymous_connection_is_closed_at_the_timeout() -> None:
    session = make_session(make_app(authorization_timeout=30.0))
    assert session.check(0.0) == ([], 30.0)
    assert session.check(29.9) == ([], 30.0)
    assert session.check(30.0) == (TIMED_OUT, None)
    assert session.closed
    assert session.check(31.0) == ([], None)


def test_I142_a_public_subscription_does_not_save_it() -> None:
    session = make_session(make_app(authorization_timeout=30.0))
    join(session, "my-channel")
    session.receive(subscribe("private-x", auth="abc"), 1.0)
    assert session.check(30.0) == (TIMED_OUT, None)


def test_I142_signing_in_saves_it() -> None:
    session = signed_in_session(authorization_timeout=30.0)
    assert session.check(30.0) == ([], 45.0)


@pytest.mark.parametrize(("channel", "data"), [("private-x", None), ("presence-x", '{"user_id":"1"}')])
def test_I142_an_authorised_subscription_saves_it_at_once(channel: str, data: str | None) -> None:
    session = make_session(make_app(authorization_timeout=30.0))
    session.receive(subscribe_signed(channel, data), 0.0)
    assert session.check(30.0) == ([], 45.0)


def test_without_a_timeout_a_connection_need_not_authorise() -> None:
    assert make_session().check(40.0) == ([], 45.0)
