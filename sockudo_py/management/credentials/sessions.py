"""Sessions of the dashboard, and links that begin one: signed with a key that comes from an admin key's hash.

Every node verifies them, nothing is stored, and to remove the admin key ends them all.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sockudo_py.management.credentials.keys import Admin, AdminKeys

COOKIE: Final = "sockudo_session"
CSRF_HEADER: Final = "x-csrf-token"
SESSION_SECONDS: Final = 8 * 3600
LOGIN_LINK_SECONDS: Final = 600
_MOST_ENDED: Final = 10_000  # sessions that were logged out, and links that were used, until they end by themselves
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Session:
    """Who is logged in. ``csrf`` has to come with everything but GET; it and the token end at ``expires``."""

    admin: Admin
    token: str
    csrf: str
    expires: int


class Sessions:
    """Makes and verifies the tokens of sessions and of login links.

    Args:
        keys: The admin keys that there are now.
        clock: Unix seconds.
    """

    def __init__(self, keys: AdminKeys, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        self._ended: OrderedDict[str, int] = OrderedDict()

    def begin(self, admin: Admin) -> Session:
        """Return a new session of an admin."""
        return self._session(admin, self._make(admin, "session", SESSION_SECONDS))

    def login_link(self, admin: Admin) -> str:
        """Return a token that begins one session, within ten minutes."""
        return self._make(admin, "login", LOGIN_LINK_SECONDS)

    def use_link(self, token: str) -> Admin | None:
        """Return whose login link it is, once; None: it is none, too old, or used."""
        admin = self._verified(token, "login")
        if admin is not None:
            self.end(token)
        return admin

    def find(self, headers: Mapping[str, str]) -> Session | None:
        """Return the session of the cookie in headers (lower-case names)."""
        for pair in headers.get("cookie", "").split(";"):
            name, _, token = pair.strip().partition("=")
            # Other servers of this host, on other ports, and hosts beside it may have set cookies of this name, too.
            if name == COOKIE and (admin := self._verified(token, "session")) is not None:
                return self._session(admin, token)
        return None

    def end(self, token: str) -> None:
        """Let a token count no more on this node."""
        self._ended[token] = int(self._clock()) + SESSION_SECONDS
        while self._ended and (len(self._ended) > _MOST_ENDED or next(iter(self._ended.values())) < self._clock()):
            self._ended.popitem(last=False)

    def _session(self, admin: Admin, token: str) -> Session:
        csrf = hmac.digest(_key(admin, "csrf"), token.encode(), "sha256").hex()
        return Session(admin, token, csrf, int(token.split(".")[1]))

    def _make(self, admin: Admin, purpose: str, seconds: int) -> str:
        text = f"{admin.ident}.{int(self._clock()) + seconds}.{secrets.token_urlsafe(12)}"
        return f"{text}.{hmac.digest(_key(admin, purpose), text.encode(), 'sha256').hex()}"

    def _verified(self, token: str, purpose: str) -> Admin | None:
        if len(token) > _LONGEST or not token.isascii():
            return None
        text, _, given = token.rpartition(".")
        parts = text.split(".")
        if len(parts) != 3 or not parts[1].isdigit() or token in self._ended:
            return None
        admin = self._keys.by_ident(parts[0])
        if admin is None:
            return None
        wanted = hmac.digest(_key(admin, purpose), text.encode(), "sha256").hex()
        if not hmac.compare_digest(wanted, given) or int(parts[1]) < self._clock():
            return None
        return admin


def _key(admin: Admin, purpose: str) -> bytes:
    return hmac.digest(admin.sha256, f"sockudo_py {purpose}".encode(), hashlib.sha256)
