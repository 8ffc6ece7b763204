"""The sources of apps that must pass the suite. A new driver is one class here and one line in ``DRIVERS``.

A store holds apps as they are written in a file. ``write`` keeps one, also one that can't be used.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import boto3
from boto3.dynamodb.types import TypeSerializer

from sockudo_py.apps.base import AppChanged, AppManager
from sockudo_py.config import Config, load
from sockudo_py.metrics import Metrics
from sockudo_py.wiring.drivers.apps import endpoint_rules, make_apps
from tests.support import mariadb_server, postgres_server
from tests.support.aws import Aws
from tests.support.client import eventually
from tests.support.mariadb_server import MariaDbServer
from tests.support.postgres_server import PostgresServer

SQL = Path(__file__).parents[3] / "sockudo_py" / "apps" / "sql"
App = dict[str, Any]
COLUMNS = ("id", "key", "secret", "enabled", "webhooks")


class Store(Protocol):
    """Where a driver keeps apps. ``changes``: they may change while the server runs."""

    changes: bool

    def settings(self) -> Mapping[str, Any]:
        """Return ``app_manager`` and ``database`` of the configuration."""

    async def write(self, *apps: App) -> None:
        """Keep these, each in the place of the one with its id, all at once."""

    async def remove(self, app_id: str) -> None:
        """Let one go."""


class InConfig:
    changes = False

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}

    def settings(self) -> Mapping[str, Any]:
        return {"app_manager": {"driver": "array", "array": {"apps": list(self._apps.values())}}}

    async def write(self, *apps: App) -> None:
        self._apps |= {app["id"]: app for app in apps}

    async def remove(self, app_id: str) -> None:
        del self._apps[app_id]


class InFiles:
    changes = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "apps"
        self._folder.mkdir()

    def settings(self) -> Mapping[str, Any]:
        return {"app_manager": {"driver": "file", "file": {"path": str(self._folder), "poll_interval": 0.05}}}

    async def write(self, *apps: App) -> None:
        for app in apps:
            partly = self._folder / ".partly"
            partly.write_text(json.dumps(app))
            partly.rename(self._folder / f"{app['id']}.json")

    async def remove(self, app_id: str) -> None:
        (self._folder / f"{app_id}.json").unlink()


def literal(value: object) -> str:
    """Return a value as SQL has it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return str(value)
        case list() | dict():
            return literal(json.dumps(value))
    return "'" + str(value).replace("'", "''").replace("\\", "\\\\" if "\\" in str(value) else "") + "'"


def statements(app: App, quote: str) -> list[str]:
    """Return what puts an app into our layout."""
    row = {name: app[name] for name in COLUMNS if name in app}
    row["settings"] = {name: value for name, value in app.items() if name not in COLUMNS}
    names = ", ".join(f"{quote}{name}{quote}" for name in row)
    return [
        f"DELETE FROM applications WHERE id = {literal(app['id'])}",
        f"INSERT INTO applications ({names}) VALUES ({', '.join(map(literal, row.values()))})",
    ]


class InPostgres:
    changes = True

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.database = server.new_database()

    def settings(self) -> Mapping[str, Any]:
        section = {"host": "127.0.0.1", "port": self.server.port, "password": postgres_server.PASSWORD}
        return {
            "app_manager": {"driver": "postgres", "postgres": {"poll_interval": 0.2}},
            "database": {"postgres": {**section, "username": postgres_server.USER, "database": self.database}},
        }

    async def write(self, *apps: App) -> None:
        sql = [(SQL / "postgres.sql").read_text()] + [line for app in apps for line in statements(app, '"')]
        await self.execute(*sql)

    async def remove(self, app_id: str) -> None:
        await self.execute(f"DELETE FROM applications WHERE id = {literal(app_id)}")

    async def execute(self, *sql: str) -> None:
        """Run statements in one transaction."""
        await self.server.execute(self.database, ";\n".join(sql))


class InMariaDb:
    changes = True

    def __init__(self, server: MariaDbServer) -> None:
        self.server = server
        self.database = server.new_database()

    def settings(self) -> Mapping[str, Any]:
        section = {"host": "127.0.0.1", "port": self.server.port, "password": mariadb_server.PASSWORD}
        return {
            "app_manager": {"driver": "mysql", "mysql": {"poll_interval": 0.2}},
            "database": {"mysql": {**section, "username": mariadb_server.USER, "database": self.database}},
        }

    async def write(self, *apps: App) -> None:
        sql = [line for app in apps for line in statements(app, "`")]
        await self.execute((SQL / "mysql.sql").read_text(), "BEGIN", *sql, "COMMIT")

    async def remove(self, app_id: str) -> None:
        await self.execute(f"DELETE FROM applications WHERE id = {literal(app_id)}")

    async def execute(self, *sql: str) -> None:
        """Run statements."""
        await asyncio.to_thread(self.server.execute, self.database, ";\n".join(sql) + ";")


class InDynamoDb:
    changes = True

    def __init__(self, aws: Aws) -> None:
        self._url = aws.url
        self.table = aws.prefix() + "apps"
        self.client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=aws.url)
        self.client.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def settings(self) -> Mapping[str, Any]:
        return {
            "app_manager": {"driver": "dynamodb", "dynamodb": {"poll_interval": 0.2}},
            "database": {"dynamodb": {"table_name": self.table, "endpoint_url": self._url}},
        }

    async def write(self, *apps: App) -> None:
        items = [{name: TypeSerializer().serialize(value) for name, value in app.items()} for app in apps]
        puts = [{"Put": {"TableName": self.table, "Item": item}} for item in items]
        await asyncio.to_thread(self.client.transact_write_items, TransactItems=puts)

    async def remove(self, app_id: str) -> None:
        key = {"id": {"S": app_id}}
        await asyncio.to_thread(self.client.delete_item, TableName=self.table, Key=key)


DRIVERS = ("config", "file", "postgres", "mysql", "dynamodb")
CHANGING = DRIVERS[1:]
DATABASES = DRIVERS[2:]


class Watched:
    """An app manager, and what it reported."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.told: list[AppChanged] = []
        self.apps: AppManager = make_apps(config, endpoint_rules(config), self.metrics)

    async def start(self) -> "Watched":
        await self.apps.start(self.told.append)
        return self

    def ids(self) -> list[str]:
        return sorted(definition.app.id for definition in self.apps.all())

    def figure(self, name: str) -> float:
        return self.metrics.series[name].values[()]

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        await eventually(true, what)


def configure(folder: Path, settings: Mapping[str, Any], **more: Any) -> Config:
    """Return a configuration in which apps are where ``settings`` say."""
    path = folder / f"{uuid.uuid4().hex}.json"
    path.write_text(json.dumps({"host": "127.0.0.1", **settings, **more}))
    return load(path, {})
