"""Sockets for a host and a port: one for each of the host's addresses, all with the same port."""

import asyncio
import errno
import inspect
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import Any

from sockudo_py.process.unix_socket import UnusablePathError

log = logging.getLogger(__name__)

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # the machine does not have this address, or its family
_TRIES = 10  # for a free port that is free for every address

Address = tuple[socket.AddressFamily, str, int]  # family, numeric address, scope of IPv6


async def bind(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Return bound sockets that don't listen yet, one for each address of a host.

    ``::`` is every address of this machine, of IPv4 too. It gets a socket for each family, so that clients of IPv4
    have their plain addresses. Of a name with several addresses those count that the machine has.

    Args:
        host: Address or name.
        port: 0 takes one that is free for all addresses.
        reuse_port: Let several processes listen on it.

    Raises OSError.
    """
    addresses = await _addresses(host)
    for attempt in range(1, _TRIES + 1):
        try:
            return _bind_all(host, addresses, port, reuse_port)
        except OSError as problem:
            if port or problem.errno != errno.EADDRINUSE or attempt == _TRIES:
                raise
    raise AssertionError("the last try returns or raises")


async def _addresses(host: str) -> list[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
    )
    addresses = [_plain(family, place) for family, _, _, _, place in found]
    if any(address == "::" for _, address, _ in addresses):
        addresses.append((socket.AF_INET, "0.0.0.0", 0))  # noqa: S104 - what :: stands for
    return list(dict.fromkeys(addresses))


def _plain(family: socket.AddressFamily, place: tuple[str | int | bytes, ...]) -> Address:
    address = str(place[0])
    if family != socket.AF_INET6:
        return family, address, 0
    mapped = ipaddress.IPv6Address(address.partition("%")[0]).ipv4_mapped  # ::ffff:127.0.0.1 is no address of IPv6
    if mapped is not None:
        return socket.AF_INET, str(mapped), 0
    return family, address, int(place[3]) if len(place) > 3 else 0


def _bind_all(host: str, addresses: list[Address], port: int, reuse_port: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, address, scope in addresses:
            try:
                bound.append(_bind(family, address, scope, port, reuse_port))
            except OSError as problem:
                if problem.errno not in _ABSENT or address in ("::", host):
                    raise
                log.warning("%s: this machine does not have the address %s of it", host, address)
                absent = problem
                continue
            port = port or bound[0].getsockname()[1]
        if not bound:
            raise absent or OSError(errno.EADDRNOTAVAIL, "no address")
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _bind(family: socket.AddressFamily, address: str, scope: int, port: int, reuse_port: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port, 0, scope))
        else:
            listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


async def serve_unix(make: Callable[[], asyncio.Protocol], listener: socket.socket, backlog: int) -> asyncio.Server:
    """Listen on a bound Unix socket. Its file stays when the server closes: it may be another process's by then."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"sock": listener, "backlog": backlog}
    if "cleanup_socket" in inspect.signature(loop.create_unix_server).parameters:  # Python 3.13 and later
        options["cleanup_socket"] = False
    return await loop.create_unix_server(make, **options)


def shown(host: str, port: int) -> str:
    """Return host and port as people write them: an address of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_REMEDIES = {
    errno.EADDRINUSE: "the address is in use; stop the program that uses it or choose another port",
    errno.EACCES: "permission denied; ports below 1024 and this directory need rights that this user does not have",
    errno.EAFNOSUPPORT: "this machine has no IPv6; use 0.0.0.0 for all of its addresses",
    errno.EADDRNOTAVAIL: "this machine does not have that address; use one of its own, or 0.0.0.0 for all",
    errno.ENOENT: "the directory is not there; create it",
}


def remedy(problem: OSError) -> str:
    """Return what is wrong with an address, a port or a path to listen on, and what to do."""
    if isinstance(problem, socket.gaierror):
        return f"the name can't be resolved ({problem.strerror}); use an address of this machine"
    if isinstance(problem, UnusablePathError):
        return str(problem.strerror)
    return _REMEDIES.get(problem.errno or 0, problem.strerror or str(problem))
