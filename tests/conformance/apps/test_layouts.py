"""Tables as Sockudo and soketi make them, and tables that are neither theirs nor ours."""

import json
import logging
from typing import Any

import pytest

from sockudo_py.apps.base import AppDefinition
from tests.conformance.apps.conftest import Watch
from tests.conformance.apps.drivers import InDynamoDb, InMariaDb, InPostgres, Store, literal
from tests.support.aws import Aws

SQL = ("postgres", "mysql")
LIMITS = {
    "max_backend_events_per_second": 30,
    "max_read_requests_per_second": 40,
    "max_presence_members_per_channel": 50,
    "max_presence_member_size_in_kb": 3,
    "max_channel_name_length": 60,
    "max_event_channels_at_once": 7,
    "max_event_name_length": 70,
    "max_event_payload_in_kb": 12,
    "max_event_batch_size": 8,
}
WEBHOOK = {
    "url": "https://example.com/hook",
    "event_types": ["channel_occupied", "channel_vacated"],
    "filter": {"channel_prefix": "orders-", "channel_namespaces": None},
    "headers": {"X-A": "b"},
    "retry": {"enabled": True, "max_attempts": 3, "max_elapsed_time_ms": 60000},
    "request_timeout_ms": 4000,
}
SOCKUDO: dict[str, Any] = {
    "id": "app-1",
    "key": "key-1",
    "secret": "secret-of-1",
    "max_connections": 20,
    "enable_client_messages": True,
    "enabled": True,
    "max_client_events_per_second": 0,
    **LIMITS,
    "enable_user_authentication": None,
    "enable_watchlist_events": True,
    "policy": None,
    "webhooks": [WEBHOOK],
    "allowed_origins": ["https://example.com"],
    "channel_delta_compression": {"a-*": {"enabled": True}},
    "idempotency": {"enabled": True, "ttl_seconds": 60},
    "connection_recovery": None,
}
POLICY = {
    "limits": {
        "max_connections": 20,
        "max_client_events_per_second": 0,
        **LIMITS,
        "decay_seconds": None,
        "terminate_on_limit": False,
        "message_rate_limit": {"enabled": True, "max_attempts": 60},
        "of_a_later_version": 1,
    },
    "features": {"enable_client_messages": True, "enable_user_authentication": None, "enable_watchlist_events": True},
    "channels": {
        "allowed_origins": ["https://example.com"],
        "annotations_enabled": None,
        "channel_delta_compression": None,
        "channel_namespaces": None,
    },
    "webhooks": [WEBHOOK],
    "idempotency": None,
    "connection_recovery": None,
    "history": {"enabled": True},
    "presence_history": None,
    "of_a_later_version": {"a": 1},
}
# Columns of which Sockudo keeps copies beside a policy; the policy alone counts, whatever they say.
STALE = {**SOCKUDO, "max_connections": 1, "webhooks": [], "allowed_origins": ["https://stale.example"]}
NUMBERS = [name for name in SOCKUDO if name.startswith("max_")]
FLAGS = [name for name in SOCKUDO if name.startswith("enable")]
OBJECTS = ["policy", "webhooks", "allowed_origins", "channel_delta_compression", "idempotency", "connection_recovery"]
SOKETI: dict[str, Any] = {
    "id": "app-1",
    "key": "key-1",
    "secret": "secret-of-1",
    "max_connections": -1,
    "enable_client_messages": 1,
    "enabled": 1,
    "max_backend_events_per_sec": -1,
    "max_client_events_per_sec": 25,
    "max_read_req_per_sec": 35,
    "webhooks": [{"url": "https://example.com/hook", "event_types": ["client_event"]}],
    "max_presence_members_per_channel": None,
    "max_event_payload_in_kb": 9,
    "enable_user_authentication": 0,
}


def table(driver: str, name: str, row: dict[str, Any], flag: str) -> list[str]:
    """Return what makes a table with the columns of a row, and with the row in it."""
    quote = '"' if driver == "postgres" else "`"
    kinds = {
        **dict.fromkeys(("id", "key", "secret"), "varchar(255)"),
        **dict.fromkeys(OBJECTS, "json"),
        **{column: "integer" for column in row if column.startswith("max_")},
        **{column: flag for column in row if column.startswith("enable")},
    }
    columns = [f"{quote}{column}{quote} {kinds[column]}" for column in row]
    columns += ["created_at timestamp DEFAULT CURRENT_TIMESTAMP", "PRIMARY KEY (id)"]
    names = ", ".join(f"{quote}{column}{quote}" for column in row)
    return [
        f"CREATE TABLE {name} ({', '.join(columns)})",
        f"INSERT INTO {name} ({names}) VALUES ({', '.join(map(literal, row.values()))})",
    ]


def is_as_in_sockudo(found: AppDefinition) -> None:
    app, (endpoint,) = found.app, found.endpoints
    assert (app.id, app.keys[0].key, app.keys[0].secret) == ("app-1", "key-1", b"secret-of-1")
    assert (app.max_connections, app.client_events, app.client_events_per_second) == (20, True, None)
    assert (app.user_authentication, app.watchlist, app.allowed_origins) == (True, True, ("https://example.com",))
    assert (app.backend_events_per_second, app.read_requests_per_second) == (30, 40)
    assert (app.max_presence_members, app.max_user_info_bytes, app.max_event_bytes) == (50, 3072, 12 * 1024)
    assert (app.max_channel_name_length, app.max_event_name_length) == (60, 70)
    assert (app.max_channels_per_event, app.max_batch_size) == (7, 8)
    assert endpoint.url == "https://example.com/hook"
    assert endpoint.event_types == {"channel_occupied", "channel_vacated"}
    assert (endpoint.filter.channel_prefix, endpoint.headers) == ("orders-", (("X-A", "b"),))
    assert (len(endpoint.retry.schedule), endpoint.retry.max_age, endpoint.request_timeout) == (2, 60.0, 4.0)
    assert not endpoint.trusted


@pytest.mark.parametrize("driver", SQL)
@pytest.mark.parametrize("row", [SOCKUDO, {**STALE, "policy": POLICY}], ids=["columns", "policy"])
async def test_sockudos_table_is_read_as_it_is(
    driver: str, row: dict[str, Any], store: InPostgres | InMariaDb, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.execute(*table(driver, "applications", row, "boolean"))
    (found,) = (await watch(store)).apps.all()
    is_as_in_sockudo(found)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("driver", SQL)
async def test_without_a_trigger_changes_are_seen_by_polling(
    driver: str, store: InPostgres | InMariaDb, watch: Watch
) -> None:
    await store.execute(*table(driver, "applications", SOCKUDO, "boolean"))
    watched = await watch(store)
    await store.execute("UPDATE applications SET max_connections = 21")
    await watched.until(lambda: bool(watched.told), "it has changed")
    await store.execute("UPDATE applications SET max_connections = 22")
    await watched.until(lambda: len(watched.told) == 2, "it has changed again")
    await store.execute("DELETE FROM applications")
    await watched.until(lambda: watched.ids() == [], "it is gone")


@pytest.mark.parametrize("driver", SQL)
async def test_soketis_table_is_read_as_it_is(driver: str, store: InPostgres | InMariaDb, watch: Watch) -> None:
    await store.execute(*table(driver, "apps", SOKETI, "smallint" if driver == "postgres" else "tinyint(1)"))
    named(store, driver, "apps")
    (found,) = (await watch(store)).apps.all()
    is_as_in_soketi(found)


def is_as_in_soketi(found: AppDefinition) -> None:
    app, (endpoint,) = found.app, found.endpoints
    assert (app.id, app.keys[0].key, app.keys[0].secret, app.enabled) == ("app-1", "key-1", b"secret-of-1", True)
    assert (app.max_connections, app.client_events, app.client_events_per_second) == (None, True, 25)
    assert (app.backend_events_per_second, app.read_requests_per_second) == (None, 35)
    assert (app.user_authentication, app.max_event_bytes) == (False, 9 * 1024)
    assert endpoint.event_types == {"client_event"}


def named(store: Store, driver: str, table_name: str) -> None:
    """Let the configuration name another table."""
    settings = store.settings()
    settings["database"][driver]["table_name"] = table_name
    store.settings = lambda: settings  # type: ignore[method-assign]


@pytest.mark.parametrize("driver", SQL)
async def test_a_table_of_another_schema_and_a_view_can_be_read(
    driver: str, store: InPostgres | InMariaDb, watch: Watch
) -> None:
    await store.execute(*table(driver, "applications", SOKETI, "integer"))
    if driver == "postgres":
        await store.execute("CREATE SCHEMA tenants", "CREATE VIEW tenants.the_apps AS SELECT * FROM applications")
        named(store, driver, "tenants.the_apps")
    else:
        await store.execute("CREATE VIEW the_apps AS SELECT * FROM applications")
        named(store, driver, f"{store.database}.the_apps")
    watched = await watch(store)
    assert watched.ids() == ["app-1"]
    await store.execute("UPDATE applications SET max_connections = 3")
    await watched.until(lambda: bool(watched.told), "it has changed")


@pytest.mark.parametrize("driver", SQL)
async def test_columns_of_other_things_and_other_types_are_no_harm(
    driver: str, store: InPostgres | InMariaDb, watch: Watch
) -> None:
    quote, big = ('"', "bytea") if driver == "postgres" else ("`", "blob")
    await store.execute(
        f"CREATE TABLE applications (id bigint PRIMARY KEY, {quote}key{quote} text, secret text, enabled integer, "
        f"max_event_payload_in_kb numeric(8,2), picture {big}, born date, {quote}a b{quote} double precision)",
        "INSERT INTO applications VALUES (7, 'key-7', 'secret-of-7', 1, 1.5, 'x', '2026-01-01', 0.5)",
    )
    watched = await watch(store)
    (found,) = watched.apps.all()
    assert (found.app.id, found.app.max_event_bytes) == ("7", 1536)
    await store.execute("ALTER TABLE applications ADD COLUMN max_connections integer")
    await store.execute("UPDATE applications SET max_connections = 9")
    await watched.until(lambda: [each.app.max_connections for each in watched.apps.all()] == [9], "the new column")


@pytest.mark.parametrize("driver", SQL)
@pytest.mark.parametrize("going", ["a", "b"])
async def test_two_rows_with_one_id_are_broken(
    going: str, driver: str, store: InPostgres | InMariaDb, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    quote = '"' if driver == "postgres" else "`"
    await store.execute(
        f"CREATE TABLE applications (id varchar(9), {quote}key{quote} varchar(9), secret varchar(9))",
        "INSERT INTO applications VALUES ('1', 'a', 'secret-1'), ('1', 'b', 'secret-2'), ('2', 'c', 'secret-3')",
    )
    watched = await watch(store)
    assert watched.ids() == ["2"]
    assert "row 1: id: other rows have it too" in caplog.text
    await store.execute(f"DELETE FROM applications WHERE {quote}key{quote} = '{going}'")
    await watched.until(lambda: watched.ids() == ["1", "2"], "there is one row with it")


@pytest.mark.parametrize("driver", ["dynamodb"])
async def test_sockudos_item_is_read_as_it_is(store: InDynamoDb, watch: Watch) -> None:
    identity = {name: SOCKUDO[name] for name in ("id", "key", "secret", "enabled")}
    await store.write({**identity, "policy": json.dumps(POLICY)})
    (found,) = (await watch(store)).apps.all()
    is_as_in_sockudo(found)
    flat = {name: value for name, value in SOCKUDO.items() if value is not None}
    await store.write({**flat, "id": "app-2", "key": "key-2", "webhooks": json.dumps([WEBHOOK])})
    watched = await watch(store)
    assert watched.ids() == ["app-1", "app-2"]
    (other,) = [each for each in watched.apps.all() if each.app.id == "app-2"]
    assert (other.app.max_connections, other.endpoints[0].url) == (20, "https://example.com/hook")


@pytest.mark.parametrize("driver", ["dynamodb"])
async def test_soketis_items_are_read_as_they_are(store: InDynamoDb, watch: Watch, aws: Aws) -> None:
    name = aws.prefix() + "soketi"
    store.client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "AppId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "AppId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {
        "AppId": {"S": "app-1"},
        "AppKey": {"S": "key-1"},
        "AppSecret": {"S": "secret-of-1"},
        "MaxConnections": {"N": "-1"},
        "EnableClientMessages": {"B": b"true"},
        "Enabled": {"B": b"true"},
        "MaxBackendEventsPerSecond": {"N": "-1"},
        "MaxClientEventsPerSecond": {"N": "25"},
        "MaxReadRequestsPerSecond": {"N": "35"},
        "MaxEventPayloadInKb": {"N": "9"},
        "EnableUserAuthentication": {"BOOL": False},
        "Webhooks": {"S": json.dumps(SOKETI["webhooks"])},
    }
    store.client.put_item(TableName=name, Item=item)
    named(store, "dynamodb", name)
    (found,) = (await watch(store)).apps.all()
    is_as_in_soketi(found)


@pytest.mark.parametrize("driver", ["dynamodb"])
async def test_a_table_of_several_pages_is_read_as_a_whole(store: InDynamoDb, watch: Watch) -> None:
    filler = "x" * 300_000  # a page ends at 1 MB
    for number in range(9):
        await store.write({"id": str(number), "key": f"k{number}", "secret": f"secret-of-{number}", "filler": filler})
    assert (await watch(store)).ids() == [str(number) for number in range(9)]
