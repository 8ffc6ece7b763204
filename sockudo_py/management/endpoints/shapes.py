"""How an endpoint looks in answers. No secret and no value of a header is in them."""

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.endpoints.documents import Document
from sockudo_py.management.endpoints.making import signs_itself
from sockudo_py.management.requests.aliases import Alias
from sockudo_py.management.requests.models import MASK
from sockudo_py.management.requests.values import iso
from sockudo_py.webhooks.endpoints.guard import redact_url
from sockudo_py.webhooks.endpoints.keypairs import public_keys


def shape(endpoint: Endpoint, document: Document | None, alias: Alias) -> dict[str, Any]:
    """Return an endpoint as JSON.

    Of the URL of an endpoint from a file only the origin is shown: a reader of the API may be somebody else
    than who wrote the file, and path and query are the secret of many receivers.

    Args:
        endpoint: As it counts now.
        document: What the API keeps of it; None: it stands in a file.
        alias: How the route was written.
    """
    url = endpoint.url if document is not None else redact_url(endpoint.url)
    events = _events(endpoint, document)
    rate = endpoint.rate_limit
    return {
        "id": endpoint.id if alias.wrapped else endpoint.uid,
        "uid": endpoint.uid,
        "number": endpoint.id,
        "app_id": endpoint.app_id,
        "name": endpoint.name,
        "description": endpoint.description,
        **_target(endpoint, url),
        "events": events,
        "event_types": events,
        "enabled": endpoint.enabled,
        "active": endpoint.enabled,
        "profile": endpoint.profile,
        "also_sign": list(endpoint.also_sign),
        "signed_with": "secret" if signs_itself(endpoint) else "app",
        "previous_secret_expires_at": iso(_rotation_ends_ms(endpoint)),
        "filter": {name: value for name, value in asdict(endpoint.filter).items() if value is not None},
        "headers": {name: MASK for name, _ in endpoint.headers},
        "header_names": sorted(name for name, _ in endpoint.headers),
        **_auth(endpoint),
        **({"public_keys": keys} if (keys := public_keys(endpoint)) else {}),
        "json_style": endpoint.json_style,
        "payload": endpoint.payload,
        "retries_s": list(endpoint.retry.schedule),
        "request_timeout_ms": round(endpoint.request_timeout * 1000),
        "connect_timeout_ms": round(endpoint.connect_timeout * 1000),
        "rate_limit": {"per_second": rate.per_second, "per_minute": rate.per_minute, "per_hour": rate.per_hour},
        "max_in_flight": endpoint.max_in_flight,
        "ordering": endpoint.ordering,
        "auto_resync": endpoint.auto_resync,
        "source": "file" if document is None else "api",
        "created_at": None if document is None else iso(document.created_ms),
        "updated_at": None if document is None else iso(document.updated_ms),
    }


def _auth(endpoint: Endpoint) -> dict[str, Any]:
    """Return how requests are authenticated, with secrets masked."""
    if endpoint.auth is None:
        return {}
    auth: dict[str, Any] = {"type": endpoint.auth}
    if endpoint.auth == "bearer":
        auth["token"] = MASK
    if endpoint.auth == "basic":
        auth |= {"username": _user(endpoint), "password": MASK}
    if endpoint.oauth2 is not None:
        given = endpoint.oauth2
        auth |= {"token_url": redact_url(given.token_url), "client_id": given.client_id, "client_secret": MASK}
        auth |= {"scope": given.scope, "audience": given.audience, "client_auth": given.client_auth}
    return {"auth": auth}


def _user(endpoint: Endpoint) -> str:
    value = next((value for name, value in endpoint.headers if name == "Authorization"), "")
    return base64.b64decode(value.removeprefix("Basic ")).decode("utf-8", "replace").partition(":")[0]


def wrapped(shown: Mapping[str, Any], alias: Alias) -> dict[str, Any]:
    """Return an endpoint's JSON as the alias wraps it."""
    return {"webhook": dict(shown)} if alias.wrapped else dict(shown)


def _target(endpoint: Endpoint, url: str | None) -> dict[str, Any]:
    if endpoint.function is not None:
        return {"lambda": asdict(endpoint.function)}
    if endpoint.feed is not None:
        return {"feed": {"retention_s": round(endpoint.feed.retention), "max_events": endpoint.feed.max_events}}
    return {"url": url}


def _events(endpoint: Endpoint, document: Document | None) -> list[str]:
    """Return the types that it lists, in the order in which they were sent."""
    sent = None if document is None else document.spec.get("event_types")
    return list(sent) if isinstance(sent, list) else sorted(endpoint.event_types)


def _rotation_ends_ms(endpoint: Endpoint) -> int:
    """Return when the last of the earlier secrets ends, or ended, in Unix ms; 0: there is none."""
    return max((int(one.expires_at * 1000) for one in endpoint.secrets if one.expires_at is not None), default=0)
