"""Custom headers that an operator may add to the requests of an endpoint. Pure.

The server alone sets headers that have a meaning for HTTP, for routing or for signatures: a ``Content-Length: 3`` from
a configuration would cut the body, a ``Host`` would spoof the receiver.
"""

import re
from collections.abc import Iterable, Sequence

MAX_HEADERS = 32
MAX_VALUE_BYTES = 4096

_DENIED = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "connection",
        "keep-alive",
        "expect",
        "user-agent",
        "cookie",
        "forwarded",
    }
)
OURS = frozenset({"webhook-id", "webhook-timestamp", "x-sockudo-delivery-id", "x-sockudo-attempt"})
_DENIED_PREFIXES = (
    "proxy-",
    "x-forwarded-",
    "x-pusher-",
    "webhook-",
    "x-webhook-",
    "x-realcast-",
    "x-irisx-",
    "x-sockudo-",
    "x-amz-",
    "x-goog",
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def header_problems(
    headers: Iterable[tuple[str, str]], *, max_headers: int = MAX_HEADERS, max_value_bytes: int = MAX_VALUE_BYTES
) -> list[str]:
    """Return what is wrong with custom headers, one line each, never with a value in it."""
    problems = []
    seen: set[str] = set()
    for name, value in headers:
        lower = name.lower()
        if not _NAME.fullmatch(name):
            problems.append(f"headers: {name[:64]!r} is not a header name")
        elif lower in _DENIED or lower.startswith(_DENIED_PREFIXES):
            problems.append(f"headers.{name}: this header is set by the server; remove it")
        elif lower in seen:
            problems.append(f"headers.{name}: given twice")
        if not _VALUE.fullmatch(value):
            problems.append(f"headers.{name[:64]}: the value holds a control character or one outside Latin-1")
        elif len(value) > max_value_bytes:
            problems.append(f"headers.{name[:64]}: the value is longer than {max_value_bytes} bytes")
        seen.add(lower)
    if len(seen) > max_headers:
        problems.append(f"headers: more than {max_headers}")
    return problems


def name_problems(names: Iterable[str]) -> list[str]:
    """Return what is wrong with the header names that an endpoint of profile ``custom`` gives to its signature."""
    problems = []
    for name in names:
        lower = name.lower()
        if not _NAME.fullmatch(name):
            problems.append(f"signature headers: {name[:64]!r} is not a header name")
        elif lower in _DENIED or lower in OURS:
            problems.append(f"signature headers: {name} has a meaning of its own; choose another name")
    return problems


def merge_headers(custom: Sequence[tuple[str, str]], system: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return custom headers followed by ours; where both name a header, ours alone."""
    if not custom:
        return tuple(system)
    ours = {name.lower() for name, _ in system}
    return (*((name, value) for name, value in custom if name.lower() not in ours), *system)
