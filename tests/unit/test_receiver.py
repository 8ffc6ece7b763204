"""What our server signs is accepted by what receivers check with, and nothing else is."""

import base64
import hmac
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sockudo_py import receiver
from sockudo_py.endpoints import Endpoint, Secret
from sockudo_py.protocol.app import AppKey
from sockudo_py.receiver import Custom, Delivery, Profile, Seen, VerificationError, verify
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.endpoints.profiles import SCHEMES
from tests.unit.webhooks.make import APP_SECRET, KEY, NOW, NOW_MS, SECRET, endpoint, job

STANDARD_SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OLD_STANDARD_SECRET = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
EVENT = {"name": "room.started", "event_id": "ev_1", "data": {"room": "Grün ✓", "n": 2}, "time_ms": NOW_MS}
CUSTOM = Custom("X-Hub-Signature", "v0:{timestamp}:{id}:{body}", "base64", "v0=", "X-Hub-Time", "X-Hub-Id")
CUSTOM_FIELDS: dict[str, Any] = {
    "signature_header": "X-Hub-Signature",
    "signature_template": "v0:{timestamp}:{id}:{body}",
    "signature_encoding": "base64",
    "signature_prefix": "v0=",
    "timestamp_header": "X-Hub-Time",
    "id_header": "X-Hub-Id",
}

PROFILES: list[Profile] = ["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard", "custom"]
SIGNED_TIME = {
    "remotedevai": "X-Webhook-Timestamp",
    "irisx": "X-IRISX-Timestamp",
    "standard": "webhook-timestamp",
    "custom": "X-Hub-Time",
}
SIGNED_ID = {"standard": "webhook-id", "custom": "X-Hub-Id"}
KEYED = ("pusher", "sockudo")


def secret_of(profile: Profile) -> str:
    return APP_SECRET.decode() if profile in KEYED else STANDARD_SECRET if profile == "standard" else SECRET


def target(profile: Profile, **fields: Any) -> Endpoint:
    extra = CUSTOM_FIELDS if profile == "custom" else {}
    return endpoint(profile=profile, **{"secrets": (Secret(secret_of(profile)),), **extra, **fields})


def signed(profile: Profile, now: float = NOW, **fields: Any) -> tuple[bytes, dict[str, str]]:
    """Return body and headers that our server sends."""
    [request] = requests_for(target(profile, **fields), job(EVENT), now)
    return request.body, dict(request.headers)


def check(profile: Profile, body: bytes, headers: Mapping[str, str], **given: Any) -> Delivery:
    arguments: dict[str, Any] = {"now": NOW, "custom": CUSTOM if profile == "custom" else None, **given}
    if not {"secret", "secrets", "keys"} & set(given):
        arguments["secret"] = secret_of(profile)
    return verify(body, headers, profile=profile, **arguments)


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(VerificationError) as caught:
        call()
    for hidden in (SECRET, APP_SECRET.decode(), STANDARD_SECRET):
        assert hidden not in str(caught.value) + repr(caught.value)
    return caught.value.reason


def test_every_profile_of_the_server_is_known_here() -> None:
    assert {*SCHEMES, "custom"} == set(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("json_style", ["compact", "python"])
def test_what_the_server_signs_is_accepted(profile: Profile, json_style: str) -> None:
    body, headers = signed(profile, json_style=json_style)
    delivery = check(profile, body, headers)
    assert (delivery.profile, delivery.id, delivery.attempt) == (profile, "dl_1", 1)
    assert delivery.timestamp == NOW
    assert len(delivery.events) == 1
    assert delivery.id_signed is (profile in SIGNED_ID)
    assert delivery.key == (KEY if profile in KEYED else None)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
def test_names_of_headers_come_in_any_case(profile: Profile, spelling: Callable[[str], str]) -> None:
    body, headers = signed(profile)
    assert check(profile, body, {spelling(name): value for name, value in headers.items()})


@pytest.mark.parametrize("profile", PROFILES)
def test_any_change_of_one_byte_of_the_body_is_refused(profile: Profile) -> None:
    body, headers = signed(profile)
    for place in range(len(body)):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert reason_of(lambda changed=changed: check(profile, changed, headers)) == "wrong_signature"  # type: ignore[misc]
    for changed in (body + b" ", body[:-1], b"", b" " + body):
        assert reason_of(lambda changed=changed: check(profile, changed, headers)) == "wrong_signature"  # type: ignore[misc]


@pytest.mark.parametrize("profile", PROFILES)
def test_any_change_of_one_byte_of_the_signature_is_refused(profile: Profile) -> None:
    body, headers = signed(profile)
    name = CUSTOM.header if profile == "custom" else SCHEMES[profile].header
    value = headers[name]
    for place, byte in enumerate(value):
        changed = value[:place] + ("1" if byte == "0" else "0") + value[place + 1 :]
        assert reason_of(lambda changed=changed: check(profile, body, {**headers, name: changed})) == "wrong_signature"  # type: ignore[misc]
    for changed in (
        value + "0",
        value[:-1],
        value.upper() + "!",
        "ü" * len(value),
        "\x00",
        "sha256=",
        "v1,",
        "v1",
        "=",
    ):
        assert reason_of(lambda changed=changed: check(profile, body, {**headers, name: changed})) == "wrong_signature"  # type: ignore[misc]


@pytest.mark.parametrize("profile", SIGNED_TIME)
def test_any_change_of_one_byte_of_a_signed_time_is_refused(profile: Profile) -> None:
    body, headers = signed(profile)
    name = SIGNED_TIME[profile]
    value = headers[name]
    for place, byte in enumerate(value):
        changed = value[:place] + ("1" if byte == "0" else "0") + value[place + 1 :]
        assert reason_of(lambda changed=changed: check(profile, body, {**headers, name: changed})) == "wrong_signature"  # type: ignore[misc]


@pytest.mark.parametrize("profile", SIGNED_ID)
def test_any_change_of_one_byte_of_a_signed_id_is_refused(profile: Profile) -> None:
    body, headers = signed(profile)
    name = SIGNED_ID[profile]
    for changed in ("dl_2", "dm_1", "dl_", "dl_1.", "dl_1 "):
        assert reason_of(lambda changed=changed: check(profile, body, {**headers, name: changed})) == "wrong_signature"  # type: ignore[misc]
    assert reason_of(lambda: check(profile, body, {**headers, name: "dl_ü"})) == "malformed_header"


@pytest.mark.parametrize("profile", PROFILES)
def test_any_change_of_one_byte_of_the_secret_is_refused(profile: Profile) -> None:
    body, headers = signed(profile)
    secret = secret_of(profile)
    if profile == "standard":
        raw = b"0123456789abcdef0123456789abcdef"
        wrong = [base64.b64encode(raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]).decode() for i in range(len(raw))]
    else:
        wrong = [secret[:i] + chr(ord(secret[i]) ^ 1) + secret[i + 1 :] for i in range(len(secret))]
    for changed in wrong:
        assert reason_of(lambda changed=changed: check(profile, body, headers, secret=changed)) == "wrong_signature"  # type: ignore[misc]


@pytest.mark.parametrize("profile", [*KEYED, *SIGNED_TIME])
def test_the_time_is_checked_both_ways_to_the_second(profile: Profile) -> None:
    body, headers = signed(profile)
    for now in (NOW - 300, NOW, NOW + 300):
        assert check(profile, body, headers, now=now).timestamp == NOW
    assert reason_of(lambda: check(profile, body, headers, now=NOW + 301)) == "too_old"
    assert reason_of(lambda: check(profile, body, headers, now=NOW - 301)) == "too_new"
    assert reason_of(lambda: check(profile, body, headers, now=NOW + 11, tolerance=10)) == "too_old"
    assert check(profile, body, headers, now=NOW + 1e6, tolerance=None).id == "dl_1"


@pytest.mark.parametrize("profile", ["pulse", "realcast"])
def test_profiles_that_sign_no_time_of_sending_are_accepted_at_any_time(profile: Profile) -> None:
    body, headers = signed(profile, now=NOW + 7200)  # a retry after two hours: the body has the event's time
    assert check(profile, body, headers, now=NOW + 7200).timestamp == NOW


@pytest.mark.parametrize("profile", KEYED)
def test_a_retry_after_an_hour_is_accepted(profile: Profile) -> None:
    body, headers = signed(profile, now=NOW + 3600)
    assert check(profile, body, headers, now=NOW + 3600).timestamp == NOW + 3600


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("length", [0, 1])
def test_a_signature_that_is_missing_or_empty_is_refused(profile: Profile, length: int) -> None:
    body, headers = signed(profile)
    name = CUSTOM.header if profile == "custom" else SCHEMES[profile].header
    del headers[name]
    if length:
        headers[name] = ""
    assert reason_of(lambda: check(profile, body, headers)) == "missing_header"


@pytest.mark.parametrize(("profile", "name"), [*SIGNED_TIME.items(), *SIGNED_ID.items()])
def test_what_the_signature_covers_must_be_there(profile: Profile, name: str) -> None:
    body, headers = signed(profile)
    del headers[name]
    assert reason_of(lambda: check(profile, body, headers)) == "missing_header"


def test_a_signature_that_came_twice_is_refused() -> None:
    body, headers = signed("pulse")
    doubled = {**headers, "x-webhook-signature": headers["X-Webhook-Signature"]}
    assert reason_of(lambda: check("pulse", body, doubled)) == "malformed_header"


@pytest.mark.parametrize("stamp", ["now", "-5", "1e9", "1_700_000_000", "٣", "1700000000.5", "9" * 13])
def test_a_signed_time_that_is_no_number_is_refused(stamp: str) -> None:
    body = b'{"event":"x"}'
    signature = "sha256=" + hmac.digest(SECRET.encode(), f"{stamp}.".encode() + body, "sha256").hex()
    headers = {"X-IRISX-Signature": signature, "X-IRISX-Timestamp": stamp}
    assert reason_of(lambda: check("irisx", body, headers)) == "malformed_header"


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"events":[]}', b'{"time_ms":"1","events":[]}',
     b'{"time_ms":true,"events":[]}', b'{"time_ms":1700000000000,"events":{}}',
     b'{"time_ms":1700000000000,"events":[1]}', b'{"time_ms":1e400,"events":[]}'],
)  # fmt: skip
def test_a_signed_body_that_is_no_envelope_is_an_error_of_ours(body: bytes) -> None:
    headers = {"X-Pusher-Signature": hmac.digest(APP_SECRET, body, "sha256").hex()}
    assert reason_of(lambda: check("pusher", body, headers)) == "malformed_body"


# -- keys and secrets


@pytest.mark.parametrize("server", KEYED)
@pytest.mark.parametrize("client", KEYED)
def test_pusher_and_sockudo_take_the_signature_with_and_without_a_prefix(server: Profile, client: Profile) -> None:
    body, headers = signed(server)
    assert check(client, body, headers).key == KEY


def test_the_key_names_the_secret() -> None:
    body, headers = signed("pusher")
    keys = {"other": "another secret", KEY: APP_SECRET.decode()}
    assert check("pusher", body, headers, keys=keys).key == KEY
    assert reason_of(lambda: check("pusher", body, headers, keys={"other": APP_SECRET.decode()})) == "unknown_key"
    assert reason_of(lambda: check("pusher", body, headers, keys={KEY: "wrong"})) == "wrong_signature"
    del headers["X-Pusher-Key"]
    assert reason_of(lambda: check("pusher", body, headers, keys=keys)) == "missing_header"


def test_the_oldest_key_of_an_app_signs_and_is_found_by_its_name() -> None:
    app_keys = (AppKey("old", b"old secret"), AppKey("new", b"new secret"))
    body, headers = signed("pusher", app_keys=app_keys)
    assert check("pusher", body, headers, keys={"new": "new secret", "old": "old secret"}).key == "old"


@pytest.mark.parametrize("profile", PROFILES)
def test_any_of_several_secrets_will_do(profile: Profile) -> None:
    body, headers = signed(profile)
    other = OLD_STANDARD_SECRET if profile == "standard" else "another secret"
    assert check(profile, body, headers, secrets=[other, secret_of(profile)])
    assert check(profile, body, headers, secret=other, secrets=(secret_of(profile),))
    assert reason_of(lambda: check(profile, body, headers, secrets=[other, other])) == "wrong_signature"


@pytest.mark.parametrize("profile", ["pulse", "realcast", "remotedevai", "irisx", "standard", "custom"])
def test_after_a_rotation_old_and_new_secret_are_accepted(profile: Profile) -> None:
    old = OLD_STANDARD_SECRET if profile == "standard" else "the old secret"
    secrets = (Secret(secret_of(profile)), Secret(old, expires_at=NOW + 60))
    body, headers = signed(profile, secrets=secrets)
    assert check(profile, body, headers)
    assert check(profile, body, headers, secret=old)
    body, headers = signed(profile, now=NOW + 60, secrets=secrets)
    assert reason_of(lambda: check(profile, body, headers, secret=old)) == "wrong_signature"


def test_an_endpoint_that_signs_in_two_ways_can_be_checked_in_either() -> None:
    body, headers = signed("pusher", also_sign=("standard",), secrets=(Secret(STANDARD_SECRET),))
    assert check("pusher", body, headers)
    assert check("standard", body, headers).id_signed


# -- the outcome


def test_a_batch_has_all_its_events() -> None:
    batch = job(*({"name": "channel_occupied", "channel": f"c{n}", "time_ms": NOW_MS + n} for n in range(3)))
    [request] = requests_for(endpoint(), batch, NOW)
    delivery = check("pusher", request.body, dict(request.headers))
    assert [event["channel"] for event in delivery.events] == ["c0", "c1", "c2"]
    assert delivery.payload["time_ms"] == NOW_MS


def test_a_single_event_is_the_payload() -> None:
    body, headers = signed("irisx")
    delivery = check("irisx", body, headers)
    assert delivery.events == (delivery.payload,)
    assert delivery.payload["event"] == "room.started"
    assert delivery.payload["data"] == {"room": "Grün ✓", "n": 2}


def test_realcasts_own_header_is_the_id() -> None:
    body, headers = signed("realcast")
    headers["webhook-id"] = "another"
    assert check("realcast", body, headers).id == "dl_1"


def test_a_sender_without_our_headers_is_fine() -> None:
    body, headers = signed("pusher")
    delivery = check("pusher", body, {"X-Pusher-Signature": headers["X-Pusher-Signature"]})
    assert (delivery.id, delivery.attempt, delivery.key) == (None, None, None)


def test_the_time_of_a_body_without_one_is_none() -> None:
    for text in (b"{}", b'{"timestamp":"soon"}', b'{"timestamp":"2025-01-19T10:30:00"}', b'{"timestamp":5}'):
        headers = {"X-Webhook-Signature": "sha256=" + hmac.digest(SECRET.encode(), text, "sha256").hex()}
        assert check("pulse", text, headers).timestamp is None


# -- wrong use


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a secret is needed"),
        ({"secret": ""}, "empty"),
        ({"secrets": ["", "x"]}, "empty"),
        ({"keys": {KEY: ""}}, "empty"),
        ({"keys": {KEY: "x"}, "secret": "y"}, "instead of"),
        ({"keys": {KEY: "x"}, "profile": "irisx"}, "only for profiles pusher and sockudo"),
        ({"secret": "x", "profile": "nonesuch"}, "is no profile"),
        ({"secret": "x", "custom": Custom()}, "only with profile custom"),
        ({"secret": "x", "profile": "custom", "custom": Custom(template="{id}")}, "anybody"),
        ({"secret": "whsec_!!!", "profile": "standard"}, "base64"),
        ({"secret": "whsec_é", "profile": "standard"}, "base64"),
        ({"secret": "whsec_AAAA", "profile": "standard"}, "24 to 64 bytes"),
    ],
)
def test_unusable_arguments_are_told_at_once(given: dict[str, Any], message: str) -> None:
    body, headers = signed("pusher")
    with pytest.raises(ValueError, match=message):
        verify(body, headers, **given)


def test_text_instead_of_the_raw_body_is_a_mistake() -> None:
    body, headers = signed("pusher")
    with pytest.raises(TypeError, match="raw bytes"):
        verify(body.decode(), headers, secret="x")  # type: ignore[arg-type]


# -- handling each delivery once


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_delivery_is_new_once() -> None:
    seen = Seen()
    first = check("pulse", *signed("pulse"))
    assert seen.add(first)
    assert not seen.add(first)


def test_a_late_retry_with_a_new_time_in_its_body_is_not_new() -> None:
    seen = Seen()
    assert seen.add(check("pusher", *signed("pusher")))
    body, headers = signed("pusher", now=NOW + 3600)
    assert not seen.add(check("pusher", body, headers, now=NOW + 3600))


def test_a_replay_under_another_id_is_not_new_where_the_id_is_not_signed() -> None:
    seen = Seen()
    body, headers = signed("pulse")
    assert seen.add(check("pulse", body, headers))
    assert not seen.add(check("pulse", body, {**headers, "webhook-id": "dl_2"}))


def test_equal_events_under_two_signed_ids_are_two() -> None:
    seen = Seen()
    first = check("standard", *signed("standard"))
    assert seen.add(first)
    assert seen.add(replace(first, id="dl_2"))


def test_a_delivery_whose_handling_failed_can_come_again() -> None:
    seen = Seen()
    delivery = check("irisx", *signed("irisx"))
    assert seen.add(delivery)
    seen.discard(delivery)
    assert seen.add(delivery)


def test_what_was_seen_is_forgotten_after_its_time() -> None:
    clock = Clock()
    seen = Seen(ttl=60, clock=clock)
    delivery = check("irisx", *signed("irisx"))
    assert seen.add(delivery)
    clock.now = 59.9
    assert not seen.add(delivery)
    clock.now = 60
    assert seen.add(delivery)


def test_the_memory_is_bounded_and_the_oldest_go_first() -> None:
    seen = Seen(size=10)
    one = check("standard", *signed("standard"))
    for number in range(1000):
        assert seen.add(replace(one, id=f"dl_{number}"))
    assert len(seen._known) <= 20
    assert not seen.add(replace(one, id="dl_999"))
    assert seen.add(replace(one, id="dl_0"))


# -- alone


def test_it_needs_nothing_but_the_standard_library_and_no_other_module_of_ours() -> None:
    root = Path(receiver.__file__).parent.parent
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import sockudo_py.receiver\n"
        "print(sorted(m for m in sys.modules if m.startswith('sockudo_py')))\n"
        "print([m for m in sys.modules if m.split('.')[0] not in {*sys.stdlib_module_names, 'sockudo_py', '__main__'}])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    ours, foreign = done.stdout.splitlines()
    assert ours == "['sockudo_py', 'sockudo_py.receiver']"
    assert foreign == "[]"


def test_the_file_works_when_it_is_copied(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(Path(receiver.__file__).read_text())
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import hooks; print(hooks.verify.__name__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "verify\n"


def test_no_secret_or_body_shows_in_the_repr_of_a_delivery() -> None:
    shown = repr(check("irisx", *signed("irisx")))
    assert "Grün" not in shown
    assert SECRET not in shown
