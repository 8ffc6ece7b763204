"""F15 to F18: certificates, names and routes that are wrong, or turn wrong."""

import asyncio
import datetime
import errno
import ipaddress
import socket
import ssl
import threading
import warnings
from collections.abc import Callable

import pytest
import trustme

from sockudo_py.endpoints import RetryPolicy
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.targets.base import Delivered, Failure, Request
from sockudo_py.webhooks.targets.http.resolver import AddrInfo, Lookup
from sockudo_py.webhooks.targets.http.target import HttpTarget, default_ssl_context
from tests.faults.harness import QUICK, assert_duplicates_alike, error_class, staged, until
from tests.support.ports import free_port
from tests.support.receiver import OK, Receiver

HOST = "receiver.test"
DAY = datetime.timedelta(days=1)


def addresses(*found: str | OSError) -> Lookup:
    """A name service that answers so, one after the other; the last one stays."""
    answers = list(found)

    def lookup(host: str, port: int, family: int) -> list[AddrInfo]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]

    return lookup


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert(HOST, not_after=datetime.datetime.now(datetime.UTC) - DAY))


def wrong_host(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert("other.test"))


def self_signed(_: trustme.CA) -> ssl.SSLContext:
    return serving(trustme.CA().issue_cert(HOST))


def tls_1_0_only(authority: trustme.CA) -> ssl.SSLContext:
    context = serving(authority.issue_cert(HOST))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("server", [expired, wrong_host, self_signed, tls_1_0_only])
async def test_F15_tls_that_can_not_be_trusted_is_refused_retried_and_never_downgraded(
    server: Callable[[trustme.CA], ssl.SSLContext], authority: trustme.CA
) -> None:
    client = default_ssl_context()
    authority.configure_trust(client)
    async with (
        Receiver(ssl_context=server(authority)) as receiver,
        staged(
            {"url": receiver.url(host=HOST), "retry": QUICK},
            receiver=receiver,
            target={"ssl_context": client, "lookup": addresses("127.0.0.1")},
        ) as stage,
    ):
        stage.send(1)
        await stage.attempted(3)
        assert [error_class(one) for one in stage.attempts[:3]] == ["tls"] * 3
        assert receiver.received == []


@pytest.mark.parametrize(
    "problem",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"),
    ],
    ids=["nxdomain", "servfail", "refused"],
)
async def test_F16_a_name_that_is_not_found_is_tried_again(problem: socket.gaierror) -> None:
    async with Receiver() as receiver:
        target = {"lookup": addresses(problem, problem, "127.0.0.1")}
        url = receiver.url(host=HOST)
        async with staged({"url": url, "retry": QUICK}, receiver=receiver, target=target) as stage:
            stage.send(1)
            await stage.attempted(3)
            assert [error_class(one) for one in stage.attempts] == ["dns", "dns", ""]
            assert_duplicates_alike(receiver.received)


async def test_F16_a_name_service_that_hangs_is_a_dns_failure_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockudo_py.webhooks.targets.http.resolver.TIMEOUT", 3.0)
    asked = 0
    over = threading.Event()

    def lookup(host: str, port: int, family: int) -> list[AddrInfo]:
        nonlocal asked
        asked += 1
        if asked == 1:
            over.wait(60)  # in the resolver's own thread
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with Receiver() as receiver:
        url = receiver.url(host=HOST)
        async with staged({"url": url, "retry": QUICK}, receiver=receiver, target={"lookup": lookup}) as stage:
            stage.send(1)
            await stage.attempted(2)
            over.set()
            assert [error_class(one) for one in stage.attempts] == ["dns", ""]


async def test_F17_a_name_that_turns_to_an_internal_address_is_not_followed_there() -> None:
    only_here = AddressGuard(allowed=[ipaddress.ip_network("127.0.0.2/32")])  # stands for a public address
    target = HttpTarget(guard=only_here, trusted_guard=only_here, lookup=addresses("127.0.0.2", "127.0.0.1"))
    async with Receiver(host="127.0.0.2") as public, Receiver() as loopback:
        request = Request("wh_1", b"{}", (), url=f"http://{HOST}:{public.port}/hook")
        assert isinstance(await target.send(request), Delivered)
        # Another port: neither a connection nor an address is known for it.
        outcome = await target.send(Request("wh_1", b"{}", (), url=f"http://{HOST}:{loopback.port}/hook"))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "blocked_address"
        assert loopback.connections == 0
    await target.close()


async def test_F17_a_blocked_address_is_among_the_dead_letters_in_the_end() -> None:
    async with (
        Receiver() as receiver,
        staged({"trusted": False, "url": receiver.url(), "retry": QUICK}, receiver=receiver) as stage,
    ):
        stage.send(1)
        await stage.attempted(6)
        await stage.settled()
        (dead,) = await stage.dead()
        assert dead["error"] == {"class": "blocked_address", "status": None, "message": "address not allowed"}
        assert receiver.connections == 0


async def test_F18_a_refused_connection_is_retried_until_somebody_listens() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 204 Taken\r\n\r\n")
        writer.close()

    port = free_port()
    often = RetryPolicy(schedule=(0.05,) * 40)
    async with staged({"url": f"http://127.0.0.1:{port}/hook", "retry": often}) as stage:
        stage.send(1)
        await stage.attempted(2)
        async with await asyncio.start_server(accept, "127.0.0.1", port):
            await until(lambda: stage.attempts[-1].status == "delivered", "the delivery")
        assert {error_class(one) for one in stage.attempts[:-1]} == {"connect"}


async def test_F18_a_network_that_can_not_be_reached_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    left = 2

    async def unreachable(sock: socket.socket, address: tuple[str, int]) -> None:
        nonlocal left
        if left:
            left -= 1
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", unreachable)
    async with staged({"retry": QUICK}) as stage:
        stage.receiver.script(OK)
        stage.send(1)
        await stage.attempted(3)
        assert [error_class(one) for one in stage.attempts] == ["connect", "connect", ""]
