"""Links for tenants: short-lived tokens for one app, signed with a key that comes from an admin key's hash.

Every node verifies them, nothing is stored, and to remove the admin key ends them all.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from sockudo_py.apps.base import AppManager
from sockudo_py.management.audit import audit_line
from sockudo_py.management.credentials.keys import EVERY_APP, Admin, AdminKeys, given_key
from sockudo_py.management.requests.answers import LINK
from sockudo_py.management.requests.models import LinkBody, read
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import one_app_of
from sockudo_py.management.requests.values import Answer, Asked, Refused, iso
from sockudo_py.stores.endpoints.base import EndpointStore

PREFIX: Final = "pl_"
_LONGEST: Final = 1200  # characters: an app id may have 200, of four bytes each
_SCOPES: Final[Mapping[str, frozenset[str]]] = {"read": frozenset({"read"}), "write": frozenset({"read", "write"})}


class Links:
    """Makes and verifies the tokens.

    Args:
        keys: The admin keys that there are now.
        clock: Unix seconds.
    """

    def __init__(self, keys: AdminKeys, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock

    def make(self, admin: Admin, app_id: str, scope: str, seconds: int) -> tuple[str, int]:
        """Return a token, and the Unix second at which it ends."""
        expires = int(self._clock()) + seconds
        app = base64.urlsafe_b64encode(app_id.encode()).decode().rstrip("=")
        text = f"{PREFIX}{admin.ident}.{expires}.{scope}.{app}.{secrets.token_urlsafe(9)}"
        return f"{text}.{_sign(admin, text)}", expires

    def find(self, headers: Mapping[str, str]) -> Admin | None:
        """Return whom the token in headers (lower-case names) lets in; None: there is none, or it counts no more.

        It may never do more than the admin key may now.
        """
        token = given_key(headers)
        if token is None or not token.startswith(PREFIX) or len(token) > _LONGEST or not token.isascii():
            return None
        text, _, given = token.rpartition(".")
        parts = text.removeprefix(PREFIX).split(".")
        if len(parts) != 5:
            return None
        ident, expires, scope, app, _ = parts
        admin = self._keys.by_ident(ident)
        if admin is None or not hmac.compare_digest(_sign(admin, text), given):
            return None
        if int(expires) <= self._clock():
            return None
        app_id = base64.urlsafe_b64decode(app + "=" * (-len(app) % 4)).decode()
        if EVERY_APP not in admin.apps and app_id not in admin.apps:
            return None
        own = hashlib.sha256(token.encode()).digest()
        return Admin(own, frozenset({app_id}), _SCOPES[scope] & admin.scopes, f"link of {admin.name}", link=True)


class LinkRoutes:
    """Answers requests for links.

    Args:
        links: Makes them.
        apps: The apps that there are.
        store: Gets a line of the audit.
    """

    def __init__(self, links: Links, apps: AppManager, store: EndpointStore) -> None:
        self._links = links
        self._apps = apps
        self._store = store
        self.table = (
            Route(
                "POST",
                "/api/portal_links",
                self.make,
                scope="read",
                body=LinkBody,
                answers={201: LINK},
                tag="Keys and changes",
            ),
        )

    async def make(self, asked: Asked) -> Answer:
        """Make a link to one app."""
        body = read(LinkBody, asked.body)
        admin = asked.admin
        app_id = one_app_of(admin, body.app_id)
        if admin.link or not admin.sha256:
            raise Refused(403, "forbidden", "links are made with an admin key")
        if body.scope not in admin.scopes:
            raise Refused(403, "forbidden", f"the key has no scope {body.scope}")
        if self._apps.by_id(app_id) is None:
            raise Refused(404, "not_found", "there is no such app")
        token, expires = self._links.make(admin, app_id, body.scope, body.expires_s)
        line = audit_line(admin.name, "portal_link", app_id=app_id, scope=body.scope, expires_at=iso(expires * 1000))
        await self._store.write((), line)
        shown = {"token": token, "app_id": app_id, "scope": body.scope, "expires_at": iso(expires * 1000)}
        return Answer(201, shown)


def _sign(admin: Admin, text: str) -> str:
    key = hmac.digest(admin.sha256, b"sockudo_py portal link", "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
