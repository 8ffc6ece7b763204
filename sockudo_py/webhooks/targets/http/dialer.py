"""New connections to receivers: look-up, address guard, TCP, TLS, and the way through a proxy."""

import asyncio
import base64
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohappyeyeballs
from yarl import URL

from sockudo_py.endpoints import ClientCertificate
from sockudo_py.memo import TwoGenerationCache
from sockudo_py.process.descriptors import is_shortage
from sockudo_py.webhooks.endpoints.guard import AddressGuard, BlockedAddress
from sockudo_py.webhooks.endpoints.hosts import normal_host
from sockudo_py.webhooks.targets.http.burst import Burst
from sockudo_py.webhooks.targets.http.connection import Connection, ExchangeError
from sockudo_py.webhooks.targets.http.deadlines import Deadlines
from sockudo_py.webhooks.targets.http.resolver import AddrInfo, Lookup, Resolver

_EYEBALLS = 0.25  # seconds after which the next address is tried besides (RFC 8305)
_SHORTAGE = 0.1  # seconds until another try, when no file descriptor was free
_KNOWN_FOR = 10.0  # seconds that a name's addresses are remembered
_MOST_KNOWN = 512  # names in each generation


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a URL leads. ``host`` in normal form (``hosts``); ``authority``: as in ``Host``; ``path`` with query."""

    tls: bool
    host: str
    port: int
    authority: str
    path: str = field(repr=False)


@lru_cache(maxsize=4096)
def destination(url: str) -> Destination:
    """Return where ``url`` leads.

    Raises BlockedAddress when its host is neither a name nor an address (a proxy might see one in it all the same), and
    ValueError when it is no URL that requests can be sent to.
    """
    parsed = URL(url)
    port = parsed.port
    if parsed.scheme not in ("http", "https") or not parsed.raw_host or not port:
        raise ValueError("not a URL for webhooks")
    try:
        host = normal_host(parsed.raw_host)
    except ValueError:
        raise BlockedAddress("address not allowed") from None
    authority = f"[{host}]" if ":" in host else host.removesuffix(".")
    if not parsed.is_default_port():
        authority = f"{authority}:{port}"
    return Destination(parsed.scheme == "https", host, port, authority, parsed.raw_path_qs)


class Dialer:
    """Opens connections.

    ``guards``: by whether the endpoint is trusted. ``proxy``: URL of an HTTP proxy for all connections; the proxy
    resolves names then, and we check only the hosts in URLs. ``make_tls`` makes the context for https. The first
    connection that needs it calls it in a thread, since reading the system's authorities takes 50 ms, and later ones
    call it again while it raises OSError. ``shared_tls``: it returns the same one each time. ``on_shortage`` is called
    when no file descriptor is free.
    """

    def __init__(
        self,
        guards: Mapping[bool, AddressGuard],
        *,
        make_tls: Callable[[], ssl.SSLContext],
        keep: int,
        shared_tls: bool = False,
        lookup: Lookup | None = None,
        proxy: str | None = None,
        on_shortage: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_shortage = on_shortage
        self._guards = guards
        self._make_tls = make_tls
        self._shared_tls = shared_tls
        self._tls: asyncio.Future[ssl.SSLContext] | None = None
        self._with_cert: dict[ClientCertificate, tuple[tuple[int, ...], ssl.SSLContext]] = {}
        self._keep = keep
        self._proxy = URL(proxy) if proxy is not None else None
        # Strangers' dead name servers must not hold the threads that the operator's names need.
        self._resolvers = {trusted: Resolver() if lookup is None else Resolver(lookup) for trusted in guards}
        self._known: TwoGenerationCache[tuple[str, int], tuple[float, list[AddrInfo]]] = TwoGenerationCache(_MOST_KNOWN)
        self.open: set[Connection] = set()
        self._deadlines = Deadlines()
        self._burst = Burst()

    @property
    def proxy_authorization(self) -> str | None:
        """The header's value for requests that the proxy itself reads."""
        if self._proxy is None or self._proxy.raw_user is None:
            return None
        user, password = unquote(self._proxy.raw_user), unquote(self._proxy.raw_password or "")
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    async def dial(
        self, where: Destination, *, trusted: bool, timeout: float, client_cert: ClientCertificate | None = None
    ) -> Connection:
        """Return a connection, with a client certificate perhaps, within ``timeout`` seconds.

        Raises ExchangeError (dns, connect, tls, timeout_connect, blocked_address).
        """
        short: OSError | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        if self._proxy is None:
                            return await self._direct(where, trusted, client_cert)
                        return await self._proxied(where, trusted, timeout, client_cert)
                    except OSError as error:
                        if not is_shortage(error):
                            raise
                        short = error
                        self._on_shortage()
                    await asyncio.sleep(_SHORTAGE)  # not the receiver's fault: it gets all of its time
        except BlockedAddress:
            raise ExchangeError("blocked_address", "address not allowed") from None
        except TimeoutError:
            if short is not None:
                raise ExchangeError("connect", str(short.strerror)) from None
            raise ExchangeError("timeout_connect", "no connection within the connect timeout") from None
        except ssl.SSLError as error:
            text = getattr(error, "verify_message", None) or error.reason or type(error).__name__
            raise ExchangeError("tls", str(text)[:200]) from None
        except OSError as error:
            raise ExchangeError("connect", str(error.strerror or type(error).__name__)[:200]) from None

    async def permits(self, where: Destination, trusted: bool) -> bool | None:
        """Return whether a connection to there would be allowed now; None: the name has no address at present."""
        if self._proxy is not None:
            return self._guards[trusted].permits_unseen(where.host)
        try:
            found = await self._addresses(where.host, where.port, trusted)
        except ExchangeError:
            return None
        return all(self._guards[trusted].permits(str(address[4][0])) for address in found)

    async def close(self) -> None:
        """Close every connection, and end the threads that look names up."""
        for connection in list(self.open):
            connection.abort()
        self.open.clear()
        self._deadlines.close()
        for resolver in self._resolvers.values():
            resolver.close()
        await asyncio.sleep(0)  # the transports end in the next turn of the loop

    async def _direct(self, where: Destination, trusted: bool, client_cert: ClientCertificate | None) -> Connection:
        started = time.perf_counter()
        addresses = await self._vetted(where.host, where.port, trusted)
        found = time.perf_counter()
        sock = await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=_EYEBALLS,
            interleave=1,
            socket_factory=self._guards[trusted].socket_factory,
        )
        reached = time.perf_counter()
        connection = await self._wrap(sock, where.host if where.tls else None, client_cert)
        tls = _ms(time.perf_counter() - reached) if where.tls else None
        connection.dialled = (_ms(found - started), _ms(reached - found), tls)
        return connection

    async def _proxied(
        self, where: Destination, trusted: bool, timeout: float, client_cert: ClientCertificate | None
    ) -> Connection:
        if self._proxy is None or self._proxy.raw_host is None:
            raise AssertionError("called without a proxy")
        if not self._guards[trusted].permits_unseen(where.host):
            raise BlockedAddress("address not allowed")
        # No guard for the proxy itself: no endpoint chose it, and its network may well be denied to endpoints.
        found = await self._addresses(self._proxy.raw_host, self._proxy.port or 80, trusted=True)
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_EYEBALLS, interleave=1)
        connection = await self._wrap(sock, None)
        if not where.tls:
            return connection
        try:
            return await self._through(connection, sock, where, timeout, client_cert)
        except BaseException:
            connection.abort()
            self.open.discard(connection)
            raise

    async def _through(
        self,
        connection: Connection,
        sock: socket.socket,
        where: Destination,
        timeout: float,
        client_cert: ClientCertificate | None,
    ) -> Connection:
        host = f"[{where.host}]" if ":" in where.host else where.host
        lines = [f"CONNECT {host}:{where.port} HTTP/1.1", f"Host: {host}:{where.port}"]
        if self.proxy_authorization is not None:
            lines.append(f"Proxy-Authorization: {self.proxy_authorization}")
        try:
            answer = await connection.exchange("\r\n".join([*lines, "", ""]).encode(), timeout, tunnel=True)
        except ExchangeError as error:
            raise ExchangeError("connect", f"the egress proxy opens no tunnel: {error}") from None
        if not 200 <= answer.status <= 299 or connection.transport is None:
            raise ExchangeError("connect", f"the egress proxy answered {answer.status}")
        inner = Connection(sock, self._keep, self._deadlines, self._burst)
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                connection.transport, inner, await self._context(client_cert), server_hostname=_server(where.host)
            )
        except ConnectionError:
            transport = None
        if transport is None:
            raise ExchangeError("tls", "the TLS handshake was broken off")
        inner.connection_made(transport)
        self.open.discard(connection)
        self.open.add(inner)
        return inner

    async def _vetted(self, host: str, port: int, trusted: bool) -> list[AddrInfo]:
        addresses = await self._addresses(host, port, trusted)
        for address in addresses:  # one forbidden address makes the whole name suspicious
            self._guards[trusted].check(str(address[4][0]))
        return addresses

    async def _wrap(
        self, sock: socket.socket, server_hostname: str | None, client_cert: ClientCertificate | None = None
    ) -> Connection:
        try:
            options: dict[str, Any] = {}
            if server_hostname is not None:
                options = {"ssl": await self._context(client_cert), "server_hostname": _server(server_hostname)}
            made = Connection(sock, self._keep, self._deadlines, self._burst)
            await asyncio.get_running_loop().create_connection(lambda: made, sock=sock, **options)
        except ConnectionError:
            sock.close()
            raise ExchangeError("tls", "the TLS handshake was broken off") from None  # only the handshake can fail so
        except BaseException:
            sock.close()
            raise
        self.open.add(made)
        return made

    async def _context(self, client_cert: ClientCertificate | None = None) -> ssl.SSLContext:
        if client_cert is not None:
            return await self._with_certificate(client_cert)
        if self._tls is None:
            self._tls = asyncio.get_running_loop().run_in_executor(None, self._make_tls)
            self._tls.add_done_callback(self._made_tls)
        return await asyncio.shield(self._tls)  # shared: the timeout of one caller must not cancel it for the others

    async def _with_certificate(self, client_cert: ClientCertificate) -> ssl.SSLContext:
        """Return a context of its own; a new one when the files have changed, so that renewed certificates are used."""

        def make() -> ssl.SSLContext:
            if self._shared_tls:  # everybody's connections would show the certificate
                raise ValueError("no context of its own can be made")
            context = self._make_tls()
            context.load_cert_chain(client_cert.cert_path, client_cert.key_path, password="")  # never asks
            return context

        try:
            version = _version(client_cert)
            known = self._with_cert.get(client_cert)
            if known is None or known[0] != version:
                known = (version, await asyncio.get_running_loop().run_in_executor(None, make))
                self._with_cert[client_cert] = known
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and is_shortage(error):
                raise
            raise ExchangeError("tls", "the client certificate can't be read") from None
        return known[1]

    def _made_tls(self, made: asyncio.Future[ssl.SSLContext]) -> None:
        if made.cancelled() or made.exception() is not None:
            self._tls = None

    async def _addresses(self, host: str, port: int, trusted: bool) -> list[AddrInfo]:
        literal = _literal(host, port)
        if literal:
            return literal
        loop = asyncio.get_running_loop()
        known = self._known.find((host, port))
        if known is not None and known[0] > loop.time():
            return known[1]
        try:
            found = await self._resolvers[trusted].resolve(host, port)
        except OSError as error:
            raise ExchangeError("dns", str(error.strerror or type(error).__name__)[:200]) from None
        self._known.keep((host, port), (loop.time() + _KNOWN_FOR, found))
        return found


def _version(files: ClientCertificate) -> tuple[int, ...]:
    """Return what differs once the files have changed. Raises OSError."""
    return tuple(Path(path).stat().st_mtime_ns for path in (files.cert_path, files.key_path) if path is not None)


def _literal(host: str, port: int) -> list[AddrInfo]:
    """Return the address that ``host`` is, in any spelling that resolvers take (``127.1``, ``0x7f000001``); else []."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except OSError:
        return []


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _server(host: str) -> str:
    return host.rstrip(".")
