"""A database that goes away, hangs, refuses, or speaks TLS."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from moto.server import ThreadedMotoServer

from sockudo_py.apps.databases.postgres import CHANNEL
from sockudo_py.errors import ConfigError
from tests.conformance.apps.conftest import Watch
from tests.conformance.apps.drivers import InDynamoDb, InMariaDb, InPostgres, Store, Watched
from tests.conformance.apps.test_apps import app, errors
from tests.support.aws import Aws
from tests.support.mariadb_server import MariaDbServer
from tests.support.pgbouncer import pooler
from tests.support.postgres_server import PASSWORD, PostgresServer

SQL = ("postgres", "mysql")


@pytest.fixture(name="own")
def _own(driver: str, request: pytest.FixtureRequest) -> Store:
    """A store in a server of this test alone."""
    if driver == "postgres":
        return InPostgres(request.getfixturevalue("private_postgres"))
    return InMariaDb(request.getfixturevalue("private_mariadb"))


def with_settings(store: Store, driver: str, **settings: Any) -> None:
    """Add settings of the connection."""
    there = store.settings()
    there["database"][driver] |= settings
    store.settings = lambda: there  # type: ignore[method-assign]


@pytest.mark.parametrize("driver", SQL)
async def test_a_killed_database_costs_nobody_an_app_and_is_taken_up_again(
    own: InPostgres | InMariaDb, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await own.write(app("1"), app("2"))
    watched = await watch(own)
    assert watched.figure("app_manager_reachable") == 1
    own.server.kill()
    await watched.until(lambda: not watched.apps.healthy(), "it is noticed")
    await watched.until(lambda: watched.figure("app_manager_failures_total") > 2, "it is tried again")
    assert watched.ids() == ["1", "2"]
    assert watched.apps.by_key("key-1") is not None
    assert watched.figure("app_manager_reachable") == 0
    (line,) = errors(caplog)
    assert "can't be reached" in line
    assert line.endswith("the apps are served from memory until it can be read again")
    await asyncio.to_thread(own.server.start)
    await own.remove("1")
    await watched.until(lambda: watched.ids() == ["2"], "it is taken up again")
    assert watched.apps.healthy()
    assert watched.figure("app_manager_reachable") == 1
    assert "can be read again, after" in caplog.text
    assert [(each.old is not None, each.new) for each in watched.told] == [(True, None)]


@pytest.mark.parametrize("driver", SQL)
async def test_a_database_that_hangs_is_given_up_after_the_deadline_and_taken_up_again(
    driver: str, own: InPostgres | InMariaDb, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await own.write(app("1"))
    with_settings(own, driver, response_timeout_ms=500)
    if driver == "postgres":  # so that it looks while nobody tells it anything
        await own.execute(f"DROP TRIGGER {CHANNEL} ON applications")
    watched = await watch(own)
    own.server.freeze()
    try:
        await watched.until(lambda: not watched.apps.healthy(), "it is noticed")
        assert "no answer within 0.5 s" in caplog.text
        await watched.until(lambda: watched.figure("app_manager_failures_total") > 1, "connecting has a deadline too")
        assert watched.ids() == ["1"]
    finally:
        own.server.thaw()
    await own.execute(*["UPDATE applications SET enabled = FALSE"])
    await watched.until(lambda: bool(watched.told), "it is taken up again")


@pytest.mark.parametrize("driver", SQL)
async def test_a_database_that_hangs_at_the_start_stops_it(
    driver: str, own: InPostgres | InMariaDb, watch: Watch
) -> None:
    await own.write(app("1"))
    with_settings(own, driver, response_timeout_ms=500)
    own.server.freeze()
    try:
        with pytest.raises(ConfigError, match=rf"database.{driver}.response_timeout_ms: no answer within 0.5 s"):
            await watch(own)
    finally:
        own.server.thaw()


@pytest.mark.parametrize("driver", SQL)
async def test_a_wrong_password_is_said_and_not_shown(
    driver: str, store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    with_settings(store, driver, password="word-that-is-wrong")
    with pytest.raises(ConfigError, match=rf"database.{driver}.password: .* refuses") as caught:
        await watch(store)
    assert "word-that-is-wrong" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("driver", SQL)
async def test_a_database_that_is_not_there_is_named(driver: str, store: Store, watch: Watch) -> None:
    with_settings(store, driver, database="nowhere")
    with pytest.raises(ConfigError, match=rf"database.{driver}.database: there is no database nowhere; make it"):
        await watch(store)


@pytest.mark.parametrize("driver", SQL)
async def test_a_user_that_may_only_read_is_enough_and_one_that_may_not_is_told(
    driver: str, store: InPostgres | InMariaDb, watch: Watch
) -> None:
    await store.write(app("1"))
    name = f"reader_{store.database[-8:]}"
    if driver == "postgres":
        await store.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'word-of-reader'")
        grant = f"GRANT SELECT ON applications TO {name}"
    else:
        await store.execute(f"CREATE USER {name} IDENTIFIED BY 'word-of-reader'", f"GRANT USAGE ON *.* TO {name}")
        grant = f"GRANT SELECT ON {store.database}.applications TO {name}"
    with_settings(store, driver, username=name, password="word-of-reader")
    with pytest.raises(ConfigError, match=rf"database.{driver}.username: .* GRANT SELECT"):
        await watch(store)
    await store.execute(grant)
    watched = await watch(store)
    await store.write(app("2"))
    await watched.until(lambda: watched.ids() == ["1", "2"], "changes are seen")


# -- notifications --


@pytest.mark.parametrize("driver", ["postgres"])
async def test_the_trigger_tells_of_changes_long_before_the_next_poll(store: InPostgres, watch: Watch) -> None:
    await store.write(app("1"))
    watched = await watch(slow(store))
    await store.write(app("2"))
    await watched.until(lambda: watched.ids() == ["1", "2"], "told of an insert")
    await store.execute("TRUNCATE applications")
    await watched.until(lambda: watched.ids() == [], "told of the end of all")


def slow(store: Store) -> Store:
    """Let the store be polled so seldom that no test would see it."""
    settings = store.settings()
    settings["app_manager"]["postgres"]["poll_interval"] = 3600
    store.settings = lambda: settings  # type: ignore[method-assign]
    return store


@pytest.mark.parametrize("driver", ["postgres"])
async def test_after_a_new_connection_the_trigger_tells_again(own: InPostgres, watch: Watch) -> None:
    await own.write(app("1"))
    watched = await watch(slow(own))
    backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sockudo-py'"
    await own.execute(backends)
    await watched.until(lambda: watched.figure("app_manager_failures_total") == 1, "the end of the connection is seen")
    await watched.until(watched.apps.healthy, "connected again")
    await own.write(app("2"))
    await watched.until(lambda: watched.ids() == ["1", "2"], "told again")


@pytest.mark.parametrize("driver", ["postgres"])
async def test_notifications_that_a_pooler_swallows_are_noticed_and_the_table_is_polled(
    store: InPostgres, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("sockudo_py.apps.databases.postgres.TOLD", 3600.0)
    await store.write(app("1"))
    with pooler(store.server.port, store.database) as port:
        with_settings(store, "postgres", port=port)
        watched = await watch(store)
        assert "don't reach this server: it polls" in caplog.text
        for name in ("2", "3"):
            await store.write(app(name))
            await watched.until(lambda name=name: name in watched.ids(), "seen by polling")
        await watched.apps.stop()


# -- TLS --


class Authority:
    """An authority, and a server's certificate for ``localhost``, not for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        issued = self._authority.issue_cert("localhost")
        self.chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        self.key = issued.private_key_pem.bytes()
        self.path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.path))
        other = trustme.CA()
        self.other = folder / "other.pem"
        other.cert_pem.write_to_path(str(self.other))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_store(driver: str, authority: Authority, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store in a server that speaks TLS, and plain text too."""
    server: PostgresServer | MariaDbServer = PostgresServer() if driver == "postgres" else MariaDbServer()
    try:
        if isinstance(server, PostgresServer):
            server.use_tls(authority.chain, authority.key)
            yield InPostgres(server.start())
        else:
            server.use_tls(authority.chain, authority.key)
            yield InMariaDb(server.start())
    finally:
        server.remove()


async def encrypted(store: Store, watched: Watched) -> bool:
    """Return whether the connection of the app manager is encrypted, as its own side sees it."""
    connection = watched.apps._table._connection  # type: ignore[attr-defined]
    if isinstance(store, InPostgres):
        return bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    async with connection.cursor() as cursor:
        await cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        ((_, cipher),) = await cursor.fetchall()
    return bool(cipher)


@pytest.mark.parametrize("driver", SQL)
async def test_each_mode_of_tls_does_what_it_says(
    driver: str, tls_store: Store, authority: Authority, watch: Watch
) -> None:
    await tls_store.write(app("1"))
    for mode, host, trust, expected in (
        ("disable", "127.0.0.1", None, False),
        ("prefer", "127.0.0.1", None, True),
        ("require", "127.0.0.1", None, True),
        ("verify-ca", "127.0.0.1", authority.path, True),
        ("verify-full", "localhost", authority.path, True),
    ):
        more = {} if trust is None else {"ca_path": str(trust)}
        with_settings(tls_store, driver, sslmode=mode, host=host, **more)
        watched = await watch(tls_store)
        assert watched.ids() == ["1"]
        assert await encrypted(tls_store, watched) == expected, mode
        await watched.apps.stop()
    for mode, host, trust in (
        ("verify-full", "127.0.0.1", authority.path),  # the certificate has another name
        ("verify-ca", "127.0.0.1", authority.other),
        ("verify-full", "localhost", authority.other),
    ):
        with_settings(tls_store, driver, sslmode=mode, host=host, ca_path=str(trust))
        with pytest.raises(ConfigError, match=rf"database.{driver}.sslmode: no TLS with"):
            await watch(tls_store)


@pytest.mark.parametrize("driver", SQL)
async def test_tls_is_insisted_on_where_the_server_has_none(driver: str, store: Store, watch: Watch) -> None:
    await store.write(app("1"))
    assert (await watch(store)).ids() == ["1"]  # prefer
    with_settings(store, driver, sslmode="require")
    with pytest.raises(ConfigError, match=rf"database.{driver}.(sslmode|host): "):
        await watch(store)


@pytest.mark.parametrize("driver", SQL)
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_authority_that_cannot_be_read_stops_the_start(
    content: str | None, driver: str, store: Store, watch: Watch, tmp_path: Path
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with_settings(store, driver, sslmode="verify-full", ca_path=str(path))
    with pytest.raises(ConfigError, match=rf"database.{driver}.ca_path: .*; give (the|a) PEM file"):
        await watch(store)


# -- DynamoDB --


async def test_dynamodb_that_goes_away_costs_nobody_an_app_and_is_taken_up_again(
    aws: Aws, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    store = InDynamoDb(aws)  # over the server that all share; the app manager asks another one, of the same data
    await store.write(app("1"))
    first = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    first.start()
    host, port = first.get_host_and_port()
    with_settings(store, "dynamodb", endpoint_url=f"http://{host}:{port}")
    watched = await watch(store)
    await asyncio.to_thread(first.stop)
    await watched.until(lambda: not watched.apps.healthy(), "it is noticed")
    assert watched.ids() == ["1"]
    await store.write(app("2"))
    second = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    second.start()
    try:
        await watched.until(lambda: watched.ids() == ["1", "2"], "it is taken up again")
    finally:
        await watched.apps.stop()
        await asyncio.to_thread(second.stop)
    (line,) = errors(caplog)
    assert "can't be reached" in line


@pytest.mark.parametrize("driver", ["dynamodb"])
async def test_without_credentials_the_start_says_so(
    store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match=r"database.dynamodb.aws_access_key_id: there are no credentials"):
        await watch(store)
    with_settings(store, "dynamodb", aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key=PASSWORD)
    assert (await watch(store)).ids() == []
