"""Connections to receivers and the way through a proxy, on the event loop of the server and on the standard one."""

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import trustme
import uvloop

from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.targets.base import Delivered, Failure, Request
from sockudo_py.webhooks.targets.http import target as http_target
from sockudo_py.webhooks.targets.http.target import HttpTarget, default_ssl_context
from tests.e2e.test_webhooks_http_target import names, request, server_context
from tests.support.connect_proxy import ConnectProxy
from tests.support.receiver import Answer, Hang, Raw, Receiver
from tests.unit.webhooks.fakes import until

Scenario = Callable[[], Coroutine[Any, Any, None]]
HOST = "receiver.test"
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    def run_scenario(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario())

    return run_scenario


@asynccontextmanager
async def target(**fields: Any) -> AsyncIterator[HttpTarget]:
    everywhere = AddressGuard(allow_private=True)
    made = HttpTarget(**{"guard": everywhere, "trusted_guard": everywhere, **fields})
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = default_ssl_context()
    authority.configure_trust(context)
    return context


def test_one_connection_carries_many_requests(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with Receiver() as receiver, target() as http:
            for _ in range(5):
                assert isinstance(await http.send(request(receiver.url())), Delivered)
            assert receiver.connections == 1

    run(scenario)


def test_a_connection_whose_request_was_answered_before_it_was_written_is_not_used_again(
    run: Callable[[Scenario], None],
) -> None:
    ended = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.append(True)

    async def scenario() -> None:
        server = await asyncio.start_server(early, "127.0.0.1", 0)
        async with server, target() as http:
            large = request(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            outcome = await http.send(replace(large, body=b"x" * 20_000_000))
            assert isinstance(outcome, Failure)
            assert outcome.status == 413
            assert http.connections == 0
            await until(lambda: ended == [True])

    run(scenario)


def test_requests_at_the_same_time_have_a_connection_each(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        all_there = asyncio.Event()
        async with Receiver(default=Answer(after=all_there)) as receiver, target() as http:
            sending = [asyncio.create_task(http.send(request(receiver.url()))) for _ in range(5)]
            await receiver.wait_for(5)
            all_there.set()
            await asyncio.gather(*sending)
            assert receiver.connections == 5
            await http.send(request(receiver.url()))
            assert receiver.connections == 5

    run(scenario)


def test_https_connections_are_kept_too(run: Callable[[Scenario], None], authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with (
            Receiver(ssl_context=server_context(authority, HOST)) as receiver,
            target(ssl_context=trusting(authority), lookup=names(receiver=["127.0.0.1"])) as http,
        ):
            for _ in range(3):
                outcome = await http.send(request(receiver.url(host=HOST)))
                assert isinstance(outcome, Delivered), outcome
                await asyncio.sleep(0.01)
            assert receiver.connections == 1

    run(scenario)


def test_f05_a_connection_that_was_closed_meanwhile_is_not_written_to(run: Callable[[Scenario], None]) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def scenario() -> None:
        async with Receiver(default=Raw(ok)) as receiver, target() as http:
            for number in range(1, 4):  # without a pause: the close may not have been seen by the loop yet
                outcome = await http.send(request(receiver.url()))
                assert isinstance(outcome, Delivered), outcome
                assert receiver.connections == number
                await until(lambda: http.connections == 0)

    run(scenario)


def test_a_connection_is_not_kept_when_the_receiver_says_so(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with Receiver(default=Answer(close=True)) as receiver, target() as http:
            for _ in range(3):
                assert isinstance(await http.send(request(receiver.url())), Delivered)
            assert receiver.connections == 3

    run(scenario)


def test_bytes_that_nobody_asked_for_end_a_connection(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        twice = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        async with Receiver(default=twice) as receiver, target() as http:
            for _ in range(2):
                outcome = await http.send(request(receiver.url()))
                assert isinstance(outcome, Delivered), outcome
            assert receiver.connections == 2

    run(scenario)


def test_an_idle_connection_is_closed_after_its_time(
    run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_target, "KEEP_ALIVE", 0.05)

    async def scenario() -> None:
        async with Receiver() as receiver, target() as http:
            await http.send(request(receiver.url()))
            await until(lambda: http.connections == 0)
            await http.send(request(receiver.url()))
            assert receiver.connections == 2

    run(scenario)


def test_a_cancelled_request_takes_its_connection_with_it(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with Receiver() as receiver, target() as http:
            receiver.script(Hang())
            task = asyncio.create_task(http.send(request(receiver.url())))
            await receiver.wait_for(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert http.connections == 0
            assert isinstance(await http.send(request(receiver.url())), Delivered)
            assert receiver.connections == 2

    run(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.0 200 OK\r\n\r\nOK",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nOK",
    ],
)
def test_f20_answers_in_every_form_are_understood_byte_by_byte(run: Callable[[Scenario], None], answer: bytes) -> None:
    async def scenario() -> None:
        for pause in (0.0, 0.0005):
            async with Receiver(default=Raw(answer, pause=pause)) as receiver, target() as http:
                outcome = await http.send(request(receiver.url()))
                assert isinstance(outcome, Delivered), outcome
                assert (outcome.status, outcome.response_body, outcome.response_truncated) == (200, b"OK", False)

    run(scenario)


def test_a_switch_of_protocols_is_no_answer(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        switch = Raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello")
        async with Receiver(default=switch) as receiver, target() as http:
            outcome = await http.send(request(receiver.url(), timeout=20.0))
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "protocol"

    run(scenario)


def test_an_answer_without_an_end_is_cut_off_at_its_head(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        head = Raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n")
        async with Receiver(default=head) as receiver, target() as http:
            outcome = await http.send(request(receiver.url()))
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "protocol"

    run(scenario)


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\0b"])
def test_a_header_can_not_end_its_line(run: Callable[[Scenario], None], value: str) -> None:
    async def scenario() -> None:
        async with Receiver() as receiver, target() as http:
            outcome = await http.send(request(receiver.url(), headers=(("X-Bad", value),)))
            assert isinstance(outcome, Failure)
            assert (outcome.error_class, outcome.message) == ("protocol", "a header holds a line break")
            assert receiver.received == []

    run(scenario)


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(
    run: Callable[[Scenario], None], authority: trustme.CA
) -> None:
    async def scenario() -> None:
        async with (
            Receiver(ssl_context=server_context(authority, HOST)) as receiver,
            ConnectProxy(receiver.port) as proxy,
            target(proxy=f"http://us%40er:pa%3Ass@127.0.0.1:{proxy.port}", ssl_context=trusting(authority)) as http,
        ):
            for _ in range(2):
                outcome = await http.send(request(f"https://{HOST}/hook"))
                assert isinstance(outcome, Delivered), outcome
            [head] = proxy.heads
            lines = head.split(b"\r\n")
            assert lines[:2] == [b"CONNECT receiver.test:443 HTTP/1.1", b"Host: receiver.test:443"]
            assert lines[2] == b"Proxy-Authorization: Basic " + base64.b64encode(b"us@er:pa:ss")
            assert len(receiver.received) == 2
            assert b"Proxy-Authorization" not in [name for name, _ in receiver.received[0].raw_headers]

    run(scenario)


def test_a_proxy_that_is_between_can_not_pose_as_the_receiver(
    run: Callable[[Scenario], None], authority: trustme.CA
) -> None:
    async def scenario() -> None:
        async with (
            Receiver(ssl_context=server_context(trustme.CA(), HOST)) as receiver,
            ConnectProxy(receiver.port) as proxy,
            target(proxy=f"http://127.0.0.1:{proxy.port}", ssl_context=trusting(authority)) as http,
        ):
            outcome = await http.send(request(f"https://{HOST}/hook"))
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "tls"
            assert receiver.received == []

    run(scenario)


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway"])
def test_a_proxy_that_refuses_the_tunnel_is_a_connect_failure(run: Callable[[Scenario], None], status: bytes) -> None:
    async def scenario() -> None:
        async with (
            ConnectProxy(1, answer=b"HTTP/1.1 " + status) as proxy,
            target(proxy=f"http://u:hush@127.0.0.1:{proxy.port}") as http,
        ):
            outcome = await http.send(request(f"https://{HOST}/hook"))
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "connect"
            assert outcome.message == f"the egress proxy answered {status[:3].decode()}"
            assert http.connections == 0

    run(scenario)


def test_plain_http_goes_to_the_proxy_with_its_credentials(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with Receiver() as proxy, target(proxy=f"http://u:p@127.0.0.1:{proxy.port}") as http:
            assert isinstance(await http.send(request("http://internal.test:8080/hook?a=b")), Delivered)
            [got] = proxy.received
            assert got.request_line == b"POST http://internal.test:8080/hook?a=b HTTP/1.1"
            assert got.headers["host"] == "internal.test:8080"
            assert got.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"u:p").decode()

    run(scenario)


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://169.254.169.254/", True),
        ("https://10.0.0.1/", False),
        ("http://[::ffff:10.0.0.1]/", False),
        ("http://127.1/", False),
        ("http://2130706433/", False),
        ("https://0x7f000001/", False),
        ("http://169.254.43518/", True),
        ("http://169.254.169.254./", True),
        ("https://2852039166./", True),
        ("http://0251.0376.0251.0376./", True),
        ("https://0XA9FEA9FE/", True),
        ("http://169.254.169%2e254/", True),
        ("https://169%2E254%2E169%2E254/", True),
        ("https://0169.0254.0169.0254/", True),
        ("http://169\u3002254\u3002169\u3002254/", True),
        ("http://\uff11\uff16\uff19.254.169.254/", True),
        ("https://[fd00:ec2::23%25eth0]/", True),
        ("http://[FD00:EC2:0::23]/", True),
        ("https://[fd20:ce::254]/", True),
        ("http://[::169.254.169.254]/", True),
        ("https://[::ffff:0:169.254.169.254]/", True),
        ("http://[2002:a9fe:a9fe::]/", True),
        ("http://[2a00:1450:0:1::a9fe:a9fe]/", True),
        ("https://192.0.0.192/", True),
        ("http://168.63.129.16/", False),
        ("https://METADATA.google.internal./", True),
        ("http://metadata/", True),
        ("http://localhost./", False),
        ("http://127.0.0.1./", False),
    ],
)
def test_addresses_in_urls_are_checked_although_a_proxy_dials(
    run: Callable[[Scenario], None], url: str, trusted: bool
) -> None:
    async def scenario() -> None:
        async with (
            Receiver() as proxy,
            target(guard=AddressGuard(), proxy=proxy.url("")) as http,
        ):
            outcome = await http.send(Request("wh_1", b"{}", (), url=url, trusted=trusted))
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "blocked_address"
            assert proxy.connections == 0

    run(scenario)


def test_a_proxy_may_be_in_a_network_that_is_denied_to_endpoints(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        guard = AddressGuard(denied=[ipaddress.ip_network("127.0.0.0/8")])
        async with Receiver() as proxy, target(guard=guard, trusted_guard=guard, proxy=proxy.url("")) as http:
            assert isinstance(await http.send(request("http://receiver.test/")), Delivered)

    run(scenario)


@pytest.mark.parametrize("host", ["0x5db8d822", "93.12113954.", "0135.0270.0330.0042"])
def test_a_proxy_is_asked_for_an_address_in_its_usual_form(run: Callable[[Scenario], None], host: str) -> None:
    async def scenario() -> None:
        async with Receiver() as proxy, target(proxy=proxy.url("")) as http:
            assert isinstance(await http.send(request(f"http://{host}:8080/hook")), Delivered)
            [got] = proxy.received
            assert got.request_line == b"POST http://93.184.216.34:8080/hook HTTP/1.1"
            assert got.headers["host"] == "93.184.216.34:8080"

    run(scenario)


def test_a_dead_proxy_is_a_connect_failure(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with target(proxy="http://127.0.0.1:1") as http:
            outcome = await http.send(request("http://receiver.test/"))
            assert isinstance(outcome, Failure)
            assert outcome.error_class == "connect"

    run(scenario)
