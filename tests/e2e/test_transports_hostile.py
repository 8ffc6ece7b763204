"""The HTTP transports of a real server, tried by those who mean harm: methods, paths, origins, bodies, a stop."""

import itertools
import json
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.server import Server, TestApp, app_config, running, server_config

APP = TestApp()
OTHER = TestApp("4", "other-key", "other-secret-1234")
GOOD = "https://good.example"
SECRET = "Zq8KvN3tYw"  # what makes a session's id hard to guess
PREFIX = "/ws"
CLOSE = "Connection: close"
numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    apps = (app_config(APP, allowed_origins=[GOOD]), app_config(OTHER))
    config = server_config(*apps, path_prefix=PREFIX, logging={"level": "debug"})
    with running(config, tmp_path_factory.mktemp("server")) as server:
        yield server


def target(kind: str, session: str, key: str = APP.key, prefix: str = PREFIX) -> str:
    return f"{prefix}/pusher/app/{key}/{session}/{kind}?protocol=7&client=js&version=8.6.0&t=1&n=1"


def request(line: str, *lines: str, body: bytes = b"") -> bytes:
    head = (f"{line} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", "")
    return "\r\n".join(head).encode() + body


def dial(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=60)


def answer(server: Server, data: bytes) -> bytes:
    """Send something and return all that comes until the server ends the connection."""
    with closing(dial(server)) as connection:
        connection.sendall(data)
        said = b""
        try:
            while more := connection.recv(65_536):
                said += more
        except ConnectionResetError:
            assert said, "a reset without an answer"
        return said


def status(said: bytes) -> int:
    return int(said.split()[1])


def connected(server: Server) -> int:
    """Return how many clients have connected since the start."""
    text = server.get("/metrics", server.metrics_port)[1].decode()
    return sum(int(number) for number in re.findall(r"^sockudo_new_connections_total\{.*\} (\d+)", text, re.MULTILINE))


def fresh() -> str:
    """Return the id of a session that there never was."""
    return f"{next(numbers) % 1000}/{secrets.token_hex(8)}"


def opened(server: Server, session: str, origin: str = GOOD) -> socket.socket:
    """Return the stream of a new session, greeted."""
    connection = dial(server)
    connection.sendall(request(f"POST {target('xhr_streaming', session)}", f"Origin: {origin}"))
    until(connection, b"connection_established")
    return connection


def until(connection: socket.socket, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        more = connection.recv(65_536)
        assert more, f"ended without {wanted!r}: {said!r}"
        said += more
    return said


def sent(server: Server, session: str, body: bytes, *lines: str) -> int:
    line = f"POST {target('xhr_send', session)}"
    return status(answer(server, request(line, f"Origin: {GOOD}", CLOSE, *lines, body=body)))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "post", "PROPFIND"])
@pytest.mark.parametrize("kind", ["xhr", "xhr_streaming", "xhr_send"])
def test_no_other_method_opens_or_reaches_a_session(server: Server, method: str, kind: str) -> None:
    before = connected(server)
    said = answer(server, request(f"{method} {target(kind, f'1/{SECRET}')}", CLOSE))
    assert status(said) in (400, 405)
    assert connected(server) == before


@pytest.mark.parametrize(
    "path",
    [
        target("xhr", f"1/{SECRET}", prefix=""),
        target("xhr", f"1/{SECRET}", prefix="/WS"),
        target("xhr", f"1/{SECRET}", prefix="/ws/ws"),
        target("xhr", f"1/{SECRET}", prefix="//ws"),
        target("xhr", f"1/{SECRET}", prefix="/ws/"),
        target("xhr", f"1/{SECRET}", prefix="/x/../ws"),
        target("xhr", f"1/{SECRET}", prefix="/%77s"),
        target("xhr", f"1/{SECRET}", prefix="/ws%2f"),
        target("xhr", f"1/{SECRET}", key=f"x/{APP.key}"),
        target("xhr", f"1/../1/{SECRET}"),
        target("xhr", f"1/{SECRET}/.."),
        target("xhr", f"1/{SECRET}%2fxhr"),
        target("xhr", f"1/{SECRET};a=b"),
        target("xhr", f"1%2f{SECRET}"),
        target("xhr", f"-1/{SECRET}"),
        target("xhr", "1/" + "x" * 65),
        target("xhr%5fsend", f"1/{SECRET}"),
        target("xhr/", f"1/{SECRET}"),
        target("XHR", f"1/{SECRET}"),
        target("websocket", f"1/{SECRET}"),
    ],
)
def test_no_other_path_opens_a_session(server: Server, path: str) -> None:
    before = connected(server)
    assert status(answer(server, request(f"POST {path}", CLOSE))) in (400, 404)
    assert connected(server) == before


@pytest.mark.parametrize("key", ["%00", "%2f", "%ff", "%ed%a0%80", "a%0d%0aSet-Cookie:%20x", "<script>", "x" * 9000])
def test_an_odd_key_is_an_unknown_key(server: Server, key: str) -> None:
    said = answer(server, request(f"POST {target('xhr', f'1/{SECRET}', key=key)}", CLOSE))
    assert status(said) == 200
    head, body = said.split(b"\r\n\r\n", 1)
    assert b"Set-Cookie" not in head
    assert b"nosniff" in head
    assert body.endswith(b"]\n")
    assert b'\nc[4001,"' in body
    assert len(body) < 2000


@pytest.mark.parametrize(
    "lines",
    [
        ("Origin: https://good.example.evil.example",),
        ("Origin: https://evil.example/https://good.example",),
        ("Origin: https://good.example@evil.example",),
        ("Origin: https://good.example:444",),
        ("Origin: null",),
        ("Origin:",),
        ("Origin: https://good.example, https://evil.example",),
        (f"Origin: {GOOD}", "Origin: https://evil.example"),
        ("Origin: https://evil.example", f"Origin: {GOOD}"),
        (f"Referer: {GOOD}", f"Host: {GOOD}"),
        (),
    ],
)
def test_who_lies_about_the_origin_gets_no_session(server: Server, lines: tuple[str, ...]) -> None:
    before = connected(server)
    said = answer(server, request(f"POST {target('xhr', f'2/{SECRET}')}", CLOSE, *lines))
    assert status(said) == 400 or b"\nc[4009," in said
    assert b"connection_established" not in said
    assert connected(server) == before
    session = fresh()
    with opened(server, session):
        line = f"POST {target('xhr_send', session)}"
        assert status(answer(server, request(line, CLOSE, *lines, body=b"[]"))) in (400, 403)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"[", 400),
        (b"\xff\xfe[]", 400),
        (b"\xef\xbb\xbf[]", 400),
        (b'["\xed\xa0\x80"]', 400),
        (b'["\\ud800"]', 400),
        (b'{"0":"x"}', 400),
        (b"[[]]", 400),
        (b"[1e999]", 400),
        (b"null", 400),
        (b"[" * 100_000, 400),
        (b'[""' + b',""' * 100 + b"]", 413),
        (b'[""' + b',""' * 40_000 + b"]", 413),
        (b'["' + b"{" * 60_000 + b'"]', 204),
        (b'["\\u0000","\\u0000"]', 204),
    ],
)
def test_a_hostile_body_is_refused_and_its_session_goes_on(server: Server, body: bytes, code: int) -> None:
    session = fresh()
    with opened(server, session) as stream:
        assert sent(server, session, body) == code
        assert sent(server, session, json.dumps([json.dumps({"event": "pusher:ping", "data": {}})]).encode()) == 204
        assert b"pusher:pong" in until(stream, b"pong")


def test_a_message_past_the_limit_closes_its_own_session(server: Server) -> None:
    with opened(server, f"5/{SECRET}") as stream, opened(server, f"6/{SECRET}") as other:
        assert sent(server, f"5/{SECRET}", b'["' + b"x" * 65_537 + b'"]') == 204
        until(stream, b"c[1009,")
        assert sent(server, f"5/{SECRET}", b"[]") == 404
        assert sent(server, f"6/{SECRET}", b"[]") == 204
        until(other, b"a[]")


def test_a_session_can_not_be_reached_with_the_key_of_another_app(server: Server) -> None:
    with opened(server, f"7/{SECRET}") as stream:
        line = f"POST {target('xhr_send', f'7/{SECRET}', key=OTHER.key)}"
        assert status(answer(server, request(line, CLOSE, f"Origin: {GOOD}", body=b"[]"))) == 404
        said = answer(server, request(f"POST {target('xhr', f'7/{SECRET}', key=OTHER.key)}", CLOSE, f"Origin: {GOOD}"))
        assert b"connection_established" in said, "it is a session of its own"
        assert sent(server, f"7/{SECRET}", b"[]") == 204
        until(stream, b"a[]")


def test_requests_to_send_behind_each_other_are_answered_one_by_one(server: Server) -> None:
    session = f"8/{SECRET}"
    with opened(server, session) as stream:
        ping = json.dumps([json.dumps({"event": "pusher:ping", "data": {}})]).encode()
        line = f"POST {target('xhr_send', session)}"
        pieces = [request(line, f"Origin: {GOOD}", body=ping) for _ in range(200)]
        said = answer(server, b"".join(pieces) + request(line, f"Origin: {GOOD}", CLOSE, body=b"[]"))
        assert said.count(b"HTTP/1.1 204 ") == 201
        pongs = 0
        while pongs < 200:
            more = stream.recv(65_536)
            assert more
            pongs += more.count(b"pusher:pong")


def test_no_log_line_has_the_id_of_a_session(server: Server) -> None:
    session = "9/" + SECRET[::-1]
    with opened(server, session) as stream:
        sent(server, session, b"[]")
        sent(server, session, b"nonsense")
        answer(server, request(f"POST {target('xhr_send', session, key='unknown')}", CLOSE, body=b"[]"))
        answer(server, request(f"POST {target('xhr', session, key='unknown')}", CLOSE))
        answer(server, request(f"POST {target('xhr', session)}", CLOSE, "Origin: https://evil.example"))
        answer(server, request(f"POST {target('xhr', session)}", CLOSE, f"Origin: {GOOD}", "User-Agent: other"))
        answer(server, request(f"GET {target('xhr', session)}", CLOSE))
        answer(server, request(f"POST {target('xhr_bogus', session)}", CLOSE))
        answer(server, request(f"OPTIONS {target('xhr', session)}", CLOSE))
        sent(
            server,
            session,
            json.dumps([json.dumps({"event": "pusher:subscribe", "data": {"channel": "no!"}})]).encode(),
        )
        until(stream, b"pusher:error")
    assert "client refused" in server.log()
    assert SECRET[::-1] not in server.log()


def test_a_stop_in_the_midst_of_polls_and_streams_tells_each_of_them(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server, ExitStack() as stack:
        receives = []
        for number in range(40):
            kind = "xhr" if number % 2 else "xhr_streaming"
            line = f"POST {target(kind, f'{number}/{SECRET}', prefix='')}"
            connection = stack.enter_context(closing(dial(server)))
            connection.sendall(request(line))
            until(connection, b"connection_established")
            if kind == "xhr":
                connection.sendall(request(line))  # the poll that is held
            receives.append(connection)
        half = stack.enter_context(closing(dial(server)))
        half.sendall(request(f"POST {target('xhr_send', f'0/{SECRET}', prefix='')}", body=b'["x"]')[:-2])
        assert connected(server) == 40
        server.terminate()
        for connection in receives:
            until(connection, b"c[4200,")
        assert server.wait() == 0
