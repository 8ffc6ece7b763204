"""Webhooks by HTTP: one POST, no redirects, no cookies, no retry, connections kept alive for some seconds."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from sockudo_py.endpoints import ClientCertificate, OAuth2
from sockudo_py.webhooks.endpoints.guard import AddressGuard, BlockedAddress
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request, Timing, status_class
from sockudo_py.webhooks.targets.http.connection import Answer, Connection, ExchangeError
from sockudo_py.webhooks.targets.http.dialer import Destination, Dialer, destination
from sockudo_py.webhooks.targets.http.oauth import Tokens
from sockudo_py.webhooks.targets.http.resolver import Lookup
from sockudo_py.webhooks.targets.retry import parse_retry_after

RESPONSE_BYTES = 4096
UNAUTHORIZED = 401
# Node's and other servers close an idle connection after 5 s: a POST must not race with that.
KEEP_ALIVE = 4.0
_MOST_IDLE = 512  # connections: thousands of endpoints must not exhaust the descriptors

_Key = tuple[bool, str, int, bool, ClientCertificate | None]  # TLS, host, port, trusted, who we are


class HttpTarget:
    """Posts requests. Trusted and untrusted endpoints use connections of their own.

    A connection that a trusted endpoint opened to a private address must never serve an untrusted one of the same host.
    No connection serves two requests at once, and their number has no limit but the worker's slots: a limit per host
    would let a hung endpoint delay another one on the same host.

    Args:
        guard: Which addresses may be dialled.
        trusted_guard: ... for trusted endpoints.
        response_bytes: Bytes of an answer's body that are kept.
        ssl_context: For https; the default one trusts the system's authorities.
        make_tls: Makes such a context, a new one each time: endpoints with client certificates have their own.
        lookup: Name service.
        proxy: URL of an HTTP proxy for all requests.
        tokens: Asks token URLs; closed with this one. None: endpoints with OAuth2 can't be served.
        most_idle: Bound on connections kept open for the next request.
        on_shortage: Called when no file descriptor is free for a connection.
        clock: Unix seconds.
    """

    name = "http"

    def __init__(
        self,
        *,
        guard: AddressGuard,
        trusted_guard: AddressGuard,
        response_bytes: int = RESPONSE_BYTES,
        ssl_context: ssl.SSLContext | None = None,
        make_tls: Callable[[], ssl.SSLContext] | None = None,
        lookup: Lookup | None = None,
        proxy: str | None = None,
        tokens: "HttpTarget | None" = None,
        most_idle: int = _MOST_IDLE,
        on_shortage: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dialer = Dialer(
            {False: guard, True: trusted_guard},
            make_tls=make_tls or (_system_context if ssl_context is None else lambda: ssl_context),
            shared_tls=make_tls is None and ssl_context is not None,
            keep=response_bytes,
            lookup=lookup,
            proxy=proxy,
            on_shortage=on_shortage,
        )
        self._tokens = None if tokens is None else Tokens(tokens.send)
        self._token_target = tokens
        self._most_idle = most_idle
        self._proxied = proxy is not None
        self._clock = clock
        self._idle: dict[_Key, deque[Connection]] = {}
        self._idle_count = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones too."""
        return len(self._dialer.open)

    def begin(self, request: Request, done: Callable[[Outcome], None]) -> Callable[[], None] | None:
        """Make one attempt, if there is an idle connection and nothing wrong with the request."""
        if request.oauth2 is not None:
            return None
        try:
            where = destination(request.url or "")
            data = self._encode(where, request)
        except (BlockedAddress, ValueError):
            return None
        key = (where.tls, where.host, where.port, request.trusted, request.client_cert)
        connection = self._take(key)
        if connection is None:
            return None
        connection.start(data, request.timeout, partial(self._answered, key, connection, time.perf_counter(), done))
        return partial(self._drop, connection)

    def _answered(
        self,
        key: _Key,
        connection: Connection,
        started: float,
        done: Callable[[Outcome], None],
        answer: Answer | ExchangeError,
    ) -> None:
        if connection.reusable:
            self._give_back(key, connection)
        else:
            self._drop(connection)
        done(self._outcome(answer, started))

    async def permits(self, url: str, *, trusted: bool) -> bool | None:
        """Return whether requests to a URL would be allowed now; None: its host has no address at present."""
        try:
            where = destination(url)
        except (BlockedAddress, ValueError):
            return False
        return await self._dialer.permits(where, trusted)

    async def send(self, request: Request) -> Outcome:
        """Make one attempt."""
        if request.oauth2 is None:
            return await self._send(request)
        return await self._send_with_token(request, request.oauth2)

    async def _send_with_token(self, request: Request, auth: OAuth2) -> Outcome:
        """Send with a token; when the endpoint refuses it, once more with another one. All of it within the timeout."""
        if self._tokens is None:
            return Failure("auth", "this server gets no tokens")
        loop = asyncio.get_running_loop()
        ends = loop.time() + request.timeout
        refused: Outcome | None = None
        while True:
            left = ends - loop.time()
            token = await self._tokens.get(auth, request, left)
            if isinstance(token, Failure):
                return refused or token
            left = ends - loop.time()
            if left <= 0:
                return refused or Failure("auth", "the token came too late")
            headers = (*request.headers, ("Authorization", f"Bearer {token}"))
            outcome = await self._send(replace(request, headers=headers, timeout=left))
            if refused is not None or outcome.status != UNAUTHORIZED:
                return outcome
            self._tokens.drop(auth, request.trusted, token)
            refused = outcome

    async def _send(self, request: Request) -> Outcome:
        started = time.perf_counter()
        try:
            where = destination(request.url or "")
            data = self._encode(where, request)
            answer = await self._exchange(where, request, data, started)
        except ExchangeError as error:
            return self._outcome(error, started)
        except BlockedAddress:
            return Failure("blocked_address", "address not allowed", timing=Timing(_ms_since(started)))
        except ValueError as error:
            return Failure("protocol", str(error)[:200], timing=Timing(_ms_since(started)))
        return self._outcome(answer, started)

    async def close(self) -> None:
        """Close all connections and end the resolver's threads."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        self._idle_count = 0
        if self._tokens is not None and self._token_target is not None:
            await self._tokens.close()
            await self._token_target.close()
        await self._dialer.close()

    async def _exchange(self, where: Destination, request: Request, data: bytes, started: float) -> Answer:
        key = (where.tls, where.host, where.port, request.trusted, request.client_cert)
        connection = self._take(key)
        left = request.timeout
        if connection is None:
            connect = min(request.connect_timeout, left * 0.99)  # so that the total never ends the connecting
            connection = await self._dialer.dial(
                where, trusted=request.trusted, timeout=connect, client_cert=request.client_cert
            )
            left = max(0.001, left - (time.perf_counter() - started))
        try:
            answer = await connection.exchange(data, left)
        except BaseException:
            self._drop(connection)
            raise
        if connection.reusable:
            self._give_back(key, connection)
        else:
            self._drop(connection)
        return answer

    def _encode(self, where: Destination, request: Request) -> bytes:
        """Return the bytes of a request. Raises ValueError for a header that would end its line."""
        target, ours = where.path, f"Host: {where.authority}"
        breaks = len(request.headers)
        if self._proxied and not where.tls:
            target = f"http://{where.authority}{where.path}"
            if self._dialer.proxy_authorization is not None:
                ours = f"{ours}\r\nProxy-Authorization: {self._dialer.proxy_authorization}"
                breaks += 1
        text = "\r\n".join((ours, *map(": ".join, request.headers)))
        if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
            raise ValueError("a header holds a line break")
        body = request.body
        return f"POST {target} HTTP/1.1\r\n{text}\r\nContent-Length: {len(body)}\r\n\r\n".encode("latin-1") + body

    def _outcome(self, answer: Answer | ExchangeError, started: float) -> Outcome:
        if isinstance(answer, ExchangeError):
            return Failure(answer.error_class, str(answer), timing=Timing(_ms_since(started)))
        timing = Timing(_ms_since(started), round((answer.answered_at - started) * 1000), *(answer.dialled or ()))
        status = answer.status
        if 200 <= status <= 299:
            return Delivered(status, timing, answer.body, answer.truncated)
        return Failure(
            status_class(status),
            f"the endpoint answered {status}",
            status,
            parse_retry_after(answer.retry_after, self._clock()),
            timing,
            answer.body,
            answer.truncated,
        )

    # -- idle connections, by destination; the one used last is taken first

    def _take(self, key: _Key) -> Connection | None:
        idle = self._idle.get(key)
        if idle is None:
            return None
        oldest = asyncio.get_running_loop().time() - KEEP_ALIVE
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.idle_since > oldest and not connection.stale():
                return connection
            self._drop(connection)
        del self._idle[key]
        return None

    def _give_back(self, key: _Key, connection: Connection) -> None:
        if self._idle_count >= self._most_idle or self._closed:
            self._drop(connection)
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle[key] = deque()
        idle.append(connection)
        self._idle_count += 1
        if self._sweep is None:
            self._sweep = loop.call_later(1.0, self._sweep_idle)

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        self._dialer.open.discard(connection)

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEP_ALIVE
        for key, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since <= oldest or idle[0].transport is None):
                self._idle_count -= 1
                self._drop(idle.popleft())
            if not idle:
                del self._idle[key]
        self._sweep = loop.call_later(1.0, self._sweep_idle) if self._idle else None


def default_ssl_context() -> ssl.SSLContext:
    """Return a context that verifies certificates and host names, TLS 1.2 or newer."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _system_context() -> ssl.SSLContext:
    """Return the default context. Raises OSError while the system's authorities can't be read.

    OpenSSL keeps to itself that it read none, so a moment without free file descriptors would cost us https for good.
    """
    context = default_ssl_context()
    path = ssl.get_default_verify_paths().cafile
    if path is not None and context.cert_store_stats()["x509_ca"] == 0:
        with suppress(ssl.SSLError):  # nothing in it: then there may be a folder that OpenSSL looks into
            context.load_verify_locations(cafile=path)
    return context


def _ms_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
