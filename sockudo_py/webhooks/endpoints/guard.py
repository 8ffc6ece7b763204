"""Checks where webhooks may go: addresses at dial time, URLs when an endpoint is made.

The guard checks each address when the socket is made, literals and answers of the name service alike. The connection
uses the very socket that was checked, so a name that changes its address (DNS rebinding) gains nothing.
``ipaddress.is_global`` is not enough on Python 3.11: it lets NAT64, 6to4, multicast and some reserved ranges through.
So the tables are in ``addresses``.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence

from yarl import URL

from sockudo_py.webhooks.endpoints.addresses import (
    METADATA_NAMES,
    SHORT_METADATA_NAMES,
    IPNetwork,
    carried,
    is_metadata,
    is_public,
    plain,
    plain_network,
    within,
)
from sockudo_py.webhooks.endpoints.hosts import normal_host

MAX_URL_LENGTH = 2048


class BlockedAddress(OSError):
    """A webhook was for an address that it must not reach. No packet was sent."""


class AddressGuard:
    """Decides which addresses may be dialled.

    ``denied`` beats ``allowed``, and ``allowed`` beats the table of private ranges; metadata addresses never pass.
    ``allow_private``: let private addresses pass, as for endpoints from the operator's own files. IPv4 addresses count
    in whatever IPv6 address they travel, see ``addresses``.
    """

    def __init__(
        self, *, allow_private: bool = False, allowed: Sequence[IPNetwork] = (), denied: Sequence[IPNetwork] = ()
    ) -> None:
        self._allow_private = allow_private
        self._allowed = tuple(map(plain_network, allowed))
        self._denied = tuple(map(plain_network, denied))

    def permits(self, address: str) -> bool:
        """Return whether this numeric address may be dialled. Anything that can't be read may not."""
        try:
            ip = plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if is_metadata(ip) or any(within(each, self._denied) for each in (ip, *carried(ip))):
            return False
        return self._allow_private or within(ip, self._allowed) or is_public(ip)

    def permits_unseen(self, host: str) -> bool:
        """Return whether a proxy may be asked for this host. Only the proxy will see the address of a name.

        Args:
            host: In normal form (``normal_host``).
        """
        name = host.removesuffix(".")
        if _is_name(name, (*METADATA_NAMES, *SHORT_METADATA_NAMES)):
            return False
        if _is_name(name, ("localhost",)):  # RFC 6761 6.3
            return self.permits("127.0.0.1")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return True
        return self.permits(name)

    def check(self, address: str) -> None:
        """Raise BlockedAddress unless the address may be dialled."""
        if not self.permits(address):
            raise BlockedAddress("address not allowed")

    def socket_factory(
        self, addr_info: tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
    ) -> socket.socket:
        """Return a socket for one answer of ``getaddrinfo``. Raises BlockedAddress."""
        family, kind, protocol, _, address = addr_info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)


def url_problems(url: str, *, require_https: bool = False, allowed_ports: Collection[int] | None = None) -> list[str]:
    """Return what is wrong with the URL of an endpoint. No message repeats the URL: it may hold a secret."""
    if len(url) > MAX_URL_LENGTH:
        return [f"url: longer than {MAX_URL_LENGTH} characters"]
    if any(character <= " " or character == "\x7f" for character in url):
        return ["url: holds a space or a control character"]
    try:
        parsed = URL(url)
        port, host_ascii = parsed.port, parsed.raw_host
    except ValueError:
        return ["url: not a URL"]
    if parsed.scheme not in ("http", "https"):
        return ["url: must begin with https:// or http://"]
    problems = []
    if not host_ascii:
        problems.append("url: has no host")
    else:
        problems.extend(_host_problems(host_ascii))
    if require_https and parsed.scheme != "https":
        problems.append("url: must begin with https://")
    if parsed.user is not None or parsed.password is not None:
        problems.append("url: holds a user name or password; send them as a header: headers.Authorization")
    if "#" in url:
        problems.append("url: holds a fragment (#...)")
    if port == 0:
        problems.append("url: port 0 can't be reached; name another port")
    if allowed_ports is not None and port not in allowed_ports:
        problems.append(f"url: port {port} is not among the allowed ports")
    return problems


def redact_url(url: str | None) -> str | None:
    """Return the origin of a URL, for logs and status pages: the path is the secret of many receivers."""
    if url is None:
        return None
    try:
        origin = str(URL(url).origin())
    except ValueError:
        return "(not a URL)"
    return origin if url in (origin, f"{origin}/") else f"{origin}/..."


def _host_problems(host: str) -> list[str]:
    try:
        normal = normal_host(host)
    except ValueError:
        return ["url: its host is neither a name nor an address; write addresses as 192.0.2.1 or [2001:db8::1]"]
    name = normal.removesuffix(".")
    if _is_name(name, METADATA_NAMES) or _is_metadata(name):
        return ["url: link-local addresses and metadata services of clouds are forbidden; name another receiver"]
    return []


def _is_name(name: str, names: Collection[str]) -> bool:
    """Return whether this is one of the names, or a name below one."""
    return any(name == each or name.endswith(f".{each}") for each in names)


def _is_metadata(host: str) -> bool:
    try:
        return is_metadata(plain(ipaddress.ip_address(host)))
    except ValueError:
        return False
