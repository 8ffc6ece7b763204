"""The head of one HTTP request, from bytes. No I/O.

``httptools`` (llhttp in its strict mode) does the parsing: it refuses what request smuggling needs: two
Content-Lengths, Content-Length beside Transfer-Encoding, folded lines, bare LFs, blanks before colons.
"""

from collections.abc import Callable, Iterator, Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from sockudo_py.http.routes import origin_form
from sockudo_py.memo import TwoGenerationCache
from sockudo_py.protocol.values import new

Headers = dict[bytes, bytes]


_VERSIONS = ("1.1", "1.0")
_BLANKS = 8  # bytes of empty lines
_NOT_HTTP = "This is an HTTP server, and what came is not an HTTP request (TLS is not spoken on this port)"
_NO_CRLF = "The lines of a request's head must end in CRLF"


class BadHead(Exception):
    """The bytes are no head of an HTTP request, or too many. The client may read the message."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TextHeaders(Mapping[str, str]):
    """Headers by lower-case name as text, decoded when they are read: the hot path never reads them."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        return self._headers[name.encode("latin-1", "replace")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class Fields:
    """The lines of a head after its target, and what follows from them. Immutable.

    Names in ``headers`` are lower case, repeated ones joined by commas. ``upgrade`` is the protocol that the client
    asks to change to with both the headers that this takes, lower case, else empty. ``plain_length`` is the length of
    the body that simply follows; None when it follows in another way, or there is none. ``usual``: nothing
    here changes the response.
    """

    __slots__ = (
        "forwarded_for",
        "headers",
        "idempotency_key",
        "keep_alive",
        "origin",
        "plain_length",
        "text_headers",
        "upgrade",
        "usual",
        "version",
    )

    def __init__(self, parser: HttpRequestParser, headers: Headers) -> None:
        self.version = parser.get_http_version()
        if self.version not in _VERSIONS:
            raise BadHead("This server speaks HTTP/1.1", 505)
        self.headers = headers
        # The parser's own answer is gone once the message is complete; in this server only HTTP/1.1 stays.
        connection = headers.get(b"connection")
        self.keep_alive = self.version == "1.1" and (connection is None or b"close" not in connection.lower())
        self.upgrade = headers.get(b"upgrade", b"").lower() if parser.should_upgrade() else b""
        length = headers.get(b"content-length")
        plain = self.version == "1.1" and not self.upgrade and headers.keys().isdisjoint(_NOT_PLAIN)
        self.plain_length = int(length) if plain and length is not None else None
        self.text_headers = TextHeaders(headers)
        self.origin = _text(headers.get(b"origin"))
        self.forwarded_for = _text(headers.get(b"x-forwarded-for"))
        key = headers.get(b"x-idempotency-key")  # as aiohttp reads it and a body has it, so that it is the same key
        self.idempotency_key = None if key is None else key.decode("utf-8", "surrogateescape")
        self.usual = self.keep_alive and self.origin is None


class Head:
    """A request's head. ``path`` and ``query`` are raw, still percent-encoded; scheme and host are cut off."""

    __slots__ = ("fields", "method", "path", "query")

    def __init__(self, method: bytes, path: str, query: str, fields: Fields) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields

    @property
    def version(self) -> str:
        """Return ``1.1`` or ``1.0``."""
        return self.fields.version

    @property
    def headers(self) -> Headers:
        """Return the headers by name."""
        return self.fields.headers

    @property
    def upgrade(self) -> bytes:
        """Return the protocol that the client asks to change to, or nothing."""
        return self.fields.upgrade

    def text(self, name: bytes) -> str | None:
        """Return the value of the header with this lower-case name, or None."""
        return _text(self.fields.headers.get(name))

    def bodiless(self) -> bool:
        """Return whether nothing but the next request follows, and the client wants nothing but an answer."""
        return _WITH_BODY.isdisjoint(self.headers)


_WITH_BODY = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})


class _Target:
    """The parser's callbacks. Bound C methods: a Python function for each header would cost more than the parsing."""

    __slots__ = ("on_header", "on_url")

    def __init__(self, on_url: Callable[[bytes], None], on_header: Callable[[bytes, bytes], None]) -> None:
        self.on_url = on_url
        self.on_header = on_header


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


class HeadReader:
    """Reads heads. What follows the target of a POST is parsed once and remembered by its bytes.

    The requests of one backend differ in their targets, where the signature is, and in little else; and what the parser
    makes of the version and the header lines does not depend on the target, as long as it accepts that. What it refuses
    is not remembered, nor what may hold a password.

    Args:
        limit: Bytes that a head may have.
    """

    __slots__ = ("_known", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: TwoGenerationCache[bytes, Fields] = TwoGenerationCache(_REMEMBERED)

    def next(self, data: bytes | bytearray, start: int) -> tuple[Head | None, int]:
        """Return what ``next_head`` does. Raises BadHead."""
        end = data.find(b"\r\n\r\n", start, start + self._limit)
        if end < 0 or data[start : start + 6] != b"POST /":
            return next_head(data, start, self._limit)
        target, version, lines = bytes(data[start + 5 : end]).partition(_VERSION)
        if not version or target.translate(_VETTED) != target:
            return next_head(data, start, self._limit)
        fields = self._known.get(lines)
        if fields is None:
            fields = self._known.again(lines)
            if fields is None:
                fields = parse_head(bytes(data[start : end + 4])).fields
                self._remember(lines, fields)
        head = new(Head)
        head.method, head.fields = b"POST", fields
        head.path, _, head.query = target.decode().partition("?")
        return head, end + 4

    def whole(self, data: bytes) -> tuple[Fields, str, str, bytes] | None:
        """Return fields, path, query and body when ``data`` is one POST with a body and lines like one before.

        None says nothing about ``data``. What comes in one piece, as nearly every publish does, is cut at two places
        here, and for ``next`` at more.
        """
        head, ended, body = data.partition(b"\r\n\r\n")
        first, _, lines = head.partition(_VERSION)
        fields = self._known.get(lines)
        if fields is None or fields.plain_length != len(body) or len(head) > self._limit - 4 or first[:6] != b"POST /":
            return None
        if not ended:  # the empty line has not come yet
            return None
        target = first[5:]
        if target.translate(_VETTED) != target:
            return None
        path, _, query = target.decode().partition("?")
        return fields, path, query, body

    def __len__(self) -> int:
        """Return how many blocks of header lines are remembered."""
        return self._known.total()

    def _remember(self, lines: bytes, fields: Fields) -> None:
        headers = fields.headers
        if (
            len(lines) > _REMEMBERED_BYTES
            or len(headers) > _REMEMBERED_NAMES
            or b"x-idempotency-key" in headers  # no other request has these lines
            or not headers.keys().isdisjoint(PASSWORDS)
        ):
            return
        self._known.keep(lines, fields)


_REMEMBERED = 512  # in each generation: together at most 7 MB, whatever is sent
_REMEMBERED_BYTES = 1024
_REMEMBERED_NAMES = 32  # a name and its value take 70 bytes and more, however short they are
PASSWORDS = frozenset({b"authorization", b"cookie", b"proxy-authorization"})

# A target that this table leaves as it is consists of what the parser takes for sure: all that is printable in ASCII
# but blanks and "#". One call of C, in a fifth of the instructions of a pattern.
_VETTED = bytes(byte if 0x21 <= byte < 0x7F and byte != ord("#") else byte ^ 1 for byte in range(256))
_VERSION = b" HTTP/1.1\r\n"


def after_blanks(data: bytes | bytearray, start: int) -> int:
    """Return where the request begins: some empty lines before it are tolerated."""
    end = min(start + _BLANKS, len(data))
    while start < end and data[start] in b"\r\n":
        start += 1
    return start


def next_head(data: bytes | bytearray, start: int, limit: int) -> tuple[Head | None, int]:
    """Return the head that begins at ``start`` and where it ends; None and ``start`` while it is not whole.

    Args:
        data: What was received.
        start: Must be within ``data``.
        limit: Bytes that a head may have.

    Raises:
        BadHead: It can't become a head any more, whatever follows.
    """
    end = data.find(b"\r\n\r\n", start, start + limit)
    if end >= 0:
        return parse_head(bytes(data[start : end + 4])), end + 4
    if len(data) - start >= limit:
        raise BadHead(f"The head of the request exceeds the allowed maximum ({limit} bytes)", 431)
    if not 65 <= data[start] <= 90:  # no method begins like this, the hello of a TLS client does not either
        raise BadHead(_NOT_HTTP)
    if data.find(b"\n\n", start) >= 0 or data.find(b"\n\r\n", start) >= 0:
        raise BadHead(_NO_CRLF)
    return None, start


def parse_head(raw: bytes) -> Head:
    """Return the head that ``raw`` holds, which ends in the first empty line. Raises BadHead."""
    targets: list[bytes] = []
    found: Headers = {}
    parser = _parse(raw, targets, found.__setitem__)
    if len(targets) != 1:
        raise BadHead("The request line is malformed")
    headers = {name.lower(): value.strip() for name, value in found.items()}
    if len(headers) != raw.count(b"\r\n") - 2:  # some name is there twice
        headers = _joined(raw)
    target = targets[0]
    if b"#" in target:
        target = target.partition(b"#")[0]
    path, _, query = origin_form(target.decode("ascii")).partition("?")
    return Head(parser.get_method(), path, query, Fields(parser, headers))


def _joined(raw: bytes) -> Headers:
    headers: Headers = {}

    def add(name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.strip()
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise BadHead(f"More than one {name.decode('ascii')} header")
        else:
            headers[name] += b", " + value

    _parse(raw, [], add)
    return headers


# Headers with which a body does not simply follow.
_NOT_PLAIN = frozenset({b"transfer-encoding", b"content-encoding", b"expect"})

# What routes, authenticates or opens a connection has one value or none.
_SINGLE = frozenset(
    {
        b"host",
        b"origin",
        b"authorization",
        b"content-type",
        b"sec-websocket-key",
        b"x-forwarded-proto",
        b"x-idempotency-key",
    }
)


def _parse(raw: bytes, targets: list[bytes], on_header: Callable[[bytes, bytes], None]) -> HttpRequestParser:
    parser = HttpRequestParser(_Target(targets.append, on_header))
    try:
        parser.feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as problem:
        if isinstance(problem.__context__, BadHead):
            raise problem.__context__ from None
        raise BadHead(f"The request is malformed: {problem}") from problem
    return parser
