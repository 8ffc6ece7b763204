"""Handshakes that are remembered: they mean what the parser says, and can't be filled."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.edge.http1.head import BadHead, next_head
from sockudo_py.edge.websocket.handshake import Handshake, Handshakes, acceptance, nonce, problem_with
from tests.support.edge_bench import Bench, new_nonce, upgrade

LIMIT = 2000
NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="


def read(handshakes: Handshakes, data: bytes) -> None:
    """Let the parser read ``data``, and remember it when it is a sound handshake, as the front does."""
    try:
        head, end = next_head(data, 0, LIMIT)
    except BadHead:
        return
    if head is not None and head.method == b"GET" and problem_with(head) is None:
        handshakes.remember(data[:end], head, Handshake(head, ""))


def told(handshake: Handshake) -> list[object]:
    return [getattr(handshake, name) for name in handshake.__slots__]


def is_as_the_parser_says(data: bytes, found: tuple[Handshake, bytes] | None) -> bool:
    """Return whether the parser says the same; None is always right, it only takes longer."""
    if found is None:
        return True
    head, end = next_head(data, 0, LIMIT)
    return (
        head is not None
        and end == len(data)
        and head.method == b"GET"
        and problem_with(head) is None
        and (told(Handshake(head, "")), nonce(head)) == (told(found[0]), found[1])
    )


LINES = st.sampled_from(
    [
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {new_nonce(1)}",
        f"Sec-WebSocket-Key: {new_nonce(2)}",
        f"sec-websocket-key: {new_nonce(3)}",
        f"Sec-WebSocket-Key:  {new_nonce(4)}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
        "Sec-WebSocket-Key: AAAA\r\nAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Key: ",
        "X: Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Content-Length: 0",
        "Content-Length: 5",
        "Origin: http://a",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "",
    ]
)
HEADS = st.builds(
    lambda method, target, lines: "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode(),
    st.sampled_from(["GET", "GET", "GET", "PUT"]),
    st.sampled_from(["/app/key?protocol=7", "/app/key", "/other", "http://a:b@h/app/key"]),
    st.one_of(
        st.lists(LINES, max_size=8),
        st.permutations(
            [
                "Host: x",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]
        ),
    ),
)


@given(st.lists(HEADS, max_size=8))
def test_what_is_remembered_is_what_the_parser_says_whatever_came_before(heads: list[bytes]) -> None:
    handshakes = Handshakes()
    for data in [*heads, *heads]:
        assert is_as_the_parser_says(data, handshakes.find(data)), data
        read(handshakes, data)


@pytest.mark.parametrize("byte", b"\r\n\t :,0579aZ=\x00\xff?#/")
def test_a_known_handshake_with_one_byte_changed_added_or_lost_is_read_as_the_parser_reads_it(byte: int) -> None:
    handshakes = Handshakes()
    known = upgrade()
    read(handshakes, known)
    for at in range(len(known)):
        for end in (at, at + 1):
            for data in (known[:at] + bytes((byte,)) + known[end:], known[:at] + known[end:]):
                assert is_as_the_parser_says(data, handshakes.find(data)), data


def test_a_nonce_put_anywhere_else_into_known_bytes_is_no_handshake() -> None:
    handshakes = Handshakes()
    known = upgrade()
    read(handshakes, known)
    rest = known.replace(NONCE, b"")
    for at in range(len(rest) + 1):
        data = rest[:at] + NONCE + rest[at:]
        assert is_as_the_parser_says(data, handshakes.find(data)), data


def test_a_handshake_that_differs_in_its_nonce_is_known_with_the_nonce_it_has() -> None:
    handshakes = Handshakes()
    read(handshakes, upgrade())
    other = new_nonce(5).encode()
    first, second = handshakes.find(upgrade()), handshakes.find(upgrade().replace(NONCE, other))
    assert first is not None
    assert second is not None
    assert second[0] is first[0]
    assert (first[1], second[1]) == (NONCE, other)


@pytest.mark.parametrize(
    "bad", [b"", b"dGhlIHNhbXBsZSBub25jZQ", b"!!!!IHNhbXBsZSBub25jZQ==", b"A" * 24, b"A" * 22 + b"\r\n"]
)
def test_known_lines_with_a_bad_nonce_are_for_the_parser_to_refuse(bad: bytes) -> None:
    handshakes = Handshakes()
    read(handshakes, upgrade())
    assert handshakes.find(upgrade().replace(NONCE, bad)) is None


@pytest.mark.parametrize("more", [b"\x81", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_handshake_with_bytes_after_it_or_without_its_end_is_not_looked_up(more: bytes) -> None:
    handshakes = Handshakes()
    read(handshakes, upgrade())
    assert handshakes.find(upgrade() + more) is None
    assert handshakes.find(upgrade()[:-1]) is None


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: hunter2",
        "Cookie: a=hunter2",
        "Proxy-Authorization: b",
        "X-Forwarded-For: 192.0.2.7",
        "X: " + "x" * 1024,
    ],
)
def test_what_holds_a_password_names_the_client_or_is_long_is_not_remembered(line: str) -> None:
    handshakes = Handshakes()
    read(handshakes, upgrade("/app/key", line))
    assert len(handshakes) == 0
    assert handshakes.find(upgrade("/app/key", line)) is None


def test_strangers_who_vary_their_handshakes_neither_fill_the_memory_nor_push_out_who_comes_often() -> None:
    handshakes = Handshakes()
    read(handshakes, upgrade())
    for number in range(2000):
        read(handshakes, upgrade("/app/key", f"X: {number}"))
        assert handshakes.find(upgrade()) is not None
        assert len(handshakes) <= 512


def test_handshakes_that_strangers_filled_take_no_more_memory_than_they_say() -> None:
    handshakes = Handshakes()
    tracemalloc.start()
    try:
        for number in range(600):
            read(handshakes, upgrade(f"/app/%C3%A9{'k' * 350}{number}?protocol={'7' * 350}", "Origin: " + "o" * 50))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(handshakes) > 256
    assert size < 2_000_000


def greeted(bench: Bench, data: bytes) -> tuple[bytes, list[str]]:
    """Return how a handshake is accepted, and the events that follow."""
    client = bench.dial()
    client.send(data)
    answer, _, frames = client.transport.written.partition(b"\r\n\r\n")
    return answer + b"\r\n\r\n", [
        event for event in ("connection_established", "pusher:error") if event.encode() in frames
    ]


def test_the_second_of_two_like_handshakes_is_answered_as_the_first_without_the_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    other = new_nonce(9).encode()
    assert greeted(bench, upgrade()) == (acceptance(NONCE), ["connection_established"])
    monkeypatch.setattr("sockudo_py.edge.http1.head.parse_head", None)
    assert greeted(bench, upgrade().replace(NONCE, other)) == (acceptance(other), ["connection_established"])
    assert bench.node.connections() == 2


def test_a_known_handshake_is_refused_as_before() -> None:
    bench = Bench()
    for _ in range(2):
        assert greeted(bench, upgrade("/app/unknown")) == (acceptance(NONCE), ["pusher:error"])
    assert bench.node.connections() == 0


def test_an_error_of_our_own_at_a_known_handshake_drops_the_connection_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(client: object) -> None:
        raise ZeroDivisionError("a bug")

    bench = Bench()
    greeted(bench, upgrade())
    monkeypatch.setattr(bench.node, "connect", broken)
    client = bench.dial()
    client.send(upgrade())
    assert client.transport.aborted
    assert "unexpected error at the front" in caplog.text
    client.lose()
    assert bench.connections.open.count == 1
