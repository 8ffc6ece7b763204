"""Messages of any kind, liveness, and the end: A22-A23 and section B of the checklist."""

import pytest

from sockudo_py.protocol.effects import Close, Join, Ping, Reply
from sockudo_py.protocol.readers.opening import Refusal
from sockudo_py.protocol.session import Session, Settings
from tests.unit.protocol.speak import PLAIN, alive, complaint, make_session, subscribe

PING = [Ping(), Reply(b'{"event":"pusher:ping","data":"{}"}')]
PONG = [Reply(b'{"event":"pusher:pong","data":"{}"}')]
NO_PONG = [
    Reply(b'{"event":"pusher:error","data":{"code":4201,"message":"Pong reply not received"}}'),
    Close(4201, "Pong reply not received"),
]


@pytest.fixture
def session() -> Session:
    return make_session()


def test_A22_a_binary_message_is_refused_and_the_connection_stays(session: Session) -> None:
    assert complaint(session.receive_binary(1.0)) == "Binary messages are not supported"
    assert session.last_seen == 1.0
    assert alive(session)


@pytest.mark.parametrize(
    "message",
    [
        "",
        " ",
        "not json",
        "[]",
        '"x"',
        "5",
        "null",
        "{}",
        '{"event":5}',
        '{"event":null}',
        '{"event":["pusher:ping"]}',
        '{"event":{}}',
        "{",
        '{"event":"pusher:ping"}{}',
        '{"event":"pusher:ping","data":NaN}',
        '{"event":"pusher:ping","data":1e999}',
        '{"\ud800":1}',
        '\ufeff{"event":"pusher:ping"}',
        "[" * 100_000,
        '{"a":' * 2000,
        "1" * 5000,
        "\0",
        b"\xff\xfe",
        b"",
    ],
)
def test_A23_nonsense_is_an_error_and_the_connection_stays(session: Session, message: str | bytes) -> None:
    assert complaint(session.receive(message, 0.0)).startswith("Invalid message")
    assert not session.closed
    assert alive(session)


def test_a_message_may_come_as_bytes(session: Session) -> None:
    assert session.receive(subscribe("my-channel").encode(), 0.0) == [Join("my-channel")]


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"pusher:ping","data":{}}',
        '{"event": "pusher:ping"}',
        '{"event":"pusher:ping","data":"{}"}',
        '{"event":"pusher:ping","data":null}',
    ],
)
def test_B27_B28_B29_B31_a_ping_is_answered(session: Session, message: str) -> None:
    assert session.receive(message, 0.0) == PONG


def test_B34_a_pong_is_not_answered(session: Session) -> None:
    assert session.receive('{"event":"pusher:pong","data":{}}', 5.0) == []
    assert session.last_seen == 5.0


def test_B32_a_silent_client_is_pinged_in_both_ways(session: Session) -> None:
    assert session.check(0.0) == ([], 45.0)
    assert session.check(44.9) == ([], 45.0)
    assert session.check(45.0) == (PING, 75.0)
    assert session.check(46.0) == ([], 75.0)  # once is enough


def test_B33_no_reply_closes_with_4201_and_no_earlier(session: Session) -> None:
    session.check(45.0)
    assert session.check(74.9) == ([], 75.0)
    assert session.check(75.0) == (NO_PONG, None)
    assert session.closed
    assert session.check(200.0) == ([], None)
    assert session.receive('{"event":"pusher:ping"}', 200.0) == []
    assert session.receive_binary(200.0) == []


def test_the_time_to_reply_counts_from_the_ping_even_when_it_was_late(session: Session) -> None:
    assert session.check(500.0) == (PING, 530.0)
    assert session.check(529.0) == ([], 530.0)


@pytest.mark.parametrize("message", ['{"event":"pusher:pong","data":{}}', "not json", '{"event":"my-event"}'])
def test_B34_B35_any_message_is_a_sign_of_life(session: Session, message: str) -> None:
    session.check(45.0)
    session.receive(message, 45.0)  # at the very time of the ping: already an answer
    assert session.check(75.0) == ([], 90.0)
    assert session.check(90.0) == (PING, 120.0)


def test_B35_the_shell_may_note_the_sign_of_life_itself(session: Session) -> None:
    session.check(45.0)
    session.last_seen = 50.0
    assert session.check(75.0) == ([], 95.0)


def test_a_silence_shorter_than_the_time_to_reply_is_noticed_in_time() -> None:
    session = make_session(settings=Settings(ping_interval=10.0, pong_timeout=30.0))
    assert session.check(10.0) == (PING, 20.0)
    session.last_seen = 11.0
    assert session.check(20.0) == ([], 21.0)
    assert session.check(21.0) == (PING, 31.0)
    assert session.check(31.0) == ([], 51.0)
    assert session.check(51.0) == (NO_PONG, None)


def test_B36_control_frames_alone_keep_the_connection(session: Session) -> None:
    for second in range(500):
        session.control_frame(float(second))
        assert session.check(float(second)) == ([], second + 45.0)


def test_a_client_that_pings_by_control_frames_is_pinged_so(session: Session) -> None:
    session.control_frame(1.0)
    assert session.check(46.0) == ([Ping()], 76.0)
    session.last_seen = 50.0
    assert session.check(76.0) == ([], 95.0)
    assert session.check(95.0) == ([Ping()], 125.0)


@pytest.mark.parametrize(("activity_timeout", "ping_interval"), [(3.0, 45.0), (120.0, 3.0)])
def test_the_times_are_settings_and_the_shorter_one_counts(activity_timeout: float, ping_interval: float) -> None:
    settings = Settings(activity_timeout=activity_timeout, ping_interval=ping_interval, pong_timeout=2.0)
    session = make_session(settings=settings)
    assert session.check(0.0) == ([], 3.0)
    assert session.check(3.0) == (PING, 5.0)
    assert session.check(5.0) == (NO_PONG, None)


def test_a_session_is_closed_for_a_reason_only_once(session: Session) -> None:
    reason = Refusal(4009, "You got disconnected by the app.")
    error, close = session.close(reason)
    assert error == Reply(b'{"event":"pusher:error","data":{"code":4009,"message":"You got disconnected by the app."}}')
    assert close == Close(4009, "You got disconnected by the app.")
    assert session.closed
    assert session.close(reason) == []


def test_a_session_has_no_dict_of_its_own() -> None:
    assert not hasattr(make_session(settings=PLAIN), "__dict__")
