"""The proxies' configurations in ``deploy/proxies``, run by the real programs in front of a real server."""

import asyncio
import json
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.proxies.kit import (
    HOST,
    PROXIES,
    SNIPPETS,
    STRANGER,
    Command,
    Front,
    HttpsConnection,
    Stage,
    haproxy,
    nginx,
    nginx_of_several,
    proxied,
    wait_for_state,
)
from tests.support.api import Api
from tests.support.client import Client, Frame, eventually
from tests.support.debian import packages
from tests.support.node import program, scenario
from tests.support.server import Server, TestApp, app_config, running, server_config

LIED = "203.0.113.9"  # what a client says about itself
PATIENCE = 2  # seconds of silence that the proxies bear in these tests; theirs is 60
APP = TestApp(id="7", key="proxied-key", secret="proxied-secret")


@dataclass(frozen=True, slots=True)
class Chain:
    """A server and the proxy in front of it."""

    server: Server
    front: Front

    @contextmanager
    def backend(self) -> Iterator[Api]:
        """The HTTP API as a backend sees it that only knows the proxy."""
        with Api(self.server, APP) as api:
            api.connection = HttpsConnection(self.front)
            yield api

    async def publish(self, channel: str, event: str = "my-event", data: str = "{}") -> None:
        """Publish through the proxy."""

        def call() -> None:
            with self.backend() as api:
                api.publish(channel, event, data)

        await asyncio.to_thread(call)

    @asynccontextmanager
    async def client(self, path: str = f"/app/{APP.key}?protocol=7", **options: Any) -> AsyncIterator[Client]:
        """Connect a client, from STRANGER and with a forged ``X-Forwarded-For``."""
        headers = {"X-Forwarded-For": LIED, "X-Forwarded-Proto": "http"}
        sock = self.front.connect()
        client = await Client.open(
            self.front.url(path),
            APP,
            sock=sock,
            ssl=self.front.client_tls,
            additional_headers=headers,
            **options,
        )
        try:
            await client.established()
            yield client
        finally:
            await client.close()

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the server's log entries with this message."""
        lines = [json.loads(line) for line in self.server.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]


async def after_pings(client: Client) -> Frame:
    """Return the next frame that is no ping."""
    while (frame := await client.receive()).event == "pusher:ping":
        pass
    return frame


@pytest.fixture(scope="module", params=PROXIES)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp(request.param)
    app = app_config(APP, require_tls=True)  # only over TLS: so the server has to believe X-Forwarded-Proto
    config = server_config(app, debug=True, trusted_proxies=["127.0.0.1/32"], ping_interval=1)
    with (
        running(config, folder / "server", env={"LOG_OUTPUT_FORMAT": "json"}) as server,
        proxied(
            PROXIES[request.param], folder / "proxy", f"127.0.0.1:{server.port}", patience=PATIENCE, prefixed=True
        ) as front,
    ):
        yield Chain(server, front)


async def test_a_client_connects_subscribes_and_receives(chain: Chain) -> None:
    async with chain.client() as client:
        await client.subscribe("private-news")
        await chain.publish("private-news", "headline", '{"text":"hello"}')
        frame = await after_pings(client)
        assert (frame.event, frame.channel, frame.data) == ("headline", "private-news", {"text": "hello"})


async def test_a_quiet_client_outlives_the_proxys_patience(chain: Chain) -> None:
    async with chain.client() as client:
        await client.subscribe("quiet")
        # Each ping follows a second of silence.
        await eventually(lambda: client.control_pings >= 2 * PATIENCE, "the pings that keep the connection open")
        await chain.publish("quiet")
        assert (await after_pings(client)).event == "my-event"


async def test_the_log_has_the_clients_address_and_not_what_the_client_claims(chain: Chain) -> None:
    async with chain.client() as client:
        of_client = [line for line in chain.logged("client connected") if line["socket_id"] == client.socket_id]
        assert [line["address"] for line in of_client] == [STRANGER]


@pytest.mark.parametrize(("method", "path"), [("POST", "/events"), ("GET", "/channels")])
async def test_the_same_holds_for_backends(chain: Chain, method: str, path: str) -> None:
    count = len(chain.logged(f"{method} /apps/7{path} refused"))
    with chain.backend() as api:
        api.signed(method, api.path(path), signed_path="/something/else", headers={"X-Forwarded-For": LIED})
    refused = chain.logged(f"{method} /apps/7{path} refused")[count:]
    assert [line["address"] for line in refused] == [STRANGER]


async def test_clients_connect_where_the_proxy_keeps_connections_of_api_requests(chain: Chain) -> None:
    with chain.backend() as api:
        for _ in range(5):
            assert api.get("/channels").status == 200
            async with chain.client() as client:
                await client.subscribe("reused")


async def test_a_client_comes_below_a_path_of_the_site(chain: Chain) -> None:
    async with chain.client(f"/realtime/app/{APP.key}?protocol=7") as client:
        await client.subscribe("prefixed")
        await chain.publish("prefixed")
        assert (await after_pings(client)).channel == "prefixed"


def test_only_clients_come_below_a_path_of_the_site(chain: Chain) -> None:
    for path in ("/realtime/usage", "/realtime/up", "/realtime/app/../usage", "/realtime/apps/7/channels"):
        assert chain.front.get(path)[0] in (400, 403, 404), path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/channels/presence-a@b,c;d=1.2_3-4"),
        ("GET", "/channels/presence-a%40b%2Cc%3Bd%3D1.2"),
        ("POST", "/users/a%2Fb%20c/terminate_connections"),
        ("GET", "/channels"),
    ],
)
def test_signatures_survive_the_proxy(chain: Chain, method: str, path: str) -> None:
    with chain.backend() as api:
        answer = api.signed(method, api.path(path), b"" if method == "GET" else b"{}")
    assert answer.status == 200, answer


def test_a_wrong_signature_is_refused_by_the_server(chain: Chain) -> None:
    with chain.backend() as api:
        answer = api.signed("POST", api.path("/events"), b"{}", signed_path="/apps/7/other")
    assert answer.status == 401, answer


def test_a_large_batch_passes(chain: Chain) -> None:
    batch = [{"name": "e", "channel": f"c-{n}", "data": "x" * 9_000} for n in range(10)]
    with chain.backend() as api:
        assert api.post("/batch_events", {"batch": batch}).status == 200


def test_the_health_check_passes(chain: Chain) -> None:
    assert chain.front.get("/up")[0] == 200


def test_the_commands_of_the_page_show_that_it_works(chain: Chain, tmp_path: Path) -> None:
    up, usage, socket = commands_of_the_page()
    assert curl(chain, up, tmp_path).startswith(("HTTP/1.1 200", "HTTP/2 200"))
    assert curl(chain, usage, tmp_path).split()[1] in ("403", "404")
    opened = curl(chain, socket, tmp_path)
    assert opened.startswith("HTTP/1.1 101")
    assert "pusher:connection_established" in opened


def commands_of_the_page() -> list[str]:
    text = (SNIPPETS.parents[1] / "docs" / "proxies.md").read_text().partition("## See that it works\n```\n")[2]
    return text.partition("```")[0].splitlines()


def curl(chain: Chain, command: str, folder: Path) -> str:
    """Run a command of the page against the proxy of the test and return what it prints."""
    authority, port = folder / "authority.pem", chain.front.stage.port
    chain.front.authority.cert_pem.write_to_path(authority)
    found = packages("curl")
    program, *words = shlex.split(command.replace(HOST, f"{HOST}:{port}").replace("YOUR-KEY", APP.key), comments=True)
    assert program == "curl"
    here = ["--silent", "--max-time", "3", "--resolve", f"{HOST}:{port}:127.0.0.1", "--cacert", str(authority)]
    done = subprocess.run(
        [str(found.file("usr/bin/curl")), *here, *words], capture_output=True, check=False, timeout=60, env=found.env
    )
    return done.stdout.decode(errors="replace")


@pytest.mark.parametrize(
    "path", ["/usage", "/usage?x=1", "/%75sage", "//usage", "/app/../usage", "/up/../usage", "/metrics", "/", "/live"]
)
def test_what_is_not_for_the_public_is_not_to_be_had(chain: Chain, path: str) -> None:
    status, body = chain.front.get(path)
    assert status in (400, 403, 404), body
    assert b"memory" not in body
    assert b"# HELP" not in body


@pytest.mark.clients
async def test_pusher_js_comes_below_a_path_of_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = server_config(app_config(APP, require_tls=True), trusted_proxies=["127.0.0.1/32"])
    with (
        running(config, tmp_path / "server") as server,
        proxied(nginx, tmp_path / "proxy", f"127.0.0.1:{server.port}", prefixed=True) as front,
    ):
        front.authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "authority.pem"))
        options = {"forceTLS": True, "wsHost": "localhost", "wssPort": front.stage.port, "wsPath": "/realtime"}
        async with program("client", scenario(server, APP, options=options)) as client:
            await client.expect(on="state", current="connected")
            await client.value("subscribe", channel="private-x")
            await client.expect(on="event", channel="private-x", event="pusher:subscription_succeeded")
            await Chain(server, front).publish("private-x", data='{"message":"hello"}')
            report = await client.expect(on="event", channel="private-x", event="my-event")
            assert report["data"] == {"message": "hello"}


def test_a_stream_passes_line_by_line(chain: Chain) -> None:
    base = f"/pusher/app/{APP.key}/123/linebyln"
    stream, sender = chain.front.https(), chain.front.https()
    stream.request("POST", f"{base}/xhr_streaming?protocol=7&t=1&n=1", body=b"")
    answer = stream.getresponse()
    assert answer.status == 200
    assert answer.readline() == b"o\n"
    assert b"connection_established" in answer.readline()
    for channel in ("one", "two"):
        message = json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}})
        sender.request("POST", f"{base}/xhr_send?t=1&n=2", body=json.dumps([message]).encode())
        sent = sender.getresponse()
        assert (sent.status, sent.read()) == (204, b"")
        while (line := answer.readline()) == b"h\n":
            pass
        assert channel.encode() in line
    stream.close()
    sender.close()


@pytest.mark.clients
@pytest.mark.parametrize("transport", ["xhr_streaming", "xhr_polling"])
async def test_pusher_js_gets_everything_by_its_http_transports(
    chain: Chain, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "caddy" in str(chain.front.process.args):
        pytest.skip("Caddy serves its own host name only, which no look-up finds here")
    chain.front.authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "authority.pem"))
    options = {"forceTLS": True, "httpHost": "localhost", "httpsPort": chain.front.stage.port}
    setting = scenario(chain.server, APP, options=options, transport=transport)
    async with program("client", setting) as client:
        await client.expect(on="state", current="connected")
        await client.value("subscribe", channel="private-much")
        await client.expect(on="event", channel="private-much", event="pusher:subscription_succeeded")
        for number in range(100):  # a stream is changed twice
            await chain.publish("private-much", data=f'{{"n":{number},"fill":"{"x" * 6000}"}}')
        got = [(await client.expect(on="event", event="my-event"))["data"]["n"] for _ in range(100)]
        assert got == list(range(100))
        assert not [report for report in client.reports if report["on"] == "error"]


@pytest.mark.parametrize("name", ["nginx", "haproxy", "apache"])
async def test_without_pings_the_proxy_cuts_a_quiet_client(name: str, tmp_path: Path) -> None:
    """The patience of the tests above is real. Caddy has none: it bears any silence."""
    config = server_config(app_config(APP), trusted_proxies=["127.0.0.1/32"], ping_interval=60)
    with (
        running(config, tmp_path / "server") as server,
        proxied(PROXIES[name], tmp_path / "proxy", f"127.0.0.1:{server.port}", patience=1) as front,
    ):
        async with Chain(server, front).client() as client:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(client.connection.recv(), 30)


def test_nginx_goes_on_with_the_nodes_that_are_left(tmp_path: Path) -> None:
    config = server_config(app_config(APP), trusted_proxies=["127.0.0.1/32"])
    with (
        running(config, tmp_path / "a") as one,
        running(config, tmp_path / "b") as two,
        running(config, tmp_path / "c") as three,
    ):
        nodes = [f"127.0.0.1:{node.port}" for node in (one, two, three)]
        with proxied(nginx_of_several(nodes), tmp_path / "proxy", nodes[0]) as front:
            assert front.get("/up")[0] == 200
            one.kill()
            two.kill()
            assert [front.get("/up")[0] for _ in range(6)] == [200] * 6


@pytest.mark.parametrize("limited", [True, False])
async def test_hops_are_for_proxies_whose_networks_nobody_knows(limited: bool, tmp_path: Path) -> None:
    limits = {"enabled": limited, "api_rate_limit": {"trust_hops": 1}}
    config = server_config(app_config(APP), debug=True, rate_limiter=limits)
    with (
        running(config, tmp_path / "server", env={"LOG_OUTPUT_FORMAT": "json"}) as server,
        proxied(PROXIES["haproxy"], tmp_path / "proxy", f"127.0.0.1:{server.port}") as front,
    ):
        chain = Chain(server, front)
        async with chain.client() as client:
            lines = [line for line in chain.logged("client connected") if line["socket_id"] == client.socket_id]
            assert [line["address"] for line in lines] == [STRANGER]


def test_haproxy_s_plain_check_sees_the_server_up(tmp_path: Path) -> None:
    def plain(stage: Stage) -> Command:
        return haproxy(stage, {"option httpchk GET /up": "option httpchk"})

    with (
        running(server_config(app_config(APP)), tmp_path / "server") as server,
        proxied(plain, tmp_path / "proxy", f"127.0.0.1:{server.port}") as front,
    ):
        wait_for_state(front, "UP")
        server.kill()
        wait_for_state(front, "DOWN")


def test_haproxy_takes_the_server_out_while_it_drains(tmp_path: Path) -> None:
    config = server_config(app_config(APP), drain_delay=30)
    with (
        running(config, tmp_path / "server") as server,
        proxied(PROXIES["haproxy"], tmp_path / "proxy", f"127.0.0.1:{server.port}") as front,
    ):
        wait_for_state(front, "UP")
        server.terminate()
        wait_for_state(front, "DOWN")
        server.process.send_signal(signal.SIGKILL)
        server.expected_exit = -signal.SIGKILL


@pytest.mark.parametrize("trust", [{}, {"trusted_proxies": ["10.0.0.0/8"]}])
async def test_a_proxy_that_is_not_trusted_is_taken_for_the_client(trust: dict[str, Any], tmp_path: Path) -> None:
    config = server_config(app_config(APP), debug=True, **trust)
    with (
        running(config, tmp_path / "server", env={"LOG_OUTPUT_FORMAT": "json"}) as server,
        proxied(PROXIES["haproxy"], tmp_path / "proxy", f"127.0.0.1:{server.port}") as front,
    ):
        chain = Chain(server, front)
        async with chain.client():
            assert [line["address"] for line in chain.logged("client connected")] == ["127.0.0.1"]
