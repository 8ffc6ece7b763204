"""Origins as browsers send them: ``https://example.com:8443``, in lower case, without a path and the usual port."""

import ipaddress
import re
from collections.abc import Mapping

_USUAL_PORTS: Mapping[str, str] = {"http": "80", "https": "443"}
_EXAMPLE = "https://example.com"
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")


def web_origin(value: str) -> str:
    """Return an entry of a list of origins in the form that is compared with what browsers send.

    ``*`` and Sockudo's ``any``: every origin; ``null``: what browsers send for files and sandboxed frames; a host, a
    host and port, or a whole origin, each perhaps with ``*.`` in front of the host.

    Raises ValueError for what no browser can send.
    """
    text = value.strip().lower()
    if text in ("*", "any"):
        return "*"
    if text in ("null", "file://"):
        return text
    if not text:
        raise ValueError('must not be empty; write "*" for every origin')
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    elif not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise ValueError(f"is not an origin; write it as {_EXAMPLE}")
    if scheme in ("ws", "wss"):
        raise ValueError(
            "can never match: browsers send the page's origin; write http:// for ws://, https:// for wss://"
        )
    if scheme == "file":
        raise ValueError("can never match: browsers send no path of a file; write file://")
    authority = rest.rstrip("/")
    if re.search(r"[/?#@\s\\]", authority):
        raise ValueError(f"can never match: an origin is scheme, host and port only; write it as {_EXAMPLE}")
    host, port = _split(authority)
    if "*" in host.removeprefix("*.") or "*" in port:
        raise ValueError('can never match: * stands alone, or as "*." in front of the host; a host alone is any port')
    host = _checked_host(host)
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError("has an invalid port")
    port = port.lstrip("0")
    if not scheme and port in _USUAL_PORTS.values():  # browsers leave it out, so the scheme decides
        scheme = next(name for name, usual in _USUAL_PORTS.items() if usual == port)
    if _USUAL_PORTS.get(scheme) == port:
        port = ""
    return (f"{scheme}://" if scheme else "") + host + (f":{port}" if port else "")


def _split(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, _, rest = authority.partition("]")
        return host + "]", rest.removeprefix(":")
    host, _, port = authority.partition(":")
    return host, port


def _checked_host(host: str) -> str:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise ValueError("has an invalid IPv6 address") from None
    wildcard, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    if not name.isascii():
        import idna  # needed by few, so not above

        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            raise ValueError("has an invalid host name") from None
    if not _NAME.fullmatch(name):
        raise ValueError(f"can never match: it has no host name; write it as {_EXAMPLE}")
    return wildcard + name
