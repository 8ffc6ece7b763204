"""What receivers do with a request, written after the samples in the documents that this server has to satisfy.

Each returns whether the receiver takes the request. ``headers`` have the names as they are on the wire.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

Headers = Mapping[str, str]


def _hex(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode("utf-8"), content, hashlib.sha256).hexdigest()


def sockudo(headers: Headers, body: bytes, secret: str) -> bool:
    """Strips a prefix if there is one; the body as text."""
    received = headers["X-Pusher-Signature"].replace("sha256=", "")
    return hmac.compare_digest(_hex(secret, body.decode().encode("utf-8")), received)


def sockudo_lambda(event: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """A function behind an API gateway."""
    body = event.get("body", "")
    signature = event.get("headers", {}).get("X-Pusher-Signature", "")
    if not hmac.compare_digest(_hex(secret, body.encode("utf-8")), signature.replace("sha256=", "")):
        return {"statusCode": 401, "body": "Unauthorized"}
    names = [webhook["name"] for webhook in json.loads(body)["events"]]
    return {"statusCode": 200, "body": "OK", "names": names}


def pulse(headers: Headers, body: bytes, secret: str) -> bool:
    """The raw body; the prefix is part of what is compared."""
    return hmac.compare_digest(headers["X-Webhook-Signature"], "sha256=" + _hex(secret, body))


def realcast(headers: Headers, body: bytes, secret: str) -> bool:
    """The body as text; the prefix is part of what is compared."""
    return hmac.compare_digest(headers["X-RealCast-Signature"], "sha256=" + _hex(secret, body.decode().encode()))


def remotedevai(headers: Headers, body: bytes, secret: str, now: int) -> bool:
    """Python's own text of the parsed body, after a timestamp that must be fresh."""
    timestamp = int(headers["X-Webhook-Timestamp"])
    if now - timestamp > 300:
        return False
    content = f"{timestamp}.{json.dumps(json.loads(body))}"
    return hmac.compare_digest(headers["X-Webhook-Signature"], _hex(secret, content.encode()))


def remotedevai_raw(headers: Headers, body: bytes, secret: str) -> bool:
    """What its JavaScript sample sees of a compact body: hex that is decoded, so no prefix may be there."""
    signature = bytes.fromhex(headers["X-Webhook-Signature"])
    content = headers["X-Webhook-Timestamp"].encode() + b"." + body
    return hmac.compare_digest(signature, hmac.digest(secret.encode(), content, "sha256"))


def irisx(headers: Headers, body: bytes, secret: str, now: int) -> bool:
    """As ``remotedevai``, with its own headers and a prefix."""
    timestamp = headers["X-IRISX-Timestamp"]
    if abs(now - int(timestamp)) > 300:
        return False
    content = f"{timestamp}.{json.dumps(json.loads(body))}"
    return hmac.compare_digest(f"sha256={_hex(secret, content.encode())}", headers["X-IRISX-Signature"])
