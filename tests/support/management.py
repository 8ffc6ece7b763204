"""The management API of a running server, as its users call it."""

import hashlib
import http.client
import json
from dataclasses import dataclass
from typing import Any

from tests.support.server import Server

KEY = "key-of-everything"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. The names in ``headers`` are lower case; ``json`` is None where the body is no JSON object."""

    status: int
    json: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The code of an error."""
        code: str = self.json["error"]["code"]
        return code


def admin_key(key: str = KEY, **settings: Any) -> dict[str, Any]:
    """Return an entry of ``webhooks.admin.api_keys``."""
    return {"sha256": hashlib.sha256(key.encode()).hexdigest(), **settings}


def managed(*keys: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return the section ``webhooks`` for a server whose API may make endpoints on this machine."""
    return {
        "batching": {"enabled": False},
        "vacate_delay_ms": 0,
        "security": {"allowed_cidrs": ["127.0.0.0/8"]},
        "admin": {"api_keys": list(keys) or [admin_key()]},
        **settings,
    }


def ask(server: Server, method: str, target: str, body: Any = None, key: str | None = KEY, **headers: str) -> Said:
    """Send a request. ``body``: bytes as they are, else as JSON; in names of headers ``_`` stands for ``-``."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        connection.request(method, server.path_prefix + target, body, sent)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Said(response.status, json.loads(content) if content[:1] == b"{" else None, found)


def made(server: Server, url: str, target: str = "/apps/3/webhooks", **fields: Any) -> dict[str, Any]:
    """Create an endpoint, and return it."""
    said = ask(server, "POST", target, {"url": url, "event_types": ["channel_occupied"], **fields})
    assert said.status == 201, said
    shown: dict[str, Any] = said.json.get("webhook", said.json)
    return shown
