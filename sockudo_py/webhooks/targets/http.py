"""Webhooks by HTTP: one POST, no redirects, no cookies, no retries by the library."""

import ssl
import time
from collections.abc import Callable

import aiohttp

from sockudo_py.webhooks.guard import AddressGuard, BlockedAddress
from sockudo_py.webhooks.retry import parse_retry_after
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request, Timing
from sockudo_py.webhooks.targets.resolver import GuardedResolver, Lookup

RESPONSE_BYTES = 4096
# Below the 5 s after which Node's and other servers drop an idle connection: a POST must not race with their close.
KEEP_ALIVE = 4.0
_NO_CEILING = 1e9  # aiohttp rounds timeouts over 5 s up to whole seconds unless told otherwise

# First match wins.
_ERROR_CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientSSLError, "tls"),
    (ssl.SSLError, "tls"),
    (aiohttp.ConnectionTimeoutError, "timeout_connect"),
    (TimeoutError, "timeout_read"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ServerDisconnectedError, "reset"),
    (aiohttp.ClientOSError, "reset"),
    (ConnectionError, "reset"),
    (aiohttp.ClientPayloadError, "reset"),
    (aiohttp.ClientError, "protocol"),
    (ValueError, "protocol"),
    (OSError, "connect"),
)
_MESSAGES = {
    "blocked_address": "address not allowed",
    "timeout_connect": "no connection within the connect timeout",
    "timeout_read": "no complete answer within the request timeout",
    "reset": "the connection was closed before an answer came",
    "protocol": "the answer is not HTTP",
}


class HttpTarget:
    """Posts requests. Trusted and untrusted endpoints use connections of their own.

    A connection that a trusted endpoint opened to a private address must never serve an untrusted one of the same host.
    ``proxy``: URL of an HTTP proxy for all requests.
    """

    name = "http"

    def __init__(
        self,
        *,
        guard: AddressGuard,
        trusted_guard: AddressGuard,
        response_bytes: int = RESPONSE_BYTES,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        proxy: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Through a proxy we dial nothing but the proxy, and what it may reach is its own affair.
        self._guards = {False: guard if proxy is None else trusted_guard, True: trusted_guard}
        self._response_bytes = response_bytes
        self._ssl = ssl_context or default_ssl_context()
        self._lookup = lookup
        self._proxy = proxy
        self._clock = clock
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._resolvers: list[GuardedResolver] = []

    async def send(self, request: Request) -> Outcome:
        """Make one attempt."""
        started = time.perf_counter()
        connect = min(request.connect_timeout, request.timeout * 0.99)  # so that the total never ends the connecting
        timeout = aiohttp.ClientTimeout(total=request.timeout, connect=connect, ceil_threshold=_NO_CEILING)
        try:
            async with self._session(request.trusted).post(
                request.url or "",
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                ttfb_ms = _ms_since(started)
                body, truncated = await self._read(response)
                timing = Timing(_ms_since(started), ttfb_ms)
                return self._judge(response, timing, body, truncated)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            error_class = classify(error)
            return Failure(error_class, describe(error_class, error), timing=Timing(_ms_since(started)))

    async def close(self) -> None:
        """Close idle connections and let go of the resolver's threads."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
        resolvers, self._resolvers = self._resolvers, []
        for resolver in resolvers:
            await resolver.close()

    def _session(self, trusted: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(trusted)
        if session is None:
            guard = self._guards[trusted]
            resolver = GuardedResolver(guard) if self._lookup is None else GuardedResolver(guard, self._lookup)
            self._resolvers.append(resolver)
            # No limits here: the worker's slots bound all connections. A limit per host would let a hung endpoint
            # delay another one on the same host.
            connector = aiohttp.TCPConnector(
                limit=0,
                limit_per_host=0,
                keepalive_timeout=KEEP_ALIVE,
                ssl=self._ssl,
                resolver=resolver,
                socket_factory=guard.socket_factory,
            )
            session = self._sessions[trusted] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
            )
        return session

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """Return the beginning of the body. The status has come in, so trouble from here on changes nothing."""
        chunks: list[bytes] = []
        left = self._response_bytes
        try:
            while left > 0:
                chunk = await response.content.read(left)
                if not chunk:
                    return b"".join(chunks), False
                chunks.append(chunk)
                left -= len(chunk)
            truncated = not response.content.at_eof()
        except (aiohttp.ClientError, OSError, ValueError):
            truncated = True
        if truncated:
            response.close()  # the rest is not wanted, and this connection not fit for another request
        return b"".join(chunks), truncated

    def _judge(self, response: aiohttp.ClientResponse, timing: Timing, body: bytes, truncated: bool) -> Outcome:
        status = response.status
        if 200 <= status <= 299:
            return Delivered(status, timing, body, truncated)
        return Failure(
            status_class(status),
            f"the endpoint answered {status}",
            status,
            parse_retry_after(response.headers.get("Retry-After"), self._clock()),
            timing,
            body,
            truncated,
        )


def default_ssl_context() -> ssl.SSLContext:
    """Return a context that verifies certificates and host names, TLS 1.2 or newer."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def status_class(status: int) -> str:
    """Return the error class of a status that is no success."""
    if 300 <= status <= 399:
        return "redirect"
    if 400 <= status <= 499:
        return "http_4xx"
    return "http_5xx" if status >= 500 else "protocol"


def classify(error: BaseException) -> str:
    """Return the error class of an exception."""
    if isinstance(getattr(error, "os_error", error), BlockedAddress):
        return "blocked_address"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionResetError):
        return "tls"  # a port that is closed refuses; a reset while connecting is the end of a handshake
    for kind, error_class in _ERROR_CLASSES:
        if isinstance(error, kind):
            return error_class
    return "internal"


def describe(error_class: str, error: BaseException) -> str:
    """Return a sentence about an error that holds neither the URL nor a header."""
    if error_class in _MESSAGES:
        return _MESSAGES[error_class]
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionResetError):
        return "the connection was closed during the TLS handshake"
    text = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or type(cause).__name__
    return str(text)[:200]


def _ms_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
