"""Trusted proxies, and the client's address as they give it."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from sys import intern
from typing import Any

from sockudo_py.memo import TwoGenerationCache

_REMEMBERED = 1024
_LOOPBACK: dict[int, Any] = {4: ip_network("127.0.0.0/8"), 6: ip_network("::1/128")}


class TrustedProxies:
    """The proxies in front of the server.

    A peer without an address came through our Unix socket, which only its owner can open, and is trusted.

    Args:
        networks: Where trusted proxies are.
        hops: Where their networks aren't known: how many proxies append to ``X-Forwarded-For``. 0: only those in
            ``networks`` are believed.
    """

    __slots__ = ("_hops", "_known", "_networks")

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network] = (), hops: int = 0) -> None:
        self._networks = tuple(networks)
        self._hops = hops
        self._known: TwoGenerationCache[str, bool] = TwoGenerationCache(_REMEMBERED)

    def trusts(self, peer: str) -> bool:
        """Return whether ``X-Forwarded-Proto`` of this peer is believed."""
        if not peer:
            return True
        if not self._networks:
            return False
        known = self._known.find(peer)
        if known is None:
            address = _address(peer)
            known = address is not None and any(address in network for network in self._networks)
            self._known.keep(peer, known)
        return known

    def on_this_machine(self) -> bool:
        """Return whether one on this machine is trusted."""
        return any(network.overlaps(_LOOPBACK[network.version]) for network in self._networks)

    def secure(self, peer: str, forwarded_proto: str | None) -> bool:
        """Return whether a trusted proxy says that the client came over TLS."""
        if forwarded_proto is None or not self.trusts(peer):
            return False
        # A chain of proxies makes a list; the first entry is what the client spoke.
        return forwarded_proto.partition(",")[0].strip().lower() in ("https", "wss")

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """Return the client's address: the last in ``X-Forwarded-For`` that is no trusted proxy's, else the peer's."""
        if forwarded_for is None:
            return peer
        chain = [entry.strip() for entry in forwarded_for.split(",")]
        if self._hops:
            return _plain(chain[-self._hops]) or peer if len(chain) >= self._hops else peer
        client = peer
        while chain and self.trusts(client):
            client = _plain(chain.pop())
            if not client:
                return peer  # not an address: the proxy's text is no help
        return client


def address_of(transport: asyncio.BaseTransport) -> str:
    """Return the peer's address, empty on a Unix socket."""
    name = transport.get_extra_info("peername")
    address: str = name[0] if type(name) is tuple else ""
    return address


def network_of(address: str) -> str:
    """Return what one client has addresses of: of IPv6 the /64, else the address itself. Equal ones are one object."""
    return intern(address if ":" not in address else _network(address))


@lru_cache(_REMEMBERED)
def _network(text: str) -> str:
    address = _address(text)
    if not isinstance(address, IPv6Address):
        return text if address is None else str(address)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _plain(text: str) -> str:
    """Return the address in an entry like ``1.2.3.4``, ``1.2.3.4:5678`` or ``[::1]:5678``; empty when it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = _address(text)
    return "" if address is None else str(address)
