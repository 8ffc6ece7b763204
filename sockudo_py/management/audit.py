"""The audit: who changed what, and when. It names fields, and never their values."""

import time
from collections.abc import Iterable
from typing import Any

import orjson

from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.requests.answers import CHANGE, listed
from sockudo_py.management.requests.params import APP_ID, PAGE
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import app_of
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused, iso
from sockudo_py.stores.endpoints.base import AuditLine, EndpointStore

_MOST_NAMED = 50  # fields in a line


def audit_line(
    by: str, action: str, *, app_id: str = "", webhook_id: str | None = None, fields: Iterable[str] = (), **more: Any
) -> AuditLine:
    """Return a line for the audit.

    Args:
        by: The name of the key; ``server`` for what the server does itself.
        action: Such as ``create``, ``update``, ``rotate_secret``.
        app_id: The app that it is about; "": none, or several.
        webhook_id: The uid of the endpoint.
        fields: Names of fields that were changed.
        more: Further facts, none of them secret.
    """
    line: dict[str, Any] = {
        "at": iso(int(time.time() * 1000)),
        "by": by,
        "action": action,
        "app_id": app_id or None,
        "webhook_id": webhook_id,
        "fields": sorted(fields)[:_MOST_NAMED],
        **more,
    }
    return AuditLine(app_id, orjson.dumps(line))


class AuditRoutes:
    """Answers requests about the audit.

    Args:
        store: Has the lines.
    """

    def __init__(self, store: EndpointStore) -> None:
        self._store = store
        self.table = (
            Route(
                "GET",
                "/api/webhooks/audit",
                self.list,
                fields=(APP_ID, *PAGE),
                answers={200: listed("audit", CHANGE)},
                tag="Keys and changes",
                links=False,
            ),
        )

    async def list(self, asked: Asked) -> Answer:
        """List the changes, newest first. A key of some apps sees those of its apps alone."""
        fields = Fields(asked)
        wanted = fields.text("app_id")
        apps = _apps(asked.admin, wanted)
        limit, before = fields.number("limit"), _number(fields.text("cursor"))
        found = await self._store.audit(limit + 1, before, apps)
        shown = [_described(one.number, one.line.text) for one in found[:limit]]
        more = str(found[limit - 1].number) if len(found) > limit else None
        return Answer(200, {"audit": shown, "next_cursor": more})


def _apps(admin: Admin, wanted: str | None) -> frozenset[str] | None:
    if wanted is None:
        return None if EVERY_APP in admin.apps else admin.apps
    app_id = app_of(admin, wanted)
    return None if app_id is None else frozenset({app_id})


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
    return int(cursor)


def _described(number: int, text: bytes) -> dict[str, Any]:
    try:
        line = orjson.loads(text)
    except ValueError:
        line = None
    return {"number": number, **(line if isinstance(line, dict) else {})}
