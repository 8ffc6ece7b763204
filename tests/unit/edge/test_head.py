import pytest

from sockudo_py.edge.http1.head import BadHead, Head, next_head, parse_head


def head(*lines: str) -> bytes:
    return ("\r\n".join([*lines, "", ""])).encode("latin-1")


def test_a_head_is_parsed() -> None:
    parsed = parse_head(
        head("POST /apps/3/events?a=b%20c&d HTTP/1.1", "Host: x", "Content-LENGTH: 12", "X-Name:  v w ")
    )
    assert (parsed.method, parsed.path, parsed.query) == (b"POST", "/apps/3/events", "a=b%20c&d")
    assert parsed.headers == {b"host": b"x", b"content-length": b"12", b"x-name": b"v w"}
    assert (parsed.version, parsed.fields.keep_alive, parsed.upgrade) == ("1.1", True, b"")
    assert parsed.text(b"x-name") == "v w"
    assert parsed.text(b"absent") is None


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://h/app/key?protocol=7", "/app/key", "protocol=7"),
        ("ws://h:6001/app/key", "/app/key", ""),
        ("WSS://user:pass@[::1]:6001/app/key", "/app/key", ""),
        ("http://h", "/", ""),
        ("http://h?a=b", "/", "a=b"),
        ("http://h?a=/b", "/", "a=/b"),
        ("https://h/a#b?c", "/a", ""),
        ("http://h/http://i/app/key", "/http://i/app/key", ""),
        ("/http://h/app/key", "/http://h/app/key", ""),
        ("//h/app/key", "//h/app/key", ""),
        ("*", "*", ""),
    ],
)
def test_a_target_in_absolute_form_is_path_and_query(target: str, path: str, query: str) -> None:
    parsed = parse_head(head(f"GET {target} HTTP/1.1"))
    assert (parsed.path, parsed.query) == (path, query)


def test_a_fragment_is_no_part_of_the_path() -> None:
    assert parse_head(head("GET /app/key#x?protocol=7 HTTP/1.1")).path == "/app/key"


@pytest.mark.parametrize(
    ("lines", "keep_alive"),
    [
        (("GET / HTTP/1.1",), True),
        (("GET / HTTP/1.1", "Connection: close"), False),
        (("GET / HTTP/1.0",), False),
        (("GET / HTTP/1.1", "Connection: keep-alive, Close"), False),
        (("POST / HTTP/1.1", "Content-Length: 0", "Connection: close"), False),
        (("POST / HTTP/1.1", "Content-Length: 5"), True),
    ],
)
def test_keep_alive_follows_version_and_connection_header(lines: tuple[str, ...], keep_alive: bool) -> None:
    assert parse_head(head(*lines)).fields.keep_alive is keep_alive


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        (("Connection: Upgrade", "Upgrade: WebSocket"), b"websocket"),
        (("Connection: keep-alive, Upgrade", "Upgrade: websocket"), b"websocket"),
        (("Connection: keep-alive", "Connection: upgrade", "Upgrade: websocket"), b"websocket"),
        (("Upgrade: websocket",), b""),
        (("Connection: Upgrade",), b""),
        (("Connection: Upgrade", "Upgrade: h2c"), b"h2c"),
    ],
)
def test_an_upgrade_takes_both_headers(lines: tuple[str, ...], upgrade: bytes) -> None:
    assert parse_head(head("GET / HTTP/1.1", *lines)).upgrade == upgrade


def test_repeated_headers_are_joined() -> None:
    parsed = parse_head(head("GET / HTTP/1.1", "X-Forwarded-For: a", "Host: h", "x-forwarded-for: b"))
    assert parsed.headers == {b"x-forwarded-for": b"a, b", b"host": b"h"}


@pytest.mark.parametrize(
    "name", ["Host", "Origin", "Authorization", "Sec-WebSocket-Key", "X-Forwarded-Proto", "X-Idempotency-Key"]
)
def test_a_header_that_decides_something_may_come_once_only(name: str) -> None:
    with pytest.raises(BadHead, match=f"More than one {name.lower()} header"):
        parse_head(head("GET / HTTP/1.1", f"{name}: a", f"{name.upper()}: b"))


SMUGGLING = {
    "two lengths": ("Content-Length: 3", "Content-Length: 4"),
    "two equal lengths": ("Content-Length: 3", "content-length: 3"),
    "a list of lengths": ("Content-Length: 3, 3",),
    "a signed length": ("Content-Length: +3",),
    "a hexadecimal length": ("Content-Length: 0x3",),
    "an empty length": ("Content-Length: ",),
    "a huge length": ("Content-Length: 99999999999999999999999",),
    "length and chunked": ("Content-Length: 3", "Transfer-Encoding: chunked"),
    "chunked and length": ("Transfer-Encoding: chunked", "Content-Length: 3"),
    "length and another encoding": ("Content-Length: 3", "Transfer-Encoding: identity"),
    "a disguised chunked": ("Transfer-Encoding: xchunked",),
    "a folded line": ("Transfer-Encoding:", " chunked"),
    "a blank before the colon": ("Content-Length : 3",),
    "a NUL": ("X-A: \x00",),
    "a bare CR": ("X-A: b\rContent-Length: 3",),
    "a bare LF": ("X-A: b\nContent-Length: 3",),
    "no colon": ("Content-Length",),
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING)
def test_what_smuggling_is_made_of_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(BadHead) as caught:
        parse_head(head("POST /apps/3/events HTTP/1.1", "Host: x", *lines))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "line",
    [
        "GET",
        "GET /",
        "GET / HTTP",
        "get / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "FETCH / HTTP/1.1",
        "GET /\xe9 HTTP/1.1",
        "G\x00T /",
    ],
)
def test_a_broken_request_line_is_refused(line: str) -> None:
    with pytest.raises(BadHead):
        parse_head(head(line, "Host: x"))


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (("Content-Length: 12",), 12),
        (("Content-Length: 0",), 0),
        ((), None),
        (("Transfer-Encoding: chunked",), None),
        (("Content-Length: 12", "Expect: 100-continue"), None),
        (("Content-Length: 12", "Content-Encoding: gzip"), None),
        (("Content-Length: 12", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), None),
    ],
)
def test_a_plain_body_is_one_that_simply_follows(lines: tuple[str, ...], length: int | None) -> None:
    assert parse_head(head("POST / HTTP/1.1", *lines)).fields.plain_length == length


@pytest.mark.parametrize("line", ["GET /", "GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2"])
def test_another_version_of_http_is_refused(line: str) -> None:
    with pytest.raises(BadHead) as caught:
        parse_head(head(line, "Host: x"))
    assert caught.value.status in (400, 505)


def test_http_1_0_has_no_plain_body() -> None:
    assert parse_head(head("POST / HTTP/1.0", "Content-Length: 1")).fields.plain_length is None


def test_the_next_head_begins_where_it_is_told_and_ends_at_the_empty_line() -> None:
    first, second = head("GET /1 HTTP/1.1"), head("GET /2 HTTP/1.1", "A: b")
    data = first + second + b"rest"
    parsed, end = next_head(data, 0, 100)
    assert isinstance(parsed, Head)
    assert (parsed.path, end) == ("/1", len(first))
    parsed, end = next_head(data, end, 100)
    assert isinstance(parsed, Head)
    assert (parsed.path, end) == ("/2", len(first + second))


def test_part_of_a_head_is_not_an_error_at_any_length() -> None:
    whole = head("GET /1 HTTP/1.1", "Host: x")
    for length in range(1, len(whole)):
        assert next_head(whole[:length], 0, 100) == (None, 0)


@pytest.mark.parametrize("size", [100, 101, 5000])
def test_a_head_that_is_not_whole_within_the_limit_is_refused_with_431(size: int) -> None:
    with pytest.raises(BadHead) as caught:
        next_head(b"GET / HTTP/1.1\r\nA: " + b"a" * (size - 19), 0, 100)
    assert caught.value.status == 431


def test_the_limit_counts_the_whole_head() -> None:
    whole = head("GET / HTTP/1.1", "A: " + "a" * 77)
    assert len(whole) == 100
    assert next_head(whole, 0, 100)[1] == 100
    with pytest.raises(BadHead):
        next_head(whole, 0, 99)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\nHost: x\n\r\n", b"GET / HTTP/1.1\r\nHost: x\n\nmore"]
)
def test_a_head_with_bare_line_feeds_is_refused_before_it_can_time_out(data: bytes) -> None:
    with pytest.raises(BadHead, match="must end in CRLF"):
        next_head(data, 0, 1000)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01", b"\x00", b"{}", b" GET / HTTP/1.1", b"\xff"])
def test_what_can_not_be_a_request_is_refused_at_its_first_byte(data: bytes) -> None:
    with pytest.raises(BadHead, match="not an HTTP request"):
        next_head(data, 0, 1000)
