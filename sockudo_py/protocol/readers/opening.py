"""Decides who may open a connection. Clients read a refusal in-band, after the handshake: error first, then close."""

from dataclasses import dataclass
from typing import Final

from sockudo_py.protocol import codec, errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.effects import Close, Effect, Reply, cut_reason
from sockudo_py.protocol.errors import MESSAGES, ErrorCode

# 4-6 get the same messages as 7; the .NET client still says 5.
PROTOCOL_VERSIONS: Final = frozenset({"4", "5", "6", "7"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection can't be, or can't go on."""

    code: int
    message: str


def refusal(code: ErrorCode) -> Refusal:
    """Return the refusal with this code and its usual message."""
    return Refusal(int(code), MESSAGES[code])


def refusal_effects(refusal: Refusal) -> list[Effect]:
    """Return what ends a connection: the error for clients that can't see close codes, then the close."""
    return [
        Reply(codec.error(refusal.code, refusal.message)),
        Close(refusal.code, cut_reason(refusal.message)),
    ]


def admit(
    app: App | None, key: str, protocol: str | None, origin: str | None, secure: bool, strict: bool
) -> Refusal | None:
    """Return why a connection must be refused, or None when it may open. Quotas are the node's business.

    Args:
        app: The app that has ``key``, or None when no app has it.
        key: As it stands in the path, decoded.
        protocol: The ``protocol`` query parameter, None when absent.
        origin: The ``Origin`` header, None when absent.
        secure: Whether the client came over TLS.
        strict: Refuse clients that don't say their protocol version.
    """
    if app is None:
        return Refusal(int(ErrorCode.UNKNOWN_APP), errors.unknown_app(key))
    if protocol is None:
        if strict:
            return refusal(ErrorCode.NO_PROTOCOL)
    elif protocol not in PROTOCOL_VERSIONS:
        return refusal(ErrorCode.UNSUPPORTED_PROTOCOL)
    if not app.enabled:
        return refusal(ErrorCode.APP_DISABLED)
    if app.require_tls and not secure:
        return refusal(ErrorCode.TLS_ONLY)
    if "*" not in app.allowed_origins and not origin_allowed(app.allowed_origins, origin):
        return Refusal(int(ErrorCode.UNAUTHORIZED), errors.ORIGIN_REFUSED)
    return None


def origin_allowed(allowed: tuple[str, ...], origin: str | None) -> bool:
    """Return whether a page of this origin may connect.

    ``*`` allows everybody, also clients that send no origin. ``https://example.com:8443`` is compared whole,
    ``example.com`` with the host alone (any scheme, any port); ``*.example.com`` in either stands for any subdomain,
    but not for the domain itself. ``null`` is what browsers say of files and of sandboxed frames.
    """
    if "*" in allowed:
        return True
    if origin is None:
        return False
    origin = origin.lower()
    scheme, _, authority = origin.partition("://")
    host = authority if authority.endswith("]") else authority.rpartition(":")[0] or authority
    for pattern in map(str.lower, allowed):
        if pattern and pattern == origin:  # also null and file://, which have no host
            return True
        pattern_scheme, separator, pattern_authority = pattern.partition("://")
        if not separator:
            if _matches(pattern_scheme, host) or _matches(pattern_scheme, authority):
                return True
        elif pattern_scheme == scheme and _matches(pattern_authority, authority):
            return True
    return False


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) >= len(pattern)
    return bool(name) and pattern == name
