"""Signature profiles: which headers prove to a receiver that a body is ours. Pure.

A profile is a row of a table. The signature is made at send time over the very bytes that are sent, and never stored.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from sockudo_py import __version__
from sockudo_py.endpoints import Endpoint, ProfileName
from sockudo_py.protocol import signatures
from sockudo_py.webhooks.endpoints.keypairs import PRIVATE_KEY_PREFIX, sign

USER_AGENT = f"sockudo-py/{__version__}"
BODY = "{body}"
TIMESTAMP_BODY = "{timestamp}.{body}"
ID_TIMESTAMP_BODY = "{id}.{timestamp}.{body}"

STANDARD_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks gives secrets, not one
_PLACEHOLDER = re.compile(r"(\{id\}|\{timestamp\}|\{body\})")

CONTENT_TYPE = "application/json"  # exactly so: Node's SDK compares with ===
ID_HEADER, TIME_HEADER = "webhook-id", "webhook-timestamp"
# The headers of every request, beside those of its schemes.
SENT_WITH_ALL = frozenset(
    {"Content-Type", "User-Agent", ID_HEADER, TIME_HEADER, "X-Sockudo-Delivery-Id", "X-Sockudo-Attempt"}
)

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to sign. ``keys``: whose secret, and how it becomes bytes.

    ``rotation``: what the secret before the current one does until it expires: signs a ``…-Previous`` header, or joins
    the list in the one header. The app's own keys do neither: the oldest one signs, and the key header names it.
    """

    header: str
    content: str = BODY
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    keys: Literal["app", "endpoint", "standard"] = "endpoint"
    rotation: Literal["none", "previous", "list"] = "previous"
    key_header: str | None = None
    timestamp_header: str | None = None
    id_header: str | None = None


_PUSHER = Scheme("X-Pusher-Signature", keys="app", rotation="none", key_header="X-Pusher-Key")

SCHEMES: Mapping[ProfileName, Scheme] = MappingProxyType(
    {
        "pusher": _PUSHER,
        "sockudo": Scheme(
            "X-Pusher-Signature", prefix="sha256=", keys="app", rotation="none", key_header="X-Pusher-Key"
        ),
        "pulse": Scheme("X-Webhook-Signature", prefix="sha256="),
        "realcast": Scheme("X-RealCast-Signature", prefix="sha256=", id_header="X-RealCast-Webhook-Id"),
        "remotedevai": Scheme("X-Webhook-Signature", content=TIMESTAMP_BODY, timestamp_header="X-Webhook-Timestamp"),
        "irisx": Scheme(
            "X-IRISX-Signature", content=TIMESTAMP_BODY, prefix="sha256=", timestamp_header="X-IRISX-Timestamp"
        ),
        "standard": Scheme(
            "webhook-signature",
            content=ID_TIMESTAMP_BODY,
            encoding="base64",
            prefix="v1,",
            keys="standard",
            rotation="list",
        ),
    }
)


def scheme_of(endpoint: Endpoint, profile: ProfileName) -> Scheme:
    """Return the row of a profile; the one of ``custom`` is made from the endpoint's own fields."""
    if profile != "custom":
        return SCHEMES[profile]
    return Scheme(
        endpoint.signature_header or "X-Signature",
        content=endpoint.signature_template,
        encoding=endpoint.signature_encoding,
        prefix=endpoint.signature_prefix,
        timestamp_header=endpoint.timestamp_header,
        id_header=endpoint.id_header,
    )


def signed_headers(
    endpoint: Endpoint, *, body: bytes, body_id: str, delivery_id: str, attempt: int, now: float
) -> tuple[Header, ...]:
    """Return every header that we set on a request, signatures of all profiles of the endpoint included.

    The history counts on the order of the first six (``history/rows.py``).

    Args:
        endpoint: Where it goes.
        body: The exact bytes of the request.
        body_id: Names this body on every attempt.
        delivery_id: Names the delivery on every attempt.
        attempt: 1 for the first one.
        now: Unix seconds; the timestamp that is signed.
    """
    timestamp = str(int(now))
    headers: list[Header] = [
        ("Content-Type", CONTENT_TYPE),
        ("User-Agent", USER_AGENT),
        (ID_HEADER, body_id),
        (TIME_HEADER, timestamp),
        ("X-Sockudo-Delivery-Id", delivery_id),
        ("X-Sockudo-Attempt", str(attempt)),
    ]
    for scheme in schemes_of(endpoint):
        _sign(headers, scheme, endpoint, body, body_id, timestamp, now)
    return tuple(headers)


@lru_cache(maxsize=4096)
def schemes_of(endpoint: Endpoint) -> tuple[Scheme, ...]:
    """Return the rows of all profiles that sign for an endpoint, its own first."""
    return tuple(scheme_of(endpoint, profile) for profile in (endpoint.profile, *endpoint.also_sign))


def scheme_headers(scheme: Scheme) -> list[str]:
    """Return the names of the headers that a scheme sets."""
    names = [scheme.header, scheme.key_header, scheme.timestamp_header, scheme.id_header]
    if scheme.rotation == "previous":
        names.append(f"{scheme.header}-Previous")
    return [name for name in names if name is not None]


def _sign(
    headers: list[Header], scheme: Scheme, endpoint: Endpoint, body: bytes, body_id: str, timestamp: str, now: float
) -> None:
    """Add the headers of one scheme."""
    content = body if scheme.content == BODY else fill(scheme.content, body, body_id, timestamp)
    if scheme.key_header is not None:
        headers.append((scheme.key_header, endpoint.app_keys[0].key))
    if scheme.timestamp_header is not None:
        headers.append((scheme.timestamp_header, timestamp))
    if scheme.id_header is not None:
        headers.append((scheme.id_header, body_id))
    if scheme.keys == "app":
        headers.append((scheme.header, scheme.prefix + _digest(endpoint.app_keys[0].secret, content, scheme.encoding)))
        return
    if scheme.keys == "standard" and any(secret.value.startswith(PRIVATE_KEY_PREFIX) for secret in endpoint.secrets):
        signatures = [_standard_signature(secret, content) for secret in _values(endpoint, now)]
    else:
        signatures = [
            scheme.prefix + _digest(secret, content, scheme.encoding) for secret in _secrets(scheme, endpoint, now)
        ]
    if scheme.rotation == "list":
        headers.append((scheme.header, " ".join(signatures)))
        return
    headers.append((scheme.header, signatures[0]))
    if scheme.rotation == "previous" and len(signatures) > 1:
        headers.append((f"{scheme.header}-Previous", signatures[1]))


def _standard_signature(secret: str, content: bytes) -> str:
    if secret.startswith(PRIVATE_KEY_PREFIX):
        return "v1a," + sign(secret, content)
    return "v1," + _digest(standard_key(secret), content, "base64")


def _values(endpoint: Endpoint, now: float) -> list[str]:
    """Return the secrets that sign, the current one first."""
    current = [secret for secret in endpoint.secrets if secret.expires_at is None]
    old = [secret for secret in endpoint.secrets if secret.expires_at is not None and secret.expires_at > now]
    old.sort(key=lambda secret: secret.expires_at or 0.0, reverse=True)
    return [secret.value for secret in (*current, *old)]


def _secrets(scheme: Scheme, endpoint: Endpoint, now: float) -> list[bytes]:
    values = _values(endpoint, now)
    if scheme.keys == "standard":
        return [standard_key(value) for value in values]
    return [value.encode() for value in values]


def standard_key(secret: str) -> bytes:
    """Return the key bytes of a Standard Webhooks secret. Raises ValueError when it is not 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(secret.removeprefix(STANDARD_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"{len(key)} bytes long; 24 to 64 are needed")
    return key


def fill(template: str, body: bytes, body_id: str, timestamp: str) -> bytes:
    """Return what a template of signed bytes stands for."""
    values = {"{id}": body_id.encode(), "{timestamp}": timestamp.encode(), "{body}": body}
    return b"".join(values.get(part, part.encode()) for part in _PLACEHOLDER.split(template))


def _digest(secret: bytes, content: bytes, encoding: Literal["hex", "base64"]) -> str:
    hexadecimal = signatures.sign(secret, content)
    return hexadecimal if encoding == "hex" else base64.b64encode(bytes.fromhex(hexadecimal)).decode()
