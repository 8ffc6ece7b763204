"""The server's side of the WebSocket opening handshake (RFC 6455, section 4.2). Pure: heads in, bytes out."""

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from hashlib import sha1
from typing import Final
from urllib.parse import parse_qsl, unquote

from sockudo_py.edge.head import Head

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
_NO_UPGRADE: Final = (
    "This is the path of WebSocket connections, and the request does not ask for one"
    " (a proxy in between has to speak HTTP/1.1 and pass on the headers Upgrade and Connection)"
)

Problem = tuple[int, str, tuple[tuple[str, str], ...]]


def problem_with(head: Head) -> Problem | None:
    """Return the status, text and headers of the HTTP error that a handshake deserves; None: it is sound."""
    if head.upgrade != b"websocket" or head.version != "1.1":
        return 426, _NO_UPGRADE, (("Upgrade", "websocket"),)
    if head.headers.get(b"sec-websocket-version") != b"13":
        return 426, "Sec-WebSocket-Version must be 13", (("Sec-WebSocket-Version", "13"),)
    if not _is_nonce(head.headers.get(b"sec-websocket-key", b"")):
        return 400, "Sec-WebSocket-Key must be 16 bytes in base64", ()
    if b"transfer-encoding" in head.headers or head.headers.get(b"content-length", b"0") != b"0":
        # A proxy would count the first bytes as a body that we read as frames.
        return 400, "A WebSocket handshake can't have a body", ()
    return None


def acceptance(head: Head) -> bytes:
    """Return the response that accepts a sound handshake. No subprotocol and no extension is ever chosen."""
    digest = sha1(head.headers[b"sec-websocket-key"] + _GUID, usedforsecurity=False).digest()
    return _ACCEPT + b64encode(digest) + b"\r\n\r\n"


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
    if len(key) != 24:
        return False
    try:
        return len(a2b_base64(key, strict_mode=True)) == 16
    except Base64Error:
        return False
