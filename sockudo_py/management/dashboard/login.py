"""Logging in to the dashboard, and out."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from sockudo_py.http.description.notation import Param
from sockudo_py.limits.base import RateLimiter
from sockudo_py.management.credentials.keys import AdminKeys
from sockudo_py.management.credentials.sessions import COOKIE, SESSION_SECONDS, Session, Sessions
from sockudo_py.management.requests.answers import EMPTY, LOGIN
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused

log = logging.getLogger(__name__)

TRIES: Final = 10  # logins of one address ...
TRIES_WINDOW: Final = 60.0  # ... in this many seconds
_LOGIN: Final = (Param("key", says="An admin key."), Param("link", says="The token of a login link."))


class LoginRoutes:
    """Begins and ends sessions.

    Args:
        keys: Who may log in.
        sessions: Makes their tokens.
        limiter: Counts logins.
        prefix: The configured path prefix, to which cookies are bound.
        secure: The server itself speaks TLS only.
    """

    def __init__(self, keys: AdminKeys, sessions: Sessions, limiter: RateLimiter, *, prefix: str, secure: bool) -> None:
        self._keys = keys
        self._sessions = sessions
        self._limiter = limiter
        self._prefix = prefix
        self._secure = secure

    @property
    def table(self) -> Sequence[Route]:
        """The routes."""
        route = partial(Route, "POST", access="open", most_body=4096, tag="Dashboard")
        return (
            route("/dashboard/login", self.login, fields=_LOGIN, answers={200: LOGIN}),
            route("/dashboard/logout", self.logout, answers={200: EMPTY}),
        )

    async def login(self, asked: Asked) -> Answer:
        """Begin a session: with an admin key, or with the token of a login link."""
        fields = Fields(asked)
        key, link = fields.text("key"), fields.text("link")
        # Another site's page must not log anybody in. Browsers name the page that sends a request, but only where TLS
        # or localhost protects it; everywhere they let other sites send forms and plain text, and no JSON.
        if asked.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "cross_site", "logins come from the dashboard itself only")
        if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "unsupported_type", "a login comes with Content-Type: application/json")
        counted = f"management:login:{asked.remote}"
        if not self._limiter.take(counted, TRIES, TRIES_WINDOW).allowed:
            raise Refused(429, "rate_limited", "too many logins; wait a minute", headers=(("Retry-After", "60"),))
        admin = self._keys.find({"x-pulse-key": key}) if key is not None else None
        if admin is None and link is not None:
            admin = self._sessions.use_link(link)
        if admin is None:
            log.warning("a login to the dashboard failed", extra={"address": asked.remote or "unix socket"})
            if not self._keys:
                raise Refused(401, "closed", "no admin key is configured; `sockudo-py admin-key` makes one")
            text = "this link is not valid (any more)" if link is not None else "no admin key is like this"
            raise Refused(401, "unauthorized", text)
        session = self._sessions.begin(admin)
        log.info("a login to the dashboard", extra={"by": admin.name, "address": asked.remote or "unix socket"})
        return Answer(200, described(session), (self._cookie(asked, session.token, SESSION_SECONDS),))

    async def logout(self, asked: Asked) -> Answer:
        """End the session."""
        session = self._sessions.find(asked.headers)
        if session is not None:
            if asked.headers.get("x-csrf-token") != session.csrf:
                raise Refused(403, "csrf", "X-CSRF-Token: is missing or wrong")
            self._sessions.end(session.token)
        return Answer(200, {}, (self._cookie(asked, "", 0),))

    def _cookie(self, asked: Asked, value: str, seconds: int) -> tuple[str, str]:
        secure = self._secure or asked.headers.get("x-forwarded-proto", "").lower() == "https"
        more = "; Secure" if secure else ""
        path = f"{self._prefix}/"
        return "Set-Cookie", f"{COOKIE}={value}; Max-Age={seconds}; Path={path}; HttpOnly; SameSite=Strict{more}"


def described(session: Session) -> dict[str, object]:
    """Return what the page may know of its session."""
    return {"csrf": session.csrf, "expires_at": session.expires, "name": session.admin.name}
