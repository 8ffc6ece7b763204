"""The HTTP API: from a request to a response, without any HTTP library.

``Api.handle`` is called by lanes of the port (``edge/lanes``) and by the aiohttp application alike.
"""

import logging
import secrets
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Final

from sockudo_py.apps.base import AppManager
from sockudo_py.caches.base import IdempotencyKeys
from sockudo_py.errors import Unavailable
from sockudo_py.http.auth import authenticate, is_signed_as_usual
from sockudo_py.http.context import NodeApi, make_call, too_many
from sockudo_py.http.handlers.health import Health
from sockudo_py.http.idempotency import Idempotency
from sockudo_py.http.messages import OK, UNAVAILABLE, ApiRequest, ApiResponse, echo, error
from sockudo_py.http.operators import OperatorAccess
from sockudo_py.http.query import MAX_PAIRS, TooManyParameters, read_signed
from sockudo_py.http.routes import Answer, ForOperators, Match, MethodMismatch, Open, Router, Signed
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.limits.notice import LimitNotice
from sockudo_py.logs import shortened
from sockudo_py.metrics import AppCounters, Metrics
from sockudo_py.protocol.app import App
from sockudo_py.protocol.source import UNIX
from sockudo_py.tap import Tap

__all__ = ["Api", "ApiRequest", "ApiResponse"]

log = logging.getLogger(__name__)

_NOT_FOUND = error(404, "Not found")
_UNKNOWN_APP = error(404, "Unknown app: check the app id in the path")
_DISABLED = error(403, "App disabled")
_UNKNOWN_KEY = error(401, "Unknown auth_key")
_FAILED = 400
_MOST_TOLD = 1000  # characters of a refusal that the log and the tap get
DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_NO_PARAMETERS: Final[dict[str, str]] = {}


class Api:
    """Answers requests of the HTTP API and of the open routes.

    Args:
        node: Where events go and figures come from.
        apps: Who may publish.
        metrics: Counts requests, bytes and errors per app.
        keys: Where idempotency keys are remembered.
        limiter: For the limits of apps and of addresses; None: no limits.
        clock: Unix seconds, compared with the timestamps of requests.
        timer: Seconds that never go back, to measure how long answers take.
        health: Answers the open routes; without it they are not found.
        operators: Who may see ``/usage``; None: nobody.
        address_limit: What one address may ask for, over all apps and routes but the open ones; None is no limit.
        path_prefix: The configured prefix (like ``/realtime``), which is cut from paths before they get here.
            Signatures over the path with it are accepted too.
        tap: Told which requests are refused.
    """

    def __init__(
        self,
        *,
        node: NodeApi,
        apps: AppManager,
        metrics: Metrics,
        keys: IdempotencyKeys,
        limiter: RateLimiter | None = None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
        health: Health | None = None,
        operators: OperatorAccess | None = None,
        address_limit: RequestLimit | None = None,
        path_prefix: str = "",
        tap: Tap | None = None,
    ) -> None:
        self._tap = Tap() if tap is None else tap
        self._node = node
        self._apps = apps
        self._counters = metrics.apps
        self._idempotency = Idempotency(keys)
        self._timer = timer
        self._durations = metrics.histogram(
            "http_request_duration_seconds",
            "Time from a whole request to the HTTP API until its answer",
            ("status",),
            DURATIONS,
        )
        self._ok_durations = self._durations.row("200")
        self._limiter = limiter
        self._clock = clock
        self._health = health
        self._operators = operators
        self._address_limit = address_limit
        self._prefix = path_prefix.rstrip("/")
        self._router = Router()
        self._limited = metrics.counter(
            "http_address_limited_total", "HTTP API requests refused because their address sent too many"
        )
        self._notice = LimitNotice("HTTP API requests", "rate_limiter.api_rate_limit.max_requests")
        self._crashes = metrics.counter("http_internal_errors_total", "HTTP API requests answered with status 500")

    def handle(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Return the response, or an awaitable of it where the cluster has to be asked. Never raises.

        Events and batches without ``info`` are answered at once: their order is the order of the calls.
        """
        timer = self._timer
        started = timer()
        try:
            answer = self._answer(request)
        except Exception:  # noqa: BLE001 - the top of every request: nothing may break the connection's lane
            answer = self._crashed(request)
        if answer is OK:
            took, row = timer() - started, self._ok_durations
            row[bisect_left(DURATIONS, took)] += 1
            row[-1] += took
            return OK
        if not isinstance(answer, ApiResponse):
            return self._timed(answer, started)
        self.observe(answer.status, timer() - started)
        if answer.status >= _FAILED:
            self._tell(request, answer)
        return answer

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer that took this long; for callers that answer without ``handle``."""
        self._durations.observe(str(status), value=seconds)

    async def _timed(self, pending: Awaitable[ApiResponse], started: float) -> ApiResponse:
        answer = await pending
        self.observe(answer.status, self._timer() - started)
        return answer

    def refusal(self, method: str, path: str) -> ApiResponse | None:
        """Return the answer for a request that has no route, before its body is read; None: it has one."""
        match = self._router.find(method, path)
        if isinstance(match, Match) and (self._health is not None or isinstance(match.route, Signed)):
            return None
        if isinstance(match, MethodMismatch):
            allow = ("Allow", ", ".join(match.allowed))
            return (
                ApiResponse(204, b"", headers=(allow,))
                if method == "OPTIONS"
                else error(405, "Method not allowed", allow)
            )
        return _NOT_FOUND

    def _answer(self, request: ApiRequest) -> Answer:
        match = self._router.find(request.method, request.path)
        if not isinstance(match, Match):
            return self.refusal(request.method, request.path) or _NOT_FOUND
        route = match.route
        if not isinstance(route, Signed):
            return self._open(request, route, match.segments)
        if self._address_limit is not None and (refused := self._spend_address(request.remote, self._address_limit)):
            return refused

        params = _NO_PARAMETERS
        app = self._apps.by_id(match.segments[0]) if match.names_app else None
        clock = self._clock  # a local: self._clock() would search the class first, each time
        if app is None or not is_signed_as_usual(request, app, clock()):
            found = self._authenticate(request, match, app)
            if isinstance(found, ApiResponse):
                return found
            app, params = found
        counters = self._counters[app.id]
        counters.http_requests += 1
        counters.http_received_bytes += len(request.body)
        if not app.enabled:
            return _count(counters, _DISABLED)
        handler = route.handler
        answer = handler(
            make_call(request, app, params, match.segments, counters, self._node, self._limiter, self._idempotency)
        )
        if answer is OK:
            counters.http_sent_bytes += len(OK.body)
            return OK
        if isinstance(answer, ApiResponse):
            return _count(counters, answer)
        return self._later(request, answer, counters)

    def _authenticate(
        self, request: ApiRequest, match: Match, app: App | None
    ) -> tuple[App, dict[str, str]] | ApiResponse:
        """Return the app and all other parameters of a request whatever its query looks like, or the refusal."""
        try:
            query = read_signed(request.query)
        except TooManyParameters:
            return error(400, f"More than {MAX_PAIRS} parameters in the query")
        if app is None:
            if match.names_app:
                return _UNKNOWN_APP
            app = self._apps.by_key(query.key or "")
            if app is None:
                return _UNKNOWN_KEY
        failure = authenticate(request, app, query, self._clock(), self._prefix)
        if failure is None:
            return app, query.others
        counters = self._counters[app.id]
        counters.http_requests += 1
        counters.http_received_bytes += len(request.body)
        return _count(counters, failure)

    def _open(self, request: ApiRequest, route: Open | ForOperators, segments: tuple[str, ...]) -> Answer:
        if self._health is None:
            return _NOT_FOUND
        if isinstance(route, ForOperators) and not (self._operators and self._operators.allows(request)):
            return _NOT_FOUND
        answer = route.handler(self._health, segments)
        return answer if isinstance(answer, ApiResponse) else self._later(request, answer, None)

    def _spend_address(self, remote: str, limit: RequestLimit) -> ApiResponse | None:
        if self._limiter is None or not remote:  # no address: a proxy on a Unix socket speaks for everybody
            return None
        allowance = self._limiter.take(f"http:address:{remote}", limit.max_requests, limit.window)
        if allowance.allowed:
            return None
        self._limited.add()
        self._notice.add(remote)
        return too_many("Rate limit exceeded: too many requests from this address", allowance.retry_after)

    async def _later(
        self, request: ApiRequest, pending: Awaitable[ApiResponse], counters: AppCounters | None
    ) -> ApiResponse:
        try:
            answer = await pending
        except Unavailable as problem:
            log.warning("%s %s: %s", request.method, echo(request.path), problem)
            answer = UNAVAILABLE
        except Exception:  # noqa: BLE001 - as in handle
            answer = self._crashed(request)
        if answer.status >= _FAILED:
            self._tell(request, answer)
        return answer if counters is None else _count(counters, answer)

    def _tell(self, request: ApiRequest, answer: ApiResponse) -> None:
        """Tell of a refusal: at level debug, and to the tap. The query holds signatures and is left out."""
        told = shortened(answer.body.strip(), _MOST_TOLD)
        match = self._router.find(request.method, request.path)
        named = match.segments[0] if isinstance(match, Match) and match.names_app else ""
        app = self._apps.by_id(named) if named else None
        self._tap.refused(
            "request",
            str(answer.status),
            told,
            app_id="" if app is None else app.id,
            address=request.remote or UNIX,
            more={"request": f"{request.method} {echo(request.path)}"},
        )
        if log.isEnabledFor(logging.DEBUG):
            about = {"status": answer.status, "address": request.remote or UNIX, "error": told[:300]}
            log.debug("%s %s refused", request.method, echo(request.path), extra=about)

    def _crashed(self, request: ApiRequest) -> ApiResponse:
        """Log the exception being handled; the answer holds only the id of its log line."""
        request_id = secrets.token_hex(8)
        self._crashes.add()
        log.exception("request %s failed: %s %s", request_id, request.method, echo(request.path))
        return error(500, f"Internal server error (request {request_id})", ("X-Request-Id", request_id))


def _count(counters: AppCounters, answer: ApiResponse) -> ApiResponse:
    counters.http_sent_bytes += len(answer.body)
    if answer.status >= _FAILED:
        counters.http_errors += 1
    return answer
