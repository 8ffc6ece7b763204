import pytest

from sockudo_py.clients.socket_ids import SocketIds
from sockudo_py.edge.http1.head import parse_head
from sockudo_py.edge.websocket.handshake import acceptance, app_key, nonce, problem_with, protocol_parameter
from tests.support.edge_bench import new_nonce, upgrade


def test_the_example_of_the_rfc_is_accepted_as_the_rfc_says() -> None:
    head = parse_head(upgrade())
    assert problem_with(head) is None
    assert acceptance(nonce(head)) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize("key", [new_nonce(0), new_nonce(2**128 - 1), "AAAAAAAAAAAAAAAAAAAAAA=="])
def test_any_16_bytes_are_a_nonce(key: str) -> None:
    assert problem_with(parse_head(upgrade("/", f"Sec-WebSocket-Key: {key}", drop="Sec-WebSocket-Key"))) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ==dGhl",
        "!!!!IHNhbXBsZSBub25jZQ==",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_anything_else_is_not_a_nonce(key: str) -> None:
    problem = problem_with(parse_head(upgrade("/", f"Sec-WebSocket-Key: {key}", drop="Sec-WebSocket-Key")))
    assert problem is not None
    assert problem[0] == 400


def test_a_handshake_without_key_is_refused() -> None:
    problem = problem_with(parse_head(upgrade("/", drop="Sec-WebSocket-Key")))
    assert problem is not None
    assert problem[:2] == (400, "Sec-WebSocket-Key must be 16 bytes in base64")


@pytest.mark.parametrize("lines", [(), ("Sec-WebSocket-Version: 8",), ("Sec-WebSocket-Version: 13, 8",)])
def test_another_version_is_refused_with_the_right_one(lines: tuple[str, ...]) -> None:
    problem = problem_with(parse_head(upgrade("/", *lines, drop="Sec-WebSocket-Version")))
    assert problem == (426, "Sec-WebSocket-Version must be 13", (("Sec-WebSocket-Version", "13"),))


@pytest.mark.parametrize("drop", ["Upgrade", "Connection"])
def test_a_proxy_that_drops_a_header_of_the_upgrade_is_told_of(drop: str) -> None:
    problem = problem_with(parse_head(upgrade("/", drop=drop)))
    assert problem is not None
    assert problem[0] == 426
    assert "pass on the headers Upgrade and Connection" in problem[1]


def test_a_proxy_that_speaks_http_1_0_is_told_of() -> None:
    problem = problem_with(parse_head(upgrade("/", version="1.0")))
    assert problem is not None
    assert problem[0] == 426


@pytest.mark.parametrize(
    ("path", "prefix", "key"),
    [
        ("/app/key", "", "key"),
        ("/app/k%65y", "", "key"),
        ("/app/k%2Fy", "", "k/y"),
        ("/app/%C3%A9", "", "é"),
        ("/realtime/app/key", "/realtime", "key"),
        ("/a/b/app/key", "/a/b", "key"),
        ("/app/key", "/realtime", None),
        ("/realtime/app/key", "", None),
        ("/realtimeapp/key", "/realtime", None),
        ("/app/", "", None),
        ("/app", "", None),
        ("/", "", None),
        ("", "", None),
        ("/app/key/", "", None),
        ("/app/key/more", "", None),
        ("//app/key", "", None),
        ("/apps/key", "", None),
        ("/App/key", "", None),
        ("http://host/app/key", "", None),
    ],
)
def test_the_key_is_read_from_the_path(path: str, prefix: str, key: str | None) -> None:
    assert app_key(path, prefix) == key


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("", None),
        ("protocol=7", "7"),
        ("client=js&version=8.6.0&protocol=5&flash=false", "5"),
        ("protocol", ""),
        ("protocol=", ""),
        ("protocol=%37", "7"),
        ("%70rotocol=6", "6"),
        ("client=a+b", None),
        ("protocol=7&protocol=3", "7"),
        ("protocols=3&xprotocol=4", None),
        ("&&=&protocol=4&", "4"),
        ("protocol=abc%", "abc%"),
    ],
)
def test_the_protocol_is_read_from_the_query(query: str, value: str | None) -> None:
    assert protocol_parameter(query) == value


def test_socket_ids_have_the_form_that_sdks_expect_and_never_repeat() -> None:
    ids = SocketIds()
    made = [ids.next() for _ in range(10_000)]
    assert len(set(made)) == 10_000
    for socket_id in made:
        first, second = map(int, socket_id.split("."))
        assert 1 <= first <= 10**9
        assert 1 <= second <= 10**9


def test_two_makers_of_socket_ids_share_nothing() -> None:
    first, second = SocketIds(), SocketIds()
    assert not {first.next() for _ in range(2000)} & {second.next() for _ in range(2000)}
