"""Requests of the HTTP transports, from their heads. Pure."""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.websocket.handshake import protocol_parameter
from sockudo_py.protocol.app import App
from sockudo_py.protocol.readers.opening import origin_allowed

Headers = tuple[tuple[str, str], ...]

STREAMING: Final = "xhr_streaming"
POLLING: Final = "xhr"
SEND: Final = "xhr_send"
TRANSPORTS: Final = {STREAMING: "xhr_streaming", POLLING: "xhr_polling"}  # as pusher-js calls them

_MAX_AGE: Final = "7200"  # seconds that a browser may remember a preflight
_UNIQUE: Final = ("t=", "n=")  # parameters that are different in each request of a client
# Characters of a digest. A text of this length gets one, too; else it could pass for the digest of another text.
_DIGEST: Final = 64


class XhrPath:
    """What stands in the path of such a request."""

    __slots__ = ("app_key", "kind", "session_id")

    def __init__(self, app_key: str, session_id: str, kind: str) -> None:
        self.app_key = app_key
        self.session_id = session_id
        self.kind = kind


class XhrPaths:
    """Reads the paths ``{prefix}/app/{key}/{number}/{session}/{kind}``.

    Args:
        prefix: What stands before ``/app``; without a slash at its end.
    """

    __slots__ = ("_before", "_match")

    def __init__(self, prefix: str) -> None:
        self._before = f"{prefix}/app/"
        self._match = re.compile(
            re.escape(self._before) + r"([^/]+)/([0-9]{1,3}/[0-9A-Za-z_-]{8,64})/(xhr_streaming|xhr|xhr_send)"
        ).fullmatch

    def read(self, path: str) -> XhrPath | None:
        """Return what a raw path says; None: it is another path."""
        if not path.startswith(self._before):
            return None
        found = self._match(path)
        return None if found is None else XhrPath(unquote(found[1]), found[2], found[3])


class XhrAsked:
    """What the first receive request of a session asks for (``clients.admission.Asked``).

    The log shows the path, so it lacks the session's id: who knows the id can act as the client.
    """

    __slots__ = ("app_key", "origin", "path", "protocol", "query")

    def __init__(self, head: Head, path: XhrPath) -> None:
        self.path = head.path.replace(f"/{path.session_id}/", "/*/*/")
        self.query = head.query
        self.app_key: str | None = path.app_key
        self.protocol = protocol_parameter(head.query)
        self.origin = head.fields.origin


def marks_of(head: Head) -> tuple[str | None, ...]:
    """Return what all receive requests of one client have in common."""
    same = "&".join(pair for pair in head.query.split("&") if not pair.startswith(_UNIQUE))
    return brief(same), brief(head.fields.origin), brief(head.text(b"user-agent"))


def brief(text: str | None) -> str | None:
    """Return a text, or the digest of a long one: sessions keep it, and strangers choose how long it is."""
    if text is None or len(text) < _DIGEST:
        return text
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def problem_with(head: Head) -> tuple[int, str] | None:
    """Return the status and text of the error that a receive request deserves; None: it is sound."""
    if b"transfer-encoding" in head.headers or head.headers.get(b"content-length", b"0") != b"0":
        return 400, "A request to receive has no body"
    return None


def cors_of(app: App | None, origin: str | None) -> Headers:
    """Return the headers that let a page of this origin read a response; none where the app does not allow it.

    Any origin may read that an app isn't there.
    """
    allowed: Sequence[str] = ("*",) if app is None else app.allowed_origins
    if "*" in allowed:
        return (("Access-Control-Allow-Origin", "*"),)
    if origin is not None and origin_allowed(tuple(allowed), origin):
        return ("Access-Control-Allow-Origin", origin), ("Vary", "Origin")
    return (("Vary", "Origin"),)


def preflight_of(app: App | None, origin: str | None, kind: str) -> Headers:
    """Return the headers of the answer to a preflight.

    Every page may ask to receive: a page whose origin the app does not allow must be able to read its refusal.
    """
    headers = cors_of(app, origin)
    if headers[0][0] == "Vary":
        if kind == SEND:
            return headers
        headers = cors_of(None, origin)
    return (
        *headers,
        ("Access-Control-Allow-Methods", "POST, OPTIONS"),
        ("Access-Control-Allow-Headers", "Content-Type"),
        ("Access-Control-Max-Age", _MAX_AGE),
    )
