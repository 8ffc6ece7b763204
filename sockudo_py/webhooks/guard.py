"""Where webhooks may go: addresses at dial time, URLs when an endpoint is made.

The address is checked when the socket is made, for literals and for every answer of the name service alike; the socket
that was checked is the one that is used, so a name that changes its mind (DNS rebinding) gains nothing.
``ipaddress.is_global`` is not enough on Python 3.11: it lets NAT64, 6to4, multicast and some reserved ranges through.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence

from yarl import URL

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_LENGTH = 2048

_DENIED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Everything outside is denied: loopback, NAT64, unique local, link-local, multicast ...
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16")
)
# Cloud metadata services hand out credentials to whoever asks: never a webhook receiver, not even for the operator.
_METADATA: tuple[IPNetwork, ...] = (
    ipaddress.IPv4Network("169.254.0.0/16"),
    ipaddress.IPv4Network("100.100.100.200/32"),
    ipaddress.IPv6Network("fe80::/10"),
    ipaddress.IPv6Network("fd00:ec2::254/128"),
)
_EMBEDDED_V4 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class BlockedAddress(OSError):
    """A webhook would have gone where it must not. No packet was sent."""


class AddressGuard:
    """Decides which addresses may be dialled.

    ``denied`` beats ``allowed``, and ``allowed`` beats the table of private ranges; metadata addresses never pass.
    ``allow_private``: let private addresses pass, as for endpoints from the operator's own files.
    """

    def __init__(
        self, *, allow_private: bool = False, allowed: Sequence[IPNetwork] = (), denied: Sequence[IPNetwork] = ()
    ) -> None:
        self._allow_private = allow_private
        self._allowed = tuple(allowed)
        self._denied = tuple(denied)

    def permits(self, address: str) -> bool:
        """Return whether this numeric address may be dialled. Anything that can't be read may not."""
        try:
            ip = _plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if _within(ip, _METADATA) or _within(ip, self._denied):
            return False
        return self._allow_private or _within(ip, self._allowed) or _public(ip)

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
        port, host, host_ascii = parsed.port, parsed.host, parsed.raw_host
    except ValueError:
        return ["url: not a URL"]
    if parsed.scheme not in ("http", "https"):
        return ["url: must begin with https:// or http://"]
    problems = []
    if not host or not host_ascii:
        problems.append("url: has no host")
    if require_https and parsed.scheme != "https":
        problems.append("url: must begin with https://")
    if parsed.user is not None or parsed.password is not None:
        problems.append("url: holds a user name or password; send them as a header: headers.Authorization")
    if "#" in url:
        problems.append("url: holds a fragment (#...)")
    if allowed_ports is not None and port not in allowed_ports:
        problems.append(f"url: port {port} is not among the allowed ports")
    return problems


def redact_url(url: str | None) -> str | None:
    """Return of a URL only where it goes, for logs and status pages: the path is the secret of many receivers."""
    if url is None:
        return None
    try:
        origin = str(URL(url).origin())
    except ValueError:
        return "(not a URL)"
    return origin if url in (origin, f"{origin}/") else f"{origin}/..."


def _plain(ip: IPAddress) -> IPAddress:
    """Unwrap IPv4 that travels inside IPv6."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if _within(ip, _EMBEDDED_V4) and _within(inner := ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF), _METADATA):
            return inner
    return ip


def _public(ip: IPAddress) -> bool:
    if isinstance(ip, ipaddress.IPv4Address):
        return not _within(ip, _DENIED_V4)
    return ip in _GLOBAL_V6 and not _within(ip, _DENIED_V6)


def _within(ip: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)
