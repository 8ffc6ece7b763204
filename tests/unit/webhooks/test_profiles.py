import base64
import hmac
import re
import secrets
import time
from typing import Any

import orjson
import pusher
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sockudo_py.endpoints import Endpoint, ProfileName, Secret
from sockudo_py.protocol.app import AppKey
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.endpoints.profiles import SCHEMES, scheme_headers, scheme_of, signed_headers, standard_key
from tests.unit.webhooks import verifiers
from tests.unit.webhooks.make import APP_SECRET, KEY, NOW, NOW_MS, SECRET, endpoint, job

STANDARD_SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def headers_of(target: Endpoint, body: bytes, **fields: Any) -> dict[str, str]:
    given: dict[str, Any] = {"body_id": "dl_1", "delivery_id": "dl_1", "attempt": 1, "now": NOW, **fields}
    headers = signed_headers(target, body=body, **given)
    names = [name.lower() for name, _ in headers]
    assert len(names) == len(set(names)), "a header came twice"
    return dict(headers)


# The vectors of the Pusher protocol reference.
VECTORS = [
    (
        b'{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"test_channel"}]}',
        "709fdb84c03664445f7698120b0edf0acc1ab1c8c6e93a0368c61841d6b998aa",
    ),
    (
        b'{"time_ms":1700000000000,"events":[{"name":"client_event","channel":"presence-room","event":"client-typing",'
        b'"data":"{\\"on\\":true}","socket_id":"1234.1234","user_id":"10"}]}',
        "5aa90fea193d8db1586a01d324e4f31ea57dcdc5c6870921cb677d20233c7077",
    ),
]


@pytest.mark.parametrize(("body", "signature"), VECTORS)
def test_n207_the_published_vectors(body: bytes, signature: str) -> None:
    headers = headers_of(endpoint(), body)
    assert headers["X-Pusher-Signature"] == signature
    assert headers["X-Pusher-Key"] == KEY


@pytest.mark.parametrize(("body", "signature"), VECTORS)
def test_n210_the_sockudo_profile_puts_the_name_of_the_hash_before_it(body: bytes, signature: str) -> None:
    assert headers_of(endpoint(profile="sockudo"), body)["X-Pusher-Signature"] == f"sha256={signature}"


def test_n206_the_content_type_has_no_charset_and_the_signature_is_64_lower_hex_digits() -> None:
    headers = headers_of(endpoint(), b"{}")
    assert headers["Content-Type"] == "application/json"
    assert re.fullmatch("[0-9a-f]{64}", headers["X-Pusher-Signature"])


def test_every_request_names_its_delivery_its_attempt_and_the_time() -> None:
    headers = headers_of(endpoint(), b"{}", attempt=3, now=NOW + 7.9)
    assert headers["webhook-id"] == "dl_1"
    assert headers["webhook-timestamp"] == "1700000007"
    assert headers["X-Sockudo-Delivery-Id"] == "dl_1"
    assert headers["X-Sockudo-Attempt"] == "3"
    assert headers["User-Agent"].startswith("sockudo-py/")


def test_n224_the_oldest_key_of_the_app_signs() -> None:
    keys = (AppKey("old", b"old secret"), AppKey("new", b"new secret"))
    headers = headers_of(endpoint(app_keys=keys), b"{}")
    assert headers["X-Pusher-Key"] == "old"
    assert headers["X-Pusher-Signature"] == hmac.digest(b"old secret", b"{}", "sha256").hex()


def test_n208_pushers_own_python_sdk_takes_a_real_request() -> None:
    now = time.time()
    [request] = requests_for(endpoint(), job(created_ms=int(now * 1000)), now)
    headers = dict(request.headers)
    client = pusher.Pusher(app_id="1", key=KEY, secret=APP_SECRET.decode())
    taken = client.validate_webhook(headers["X-Pusher-Key"], headers["X-Pusher-Signature"], request.body.decode())
    assert taken is not None
    assert taken["events"] == [{"name": "channel_occupied", "channel": "c", "time_ms": NOW_MS}]


def test_n210_pushers_own_python_sdk_refuses_the_form_with_a_prefix() -> None:
    now = time.time()
    [request] = requests_for(endpoint(profile="sockudo"), job(created_ms=int(now * 1000)), now)
    headers = dict(request.headers)
    client = pusher.Pusher(app_id="1", key=KEY, secret=APP_SECRET.decode())
    assert client.validate_webhook(KEY, headers["X-Pusher-Signature"], request.body.decode()) is None


def test_n217_a_delivery_from_an_hour_ago_is_sent_with_a_fresh_time_and_signature() -> None:
    now = time.time()
    [request] = requests_for(endpoint(), job(created_ms=int((now - 3600) * 1000), attempt=5), now)
    headers = dict(request.headers)
    client = pusher.Pusher(app_id="1", key=KEY, secret=APP_SECRET.decode())
    taken = client.validate_webhook(KEY, headers["X-Pusher-Signature"], request.body.decode())
    assert taken is not None
    assert taken["time_ms"] == int(now * 1000)
    assert headers["X-Sockudo-Attempt"] == "6"


@pytest.mark.parametrize("profile", ["pusher", "sockudo"])
def test_n209_the_base_projects_receivers_take_both_forms(profile: ProfileName) -> None:
    event = {"name": "client_event", "channel": "private-x", "event": "client-a", "data": "grün ✓", "socket_id": "1.2"}
    [request] = requests_for(endpoint(profile=profile), job(event), NOW)
    headers = dict(request.headers)
    assert verifiers.sockudo(headers, request.body, APP_SECRET.decode())
    assert not verifiers.sockudo(headers, request.body + b" ", APP_SECRET.decode())
    gateway = {"body": request.body.decode(), "headers": headers}
    assert verifiers.sockudo_lambda(gateway, APP_SECRET.decode()) == {
        "statusCode": 200,
        "body": "OK",
        "names": ["client_event"],
    }
    assert verifiers.sockudo_lambda(gateway, "wrong")["statusCode"] == 401


EVENT = {"name": "room.started", "event_id": "ev_1", "data": {"room": "Grün ✓", "n": 2}, "time_ms": NOW_MS}


@pytest.mark.parametrize("json_style", ["compact", "python"])
def test_the_pulse_verifier_takes_our_requests(json_style: str) -> None:
    [request] = requests_for(endpoint(profile="pulse", json_style=json_style), job(EVENT), NOW)
    assert verifiers.pulse(dict(request.headers), request.body, SECRET)
    assert not verifiers.pulse(dict(request.headers), request.body, "wrong")


@pytest.mark.parametrize("json_style", ["compact", "python"])
def test_the_realcast_verifier_takes_our_requests(json_style: str) -> None:
    [request] = requests_for(endpoint(profile="realcast", json_style=json_style), job(EVENT), NOW)
    headers = dict(request.headers)
    assert verifiers.realcast(headers, request.body, SECRET)
    assert headers["X-RealCast-Webhook-Id"] == "dl_1"


def test_the_remotedevai_verifier_in_python_takes_our_requests_in_python_style() -> None:
    [request] = requests_for(endpoint(profile="remotedevai", json_style="python"), job(EVENT), NOW)
    assert verifiers.remotedevai(dict(request.headers), request.body, SECRET, int(NOW))
    assert not verifiers.remotedevai(dict(request.headers), request.body, SECRET, int(NOW) + 301)


def test_the_remotedevai_signature_is_bare_hex_over_time_and_body() -> None:
    [request] = requests_for(endpoint(profile="remotedevai"), job(EVENT), NOW)
    assert verifiers.remotedevai_raw(dict(request.headers), request.body, SECRET)


def test_the_irisx_verifier_in_python_takes_our_requests_in_python_style() -> None:
    [request] = requests_for(endpoint(profile="irisx", json_style="python"), job(EVENT), NOW)
    assert verifiers.irisx(dict(request.headers), request.body, SECRET, int(NOW))
    assert not verifiers.irisx(dict(request.headers), request.body, SECRET, int(NOW) + 301)


def test_the_time_that_is_signed_is_the_time_of_the_attempt() -> None:
    target = endpoint(profile="irisx")
    first = dict(requests_for(target, job(EVENT), NOW)[0].headers)
    later = dict(requests_for(target, job(EVENT, attempt=1), NOW + 400)[0].headers)
    assert later["X-IRISX-Timestamp"] == "1700000400"
    assert later["X-IRISX-Signature"] != first["X-IRISX-Signature"]
    assert later["webhook-id"] == first["webhook-id"]


def test_the_reference_verifier_of_standard_webhooks_takes_our_requests() -> None:
    target = endpoint(profile="standard", secrets=(Secret(STANDARD_SECRET),))
    [request] = requests_for(target, job(EVENT), time.time())
    assert Webhook(STANDARD_SECRET).verify(request.body, dict(request.headers)) == orjson.loads(request.body)
    other = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(request.body, dict(request.headers))


def test_an_endpoint_can_sign_in_a_second_way() -> None:
    target = endpoint(also_sign=("standard",), secrets=(Secret(STANDARD_SECRET),))
    [request] = requests_for(target, job(), time.time())
    headers = dict(request.headers)
    assert verifiers.sockudo(headers, request.body, APP_SECRET.decode())
    assert Webhook(STANDARD_SECRET).verify(request.body, headers)


def test_after_a_rotation_standard_webhooks_get_both_signatures_in_one_header() -> None:
    old = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
    now = time.time()
    target = endpoint(profile="standard", secrets=(Secret(STANDARD_SECRET), Secret(old, expires_at=now + 60)))
    [request] = requests_for(target, job(EVENT), now)
    headers = dict(request.headers)
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert Webhook(STANDARD_SECRET).verify(request.body, headers)
    assert Webhook(old).verify(request.body, headers)


def test_after_a_rotation_the_previous_secret_signs_a_header_of_its_own_until_it_expires() -> None:
    target = endpoint(profile="pulse", secrets=(Secret("old secret", expires_at=NOW + 60), Secret("new secret")))
    headers = headers_of(target, b"{}")
    assert headers["X-Webhook-Signature"] == "sha256=" + hmac.digest(b"new secret", b"{}", "sha256").hex()
    assert headers["X-Webhook-Signature-Previous"] == "sha256=" + hmac.digest(b"old secret", b"{}", "sha256").hex()
    assert "X-Webhook-Signature-Previous" not in headers_of(target, b"{}", now=NOW + 60)


def test_a_custom_profile_signs_what_its_template_says_where_it_says() -> None:
    target = endpoint(
        profile="custom",
        signature_header="X-Hub-Signature",
        signature_template="v0:{timestamp}:{id}:{body}",
        signature_encoding="base64",
        signature_prefix="v0=",
        timestamp_header="X-Hub-Time",
        id_header="X-Hub-Id",
    )
    body = b'{"text":"{id} is not replaced in here"}'
    headers = headers_of(target, body)
    digest = hmac.digest(SECRET.encode(), b"v0:1700000000:dl_1:" + body, "sha256")
    assert headers["X-Hub-Signature"] == "v0=" + base64.b64encode(digest).decode()
    assert headers["X-Hub-Time"] == "1700000000"
    assert headers["X-Hub-Id"] == "dl_1"


@pytest.mark.parametrize("length", [23, 65])
def test_a_standard_secret_is_24_to_64_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"{length} bytes"):
        standard_key("whsec_" + base64.b64encode(bytes(length)).decode())


def test_a_standard_secret_is_base64() -> None:
    with pytest.raises(ValueError, match="not base64"):
        standard_key("whsec_!!!")


def test_no_secret_shows_in_the_repr_of_what_is_passed_around() -> None:
    target = endpoint(profile="irisx", headers=(("Authorization", "Bearer hush"),))
    [request] = requests_for(target, job(EVENT), NOW)
    shown = repr((target, request, target.secrets, target.app_keys))
    for hidden in (SECRET, APP_SECRET.decode(), "hush", dict(request.headers)["X-IRISX-Signature"]):
        assert hidden not in shown


@pytest.mark.parametrize("profile", SCHEMES)
def test_a_profile_says_which_headers_it_sets(profile: ProfileName) -> None:
    target = endpoint(profile=profile, secrets=(Secret(STANDARD_SECRET), Secret(STANDARD_SECRET, expires_at=NOW + 1)))
    always = {"Content-Type", "User-Agent", "webhook-id", "webhook-timestamp"}
    set_by_profile = set(headers_of(target, b"{}")) - always - {"X-Sockudo-Delivery-Id", "X-Sockudo-Attempt"}
    listed = set(scheme_headers(scheme_of(target, profile)))
    assert set_by_profile == listed
