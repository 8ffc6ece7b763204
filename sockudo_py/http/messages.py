"""Requests and responses of the HTTP API as values, free of any HTTP library."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sockudo_py.protocol.values import new

TEXT = "text/plain; charset=utf-8"
_NOSNIFF = ("X-Content-Type-Options", "nosniff")  # error texts echo parts of the request
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ECHO_LIMIT = 2000


@dataclass(slots=True)
class ApiRequest:
    """One request. ``path`` is raw: still percent-encoded, without query, and without the configured path prefix.

    ``path`` and ``query`` are the bytes of the request line decoded as UTF-8 with ``surrogateescape``; the names in
    ``headers`` are lower case; ``remote`` is the client's address, empty when it is not known; ``idempotency_key`` is
    the header of that name.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    remote: str
    idempotency_key: str | None = None


def make_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    remote: str,
    idempotency_key: str | None,
) -> ApiRequest:
    """Return what ``ApiRequest(...)`` does, in less time (see ``protocol/values.py``): every publish needs one."""
    request = new(ApiRequest)
    request.method, request.path, request.query = method, path, query
    request.headers, request.body = headers, body
    request.remote, request.idempotency_key = remote, idempotency_key
    return request


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One response; ``headers`` are those besides Content-Type and Content-Length.

    ``own_cors``: they say what pages of other origins may do, and the API's rules don't hold.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    own_cors: bool = False


OK = ApiResponse(200, b"{}")


def error(status: int, message: str, *headers: tuple[str, str]) -> ApiResponse:
    """Return an error as Pusher words them: plain text that ends in a newline. The SDKs print it as it is."""
    return ApiResponse(status, (message + "\n").encode("utf-8", "replace"), TEXT, (_NOSNIFF, *headers))


def echo(text: str) -> str:
    """Return what a client sent in a form that may stand in an error text: one line, no control characters, bounded."""
    if len(text) > _ECHO_LIMIT:
        text = text[:_ECHO_LIMIT] + "..."
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def problem_with_coding(codings: str | None) -> str | None:
    """Return why a body with this ``Transfer-Encoding`` can't be read (501); None: it can, as far as that goes."""
    if codings is None or all(coding.strip().lower() == "chunked" for coding in codings.split(",")):
        return None
    return f"The only transfer coding that this server knows is chunked, and not {echo(codings)}"


UNAVAILABLE = error(503, "The cluster's state can't be reached right now, try again later", ("Retry-After", "1"))
