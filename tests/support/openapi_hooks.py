"""What Schemathesis does here besides: it signs requests to the HTTP API, and asks for what there is.

Schemathesis loads this file by the variable SCHEMATHESIS_HOOKS. Most ids that it makes up are replaced by such that the
server knows: a 404 tells little of a handler.
"""

import hashlib
import hmac
import json
import os
import time
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

import requests
import schemathesis

KNOWN: dict[str, Any] = json.loads(os.environ["OPENAPI_KNOWN"])
SIGNED = ("/events", "/batch_events", "/connections", "/channels", "/terminate_connections", "/force_reconnect")
MANAGED = ("/api/", "/v1/", "/dashboard/")


class Auth(requests.auth.AuthBase):
    """Signs what goes to the HTTP API, as it is sent; sends an admin key to the management API."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(request.url or "")
        path = str(parts.path)
        managed = path.startswith(MANAGED) or path.split("/")[3:4] in (["webhooks"], ["webhook_events"])
        if managed or not path.startswith(("/apps/", "/users/")):
            request.headers["Authorization"] = f"Bearer {KNOWN['key']}"
            return request
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        assert isinstance(body, bytes)
        given = [part.partition("=") for part in str(parts.query).split("&") if part and not part.startswith("auth_")]
        pairs = [(unquote_plus(name), unquote_plus(value)) for name, _, value in given]
        pairs += [("auth_key", KNOWN["app_key"]), ("auth_timestamp", str(int(time.time()))), ("auth_version", "1.0")]
        if body:
            pairs.append(("body_md5", hashlib.md5(body).hexdigest()))
        signed = "&".join(f"{name.lower()}={value}" for name, value in sorted(pairs, key=lambda pair: pair[0].lower()))
        text = f"{request.method}\n{path}\n{signed}"
        signature = hmac.new(KNOWN["app_secret"].encode(), text.encode(), "sha256").hexdigest()
        pairs.append(("auth_signature", signature))
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
        request.url = f"{parts.scheme}://{parts.netloc}{path}?{query}"
        return request


schemathesis.auth.set_from_requests(Auth())  # type: ignore[attr-defined]


@schemathesis.hook
def map_path_parameters(ctx: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Name what there is, mostly."""
    if not path_parameters:
        return path_parameters
    known = KNOWN["ids"]
    if ctx.operation.method.lower() == "delete":
        known = {**known, "id": KNOWN["spare"].pop() if KNOWN["spare"] else "wh_gone"}
    place = "letter" if "/queue/failed" in ctx.operation.path else "id"
    return {
        name: known.get(place if name == "id" else name, value) if _mostly(value) else value
        for name, value in path_parameters.items()
    }


@schemathesis.hook
def map_query(ctx: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Name the app that there is, mostly, and wait for no feed."""
    if query and isinstance(query.get("timeout"), int) and query["timeout"] > 1:
        query["timeout"] = 1
    if query and isinstance(query.get("app_id"), str) and _mostly(query["app_id"]):
        query["app_id"] = KNOWN["ids"]["app"]
    return query


@schemathesis.hook
def map_body(ctx: Any, body: Any) -> Any:
    """Let endpoints be of the app that there is, and at an address that may be."""
    if isinstance(body, dict):
        for name, value in (("app_id", KNOWN["ids"]["app"]), ("url", KNOWN["url"]), ("webhook_url", KNOWN["url"])):
            if isinstance(body.get(name), str) and _mostly(body[name]):
                body[name] = value
    return body


def _mostly(value: Any) -> bool:
    return hash_of(value) % 8 != 0


def hash_of(value: Any) -> int:
    """Return a number that is the same in every run."""
    return hashlib.sha256(repr(value).encode()).digest()[0]
