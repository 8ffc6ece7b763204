"""The server's side of the WebSocket opening handshake (RFC 6455, section 4.2). Pure: heads in, bytes out."""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from hashlib import sha1
from typing import Final
from urllib.parse import parse_qsl, unquote

from sockudo_py.edge.http1.head import PASSWORDS, Head
from sockudo_py.memo import TwoGenerationCache

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
_NO_UPGRADE: Final = (
    "This is the path of WebSocket connections, and the request does not ask for one"
    " (a proxy in between has to speak HTTP/1.1 and pass on the headers Upgrade and Connection)"
)
_NONCE_LENGTH: Final = 24  # 16 bytes in base64
_NONCE_LINE: Final = b"\r\nSec-WebSocket-Key: "  # as browsers and nearly all clients spell it
_SHA1: Final = sha1(usedforsecurity=False)  # copied: to look the algorithm up takes longer than to use it

_REMEMBERED: Final = 256  # in each generation
_REMEMBERED_BYTES: Final = 1024

Problem = tuple[int, str, tuple[tuple[str, str], ...]]


def problem_with(head: Head) -> Problem | None:
    """Return the status, text and headers of the HTTP error that a handshake deserves; None: it is sound."""
    if head.upgrade != b"websocket" or head.version != "1.1":
        return 426, _NO_UPGRADE, (("Upgrade", "websocket"),)
    if head.headers.get(b"sec-websocket-version") != b"13":
        return 426, "Sec-WebSocket-Version must be 13", (("Sec-WebSocket-Version", "13"),)
    if not _is_nonce(nonce(head)):
        return 400, "Sec-WebSocket-Key must be 16 bytes in base64", ()
    if b"transfer-encoding" in head.headers or head.headers.get(b"content-length", b"0") != b"0":
        # A proxy would count the first bytes as a body that we read as frames.
        return 400, "A WebSocket handshake can't have a body", ()
    return None


def nonce(head: Head) -> bytes:
    """Return what the client chose for this handshake alone."""
    return head.headers.get(b"sec-websocket-key", b"")


def acceptance(nonce: bytes, extension: str | None = None) -> bytes:
    """Return the response that accepts a sound handshake. No subprotocol is ever chosen."""
    digest = _SHA1.copy()
    digest.update(nonce + _GUID)
    accepted = _ACCEPT + b2a_base64(digest.digest(), newline=False)
    if extension is None:
        return accepted + b"\r\n\r\n"
    return accepted + b"\r\nSec-WebSocket-Extensions: " + extension.encode() + b"\r\n\r\n"


class Handshake:
    """What a sound handshake asks for: everything but its nonce. Nothing here is changed once it is made.

    Args:
        head: The handshake's.
        prefix: Of the server's paths.
    """

    __slots__ = ("app_key", "extensions", "forwarded_for", "forwarded_proto", "origin", "path", "protocol", "query")

    def __init__(self, head: Head, prefix: str) -> None:
        self.path = head.path
        self.query = head.query
        self.app_key = app_key(head.path, prefix)
        self.protocol = protocol_parameter(head.query)
        self.origin = head.fields.origin
        self.extensions = head.text(b"sec-websocket-extensions")
        self.forwarded_for = head.fields.forwarded_for
        self.forwarded_proto = head.text(b"x-forwarded-proto")


class Handshakes:
    """Handshakes that differ only in the nonce are parsed once; the nonce is checked each time.

    Such a handshake is as sound as the one that was parsed: they differ in 24 characters of base64 in a header's value.
    Handshakes that may hold a password are not remembered, nor those that name the client, since no other is like them.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: TwoGenerationCache[bytes, Handshake] = TwoGenerationCache(_REMEMBERED)

    def find(self, data: bytes) -> tuple[Handshake, bytes] | None:
        """Return the handshake that ``data`` is, all of it, and its nonce; None: it takes a parser."""
        line = data.find(_NONCE_LINE)
        if line < 0:
            return None
        at = line + len(_NONCE_LINE)
        rest = data[:at] + data[at + _NONCE_LENGTH :]
        handshake = self._known.get(rest) or self._known.again(rest)
        if handshake is None:
            return None
        nonce = data[at : at + _NONCE_LENGTH]
        return (handshake, nonce) if _is_nonce(nonce) else None

    def remember(self, data: bytes, head: Head, handshake: Handshake) -> None:
        """Remember ``data``, the bytes of a sound handshake."""
        line = data.find(_NONCE_LINE)
        at = line + len(_NONCE_LINE)
        if (
            line >= 0
            and data.startswith(b"GET /")  # a target in absolute form may hold a password too
            and data[at : at + _NONCE_LENGTH] == nonce(head)
            and len(data) <= _REMEMBERED_BYTES
            and handshake.forwarded_for is None
            and head.headers.keys().isdisjoint(PASSWORDS)
        ):
            self._known.keep(data[:at] + data[at + _NONCE_LENGTH :], handshake)

    def __len__(self) -> int:
        """Return how many handshakes are remembered."""
        return self._known.total()


def app_key(path: str, prefix: str) -> str | None:
    """Return the key in a path ``{prefix}/app/{key}``, decoded; None when it is another path."""
    before, _, key = path.rpartition("/")
    if not key or before != f"{prefix}/app":
        return None
    return unquote(key) if "%" in key else key


def protocol_parameter(query: str) -> str | None:
    """Return the value of the first ``protocol`` parameter, decoded; None when there is none."""
    if "%" in query or "+" in query:
        return next((value for name, value in parse_qsl(query, True) if name == "protocol"), None)
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "protocol":
            return value
    return None


def _is_nonce(key: bytes) -> bool:
    if len(key) != _NONCE_LENGTH:
        return False
    try:
        return len(a2b_base64(key, strict_mode=True)) == 16
    except Base64Error:
        return False
