import asyncio
import errno
import hashlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.changes import ChannelVacated
from sockudo_py.config import load
from sockudo_py.edge.fallback.deferred import DeferredServer
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.webhooks.spool.noise import Noise
from sockudo_py.wiring.banner import banner_lines
from sockudo_py.wiring.drivers.missing import refuse_unbuilt
from sockudo_py.wiring.server import Server
from sockudo_py.wiring.serving import web
from tests.support.client import eventually
from tests.support.hook_receiver import HookReceiver

APP = {"id": "1", "key": "key-1", "secret": "tops3cret"}


def write(folder: Path, *, app: dict[str, Any] | None = None, **settings: Any) -> Path:
    document = {
        "host": "127.0.0.1",
        "port": 0,
        "metrics": {"host": "127.0.0.1", "port": 0},
        "queue": {"driver": "memory"},
        "shutdown_grace_period": 0,
        "app_manager": {"array": {"apps": [{**APP, **(app or {})}]}},
        **settings,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Server]:
    server = Server(load(path, {}))
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_it_serves_and_leaves_no_task_behind(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with running(write(tmp_path)) as server:
        assert await fetch(f"http://127.0.0.1:{server.port}/up") == (200, "OK")
        status, text = await fetch(f"http://127.0.0.1:{server.metrics_port}/metrics")
        assert status == 200
        assert "sockudo_connected" in text
    assert asyncio.all_tasks() == before


async def test_metrics_can_be_off(tmp_path: Path) -> None:
    async with running(write(tmp_path, metrics={"enabled": False})) as server:
        assert server.metrics_port is None


@pytest.mark.parametrize("what", ["port", "metrics"])
async def test_a_port_in_use_is_named_and_everything_opened_before_is_closed(tmp_path: Path, what: str) -> None:
    before = asyncio.all_tasks()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = {"port": port} if what == "port" else {"metrics": {"host": "127.0.0.1", "port": port}}
        with pytest.raises(SockudoError, match=f"127.0.0.1:{port}"):
            async with running(write(tmp_path, **settings)):
                pass
    assert asyncio.all_tasks() == before


async def test_stopping_tells_of_the_channels_that_the_drained_clients_were_on(tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "event_types": ["channel_occupied", "channel_vacated"]}
        path = write(tmp_path, app={"webhooks": [hook]}, webhooks={"batching": {"enabled": False}})
        async with (
            running(path) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{server.port}/app/key-1?protocol=7") as client,
        ):
            await client.receive_json()
            await client.send_json({"event": "pusher:subscribe", "data": {"channel": "c"}})
            await client.receive_json()
            await server.stop()
        assert [event["name"] for event in receiver.events("/hook")] == ["channel_occupied", "channel_vacated"]


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        ImportError(f"parser.so: cannot open shared object file: {os.strerror(errno.EMFILE)}"),
    ],
    ids=["no descriptor", "the disk", "no descriptor for the linker"],
)
async def test_an_import_of_aiohttp_for_which_files_can_not_be_read_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    tried = 0
    really = web._import

    def fail_at_first() -> None:
        nonlocal tried
        tried += 1
        if tried <= 2:
            raise problem
        really()

    monkeypatch.setattr(web, "_import", fail_at_first)
    monkeypatch.setattr(web, "AGAIN", 0.01)
    async with running(write(tmp_path)) as server:
        await server.complete()
        assert tried == 3
        assert (await fetch(f"http://127.0.0.1:{server.metrics_port}/metrics"))[0] == 200


async def test_a_stop_does_not_wait_for_an_import_that_never_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(web, "_import", fail)
    async with asyncio.timeout(30), running(write(tmp_path)) as server:
        assert await fetch(f"http://127.0.0.1:{server.port}/up") == (200, "OK")


@pytest.fixture
def aiohttps_import(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold the import of aiohttp up until the event is set."""
    gate = threading.Event()
    monkeypatch.setattr(web, "_import", lambda: gate.wait(30))
    yield gate
    gate.set()


async def test_health_is_told_before_aiohttp_is_there_and_other_requests_wait_for_it(
    tmp_path: Path, aiohttps_import: threading.Event
) -> None:
    async with running(write(tmp_path)) as server:
        assert await fetch(f"http://127.0.0.1:{server.port}/up") == (200, "OK")
        assert await fetch(f"http://127.0.0.1:{server.port}/up/1") == (200, "OK")
        early = [
            asyncio.create_task(fetch(f"http://127.0.0.1:{server.port}/usage")),
            asyncio.create_task(fetch(f"http://127.0.0.1:{server.metrics_port}/metrics")),
        ]
        await eventually(lambda: all(len(later._waiting) == 1 for later in doors(server)), "both wait")
        aiohttps_import.set()
        await server.complete()
        assert [(await answer)[0] for answer in early] == [200, 200]


async def test_a_stop_before_aiohttp_is_there_leaves_nothing_behind(
    tmp_path: Path, aiohttps_import: threading.Event
) -> None:
    before = asyncio.all_tasks()
    async with running(write(tmp_path)) as server:
        asyncio.get_running_loop().call_later(0.01, aiohttps_import.set)
        await server.stop()
        assert asyncio.all_tasks() == before


async def test_an_aiohttp_that_is_broken_is_told_and_drops_those_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiohttps_import: threading.Event
) -> None:
    def broken() -> None:
        aiohttps_import.wait(30)
        raise ImportError("No module named 'multidict'")

    monkeypatch.setattr(web, "_import", broken)
    async with running(write(tmp_path)) as server:
        early = asyncio.create_task(fetch(f"http://127.0.0.1:{server.port}/usage"))
        await eventually(lambda: len(doors(server)[0]._waiting) == 1, "it waits")
        aiohttps_import.set()
        with pytest.raises(SockudoError, match=r"aiohttp can't be imported \(No module named 'multidict'\); install"):
            await server.complete()
        await server.stop()
        with pytest.raises(aiohttp.ClientError):
            await early


def doors(server: Server) -> tuple[DeferredServer, DeferredServer]:
    return server._web.fallback, server._web._scrapes


def unbuilt(tmp_path: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        refuse_unbuilt(load(write(tmp_path, **settings), {}))
    return str(caught.value)


def test_every_option_without_its_feature_is_refused_at_once_and_by_name(tmp_path: Path) -> None:
    adapter = {"driver": "redis", "redis": {"cluster_mode": True}}
    database = {"redis": {"sentinels": ["h"]}}
    said = unbuilt(tmp_path, adapter=adapter, database=database, queue={"driver": "sqs", "sqs": {"fifo": True}})
    assert [line.split(": ", 1)[1].split(":")[0] for line in said.splitlines()] == [
        "adapter.redis.cluster_mode",
        "queue.sqs.fifo",
    ]
    assert all(line.startswith(str(tmp_path / "config.json")) for line in said.splitlines())


async def test_mistakes_of_every_kind_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        app={"webhooks": [{"name": "hook", "url": "https://user:pass@example.com/", "event_types": ["*"]}]},
        cache={"driver": "redis", "redis": {"cluster_mode": True}},
        database={"redis": {"sentinels": ["h"]}},
        ssl={"enabled": True, "cert_path": str(tmp_path / "none.pem"), "key_path": str(tmp_path / "none.key")},
        webhooks={"security": {"ca_bundle": str(tmp_path / "none.pem")}},
    )
    with pytest.raises(ConfigError) as caught:
        Server(load(path, {}))
    said = str(caught.value)
    keys = (
        "cache.redis.cluster_mode",
        "ssl.cert_path",
        "ssl.key_path",
        "webhook hook: url",
        "webhooks.security.ca_bundle",
    )
    assert [key for key in keys if key not in said] == []


async def test_the_banner_says_what_listens_and_shows_no_secret(tmp_path: Path) -> None:
    config = load(write(tmp_path, app={"webhooks": [{"url": "https://x.example/t0ken", "event_types": ["*"]}]}), {})
    server = Server(config)
    try:
        await server.apps.start(lambda change: None)
        text = "\n".join(banner_lines(config, 6001, 9601, server.apps.all()))
    finally:
        await server.stop()
    assert "ws://127.0.0.1:6001/app/key-1" in text
    assert "http://127.0.0.1:9601/metrics" in text
    assert "1 endpoint; queue memory: jobs are lost when this process ends" in text
    assert "tops3cret" not in text
    assert "t0ken" not in text


@pytest.mark.parametrize(("own", "counts"), [({}, "198.51.100.2"), ({"trust_hops": 2}, "198.51.100.1")])
async def test_connection_attempts_have_hops_of_their_own_or_those_of_the_api(
    tmp_path: Path, own: dict[str, int], counts: str
) -> None:
    limits = {"enabled": True, "api_rate_limit": {"trust_hops": 1}, "websocket_rate_limit": own}
    server = Server(load(write(tmp_path, rate_limiter=limits), {}))
    context = server._make_edge()._context
    forwarded = "198.51.100.1, 198.51.100.2"
    assert context.proxies.client("192.0.2.1", forwarded) == "198.51.100.2"
    assert context.connect_proxies.client("192.0.2.1", forwarded) == counts
    await server.stop()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_two_colons_serve_both_families_metrics_too(tmp_path: Path) -> None:
    async with running(write(tmp_path, host="::", metrics={"port": 0})) as server:
        await server.complete()
        for address in ("127.0.0.1", "[::1]"):
            assert (await fetch(f"http://{address}:{server.port}/live"))[0] == 200
            assert (await fetch(f"http://{address}:{server.metrics_port}/metrics"))[0] == 200


async def test_a_host_of_a_variable_that_can_not_be_names_the_variable(tmp_path: Path) -> None:
    server = Server(load(write(tmp_path), {"HOST": "x86_64-conda-linux-gnu.invalid"}))
    with pytest.raises(SockudoError, match=r"of the environment variable HOST, perhaps meant for another program"):
        await server.start()
    await server.stop()


async def test_without_a_cache_every_join_of_a_cache_channel_is_a_miss(tmp_path: Path) -> None:
    async with running(write(tmp_path, cache={"driver": "none"})) as server, aiohttp.ClientSession() as session:
        body = json.dumps({"name": "e", "channel": "cache-a", "data": "x"})
        query = (
            f"auth_key={APP['key']}&auth_timestamp={int(time.time())}&auth_version=1.0"
            f"&body_md5={hashlib.md5(body.encode()).hexdigest()}"
        )
        text = f"POST\n/apps/1/events\n{query}".encode()
        signature = hmac.new(APP["secret"].encode(), text, hashlib.sha256).hexdigest()
        base = f"http://127.0.0.1:{server.port}"
        async with session.post(f"{base}/apps/1/events?{query}&auth_signature={signature}", data=body) as response:
            assert response.status == 200
        async with session.ws_connect(f"{base}/app/key-1?protocol=7") as client:
            await client.receive_json()
            await client.send_json({"event": "pusher:subscribe", "data": {"channel": "cache-a"}})
            events = [(await client.receive_json())["event"] for _ in range(2)]
            assert events == ["pusher_internal:subscription_succeeded", "pusher:cache_miss"]


async def test_without_a_queue_it_starts_and_sends_no_webhook(tmp_path: Path) -> None:
    endpoint = {"url": "http://127.0.0.1:9/", "event_types": ["*"]}
    async with running(write(tmp_path, app={"webhooks": [endpoint]}, queue={"driver": "none"})) as server:
        status, body = await fetch(f"http://127.0.0.1:{server.port}/usage")
        assert (status, json.loads(body)["webhooks"]["enabled"]) == (200, False)


async def test_the_default_queue_that_nobody_needs_does_not_keep_it_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("no folder")
    async with running(write(tmp_path, queue={})) as server:
        assert (await fetch(f"http://127.0.0.1:{server.port}/live"))[0] == 200
    assert any("so the queue is kept in memory" in message for message in caplog.messages)


async def test_a_queue_file_of_a_variable_that_can_not_be_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    path = write(tmp_path, app={"webhooks": [{"url": "http://127.0.0.1:9/", "event_types": ["*"]}]}, queue={})
    server = Server(load(path, {"QUEUE_SQLITE_PATH": str(tmp_path / "file/queue.sqlite3")}))
    with pytest.raises(SockudoError, match="of the environment variable QUEUE_SQLITE_PATH"):
        await server.start()
    await server.stop()


async def test_endpoints_of_a_folder_without_a_queue_are_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "apps").mkdir()
    for number in ("1", "2"):
        app = {
            **APP,
            "id": number,
            "key": f"key-{number}",
            "webhooks": [{"url": "http://127.0.0.1:9/", "events": ["*"]}],
        }
        (tmp_path / f"apps/{number}.json").write_text(json.dumps(app))
    manager = {"driver": "file", "file": {"path": str(tmp_path / "apps")}}
    async with running(write(tmp_path, queue={"driver": "none"}, app_manager=manager)):
        pass
    assert len([message for message in caplog.messages if "so the webhook endpoints get nothing" in message]) == 1


async def test_the_brake_of_the_webhooks_holds_clients_and_new_ones_of_their_address(tmp_path: Path) -> None:
    async with running(write(tmp_path)) as server, aiohttp.ClientSession() as session:
        url = f"ws://127.0.0.1:{server.port}/app/key-1?protocol=7"
        async with session.ws_connect(url) as client:
            await client.receive()
            (source,) = [one.session.source for one in server.node._hub.all_sockets()]
            server.brake.hold(Noise(frozenset({source}), frozenset({("1", "127.0.0.1")})))
            await client.send_str('{"event":"pusher:ping","data":{}}')
            late = asyncio.create_task(session.ws_connect(url))
            await eventually(lambda: len(server._newcomers) == 1, "the new one waits")
            assert server.node.connections() == 1
            assert not late.done()
            assert not server.brake.catch_up(), "nothing was put off"
            server.brake.hold(Noise())
            assert json.loads((await client.receive()).data)["event"] == "pusher:pong"
            async with await late as other:
                assert json.loads((await other.receive()).data)["event"] == "pusher:connection_established"


class RemoteAdapter(LocalAdapter):
    """An adapter over a service: opening it may fail, and it remembers what happened to it in which order."""

    def __init__(self, problem: SockudoError | None = None) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(3.0, loop.call_later, loop.time)
        self.problem = problem
        self.happened: list[str] = []

    async def open(self) -> None:
        self.happened.append("open")
        if self.problem is not None:
            raise self.problem

    async def stop(self) -> None:
        self.happened.append("stop")
        change = ChannelVacated(APP["id"], "c", id="e.1-1", time_ms=1)
        self._on_change(change, lambda: self.happened.append("stored"))

    async def close(self) -> None:
        self.happened.append("close")


@pytest.mark.parametrize("driver", ["memory", "none"])
async def test_the_adapter_is_stopped_before_the_webhooks_and_closed_when_they_have_its_last_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    adapter = RemoteAdapter()
    monkeypatch.setattr("sockudo_py.wiring.server.make_adapter", lambda *_: adapter)
    endpoint = {"url": "http://127.0.0.1:9/", "event_types": ["*"]}
    async with running(write(tmp_path, app={"webhooks": [endpoint]}, queue={"driver": driver})):
        assert adapter.happened == ["open"]
    assert adapter.happened == ["open", "stop", "stored", "close"]


async def test_an_adapter_that_can_not_be_opened_ends_the_start_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()
    adapter = RemoteAdapter(SockudoError("database.redis.url: Redis can't be reached; start it"))
    monkeypatch.setattr("sockudo_py.wiring.server.make_adapter", lambda *_: adapter)
    server = Server(load(write(tmp_path), {}))
    with pytest.raises(SockudoError, match=r"database.redis.url: .*; start it"):
        await server.start()
    await server.stop()
    assert adapter.happened == ["open", "close"]
    assert asyncio.all_tasks() == before
