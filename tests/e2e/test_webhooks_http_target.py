"""What one attempt makes of what a receiver does; over real sockets."""

import asyncio
import errno
import gzip
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request, Timing
from sockudo_py.webhooks.targets.http.resolver import AddrInfo, Lookup
from sockudo_py.webhooks.targets.http.target import HttpTarget, default_ssl_context
from tests.support.receiver import Answer, Behaviour, Hang, Raw, Receiver, Reset

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def names(**hosts: list[str]) -> Lookup:
    """A name service that knows these hosts."""

    def lookup(host: str, port: int, family: int) -> list[AddrInfo]:
        found = hosts.get(host.removesuffix(".test"))
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in found
        ]

    return lookup


@asynccontextmanager
async def target(**fields: Any) -> AsyncIterator[HttpTarget]:
    made = HttpTarget(
        **{"guard": AddressGuard(allowed=[LOOPBACK]), "trusted_guard": AddressGuard(allow_private=True), **fields}
    )
    try:
        yield made
    finally:
        await made.close()


def request(url: str, **fields: Any) -> Request:
    given: dict[str, Any] = {
        "endpoint": "wh_1",
        "body": b'{"x":1}',
        "headers": (("Content-Type", "application/json"), ("X-Pusher-Signature", "abc")),
        **fields,
    }
    return Request(url=url, **given)


async def outcome_of(behaviour: Behaviour, **fields: Any) -> Outcome:
    async with Receiver(default=behaviour) as receiver, target() as http:
        return await http.send(request(receiver.url(), **fields))


async def begun(http: HttpTarget, to: Request) -> Outcome:
    """Return the outcome of an attempt over a connection that is there."""
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    assert http.begin(to, done.set_result) is not None
    assert not done.done()
    return await done


@pytest.mark.parametrize(
    "behaviour",
    [
        Answer(204),
        Answer(200, b"x" * 5000),
        Answer(429, b"slowly", (("Retry-After", "7"),)),
        Answer(500, close=True),
        Reset(),
        Raw(b"HTTP/1.1 200 OK\r\nContent-"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"),
        Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        Hang(),
    ],
)
async def test_an_attempt_that_is_begun_ends_as_one_that_is_awaited(behaviour: Behaviour) -> None:
    async with Receiver() as receiver, target() as http:
        to = request(receiver.url(), timeout=0.5)
        outcomes: list[Outcome] = []
        for directly in (True, False):
            await http.send(to)  # makes a connection
            receiver.script(behaviour)
            outcome = await (begun(http, to) if directly else http.send(to))
            outcomes.append(replace(outcome, timing=Timing()))
            assert http.connections <= 1
        assert outcomes[0] == outcomes[1]


async def test_an_attempt_begins_only_where_there_is_a_connection_and_no_fault_in_the_request() -> None:
    async with Receiver() as receiver, target() as http:
        assert http.begin(request(receiver.url()), print) is None
        await http.send(request(receiver.url()))
        assert http.begin(request(receiver.url(), headers=(("X", "a\r\nY: b"),)), print) is None
        assert http.begin(request("http://127.0.0.1:99999/"), print) is None
        assert http.begin(request(receiver.url(), trusted=True), print) is None
        assert isinstance(await begun(http, request(receiver.url())), Delivered)
        assert (receiver.connections, http.connections) == (1, 1)


async def test_an_attempt_that_is_broken_off_says_nothing_and_leaves_no_connection() -> None:
    async with Receiver() as receiver, target() as http:
        await http.send(request(receiver.url()))
        receiver.script(Answer(delay=0.05))
        outcomes: list[Outcome] = []
        abort = http.begin(request(receiver.url(), timeout=0.1), outcomes.append)
        assert abort is not None
        abort()
        assert http.connections == 0
        await asyncio.sleep(0.15)  # past the answer and the timeout
        assert outcomes == []
        assert isinstance(await http.send(request(receiver.url())), Delivered)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_n216_every_2xx_is_a_success(status: int) -> None:
    outcome = await outcome_of(Answer(status))
    assert isinstance(outcome, Delivered)
    assert outcome.status == status


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (300, "redirect"),
        (304, "redirect"),
        (400, "http_4xx"),
        (404, "http_4xx"),
        (410, "http_4xx"),
        (429, "http_4xx"),
        (500, "http_5xx"),
        (503, "http_5xx"),
        (600, "http_5xx"),
    ],
)
async def test_n216_every_other_status_is_a_failure_of_its_class(status: int, error_class: str) -> None:
    outcome = await outcome_of(Answer(status, b"why"))
    assert isinstance(outcome, Failure)
    assert (outcome.error_class, outcome.status) == (error_class, status)
    assert outcome.response_body == (b"" if status == 304 else b"why")


@pytest.mark.parametrize(
    ("behaviour", "error_class"),
    [
        (Reset(), "reset"),
        (Raw(b""), "reset"),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-"), "reset"),
        (Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol"),
        (Raw(b"HTTP/1.1 abc OK\r\n\r\n"), "protocol"),
        (Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n"), "protocol"),
    ],
)
async def test_what_is_no_answer_has_a_class(behaviour: Behaviour, error_class: str) -> None:
    outcome = await outcome_of(behaviour)
    assert isinstance(outcome, Failure)
    assert outcome.error_class == error_class
    assert outcome.status is None


@pytest.mark.parametrize(
    "behaviour", [Hang(), Answer(delay=60), Raw(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 500, pause=0.05)]
)
async def test_n216_an_answer_that_takes_too_long_is_a_timeout(behaviour: Behaviour) -> None:
    started = time.monotonic()
    outcome = await outcome_of(behaviour, timeout=1.0)
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "timeout_read"
    assert time.monotonic() - started < 15


async def test_a_timeout_over_five_seconds_is_not_rounded_up_to_whole_ones() -> None:
    for _ in range(3):  # a machine that stood still takes longer once; what is rounded up takes longer each time
        started = time.monotonic()
        outcome = await outcome_of(Hang(), timeout=5.05)
        assert isinstance(outcome, Failure)
        if time.monotonic() - started < 5.8:
            return
    pytest.fail("5.05 s are rounded up to 6")


async def test_an_answer_in_the_last_moment_counts() -> None:
    assert isinstance(await outcome_of(Answer(delay=0.3), timeout=15), Delivered)


async def test_n216_a_refused_connection_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with target() as http:
            outcome = await http.send(request(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "connect"


async def test_a_listener_that_never_accepts_is_a_connect_timeout() -> None:
    with socket.socket() as full, socket.socket() as filler, socket.socket() as filler2:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (filler, filler2):  # fill the backlog: further connections wait for ever
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        async with target() as http:
            outcome = await http.send(
                request(f"http://127.0.0.1:{full.getsockname()[1]}/", connect_timeout=0.2, timeout=5.0)
            )
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "timeout_connect"


async def test_an_unknown_name_is_a_dns_failure() -> None:
    async with target(lookup=names()) as http:
        outcome = await http.send(request("http://nowhere.test/"))
    assert isinstance(outcome, Failure)
    assert (outcome.error_class, outcome.message) == ("dns", "Name or service not known")


async def test_a_name_service_that_hangs_delays_only_those_who_ask_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockudo_py.webhooks.targets.http.resolver.TIMEOUT", 4.0)

    over = threading.Event()

    def lookup(host: str, port: int, family: int) -> list[AddrInfo]:
        if host.startswith("slow"):
            over.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with Receiver() as receiver, target(lookup=lookup) as http:
        slow = [
            asyncio.create_task(http.send(request(receiver.url(host=f"slow{number}.test")))) for number in range(20)
        ]
        assert isinstance(await http.send(request(receiver.url(host="fast.test"))), Delivered)
        assert not any(task.done() for task in slow)
        outcomes = await asyncio.gather(*slow)
        over.set()
        for outcome in outcomes:
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "dns"


async def test_n206_n219_headers_go_out_as_given_each_once() -> None:
    headers = (
        ("X-Source", "sockudo"),
        ("Content-Type", "application/json"),
        ("X-Pusher-Key", "k"),
        ("X-Pusher-Signature", "abc"),
        ("webhook-id", "dl_1"),
        ("User-Agent", "sockudo-py/x"),
    )
    async with Receiver() as receiver, target() as http:
        await http.send(request(receiver.url("/hook?a=b"), headers=headers))
        [got] = receiver.received
    assert got.request_line == b"POST /hook?a=b HTTP/1.1"
    for name, value in headers:
        assert got.values(name.encode()) == [value.encode()]
    assert set(got.headers) - {name.lower() for name, _ in headers} == {"host", "content-length"}
    assert got.body == b'{"x":1}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_n216_a_redirect_is_not_followed(status: int) -> None:
    async with Receiver() as elsewhere, Receiver() as receiver, target() as http:
        receiver.script(Answer(status, headers=(("Location", elsewhere.url()),)))
        outcome = await http.send(request(receiver.url()))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "redirect"
        assert elsewhere.received == []
        assert len(receiver.received) == 1


async def test_a_cookie_is_not_sent_back() -> None:
    async with Receiver(default=Answer(headers=(("Set-Cookie", "a=b; Path=/"),))) as receiver, target() as http:
        await http.send(request(receiver.url(host="localhost")))
        await http.send(request(receiver.url(host="localhost")))
        assert "cookie" not in receiver.received[1].headers


async def test_a_proxy_in_the_environment_does_not_divert_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy, Receiver() as receiver, target() as http:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        assert isinstance(await http.send(request(receiver.url())), Delivered)
        assert proxy.received == []


async def test_a_proxy_that_the_operator_names_gets_every_request() -> None:
    async with Receiver() as proxy, target(guard=AddressGuard(), proxy=proxy.url("")) as http:
        assert isinstance(await http.send(request("http://internal.test/hook")), Delivered)
        [got] = proxy.received
        assert got.request_line == b"POST http://internal.test/hook HTTP/1.1"


async def test_a_huge_answer_is_read_for_four_kilobytes_and_cut_off() -> None:
    async with Receiver(default=Answer(huge=1 << 30)) as receiver, target() as http:
        outcome = await http.send(request(receiver.url()))
        assert isinstance(outcome, Delivered)
        assert outcome.response_body == b"x" * 4096
        assert outcome.response_truncated
        assert receiver.huge_sent < 1 << 26


async def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(1 << 20))
    outcome = await outcome_of(Answer(body=packed, headers=(("Content-Encoding", "gzip"),)))
    assert isinstance(outcome, Delivered)
    assert outcome.response_body == packed[:4096]


async def test_a_body_that_breaks_off_after_a_success_is_a_success() -> None:
    outcome = await outcome_of(Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    assert isinstance(outcome, Delivered)


async def test_retry_after_is_reported() -> None:
    outcome = await outcome_of(Answer(429, headers=(("Retry-After", "7"),)))
    assert isinstance(outcome, Failure)
    assert outcome.retry_after == 7.0


async def test_informational_answers_are_passed_over() -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\nOK"
    outcome = await outcome_of(Raw(raw))
    assert isinstance(outcome, Delivered)
    assert outcome.response_body == b"OK"


async def test_a_connection_is_used_again() -> None:
    async with Receiver() as receiver, target() as http:
        for _ in range(3):
            await http.send(request(receiver.url()))
        assert receiver.connections == 1


async def test_times_are_measured() -> None:
    outcome = await outcome_of(Answer(delay=0.05))
    assert 50 <= (outcome.timing.ttfb_ms or 0) <= outcome.timing.total_ms < 30_000


BLOCKED = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "[fe80::1%25lo]",
]


@pytest.mark.parametrize("host", BLOCKED)
async def test_no_spelling_of_an_internal_address_is_dialled_for_strangers(host: str) -> None:
    async with Receiver() as receiver, target(guard=AddressGuard()) as http:
        outcome = await http.send(request(f"http://{host}:{receiver.port}/"))
        assert isinstance(outcome, Failure)
        assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_blocked_address_is_reported_as_such_without_saying_more(host: str) -> None:
    async with target(guard=AddressGuard()) as http:
        outcome = await http.send(request(f"http://{host}:9/"))
    assert isinstance(outcome, Failure)
    assert (outcome.error_class, outcome.message) == ("blocked_address", "address not allowed")


async def test_a_name_with_one_internal_address_among_others_is_blocked() -> None:
    async with (
        Receiver() as receiver,
        target(guard=AddressGuard(), lookup=names(mixed=["93.184.216.34", "127.0.0.1"])) as http,
    ):
        outcome = await http.send(request(receiver.url(host="mixed.test")))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "blocked_address"
        assert receiver.connections == 0


@pytest.mark.parametrize("address", ["fd00:ec2::23", "192.0.0.192", "64:ff9b::a9fe:a9fe", "2a00:1450:0:1::a9fe:a9fe"])
async def test_a_name_that_leads_to_a_metadata_service_is_blocked_for_the_operator_too(address: str) -> None:
    async with target(guard=AddressGuard(), lookup=names(meta=[address])) as http:
        outcome = await http.send(request("http://meta.test:9/", trusted=True))
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "blocked_address"


async def test_an_endpoint_of_the_operator_may_be_on_this_machine_but_not_at_a_metadata_service() -> None:
    async with Receiver() as receiver, target(guard=AddressGuard()) as http:
        assert isinstance(await http.send(request(receiver.url(), trusted=True)), Delivered)
        outcome = await http.send(request("http://169.254.169.254/latest/meta-data", trusted=True))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "blocked_address"


async def test_a_stranger_does_not_get_a_connection_that_the_operator_opened() -> None:
    async with Receiver() as receiver, target(guard=AddressGuard()) as http:
        assert isinstance(await http.send(request(receiver.url(), trusted=True)), Delivered)
        outcome = await http.send(request(receiver.url(), trusted=False))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "blocked_address"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


async def tls_outcome(server: ssl.SSLContext, client: ssl.SSLContext) -> Outcome:
    async with (
        Receiver(ssl_context=server) as receiver,
        target(ssl_context=client, lookup=names(receiver=["127.0.0.1"])) as http,
    ):
        return await http.send(request(receiver.url(host="receiver.test")))


async def test_https_with_a_certificate_that_we_trust(authority: trustme.CA) -> None:
    client = default_ssl_context()
    authority.configure_trust(client)
    assert isinstance(await tls_outcome(server_context(authority, "receiver.test"), client), Delivered)


async def test_a_certificate_from_a_stranger_is_a_tls_failure(authority: trustme.CA) -> None:
    outcome = await tls_outcome(server_context(authority, "receiver.test"), default_ssl_context())
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "tls"
    assert "certificate" in outcome.message


async def test_a_certificate_for_another_host_is_a_tls_failure(authority: trustme.CA) -> None:
    client = default_ssl_context()
    authority.configure_trust(client)
    outcome = await tls_outcome(server_context(authority, "other.test"), client)
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "tls"


@pytest.mark.parametrize("silent", [True, False], ids=["OpenSSL says nothing", "an error"])
async def test_authorities_that_could_not_be_read_are_read_by_the_next_attempt(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    file = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))

    def without_descriptors() -> ssl.SSLContext:
        if not silent:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def can_not_read(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with (
        Receiver(ssl_context=server_context(authority, "receiver.test")) as receiver,
        target(lookup=names(receiver=["127.0.0.1"])) as http,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(ssl, "create_default_context", without_descriptors)
            patch.setattr(ssl.SSLContext, "load_verify_locations", can_not_read)
            outcome = await http.send(request(receiver.url(host="receiver.test")))
            assert isinstance(outcome, Failure)
            assert (outcome.error_class, outcome.message) == ("connect", "Too many open files")
        assert isinstance(await http.send(request(receiver.url(host="receiver.test"))), Delivered)


@pytest.mark.parametrize("missing", [1, 3])
async def test_a_request_waits_for_a_descriptor_within_its_connect_timeout(
    monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    really = AddressGuard.socket_factory
    short: list[int] = []

    def make(guard: AddressGuard, info: Any) -> socket.socket:
        if len(short) < missing:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return really(guard, info)

    monkeypatch.setattr(AddressGuard, "socket_factory", make)
    async with Receiver() as receiver, target(on_shortage=lambda: short.append(1)) as http:
        assert isinstance(await http.send(request(receiver.url(), connect_timeout=30.0)), Delivered)
    assert len(short) == missing


async def test_https_to_a_port_that_speaks_http_is_a_tls_failure() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, target() as http:
        port = server.sockets[0].getsockname()[1]
        outcome = await http.send(request(f"https://127.0.0.1:{port}/"))
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "tls"


def test_tls_below_1_2_is_not_spoken() -> None:
    context = default_ssl_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
