"""The reader that remembers: it says what the parser says, and can't be filled."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.edge.http1.head import BadHead, Head, HeadReader, next_head
from tests.unit.edge.test_head import SMUGGLING

LIMIT = 2000
USUAL = b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
USUAL_REQUEST = b"POST /apps/1/events?x" + USUAL + b"12345"

TARGETS = st.one_of(
    st.just("/apps/3/events?auth_key=a"),
    st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=12).map(lambda text: f"/apps?{text}"),
    st.text("/?#ab =\x00\t\r\n\x7f\xe9*", max_size=8),
)
LINES = st.one_of(
    st.sampled_from([line for lines in SMUGGLING.values() for line in lines]),
    st.sampled_from(
        [
            "Host: x",
            "Content-Length: 5",
            "Content-Length: 0",
            "Content-Length: 05",
            "Content-Length:5 ",
            "content-length: 18446744073709551616",
            "Connection: close",
            "Connection: Upgrade",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Origin: http://a",
            "X-Forwarded-For: 10.0.0.1",
            "Cookie: a=b",
            "",
        ]
    ),
    st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=10),
)
HEADS = st.builds(
    lambda start, target, version, lines: "\r\n".join(
        [f"{start}{target} {version}", *lines, "", ""],
    ).encode("latin-1"),
    st.sampled_from(["POST ", "POST ", "POST ", "GET ", "POST  ", "post ", "CONNECT "]),
    TARGETS,
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", ""]),
    st.lists(LINES, max_size=4),
)


def told(head: Head | None) -> object:
    """Return all that a head says."""
    if head is None:
        return None
    fields = head.fields
    facts = [getattr(fields, name) for name in fields.__slots__ if name != "text_headers"]
    return head.method, head.path, head.query, facts, dict(fields.text_headers)


def outcome(read: object, *arguments: object) -> object:
    assert callable(read)
    try:
        head, end = read(*arguments)
    except BadHead as problem:
        return problem.status, str(problem)
    return told(head), end


@given(st.lists(HEADS, max_size=6), st.booleans())
def test_the_reader_says_what_the_parser_says_whatever_it_read_before(heads: list[bytes], mutable: bool) -> None:
    reader = HeadReader(LIMIT)
    for head in [*heads, *heads]:
        data = bytearray(head) if mutable else head
        assert outcome(reader.next, data, 0) == outcome(next_head, data, 0, LIMIT)


@given(
    st.one_of(
        st.text("/?#a%:*=&", max_size=8),
        st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=8),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40).map(lambda text: f"/?{text}"),
    )
)
def test_a_target_before_known_lines_is_read_as_the_parser_reads_it(target: str) -> None:
    reader = HeadReader(LIMIT)
    assert reader.next(b"POST /apps/1/events?x" + USUAL, 0)[0] is not None
    head = f"POST {target}".encode("latin-1") + USUAL
    assert outcome(reader.next, head, 0) == outcome(next_head, head, 0, LIMIT)


@pytest.mark.parametrize("byte", b"\r\n\t :,0579aZ\x00\xff?#/")
def test_known_lines_with_one_byte_changed_added_or_lost_are_read_by_the_parser(byte: int) -> None:
    reader = HeadReader(LIMIT)
    known = b"POST /apps/1/events?x" + USUAL
    reader.next(known, 0)
    for at in range(1, len(known)):
        for end in (at, at + 1):
            for head in (known[:at] + bytes((byte,)) + known[end:], known[:at] + known[end:]):
                assert outcome(reader.next, head, 0) == outcome(next_head, head, 0, LIMIT), head


def test_known_lines_are_not_parsed_again() -> None:
    reader = HeadReader(LIMIT)
    first, _ = reader.next(b"POST /apps/1/events?a" + USUAL, 0)
    second, end = reader.next(b"body!POST /apps/2/events?b" + USUAL, 5)
    assert first is not None
    assert second is not None
    assert second.fields is first.fields
    assert (second.path, second.query, end) == ("/apps/2/events", "b", 26 + len(USUAL))


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING)
def test_what_was_refused_is_refused_again(lines: tuple[str, ...]) -> None:
    reader = HeadReader(LIMIT)
    head = "\r\n".join(["POST /apps/3/events?x HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")
    for _ in range(3):
        with pytest.raises(BadHead):
            reader.next(head, 0)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization"])
def test_passwords_are_not_remembered(name: str) -> None:
    reader = HeadReader(LIMIT)
    head = b"POST /apps/1/events?a HTTP/1.1\r\n" + name.encode() + b": hunter2\r\nContent-Length: 2\r\n\r\n"
    first, _ = reader.next(head, 0)
    second, _ = reader.next(head, 0)
    assert first is not None
    assert second is not None
    assert second.fields is not first.fields


def test_strangers_who_vary_their_lines_neither_fill_the_memory_nor_push_out_who_comes_often() -> None:
    reader = HeadReader(LIMIT)
    known = b"POST /apps/1/events?a" + USUAL
    first, _ = reader.next(known, 0)
    assert first is not None
    for number in range(5000):
        reader.next(b"POST /?a HTTP/1.1\r\nX: %d\r\n\r\n" % number, 0)
        again, _ = reader.next(known, 0)
        assert again is not None
        assert again.fields is first.fields
        assert len(reader) <= 1024


def test_long_lines_are_not_remembered() -> None:
    reader = HeadReader(10_000)
    reader.next(b"POST /?a HTTP/1.1\r\nX: " + b"x" * 2000 + b"\r\n\r\n", 0)
    assert len(reader) == 0


@pytest.mark.parametrize(("names", "value"), [(160, ""), (30, "x" * 18)])
def test_a_reader_that_strangers_filled_takes_no_more_memory_than_it_says(names: int, value: str) -> None:
    reader = HeadReader(10_000)
    tracemalloc.start()
    try:
        for number in range(1024):
            lines = "".join(f"{name:03x}:{value and f'{number}{value}'}\r\n" for name in range(names))
            reader.next(f"POST /?a HTTP/1.1\r\nX: {number}\r\n{lines}\r\n".encode(), 0)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 7_000_000


def cut_by_next(reader: HeadReader, data: bytes) -> object:
    """Return what ``whole`` has to say when it says something."""
    head, end = reader.next(data, 0)
    assert head is not None
    assert (head.method, head.fields.plain_length) == (b"POST", len(data) - end)
    return head.fields, head.path, head.query, data[end:]


@given(st.lists(st.builds(bytes.__add__, HEADS, st.binary(max_size=6)), max_size=6))
def test_what_comes_in_one_piece_is_cut_as_otherwise_or_not_at_all(requests: list[bytes]) -> None:
    reader = HeadReader(LIMIT)
    for data in [USUAL_REQUEST, *requests, *requests, USUAL_REQUEST]:
        found = reader.whole(data)
        if found is not None:
            assert found == cut_by_next(reader, data)
        outcome(reader.next, data, 0)
        for at in range(1, len(data)):
            part = data[:at]
            found = reader.whole(part)
            assert found is None or found == cut_by_next(reader, part), part
    assert reader.whole(USUAL_REQUEST) == cut_by_next(reader, USUAL_REQUEST)


@pytest.mark.parametrize("body", [b"", b"1", b"\r\n\r\n"])
def test_a_request_with_known_lines_is_cut_when_its_last_byte_is_there_and_at_no_byte_before(body: bytes) -> None:
    data = b"POST /apps/1/events?x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    reader = HeadReader(LIMIT)
    reader.next(data, 0)
    assert [at for at in range(len(data) + 1) if reader.whole(data[:at]) is not None] == [len(data)]


@pytest.mark.parametrize("byte", b"\r\n\t :,0579aZ\x00\xff?#/")
def test_one_piece_with_one_byte_changed_added_or_lost_is_cut_as_otherwise_or_not_at_all(byte: int) -> None:
    reader = HeadReader(LIMIT)
    reader.next(USUAL_REQUEST, 0)
    for at in range(len(USUAL_REQUEST)):
        for end in (at, at + 1):
            for insert in (bytes((byte,)), b""):
                data = USUAL_REQUEST[:at] + insert + USUAL_REQUEST[end:]
                found = reader.whole(data)
                assert found is None or found == cut_by_next(reader, data), data


@pytest.mark.parametrize(
    "data",
    [
        b"POST /apps/1/events?x" + USUAL + b"1234",
        b"POST /apps/1/events?x" + USUAL + b"123456",
        b"POST /apps/1/events?x" + USUAL,
        b"PUT /apps/1/events?x" + USUAL + b"12345",
        b"POST /apps/1/\xff?x" + USUAL + b"12345",
        b"POST /apps/1/events?" + b"x" * LIMIT + USUAL + b"12345",
        b"POST /apps/1/events?x HTTP/1.0" + USUAL[9:] + b"12345",
        b"POST /apps/1/events?x HTTP/1.1\r\nX: y\r\nContent-Length: 5\r\n\r\n12345",
    ],
    ids=["body too short", "body too long", "no body", "method", "target", "head too long", "version", "unknown lines"],
)
def test_what_is_no_whole_post_with_known_lines_is_not_cut_at_once(data: bytes) -> None:
    reader = HeadReader(LIMIT)
    reader.next(USUAL_REQUEST, 0)
    assert reader.whole(data) is None


def test_a_head_of_just_the_allowed_size_is_cut_at_once_and_one_byte_more_is_not() -> None:
    reader = HeadReader(LIMIT)
    reader.next(USUAL_REQUEST, 0)
    fill = LIMIT - len(b"POST /" + USUAL)
    assert reader.whole(b"POST /" + b"x" * fill + USUAL + b"12345") is not None
    assert reader.whole(b"POST /x" + b"x" * fill + USUAL + b"12345") is None
