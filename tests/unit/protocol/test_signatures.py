"""The published signing vectors, and what a verifier must survive."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol import signatures
from tests.unit.protocol.speak import KEY, SECRET, SOCKET


@pytest.mark.parametrize(
    ("channel", "channel_data", "digest"),
    [
        ("private-foobar", None, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"),
        (
            "presence-foobar",
            '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}',
            "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
        ),
        (
            "presence-foobar",
            '{"user_id":"10","user_info":{"name":"Mr. Pusher"}}',
            "48dac51d2d7569e1e9c0f48c227d4b26f238fa68e5c0bb04222c966909c4f7c4",
        ),
        (
            "presence-foobar",
            '{"user_id":10,"user_info":{"name":"Mr. Channels"}}',
            "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
        ),
        ("presence-foobar", None, "71506e66e7fdca106571b8999a849ad34245bc653772e51e0026c1a2475b92ba"),
    ],
)
def test_D57_E72_E73_channel_vectors(channel: str, channel_data: str | None, digest: str) -> None:
    signed = signatures.channel_string(SOCKET, channel, channel_data)
    assert signatures.sign(SECRET, signed) == digest


def test_I128_user_vector() -> None:
    signed = signatures.user_string(SOCKET, '{"id":"12345"}')
    assert signed == '1234.1234::user::{"id":"12345"}'
    assert signatures.sign(SECRET, signed) == "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"


BODY = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
COMMON = [("auth_key", KEY), ("auth_timestamp", "1353088179"), ("auth_version", "1.0")]


@pytest.mark.parametrize(
    ("method", "path", "parameters", "digest"),
    [
        (
            "POST",
            "/apps/3/events",
            [("body_md5", "ec365a775a4cd0599faeb73354201b6f")],
            "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
        ),
        (
            "GET",
            "/apps/3/channels",
            [("filter_by_prefix", "presence-"), ("info", "user_count")],
            "16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291",
        ),
        (
            "GET",
            "/apps/3/channels",
            [("body_md5", "d41d8cd98f00b204e9800998ecf8427e")],
            "5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302",
        ),
        (
            "GET",
            "/apps/3/channels/presence-a,b",
            [("info", "user_count,subscription_count")],
            "5edbb1f3d4c0112645e2681956e9e880762f07f4b3f50d9306c21eb128c4c1b0",
        ),
    ],
)
def test_K148_http_vectors(method: str, path: str, parameters: list[tuple[str, str]], digest: str) -> None:
    query = [("auth_signature", "whatever"), *parameters, *COMMON]
    assert signatures.sign(SECRET, signatures.http_string(method, path, query)) == digest


def test_the_body_of_the_http_vector_has_the_md5_that_was_signed() -> None:
    assert hashlib.md5(BODY).hexdigest() == "ec365a775a4cd0599faeb73354201b6f"


def test_K157_php_arrays_are_signed_joined_by_commas() -> None:
    php = [("info[0]", "user_count"), ("auth_key", "k"), ("info[1]", "subscription_count")]
    plain = [("auth_key", "k"), ("info", "user_count,subscription_count")]
    assert signatures.http_string("GET", "/p", php) == signatures.http_string("GET", "/p", plain)
    assert signatures.http_string("GET", "/p", [("c[]", "a"), ("c[]", "b")]) == "GET\n/p\nc=a,b"


def test_K159_parameter_names_are_signed_in_lower_case_and_sorted() -> None:
    base = signatures.http_string("get", "/p", [("b", "2"), ("Auth_Key", "K"), ("Auth_Signature", "x")])
    assert base == "GET\n/p\nauth_key=K&b=2"


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (
            b'{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"test_channel"}]}',
            "709fdb84c03664445f7698120b0edf0acc1ab1c8c6e93a0368c61841d6b998aa",
        ),
        (
            b'{"time_ms":1700000000000,"events":[{"name":"client_event","channel":"presence-room",'
            b'"event":"client-typing","data":"{\\"on\\":true}","socket_id":"1234.1234","user_id":"10"}]}',
            "5aa90fea193d8db1586a01d324e4f31ea57dcdc5c6870921cb677d20233c7077",
        ),
    ],
)
def test_N207_webhook_vectors(body: bytes, digest: str) -> None:
    assert signatures.webhook_signature(SECRET, body) == digest


def test_a_right_signature_is_verified() -> None:
    assert signatures.verify(SECRET, "text", signatures.sign(SECRET, "text"))


@pytest.mark.parametrize("wrong", ["", "x", "é" * 64, "\ud800", "0" * 63, "0" * 64, "0" * 65, "\0"])
def test_D66_D67_a_wrong_signature_is_refused_whatever_it_is(wrong: str) -> None:
    assert not signatures.verify(SECRET, "text", wrong)


def test_D66_upper_case_is_a_wrong_signature() -> None:
    assert not signatures.verify(SECRET, "text", signatures.sign(SECRET, "text").upper())


def test_text_that_is_not_utf8_can_be_signed() -> None:
    assert not signatures.verify(SECRET, "\ud800", "0" * 64)


def test_text_is_signed_as_utf8() -> None:
    assert signatures.sign(SECRET, "é") == signatures.sign(SECRET, "é".encode())


@given(st.binary(max_size=130), st.binary(max_size=200))
def test_any_secret_and_text_are_signed_as_the_standard_library_does(secret: bytes, text: bytes) -> None:
    assert signatures.sign(secret, text) == hmac.new(secret, text, "sha256").hexdigest()


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128, 1000])
def test_secrets_of_any_length_sign(length: int) -> None:
    assert signatures.sign(b"s" * length, b"text") == hmac.new(b"s" * length, b"text", "sha256").hexdigest()
