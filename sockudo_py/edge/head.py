"""The head of one HTTP request, from bytes. No I/O.

``httptools`` (llhttp in its strict mode) does the parsing: it refuses what smuggling is made of, like two
Content-Lengths, Content-Length beside Transfer-Encoding, folded lines, bare LFs, blanks before colons.
"""

from collections.abc import Callable, Iterator, Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

Headers = dict[bytes, bytes]


_VERSIONS = ("1.1", "1.0")
_NOT_HTTP = "This is an HTTP server, and what came is not an HTTP request (TLS is not spoken on this port)"
_NO_CRLF = "The lines of a request's head must end in CRLF"


class BadHead(Exception):
    """The bytes are no head of an HTTP request, or too many. The message may be told to the client."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TextHeaders(Mapping[str, str]):
    """Headers by lower-case name as text, decoded when somebody asks: the hot path never does."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        return self._headers[name.encode("latin-1", "replace")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class Head:
    """A request's head; names in ``headers`` are lower case, repeated ones joined by commas.

    ``path`` and ``query`` are raw, still percent-encoded; ``upgrade`` is the protocol that the client asks to change to
    with both the headers that this takes, lower case, else empty.
    """

    __slots__ = ("headers", "keep_alive", "method", "path", "query", "upgrade", "version")

    def __init__(self, parser: HttpRequestParser, target: bytes, headers: Headers) -> None:
        if b"#" in target:
            target = target.partition(b"#")[0]
        self.path, _, self.query = target.decode("ascii").partition("?")
        self.method = parser.get_method()
        self.version = parser.get_http_version()
        if self.version not in _VERSIONS:
            raise BadHead("This server speaks HTTP/1.1", 505)
        # The parser's own answer is gone once the message is complete; in this server only HTTP/1.1 stays.
        connection = headers.get(b"connection")
        self.keep_alive = self.version == "1.1" and (connection is None or b"close" not in connection.lower())
        self.headers = headers
        self.upgrade = headers.get(b"upgrade", b"").lower() if parser.should_upgrade() else b""

    def text(self, name: bytes) -> str | None:
        """Return the value of the header with this lower-case name, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def plain_length(self) -> int | None:
        """Return the length of the body that simply follows; None when it follows in another way, or there is none."""
        headers = self.headers
        length = headers.get(b"content-length")
        if (
            length is None
            or self.version != "1.1"
            or self.upgrade
            or b"transfer-encoding" in headers
            or b"content-encoding" in headers
            or b"expect" in headers
        ):
            return None
        return int(length)


class _Target:
    """What the parser calls. Bound C methods, since a Python function per header would cost more than the parsing."""

    __slots__ = ("on_header", "on_url")

    def __init__(self, on_url: Callable[[bytes], None], on_header: Callable[[bytes, bytes], None]) -> None:
        self.on_url = on_url
        self.on_header = on_header


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
    return Head(parser, targets[0], headers)


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


# What routes, authenticates or opens a connection has one value or none.
_SINGLE = frozenset({b"host", b"origin", b"authorization", b"content-type", b"sec-websocket-key", b"x-forwarded-proto"})


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
