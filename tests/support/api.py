"""A backend for tests: the signed HTTP API, with a hand on every part of the signature."""

import hashlib
import http.client
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from tests.support.client import hmac_hex
from tests.support.server import Server, TestApp

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the HTTP API."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def md5(body: bytes) -> str:
    """Return ``body_md5``."""
    return hashlib.md5(body).hexdigest()


def signature(secret: str, method: str, path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return ``auth_signature`` over these (decoded) parameters."""
    base = "&".join(f"{key}={value}" for key, value in sorted((key.lower(), value) for key, value in pairs))
    return hmac_hex(secret, f"{method.upper()}\n{path}\n{base}")


def auth_pairs(app: TestApp, body: bytes = b"", *, timestamp: int | str | None = None, version: str = "1.0") -> Pairs:
    """Return the authentication parameters but the signature; ``body_md5`` when there is a body."""
    stamp = int(time.time()) if timestamp is None else timestamp
    pairs = [("auth_key", app.key), ("auth_timestamp", str(stamp)), ("auth_version", version)]
    return pairs + ([("body_md5", md5(body))] if body else [])


def encode(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a query string, everything but letters, digits and ``_.-~`` percent-encoded."""
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)


class Api:
    """The HTTP API of one app over one keep-alive connection. Its calls block: the server is another process."""

    def __init__(self, server: Server, app: TestApp) -> None:
        self.server = server
        self.app = app
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def raw(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        """Send exactly this request target and body."""
        sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        self.connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in sent.items():
            self.connection.putheader(name, value)
        self.connection.endheaders(body or None)
        answer = self.connection.getresponse()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, received, answer.read())

    def path(self, rest: str) -> str:
        """Return the path below this app."""
        return f"/apps/{self.app.id}{rest}"

    def signed(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        params: Pairs | None = None,
        *,
        auth: Pairs | None = None,
        signed_path: str | None = None,
        sent: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request signed as the SDKs do.

        Args:
            method: HTTP method.
            path: The path on the wire, without the server's prefix.
            body: The body; ``body_md5`` is added for it.
            params: Query parameters besides the authentication, decoded.
            auth: Authentication parameters instead of the usual ones.
            signed_path: What is signed, where it differs from ``path``.
            sent: The query of ``params`` as it goes over the wire, where it differs from their usual encoding.
            headers: Headers besides the usual ones, or instead of them.
        """
        auth = auth_pairs(self.app, body) if auth is None else auth
        sign = signature(self.app.secret, method, signed_path or path, [*auth, *(params or [])])
        query = "&".join(filter(None, [encode([*auth, ("auth_signature", sign)]), sent or encode(params or [])]))
        return self.raw(method, f"{self.server.path_prefix}{path}?{query}", body, headers)

    def post(self, rest: str, payload: Any) -> Response:
        """POST ``payload`` (bytes as they are, anything else as compact JSON) to a path below this app."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":")).encode()
        return self.signed("POST", self.path(rest), body)

    def get(self, rest: str, **params: str) -> Response:
        """GET a path below this app."""
        return self.signed("GET", self.path(rest), params=list(params.items()))

    def publish(self, channel: str, event: str = "my-event", data: str = "{}", **more: Any) -> Response:
        """Publish one event and insist on success."""
        response = self.post("/events", {"name": event, "channel": channel, "data": data, **more})
        assert response.status == 200, response
        return response

    def subscription_count(self, channel: str) -> int:
        """Return how many connections are subscribed (apps with subscription_count)."""
        answer = self.get(f"/channels/{channel}", info="subscription_count").json
        return int(answer.get("subscription_count", 0))

    def occupied(self, channel: str) -> bool:
        """Return whether anybody is subscribed."""
        return bool(self.get(f"/channels/{channel}").json["occupied"])

    def users(self, channel: str) -> list[str]:
        """Return the ids of a presence channel's users, sorted."""
        return sorted(user["id"] for user in self.get(f"/channels/{channel}/users").json["users"])
