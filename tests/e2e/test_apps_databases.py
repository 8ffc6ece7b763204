"""A server whose apps are rows of PostgreSQL or MariaDB, as its clients and its operator see it."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.apps.drivers import InMariaDb, InPostgres
from tests.support.api import Api
from tests.support.client import Client, connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.mariadb_server import mariadb_server as mariadb_server
from tests.support.postgres_server import PASSWORD
from tests.support.postgres_server import postgres_server as postgres_server
from tests.support.postgres_server import private_postgres as private_postgres
from tests.support.server import Config, Server, TestApp, running, server_config

ONE, TWO = TestApp("1", "key-1", "secret-of-1"), TestApp("2", "key-2", "secret-of-2")


@pytest.fixture
def store(driver: str, request: pytest.FixtureRequest) -> InPostgres | InMariaDb:
    """A database of its own in the server that the tests of this worker share."""
    if driver == "postgres":
        return InPostgres(request.getfixturevalue("postgres_server"))
    return InMariaDb(request.getfixturevalue("mariadb_server"))


def row(app: TestApp, **more: Any) -> dict[str, Any]:
    return {"id": app.id, "key": app.key, "secret": app.secret, **more}


def configured(store: InPostgres | InMariaDb, **more: Any) -> Config:
    return server_config(**{**store.settings(), **more})


def publish(server: Server, app: TestApp) -> None:
    with Api(server, app) as api:
        api.publish("news", "hi")


async def there(server: Server, app: TestApp, status: int = 200) -> None:
    await eventually(lambda: server.get(f"/up/{app.id}")[0] == status, f"{status} about app {app.id}")


def metric(server: Server, name: str) -> float:
    text = server.get("/metrics", server.metrics_port)[1].decode()
    (line,) = [line for line in text.splitlines() if line.startswith(f"sockudo_{name} ")]
    return float(line.split()[1])


@pytest.mark.parametrize("driver", ["postgres", "mysql"])
async def test_an_app_that_is_inserted_takes_clients_and_one_that_is_deleted_closes_them(
    driver: str, store: InPostgres | InMariaDb, tmp_path: Path
) -> None:
    await store.write(row(ONE))
    config = configured(store)
    if driver == "postgres":  # it is told: no poll comes in time
        config["app_manager"]["postgres"]["poll_interval"] = 3600
    with running(config, tmp_path) as server:
        async with connected(server, ONE) as stays:
            await store.write(row(TWO))
            await there(server, TWO)
            async with connected(server, TWO) as client:
                await client.subscribe("news")
                await store.write(row(TWO, max_connections=1))
                await eventually(lambda: "app 2: changed" in server.log(), "the change in the log")
                await asyncio.to_thread(publish, server, TWO)
                await client.expect("hi", "news")
                refused = await Client.open(server.ws_url(f"/app/{TWO.key}?protocol=7"), TWO)
                await refused.expect_fatal(4004)
                await refused.close()
                await store.remove("2")
                await client.expect_fatal(4001)
            await there(server, TWO, 404)
            await stays.quiet()


async def test_a_killed_postgres_is_said_and_costs_no_client_anything(private_postgres: Any, tmp_path: Path) -> None:
    store = await asyncio.to_thread(InPostgres, private_postgres)
    await store.write(row(ONE))
    with running(configured(store), tmp_path) as server:
        async with connected(server, ONE) as before:
            await before.subscribe("news")
            private_postgres.kill()
            await eventually(lambda: server.get("/up")[1] == b"degraded: app_manager\n", "it is said in /up")
            assert server.get("/up")[0] == 200
            assert metric(server, "app_manager_reachable") == 0
            async with connected(server, ONE) as after:
                await after.subscribe("news")
                await asyncio.to_thread(publish, server, ONE)
                await before.expect("hi", "news")
                await after.expect("hi", "news")
            await asyncio.to_thread(private_postgres.start)
            await eventually(lambda: server.get("/up")[1] == b"OK", "it is back")
            await store.write(row(TWO))
            await there(server, TWO)
            assert metric(server, "app_manager_reachable") == 1
            await before.quiet()
        assert server.log().count("the apps are served from memory") == 1
        assert PASSWORD not in server.log()


def test_a_database_that_is_away_at_the_start_stops_it_with_key_and_remedy(tmp_path: Path) -> None:
    section = {"host": "127.0.0.1", "port": 1, "password": PASSWORD}
    config = server_config(app_manager={"driver": "postgres"}, database={"postgres": section})
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "port": 0, "metrics": {"enabled": False}}))
    done = subprocess.run(
        [sys.executable, "-m", "sockudo_py", "start", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "database.postgres.host: PostgreSQL at 127.0.0.1:1 can't be reached" in said
    assert "start it, or name another" in said
    assert PASSWORD not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("driver", ["postgres"])
async def test_a_reload_keeps_the_last_good_version_of_a_row_that_is_broken_now(
    store: InPostgres, tmp_path: Path
) -> None:
    await store.write(row(ONE, max_connections=7), row(TWO))
    with running(configured(store), tmp_path) as server:
        async with connected(server, ONE) as client:
            await store.execute("""UPDATE applications SET settings = '{"max_connections": "many"}' WHERE id = '1'""")
            await eventually(lambda: "its last good version stays in force" in server.log(), "the row is broken")
            server.config["presence"] = {"max_members_per_channel": 5}
            server.log_path.with_name("config.json").write_text(json.dumps(server.config))
            server.process.send_signal(signal.SIGHUP)
            await eventually(lambda: '"reloaded"' in server.log(), "reloaded")
            await client.quiet()
            await there(server, ONE)
            await store.write(row(ONE, max_connections=8))
            await eventually(lambda: "app 1: changed" in server.log(), "mended")
            await client.quiet()


@pytest.mark.parametrize("driver", ["postgres"])
async def test_an_endpoint_of_a_row_gets_nothing_at_a_private_address(store: InPostgres, tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/inside", "event_types": ["channel_occupied"], "trusted": True}
        hook["retry"] = {"enabled": False}
        await store.write(row(ONE, webhooks=[hook]))
        with running(configured(store), tmp_path) as server:
            async with connected(server, ONE) as client:
                await client.subscribe("news")
                await eventually(
                    lambda: b'class="blocked_address"' in server.get("/metrics", server.metrics_port)[1],
                    "it is refused",
                )
        assert receiver.hooks("/inside") == []


@pytest.mark.parametrize("driver", ["postgres"])
async def test_a_row_that_claims_an_operators_endpoint_keeps_the_server_from_nothing(
    store: InPostgres, tmp_path: Path
) -> None:
    hook = {"url": "https://example.com/hook", "event_types": ["channel_occupied"], "uid": "wh_ops"}
    await store.write(row(ONE, webhooks=[hook]), row(TWO))
    operators = [{"url": "https://example.com/ops", "uid": "wh_ops", "secret": "whsec_" + "c2VjcmV0" * 4}]
    config = configured(store)
    config["webhooks"] = {**config["webhooks"], "operators": operators}
    with running(config, tmp_path) as server:
        assert "webhooks of app 1 are left out: app 1: webhook uid wh_ops is used twice" in server.log()
        async with connected(server, ONE), connected(server, TWO):
            pass
