import json
from typing import Any

import pytest

from sockudo_py.protocol.app import App
from sockudo_py.protocol.effects import Close, Reply
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import Refusal, admit, origin_allowed, refusal, refusal_effects
from sockudo_py.protocol.session import Settings
from tests.unit.protocol.speak import KEY, make_app, make_session, only


def ask(app: App | None, **how: Any) -> int | None:
    """Return the code of the refusal, None when admitted."""
    asked: dict[str, Any] = {
        "key": KEY,
        "protocol": "7",
        "origin": None,
        "secure": False,
        "strict": False,
        **how,
    }
    refused = admit(app, **asked)
    return None if refused is None else refused.code


@pytest.mark.parametrize("protocol", ["4", "5", "6", "7"])
def test_A8_living_protocol_versions_are_admitted(protocol: str) -> None:
    assert ask(make_app(), protocol=protocol, strict=True) is None


@pytest.mark.parametrize("protocol", ["1", "2", "3", "8", "9", "70", "-7", "7.0", "abc", "", " 7", "\u0667"])
def test_A9_A10_other_protocol_versions_are_refused_with_4007(protocol: str) -> None:
    assert ask(make_app(), protocol=protocol) == 4007


def test_A7_a_missing_version_is_admitted_unless_strict() -> None:
    assert ask(make_app(), protocol=None) is None
    assert ask(make_app(), protocol=None, strict=True) == 4008


def test_A12_an_unknown_key_is_refused_with_4001_and_named() -> None:
    refused = admit(None, key="nokey", protocol="7", origin=None, secure=False, strict=False)
    assert refused == Refusal(4001, "App key nokey not in this cluster. Did you forget to specify the cluster?")


def test_A14_a_disabled_app_is_refused_with_4003() -> None:
    assert ask(make_app(enabled=False)) == 4003


def test_A16_an_app_that_needs_tls_is_refused_without_it() -> None:
    assert ask(make_app(require_tls=True)) == 4000
    assert ask(make_app(require_tls=True), secure=True) is None


def test_A26_an_origin_that_is_not_listed_is_refused_with_4009() -> None:
    app = make_app(allowed_origins=("https://example.com",))
    assert ask(app, origin="https://example.com") is None
    assert ask(app, origin="https://evil.com") == 4009
    assert ask(app) == 4009


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("*", "https://anything.test"),
        ("*", None),
        ("https://example.com", "https://EXAMPLE.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("example.com", "http://example.com"),
        ("example.com", "https://example.com:8443"),
        ("example.com:8443", "https://example.com:8443"),
        ("*.example.com", "https://a.b.example.com"),
        ("https://*.example.com", "https://a.example.com"),
        ("localhost", "http://localhost:3000"),
        ("[::1]", "http://[::1]:8080"),
        ("[::1]", "http://[::1]"),
    ],
)
def test_an_origin_is_allowed(pattern: str, origin: str | None) -> None:
    assert origin_allowed((pattern,), origin)


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("https://example.com", "http://example.com"),
        ("https://example.com", "https://example.com.evil.com"),
        ("https://example.com", "https://evil-example.com"),
        ("example.com", "https://a.example.com"),
        ("*.example.com", "https://example.com"),
        ("*.example.com", "https://.example.com.evil.com"),
        ("*.example.com", "https://notexample.com"),
        ("https://*.example.com", "http://a.example.com"),
        ("example.com", "null"),
        ("example.com", ""),
        ("", ""),
        ("example.com", "://"),
    ],
)
def test_an_origin_is_not_allowed(pattern: str, origin: str) -> None:
    assert not origin_allowed((pattern,), origin)


def test_no_listed_origin_allows_nobody() -> None:
    assert not origin_allowed((), "https://example.com")


@pytest.mark.parametrize("code", [code for code in ErrorCode if code < 4300])
def test_A18_A19_a_refusal_is_an_error_with_object_data_and_then_a_close_with_the_same_words(code: ErrorCode) -> None:
    reason = refusal(code)
    assert refusal_effects(reason) == [
        Reply(b'{"event":"pusher:error","data":{"code":%d,"message":"%b"}}' % (code, reason.message.encode())),
        Close(int(code), reason.message),
    ]


def test_A18_a_long_key_still_gives_a_valid_close_reason() -> None:
    refused = admit(None, key="é" * 5000, protocol="7", origin=None, secure=False, strict=False)
    assert refused is not None
    _, close = refusal_effects(refused)
    assert isinstance(close, Close)
    assert len(close.reason.encode()) <= 123
    assert refused.message.startswith(close.reason)


def test_A2_A3_A5_A20_a_good_connection_is_greeted_first() -> None:
    message = only(make_session().open())
    assert message.keys() == {"event", "data"}
    assert message["event"] == "pusher:connection_established"
    assert json.loads(message["data"]) == {"socket_id": "1234.1234", "activity_timeout": 120}


@pytest.mark.parametrize(("seconds", "told"), [(0.2, 1), (1.0, 1), (1.5, 2), (30.0, 30), (30.01, 31)])
def test_A5_the_activity_timeout_is_told_in_whole_seconds_and_never_zero(seconds: float, told: int) -> None:
    message = only(make_session(settings=Settings(activity_timeout=seconds)).open())
    assert json.loads(message["data"])["activity_timeout"] == told
    assert f'activity_timeout":{told}}}' in message["data"]
