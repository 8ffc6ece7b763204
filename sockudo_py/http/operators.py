"""Who may see ``/usage``, which is for operators."""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address, ip_address

from sockudo_py.http.messages import ApiRequest

_FORWARDED = ("forwarded", "via", "x-real-ip")
_FORWARDED_PREFIX = "x-forwarded-"


class OperatorAccess:
    """Decides by the key of a request, else by where it comes from.

    A request from this machine counts as an operator's, unless it shows that somebody else's came before it: a proxy's
    headers, the ``Origin`` that browsers send for the scripts of other sites, or a ``Host`` that is not this machine's.
    A proxy on this machine that adds no header can't be told from an operator: it has to block the path itself.

    Args:
        open_to: True: everybody; False: nobody; None: admin keys and this machine.
        is_admin: Whether headers (lower-case names) hold an admin key that may see everything.
        behind_local_proxy: A proxy on this machine is trusted, so requests from this machine may be anybody's.
    """

    def __init__(
        self,
        open_to: bool | None = None,
        *,
        is_admin: Callable[[Mapping[str, str]], bool] | None = None,
        behind_local_proxy: bool = False,
    ) -> None:
        self._open_to = open_to
        self._is_admin = is_admin
        self._behind_local_proxy = behind_local_proxy

    def allows(self, request: ApiRequest) -> bool:
        """Return whether the request may be answered."""
        if self._open_to is not None:
            return self._open_to
        headers = request.headers
        if self._is_admin is not None and self._is_admin(headers):
            return True
        if self._behind_local_proxy or not _is_loopback(request.remote) or "origin" in headers:
            return False
        return _is_of_this_machine(headers.get("host", "")) and not came_through_proxy(headers)


def came_through_proxy(headers: Iterable[str]) -> bool:
    """Return whether the names of a request's headers (in lower case) show that a proxy passed it on."""
    return any(name in _FORWARDED or name.startswith(_FORWARDED_PREFIX) for name in headers)


def _is_of_this_machine(host: str) -> bool:
    """Return whether a ``Host`` header is an address or a name that only this machine has.

    Another name may be that of a stranger's page that led a browser on this machine here (DNS rebinding).
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = name.rstrip(".").lower()
    if not name or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    """Return whether an address is this machine's own; a Unix socket has none, and is none."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback
