"""Several workers on one port: what clients, backends and operators see of them."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.crew import APP, READY, Crew, crew, crew_config, pid_exists
from tests.cluster.site import until
from tests.support.api import Api
from tests.support.client import Client, connected, eventually, member
from tests.support.hook_receiver import HookReceiver
from tests.support.node import program, scenario
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.server import ServerDied, app_config, running
from tests.support.server import TestApp as App

MANY = 16  # clients: that all land on one of two workers happens once in 32,768 times


@pytest.fixture
async def two(private_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Crew]:
    with crew(private_redis, tmp_path) as site:
        await site.says(READY)
        yield site


@asynccontextmanager
async def crowd(site: Crew, count: int = MANY, app: App = APP) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(site.server, app)) for _ in range(count)]


def rewrite(site: Crew, **settings: Any) -> None:
    """Change the configuration's file."""
    site.server.config.update(settings)
    (site.server.log_path.parent / "config.json").write_text(json.dumps(site.server.config))


def command(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sockudo_py", name, *words], capture_output=True, text=True, timeout=60, check=False
    )


async def test_clients_land_on_all_workers_and_a_publish_reaches_each_once(two: Crew) -> None:
    async with crowd(two) as clients:
        for number, client in enumerate(clients):
            await client.subscribe("news")
            await client.subscribe(f"own-{number}")
        with Api(two.server, APP) as api:
            api.publish("news", "hello", "all")
        for client in clients:
            assert (await until(client, "hello")).text == "all"
            await client.quiet()
        assert two.of("sockudo_connected") == [MANY]
        assert two.of("sockudo_new_connections_total") == [MANY]
        channels = two.of("sockudo_channels", app_id=APP.id)
        assert len(channels) == 2
        assert sum(channels) == MANY + 2  # each has the one that all are on
        assert min(channels) > 1
        for worker in ("1", "2"):
            assert two.of("sockudo_worker_up", worker=worker) == [1]
            assert two.of("process_resident_memory_bytes", worker=worker)[0] > 1e6
        await eventually(lambda: two.of("sockudo_cluster_nodes") == [2], "both know of each other")
        assert two.of("sockudo_event_loop_lag_seconds_bucket", le="+Inf")[0] > 0


async def test_a_killed_worker_is_replaced_and_what_it_held_is_taken_out_at_once(two: Crew) -> None:
    async with crowd(two) as clients:
        for number, client in enumerate(clients):
            await client.subscribe("presence-room", member(f"u{number}"))
        before = two.workers()
        for client in clients:
            await client.barrier()
        before["1"].kill()
        lost = {str(number) for number, client in enumerate(clients) if await ended(client)}
        assert 0 < len(lost) < MANY
        rest = next(client for number, client in enumerate(clients) if str(number) not in lost)
        gone: set[str] = set()
        while len(gone) < len(lost):
            gone.add((await until(rest, "pusher_internal:member_removed")).data["user_id"].removeprefix("u"))
        assert gone == lost
        await two.says("worker 1 is process", 2)
        assert two.workers()["1"].pid != before["1"].pid
        assert two.workers()["2"].pid == before["2"].pid
        assert two.of("sockudo_worker_ends_total", worker="1") == [1]
        assert "was killed by SIGKILL" in two.server.log()
        async with crowd(two) as more:
            for client in more:
                await client.subscribe("presence-room", member("late"))
        assert two.of("sockudo_worker_up") == [1, 1]


async def ended(client: Client) -> bool:
    """Return whether the connection is lost."""
    try:
        await client.barrier()
    except Exception:  # noqa: BLE001 - any way of losing it
        return True
    return False


async def test_figures_of_a_worker_that_is_gone_stay_in_the_sums(two: Crew) -> None:
    async with crowd(two):
        assert two.of("sockudo_new_connections_total") == [MANY]
        two.workers()["2"].kill()
        await two.says("worker 2 is process", 2)
        assert two.of("sockudo_new_connections_total") == [MANY]


async def test_a_reload_reaches_every_worker_or_none(two: Crew) -> None:
    second = App(id="2", key="second", secret="second-secret")
    apps = two.server.config["app_manager"]["array"]["apps"]
    pids = {name: process.pid for name, process in two.workers().items()}
    async with crowd(two, 4) as clients:
        apps.append(app_config(second))
        rewrite(two)
        assert command("reload", "--pid", str(two.server.process.pid)).returncode == 0
        await two.says('"message": "reloaded"', 3)  # two workers and their supervisor
        async with crowd(two, MANY, second) as more:
            for client in more:
                await client.quiet()
        apps.append(app_config(second))  # the same once more: a mistake
        rewrite(two)
        two.server.process.send_signal(signal.SIGHUP)
        await two.says("not reloaded: 2 mistakes; everything stays as it was")
        # Who is replaced now gets the configuration that holds, and not the one that is in the file.
        two.workers()["1"].kill()
        await two.says("worker 1 is process", 2)
        async with crowd(two, MANY, second) as more:
            for client in more:
                await client.quiet()
    assert two.workers()["2"].pid == pids["2"]
    assert two.of("sockudo_reloads_total", result="done") == [1]
    assert two.of("sockudo_reloads_total", result="refused") == [1]
    assert clients


async def test_a_restart_replaces_workers_one_by_one_and_no_connection_and_no_request_is_refused(two: Crew) -> None:
    before = {process.pid for process in two.workers().values()}
    done = asyncio.Event()
    answered = 0

    def publish() -> None:
        with Api(two.server, APP) as api:  # a connection of its own
            assert api.post("/events", {"name": "n", "channels": ["news"], "data": "x"}).status == 200

    async def keep_asking() -> None:
        nonlocal answered
        while not done.is_set():
            assert (await asyncio.to_thread(two.server.get, "/up"))[0] == 200
            await asyncio.to_thread(publish)
            async with connected(two.server, APP):
                answered += 1

    asking = [asyncio.create_task(keep_asking()) for _ in range(2)]
    async with crowd(two, 6) as clients:
        told = command("restart", str(two.server.log_path.parent / "config.json"))
        assert told.returncode == 0, told.stderr
        for client in clients:
            await client.expect_fatal(4200)
        await two.says("restarted: all workers are replaced")
    done.set()
    await asyncio.gather(*asking)
    assert answered > 0
    after = {process.pid for process in two.workers().values()}
    assert len(after) == 2
    assert not before & after
    assert two.of("sockudo_workers_replaced_total") == [2]
    assert two.of("sockudo_worker_ends_total") == []


@pytest.mark.clients
async def test_pusher_js_comes_back_after_a_restart_and_hears_what_is_published_then(two: Crew) -> None:
    async with program("client", scenario(two.server, APP)) as client:
        await client.expect(on="state", current="connected")
        await client.value("subscribe", channel="news")
        await client.expect(on="event", channel="news", event="pusher:subscription_succeeded")
        two.server.process.send_signal(signal.SIGUSR2)
        await two.says("restarted: all workers are replaced")
        await client.expect(on="event", channel="news", event="pusher:subscription_succeeded")
        with Api(two.server, APP) as api:
            await eventually(lambda: api.subscription_count("news") == 1, "it is subscribed again")
            api.publish("news", "late", '{"n":1}')
        assert (await client.expect(on="event", channel="news", event="late"))["data"] == {"n": 1}


async def test_a_restart_whose_new_worker_cannot_start_leaves_the_old_ones(two: Crew) -> None:
    before = {name: process.pid for name, process in two.workers().items()}
    rewrite(two, ssl={"cert_path": "/nowhere/cert.pem", "key_path": "/nowhere/key.pem"})
    async with crowd(two, 4) as clients:
        two.server.process.send_signal(signal.SIGUSR2)
        await two.says("not restarted: the workers that are there go on")
        for client in clients:
            await client.quiet()
    assert "worker 1 can't be replaced: " in two.server.log()
    assert "/nowhere/cert.pem" in two.server.log()
    assert {name: process.pid for name, process in two.workers().items()} == before
    two.workers()["1"].kill()  # its successor gets the configuration that holds
    await two.says("worker 1 is process", 2)


async def test_a_worker_that_does_not_answer_costs_only_itself_and_is_said(two: Crew) -> None:
    stuck = two.workers()["1"]
    assert two.of("sockudo_worker_up", worker="1") == [1]
    stuck.send_signal(signal.SIGSTOP)
    try:
        assert two.of("sockudo_worker_up", worker="1") == [0]
        assert two.of("sockudo_worker_up", worker="2") == [1]
        await two.says(f"worker 1 (process {stuck.pid}) has not answered for")
        await eventually(lambda: degraded(two), "the other one says so")
    finally:
        stuck.send_signal(signal.SIGCONT)
    await two.says("answers again")
    await eventually(lambda: two.server.get("/up")[1] == b"OK", "all is well")


# What Python runs at its start: less patience than the minute that a worker has.
IMPATIENT = """
import sockudo_py.supervisor.crew as crew
crew.SILENT, crew.STUCK = 1.0, 3.0
"""


async def test_a_worker_that_is_silent_for_long_is_killed_and_replaced(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with running(crew_config(private_redis), tmp_path / "site", env) as server:
        site = Crew(server)
        await site.says(READY)
        stuck = site.workers()["2"]
        stuck.send_signal(signal.SIGSTOP)
        await site.says("worker 2 is process", 2)
        assert not pid_exists(stuck.pid)
        assert f"worker 2 (process {stuck.pid}) was killed by SIGKILL" in server.log()
        assert site.workers()["2"].pid != stuck.pid


async def test_each_end_of_what_a_killed_worker_held_is_told_once_and_soon(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    kinds = ["channel_occupied", "channel_vacated", "member_added", "member_removed"]
    with HookReceiver() as hooks:
        endpoint = {"url": f"{hooks.url}/hook", "event_types": kinds}
        apps = {"driver": "memory", "array": {"apps": [app_config(APP, webhooks=[endpoint])]}}
        webhooks = {
            "batching": {"enabled": False},
            "vacate_delay_ms": 0,
            "security": {"allow_private_networks": True},
        }

        def told(name: str) -> list[str]:
            events = [event for hook in hooks.hooks("/hook") for event in hook.events]
            return sorted(event["channel"] for event in events if event["name"] == name)

        with crew(private_redis, tmp_path, app_manager=apps, webhooks=webhooks) as site:
            await site.says(READY)
            async with crowd(site) as clients:
                for number, client in enumerate(clients):
                    await client.subscribe(f"presence-{number}", member("u"))
                await eventually(lambda: len(told("member_added")) == MANY, "all came")
                site.workers()["1"].kill()
                lost = sorted([f"presence-{at}" for at, client in enumerate(clients) if await ended(client)])
                assert lost
                await eventually(lambda: told("channel_vacated") == lost, "these are vacated", deadline=20)
                await eventually(lambda: told("member_removed") == lost, "these are removed", deadline=20)
        # At the stop the rest, and nothing twice.
        assert len(told("channel_vacated")) == len(told("member_removed")) == MANY


def degraded(site: Crew) -> bool:
    """Return whether the worker that answers says that another one is not well."""
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=1)
    try:
        connection.request("GET", "/up")
        return b"degraded: workers" in connection.getresponse().read()
    except OSError:  # the one that is stuck
        return False
    finally:
        connection.close()


async def test_a_stop_drains_all_workers(two: Crew) -> None:
    workers = [process.pid for process in two.workers().values()]
    async with crowd(two, 8) as clients:
        two.server.terminate()
        for client in clients:
            await client.expect_fatal(4200)
        assert await asyncio.to_thread(two.server.wait) == 0
    assert [pid for pid in workers if pid_exists(pid)] == []
    assert "Traceback" not in two.server.log()


async def test_workers_end_when_their_supervisor_was_killed_so_that_the_port_is_free(two: Crew) -> None:
    workers = [process.pid for process in two.workers().values()]
    async with crowd(two, 4) as clients:
        two.server.kill()
        for client in clients:
            await client.expect_fatal(4200)
    await eventually(lambda: not any(map(pid_exists, workers)), "they have ended")


async def test_workers_share_a_unix_socket(private_redis: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    admin = tmp_path / "admin.sock"
    settings = {
        "unix_socket": {"enabled": True, "path": str(path)},
        "webhooks": {"admin": {"socket": str(admin)}},
    }
    with crew(private_redis, tmp_path / "site", **settings) as site:
        await site.says(READY)
        url = f"ws://localhost/app/{APP.key}?protocol=7"
        for times in (1, 2):
            client = await Client.open(url, APP, unix=True, path=str(path))
            await client.established()
            await client.close()
            site.server.process.send_signal(signal.SIGUSR2)
            await site.says("restarted: all workers are replaced", times)
        assert admin.stat().st_mode & 0o777 == 0o600
        config = site.server.log_path.parent / "config.json"
        assert "0 dead letters" in command("webhooks", "failed", "--config", str(config)).stdout
    assert not path.exists()
    assert not admin.exists()


def test_another_server_on_the_port_is_noticed_also_one_with_workers(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with crew(private_redis, tmp_path / "one") as site:
        other = site.server.config | {"metrics": {"enabled": False}}
        (tmp_path / "two.json").write_text(json.dumps(other))
        done = command("start", str(tmp_path / "two.json"))
        assert done.returncode == 1
        assert "the address is in use" in done.stderr
        told = command("reload", str(tmp_path / "two.json"))
        assert told.returncode == 1
        assert "no server with" in told.stderr


def test_a_start_without_shared_drivers_names_both_keys_and_how_to_start_a_redis(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    config = crew_config(private_redis, adapter={"driver": "local"}, queue={"driver": "sqlite"}, workers="auto")
    with pytest.raises(ServerDied) as died, running(config, tmp_path):
        pytest.fail("it started")
    said = str(died.value)
    assert "ended with 2" in said
    assert said.count("workers: is auto") == 1
    for part in ("adapter.driver redis", "queue.driver redis or sqs", "redis-server --appendonly yes"):
        assert part in said


def test_a_worker_that_cannot_start_at_the_first_start_ends_it_with_its_message(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    config = crew_config(private_redis, database={"redis": {"url": nobody}})
    with pytest.raises(ServerDied) as died, running(config, tmp_path):
        pytest.fail("it started")
    said = str(died.value)
    assert "ended with 1" in said
    assert said.count("can't start: ") == 1
    assert "Traceback" not in said


async def test_a_worker_that_ends_again_and_again_is_started_ever_more_seldom(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with crew(private_redis, tmp_path) as site:
        await site.says(READY)
        for count in range(1, 4):
            await eventually(lambda: "1" in site.workers(), "worker 1 is there")
            site.workers()["1"].kill()
            await site.says("worker 1 (process", count)
        await site.says("3 times in a row")
        await site.says("another one starts in 2 s")
        assert site.of("sockudo_worker_up", worker="2") == [1]


@contextmanager
def systemd(folder: Path) -> Iterator[socket.socket]:
    """Listen as systemd does for a service of Type=notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(folder / "notify"))
        sock.settimeout(60)
        yield sock


async def test_systemd_hears_of_the_supervisor_alone_when_all_workers_are_ready(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with systemd(tmp_path) as sock:
        config = crew_config(private_redis)
        with running(config, tmp_path / "site", env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as server:
            assert await asyncio.to_thread(sock.recv, 100) == b"READY=1"
            assert READY in server.log()
            assert len(Crew(server).workers()) == 2
            os.kill(server.process.pid, signal.SIGTERM)
            server.told = True
            assert await asyncio.to_thread(sock.recv, 100) == b"STOPPING=1"
            assert await asyncio.to_thread(server.wait) == 0


def ask(site: Crew, path: str, body: str = "") -> str:
    """Return the answer to a POST on a connection of its own; fails unless it was accepted."""
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=60)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        assert response.status in (200, 204), response.read()
        return response.read().decode()
    finally:
        connection.close()


async def test_requests_of_an_http_transport_reach_the_worker_that_has_the_session(two: Crew) -> None:
    ping = json.dumps([json.dumps({"event": "pusher:ping", "data": {}})])
    for number in range(MANY):
        path = f"/pusher/app/{APP.key}/{number}/session-{number}"
        opened = await asyncio.to_thread(ask, two, f"{path}/xhr?protocol=7")
        assert "pusher:connection_established" in opened
        for _ in range(2):
            await asyncio.to_thread(ask, two, f"{path}/xhr_send", ping)
            assert "pusher:pong" in await asyncio.to_thread(ask, two, f"{path}/xhr?protocol=7")
    assert two.of("sockudo_http_transport_sessions", transport="xhr_polling") == [MANY]
    assert two.of("sockudo_connected") == [MANY]


@pytest.mark.clients
@pytest.mark.parametrize("transport", ["xhr_streaming", "xhr_polling"])
async def test_pusher_js_stays_connected_by_an_http_transport(two: Crew, transport: str) -> None:
    async with program("client", scenario(two.server, APP, transport=transport)) as client:
        await client.expect(on="state", current="connected")
        for number in range(8):
            await client.value("subscribe", channel=f"news-{number}")
            await client.expect(on="event", channel=f"news-{number}", event="pusher:subscription_succeeded")
            with Api(two.server, APP) as api:
                api.publish(f"news-{number}", "hello", str(number))
            assert (await client.expect(on="event", channel=f"news-{number}", event="hello"))["data"] == number
