"""Who asks, and how much they may ask. Free of what carries requests."""

import hmac
import time
from collections.abc import Callable, Mapping

from sockudo_py.apps.base import AppManager
from sockudo_py.http.auth import authenticate
from sockudo_py.http.messages import ApiRequest
from sockudo_py.http.query import TooManyParameters, read_signed
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.management.credentials.keys import Admin, AdminKeys, given_key
from sockudo_py.management.credentials.sessions import CSRF_HEADER, Sessions
from sockudo_py.management.links import PREFIX, Links
from sockudo_py.management.requests.router import Match
from sockudo_py.management.requests.values import Refused

NOBODY = Admin(b"", frozenset(), frozenset(), "anybody")
_ENDED = "this link is not valid (any more): it has ended, or the key that made it is gone; ask for another one"
_HOW_TO_OPEN = "no admin key is configured; `sockudo-py admin-key` makes one"


class PortAccess:
    """Decides about requests on the main port: by admin key, or, where the route takes that, by an app's signature.

    Args:
        keys: The admin keys.
        apps: Whose keys may sign.
        limiter: Counts requests of each key; None: no limits.
        key_limit: How much one key may ask; None: any number.
        address_limit: How often one address may ask without a key that is known; None: any number.
        path_prefix: The configured one. Signatures over the path with it are accepted too.
        clock: Unix seconds.
    """

    def __init__(
        self,
        keys: AdminKeys,
        *,
        apps: AppManager,
        limiter: RateLimiter | None = None,
        key_limit: RequestLimit | None = None,
        address_limit: RequestLimit | None = None,
        path_prefix: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        self.sessions = Sessions(keys, clock)
        self.links = Links(keys, clock)
        self._apps = apps
        self._limiter = limiter
        self.key_limit = key_limit
        self._address_limit = address_limit
        self._prefix = path_prefix
        self._clock = clock

    def admit(self, match: Match | None, headers: Mapping[str, str], remote: str) -> Admin | None:
        """Return who asks; None: it shows when the body has come, since the signature covers it.

        ``match`` None: there is no such route; only requests with a key learn that. Raises Refused: 401, 429.
        """
        if match is not None and match.route.access == "open":
            self._spend_address(remote)
            return NOBODY
        admin = self.keys.find(headers) or self.links.find(headers) or self._logged_in(match, headers)
        if admin is not None:
            self._spend(f"management:key:{admin.ident}", self.key_limit, "this key")
            return admin
        self._spend_address(remote)
        if match is not None and match.route.access == "signed" and not _has_key(headers):
            return None
        if not self.keys:
            raise _unauthorized(_HOW_TO_OPEN)
        link = (given_key(headers) or "").startswith(PREFIX)
        raise _unauthorized(_ENDED if link else "an admin key is missing, or unknown")

    def known(self, headers: Mapping[str, str]) -> Admin | None:
        """Return whose key, link or session is in headers (lower-case names)."""
        if _has_key(headers):
            return self.keys.find(headers) or self.links.find(headers)
        session = self.sessions.find(headers)
        return None if session is None else session.admin

    def _logged_in(self, match: Match | None, headers: Mapping[str, str]) -> Admin | None:
        """Return whose session the dashboard's cookie names. Raises Refused where its CSRF token is missing."""
        session = None if _has_key(headers) else self.sessions.find(headers)
        if session is None:
            return None
        if match is not None and match.route.method != "GET":
            given = headers.get(CSRF_HEADER, "")
            if not (given.isascii() and hmac.compare_digest(given, session.csrf)):
                raise Refused(403, "csrf", "X-CSRF-Token: is missing or wrong")
        return session.admin

    def admit_signed(self, match: Match, request: ApiRequest) -> Admin:
        """Return the signer of a request, who may do everything in this app. Raises Refused: 401."""
        app = self._apps.by_id(match.app_id or "")
        if app is None:
            raise _unauthorized("an admin key or a signature is missing, or unknown")
        try:
            query = read_signed(request.query)
        except TooManyParameters:
            raise Refused(400, "malformed", "the query has too many parameters") from None
        failure = authenticate(request, app, query, self._clock(), self._prefix)
        if failure is not None:
            raise _unauthorized(failure.body.decode().strip())
        if not app.enabled:
            raise Refused(403, "app_disabled", "the app is disabled")
        return Admin(b"", frozenset({app.id}), frozenset({"read", "write"}), f"app {app.id}")

    def _spend_address(self, remote: str) -> None:
        if remote:  # else a proxy on a Unix socket, which speaks for everybody
            self._spend(f"management:address:{remote}", self._address_limit, "this address")

    def _spend(self, key: str, limit: RequestLimit | None, who: str) -> None:
        if limit is None or self._limiter is None:
            return
        allowance = self._limiter.take(key, limit.max_requests, limit.window)
        if not allowance.allowed:
            seconds = str(max(1, -int(-allowance.retry_after // 1)))
            raise Refused(429, "rate_limited", f"too many requests of {who}", headers=(("Retry-After", seconds),))


class SocketAccess:
    """Lets in every user who may open the admin socket."""

    def __init__(self, owner: Admin) -> None:
        self._owner = owner

    def admit(self, match: Match | None, headers: Mapping[str, str], remote: str) -> Admin | None:  # noqa: D102
        return self._owner

    def admit_signed(self, match: Match, request: ApiRequest) -> Admin:  # noqa: D102
        return self._owner


def _has_key(headers: Mapping[str, str]) -> bool:
    return "x-pulse-key" in headers or "authorization" in headers


def _unauthorized(message: str) -> Refused:
    return Refused(401, "unauthorized", message, headers=(("WWW-Authenticate", "Bearer"),))
