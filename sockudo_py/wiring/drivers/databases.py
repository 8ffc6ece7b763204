"""Tables with apps: which one the configuration asks for. Each driver is imported inside its ``case``."""

import ssl
from typing import Any

from sockudo_py.apps.databases.database import DatabaseApps, Place, Read
from sockudo_py.apps.databases.table import Table
from sockudo_py.config import Config
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics


def database_apps(config: Config, read: Read, metrics: Metrics) -> DatabaseApps:
    """Return the app manager of a driver with a table. Raises ConfigError."""
    driver = config.app_manager.driver
    table, name, timeout_ms, interval = _table(config)
    return DatabaseApps(
        table,
        read,
        place=Place(driver, name, config.problem),
        poll_interval=interval,
        timeout=timeout_ms / 1000,
        metrics=metrics,
    )


def _table(config: Config) -> tuple[Table, str, int, float]:
    """Return the table, its name, the milliseconds for an answer, and the seconds between looks."""
    manager, database = config.app_manager, config.database
    match manager.driver:
        case "postgres":
            from sockudo_py.apps.databases.postgres import PostgresTable

            postgres = database.postgres
            table: Table = PostgresTable(
                host=postgres.host,
                port=postgres.port,
                username=postgres.username,
                password=_secret(postgres.password),
                database=postgres.database,
                table=postgres.table_name,
                tls="prefer" if postgres.sslmode == "prefer" else tls_context(config, "postgres") or False,
            )
            return table, postgres.table_name, postgres.response_timeout_ms, manager.postgres.poll_interval
        case "mysql":
            from sockudo_py.apps.databases.mysql import MysqlTable

            mysql = database.mysql
            table = MysqlTable(
                host=mysql.host,
                port=mysql.port,
                username=mysql.username,
                password=_secret(mysql.password),
                database=mysql.database,
                table=mysql.table_name,
                tls=tls_context(config, "mysql"),
                plain_too=mysql.sslmode == "prefer",
            )
            return table, mysql.table_name, mysql.response_timeout_ms, manager.mysql.poll_interval
        case "dynamodb":
            from sockudo_py.apps.databases.dynamodb import DynamoDbTable

            dynamodb = database.dynamodb
            table = DynamoDbTable(
                region=dynamodb.region,
                table=dynamodb.table_name,
                endpoint_url=dynamodb.endpoint_url,
                access_key=_secret(dynamodb.aws_access_key_id),
                secret_key=_secret(dynamodb.aws_secret_access_key),
                profile=dynamodb.aws_profile_name,
            )
            return table, dynamodb.table_name, dynamodb.response_timeout_ms, manager.dynamodb.poll_interval
    raise ConfigError([config.problem("app_manager.driver", f"{manager.driver} has no table")])


def _secret(value: Any) -> str | None:
    return None if value is None else value.get_secret_value()


def tls_context(config: Config, name: str) -> ssl.SSLContext | None:
    """Return the context for ``sslmode`` and ``ca_path`` of a database, None for plain text. Raises ConfigError."""
    section = config.database.postgres if name == "postgres" else config.database.mysql
    if section.sslmode == "disable":
        return None
    context = ssl.create_default_context()
    if section.sslmode in ("prefer", "require"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.check_hostname = section.sslmode == "verify-full"
    if section.ca_path is not None:
        key = f"database.{name}.ca_path"
        try:
            context = ssl.create_default_context(cafile=section.ca_path)
        except ssl.SSLError as error:
            text = f"{section.ca_path!r} holds no certificates ({error.args[-1]})"
            raise ConfigError([config.problem(key, text, "give a PEM file")]) from error
        except OSError as error:
            text = f"can't read {section.ca_path!r}: {error.strerror}"
            raise ConfigError([config.problem(key, text, "give the PEM file")]) from error
        context.check_hostname = section.sslmode == "verify-full"
    return context
