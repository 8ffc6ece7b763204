"""Ed25519 signatures: verified by another library, shown by their public key, and never mixed up with secrets."""

import base64
import sys
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook

from sockudo_py.endpoints import Secret
from sockudo_py.webhooks.endpoints.keypairs import private_key, public_key, public_keys
from sockudo_py.webhooks.endpoints.profiles import signed_headers
from sockudo_py.webhooks.endpoints.validation import problems_of
from sockudo_py.webhooks.stats import describe_endpoint
from tests.unit.webhooks import make

# RFC 8032, 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
PRIVATE = "whsk_" + base64.b64encode(SEED).decode()
SYMMETRIC = "whsec_" + base64.b64encode(b"s" * 32).decode()
BODY = b'{"type":"a"}'


def signatures(*secrets: Secret) -> list[str]:
    endpoint = make.endpoint(profile="standard", secrets=secrets)
    headers = dict(signed_headers(endpoint, body=BODY, body_id="b1", delivery_id="d1", attempt=1, now=make.NOW))
    return headers["webhook-signature"].split(" ")


def verify(signature: str, body: bytes = BODY) -> None:
    version, _, text = signature.partition(",")
    assert version == "v1a"
    signed = b"b1.%d.%b" % (int(make.NOW), body)
    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(base64.b64decode(text), signed)


def test_the_signature_is_verified_by_the_public_key_alone() -> None:
    [signature] = signatures(Secret(PRIVATE))
    verify(signature)
    with pytest.raises(InvalidSignature):
        verify(signature, BODY + b" ")


def test_while_a_key_is_rotated_both_sign_each_in_its_way() -> None:
    first, second = signatures(Secret(PRIVATE), Secret(SYMMETRIC, expires_at=make.NOW + 10))
    verify(first)
    assert second.startswith("v1,")
    signed = {"webhook-id": "b1", "webhook-timestamp": str(int(make.NOW)), "webhook-signature": second}
    expected = Webhook(SYMMETRIC).sign("b1", _moment(), BODY.decode())
    assert signed["webhook-signature"] == expected
    assert len(signatures(Secret(PRIVATE), Secret(SYMMETRIC, expires_at=make.NOW - 1))) == 1


def _moment() -> datetime:
    return datetime.fromtimestamp(int(make.NOW), UTC)


def test_the_public_key_is_shown_and_the_private_one_is_not() -> None:
    assert public_key(PRIVATE) == "whpk_" + base64.b64encode(PUBLIC).decode()
    endpoint = make.endpoint(profile="standard", secrets=(Secret(PRIVATE),))
    assert public_keys(endpoint) == [public_key(PRIVATE)]
    shown = describe_endpoint(endpoint)
    assert shown["public_keys"] == [public_key(PRIVATE)]
    assert PRIVATE not in str(shown)
    assert "public_keys" not in describe_endpoint(make.endpoint())


def test_a_key_with_the_public_one_behind_it_is_taken_too() -> None:
    both = "whsk_" + base64.b64encode(SEED + PUBLIC).decode()
    assert public_key(both) == public_key(PRIVATE)
    assert isinstance(private_key(both), Ed25519PrivateKey)


@pytest.mark.parametrize("secret", ["whsk_", "whsk_x", "whsk_" + base64.b64encode(b"short").decode()])
def test_what_is_no_key_is_refused(secret: str) -> None:
    endpoint = make.endpoint(profile="standard", secrets=(Secret(secret),))
    [problem] = problems_of(endpoint)
    assert problem.startswith("profile standard: secret: ")
    assert secret not in problem or secret == "whsk_"


def test_without_the_library_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    private_key.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    [problem] = problems_of(make.endpoint(profile="standard", secrets=(Secret(PRIVATE),)))
    assert "pip install 'sockudo-py[ed25519]'" in problem
