"""Causes and remedies of refusals, from what clients and backends were told."""

import pytest

from sockudo_py.management.live.reasons import Evidence, expected_string, explain
from sockudo_py.protocol import errors
from sockudo_py.protocol.app import App, AppKey
from sockudo_py.protocol.signatures import sign
from sockudo_py.tap import Refusal

SHOP = App("shop", (AppKey("shop-key", b"shop-secret"),))
CHAT = App("chat", (AppKey("chat-key", b"chat-secret"),))
APPS = {"shop": SHOP, "chat": CHAT}
EVIDENCE = Evidence(
    app=APPS.get,
    app_of_key=lambda key: next((app for app in APPS.values() if app.secret_of(key) is not None), None),
    apps=lambda: list(APPS.values()),
    sockets=lambda app_id: ["9.9", "1.1"],
    channels=lambda app_id: ["private-other", "private-a"],
)


def refusal(what: str, reason: str, error: str, **more: object) -> Refusal:
    return Refusal(what, reason, error, "shop", "1.1", "private-a", "192.0.2.1", more, 0, 0)


def wrong(signed: str, secret: bytes, expected: str = "1.1:private-a") -> str:
    reason = explain(
        refusal("subscription", "wrong_signature", errors.auth_signature(expected, sign(secret, signed))), EVIDENCE
    )
    return reason.name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("4000", "tls_required"),
        ("4003", "app_disabled"),
        ("4004", "app_full"),
        ("4005", "path"),
        ("4007", "protocol"),
        ("4100", "node_full"),
    ],
)
def test_codes_of_connections(code: str, name: str) -> None:
    assert explain(refusal("connection", code, "text"), EVIDENCE).name == name


@pytest.mark.parametrize("code", list(errors.ErrorCode))
def test_every_code_of_the_protocol_has_a_cause(code: errors.ErrorCode) -> None:
    what = "connection" if code < 4100 else "message"
    assert explain(refusal(what, str(int(code)), errors.MESSAGES[code]), EVIDENCE).name != "other"


def test_an_unknown_key_and_what_was_meant() -> None:
    found = explain(refusal("connection", "4001", "App key x not in this cluster", key="shop"), EVIDENCE)
    assert found.name == "unknown_key"
    assert "shop-key (this is the id of an app, not its key)" in found.remedy
    assert (
        "Did you mean shop-key?"
        in explain(refusal("connection", "4001", "App key x not in this cluster", key="SHOP-KEY"), EVIDENCE).remedy
    )


def test_an_origin_is_named() -> None:
    found = explain(refusal("connection", "4009", errors.ORIGIN_REFUSED, origin="https://a.example"), EVIDENCE)
    assert found.name == "origin"
    assert '"https://a.example"' in found.remedy


def test_another_apps_key_is_recognised() -> None:
    found = explain(refusal("subscription", "unknown_key", errors.auth_key("chat-key")), EVIDENCE)
    assert found.name == "other_apps_key"
    assert "app chat" in found.cause


def test_wrong_signatures_are_told_apart() -> None:
    assert wrong("9.9:private-a", b"shop-secret") == "other_socket"
    assert wrong("1.1:private-other", b"shop-secret") == "other_channel"
    assert wrong("1.1:private-a", b"chat-secret") == "wrong_secret"
    assert wrong("1.1:private-a", b"no such secret") == "wrong_secret"
    assert wrong("1.1:presence-a", b"shop-secret", '1.1:presence-a:{"user_id":"1"}') == "unsigned_channel_data"


def test_the_expected_string_is_shown() -> None:
    told = errors.auth_signature("1.1:private-a", "00")
    assert expected_string(refusal("subscription", "wrong_signature", told)) == "1.1:private-a"
    told = 'Invalid signature: you should have sent HmacSHA256Hex("POST\\n/apps/1/events\\na=b", your_secret_key), but'
    assert expected_string(refusal("request", "401", told)) == "POST\\n/apps/1/events\\na=b"
    assert expected_string(refusal("request", "401", "Unknown auth_key")) is None


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Timestamp expired: Given timestamp", "clock"),
        ("Invalid body_md5: it is not", "body_md5"),
        ("Missing required parameter: auth_key", "unsigned"),
        ("Unknown auth_key: app shop has no such key", "request_key"),
        ("Unknown app: check the app id", "request_app"),
        ("Invalid signature: you should", "request_signature"),
        ("Rate limit exceeded: too many requests from this address", "address_limit"),
        ("Rate limit exceeded: app 3 may publish 10 per second", "rate_limit"),
        ("The data content of this event exceeds the allowed maximum (10240 bytes)", "event_size"),
        ("An event takes 1 to 100 channels, this one has 101", "event_size"),
        ("A batch may hold at most 10 events, this one has 11", "event_size"),
        ("Event 2 of the batch: Event name must have 1 to 200 characters", "event_size"),
        ("something else", "other"),
    ],
)
def test_requests(told: str, name: str) -> None:
    assert explain(refusal("request", "401", told), EVIDENCE).name == name


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (errors.MESSAGES[errors.ErrorCode.CLIENT_EVENT_RATE], "client_event_rate"),
        (errors.CLIENT_EVENTS_OFF, "client_events_off"),
        (errors.CLIENT_EVENT_ON_PUBLIC, "client_event_channel"),
        (errors.event_name_too_long(200), "client_event_size"),
        (errors.event_data_too_big(10240), "client_event_size"),
        (errors.not_subscribed("private-a"), "client_event_unsubscribed"),
        (errors.watchlist_limit(100), "watchlist_size"),
        (errors.AUTHORIZATION_TIMED_OUT, "unauthorized"),
        (errors.NOT_JSON, "other"),
    ],
)
def test_messages(told: str, name: str) -> None:
    assert explain(refusal("message", "error", told), EVIDENCE).name == name


def test_attempts_of_one_address_are_told_from_a_full_server() -> None:
    told = "Over capacity: too many connection attempts from this address"
    assert explain(refusal("connection", "4100", told), EVIDENCE).name == "address_limit"
