"""A table of apps in PostgreSQL.

Where our trigger is on the table (``apps/sql/postgres.sql``), the database sends a NOTIFY at each change. A pooler in
between may swallow it, so each connect tries out whether one arrives. Each look is one snapshot of the table.
"""

import asyncio
import logging
import ssl
import uuid
from collections.abc import Hashable, Mapping
from typing import Any

import asyncpg

from sockudo_py.apps.databases.table import Look, Row, TableError, versions_of

log = logging.getLogger(__name__)

CHANNEL = "sockudo_py_apps"  # of the notifications; also the name of the trigger
TRIAL = 1.0  # seconds for a notification to come back to us
TOLD = 30.0  # seconds between looks while notifications arrive: any of them may be lost
CHUNK = 500  # rows asked for at once

_ID_AND_HASH = "SELECT r.id::text, hashtextextended(r::text, 0) FROM {table} AS r"
_ROWS = "SELECT r.* FROM {table} AS r WHERE r.id::text = ANY($1)"
_TRIGGER = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2 "
    "AND tgenabled IN ('O', 'A'))"
)


class PostgresTable:
    """A Table over asyncpg.

    Args:
        host: Name, address, or folder of a socket.
        port: Port.
        username: Role.
        password: None: as the environment says.
        database: Database.
        table: Name, perhaps with a schema and a dot in front.
        tls: A context, ``"prefer"``, or False for plain text.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        username: str,
        password: str | None,
        database: str,
        table: str,
        tls: ssl.SSLContext | str | bool,
    ) -> None:
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": username,
            "password": password,
            "database": database,
            "ssl": tls,
            "statement_cache_size": 0,  # poolers hand each statement to another connection
            "server_settings": {"application_name": "sockudo-py"},
        }
        self._where = f"{host}:{port}"
        self._database = database
        self._username = username
        self._name = table
        self._quoted = ".".join(f'"{part}"' for part in table.split("."))
        self._connection: Any = None
        self._changed = asyncio.Event()
        self._reached = False  # a notification came back to us
        self._told = False  # and the table has its trigger

    async def open(self) -> None:
        """Connect, and find out whether notifications reach us. Raises TableError."""
        try:
            self._connection = await asyncpg.connect(**self._options)
            self._connection.add_termination_listener(lambda _: self._changed.set())
            self._reached = await self._listens()
        except _ERRORS as error:
            raise self._error(error) from error

    async def look(self, known: Mapping[str, Hashable]) -> Look:
        """Return what is there, of one moment. Raises TableError."""
        self._changed.clear()  # before the read: a later change sets it again
        try:
            self._told = self._reached and await self._connection.fetchval(_TRIGGER, self._quoted, CHANNEL)
            async with self._connection.transaction(isolation="repeatable_read", readonly=True):
                pairs = await self._connection.fetch(_ID_AND_HASH.format(table=self._quoted))
                versions, twice = versions_of((str(row_id), version) for row_id, version in pairs)
                new = [row_id for row_id, version in versions.items() if known.get(row_id) != version]
                rows: dict[str, Row] = {}
                for start in range(0, len(new), CHUNK):
                    chunk = await self._connection.fetch(_ROWS.format(table=self._quoted), new[start : start + CHUNK])
                    rows |= {str(row["id"]): dict(row) for row in chunk}
        except _ERRORS as error:
            raise self._error(error) from error
        return Look(versions, rows, twice & rows.keys())

    async def changed(self, seconds: float) -> None:
        """Return at a notification, at the end of the connection, or after these seconds."""
        try:
            async with asyncio.timeout(max(seconds, TOLD) if self._told else seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _listens(self) -> bool:
        """Listen, and return whether a notification arrives.

        It comes from another connection: one of our own would arrive through a pooler too, which then has both of us on
        one connection, and loses those that come later.
        """
        trial = f"sockudo_py_{uuid.uuid4().hex}"
        arrived = asyncio.Event()
        connection = self._connection

        def arrive(*_: object) -> None:
            arrived.set()

        def change(*_: object) -> None:
            self._changed.set()

        try:
            await connection.add_listener(CHANNEL, change)
            await connection.add_listener(trial, arrive)
            await self._notify(trial)
            async with asyncio.timeout(TRIAL):
                await arrived.wait()
            await connection.remove_listener(trial, arrive)
        except (asyncpg.ReadOnlySQLTransactionError, asyncpg.ObjectNotInPrerequisiteStateError):
            return False  # a standby has no notifications
        except (TimeoutError, asyncpg.TooManyConnectionsError):
            log.info("notifications of PostgreSQL at %s don't reach this server: it polls", self._where)
            await connection.remove_listener(CHANNEL, change)
            await connection.remove_listener(trial, arrive)
            return False
        return True

    async def _notify(self, channel: str) -> None:
        other = await asyncpg.connect(**self._options)
        try:
            await other.execute(f"NOTIFY {channel}")
        finally:
            other.terminate()

    def _error(self, error: BaseException) -> TableError:
        match error:
            case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
                text = f"PostgreSQL at {self._where} refuses {self._username}"
                return TableError("password", text, "check username and password, and pg_hba.conf")
            case asyncpg.InvalidCatalogNameError():
                return TableError("database", f"there is no database {self._database}", "make it, or name another")
            case asyncpg.UndefinedTableError():
                text = f"there is no table {self._name} in the database {self._database}"
                return TableError("table_name", text, "make it (docs/apps-databases.md has the SQL), or name another")
            case asyncpg.UndefinedColumnError():
                return TableError("table_name", f"{self._name} has no column id", "name the table with the apps")
            case asyncpg.InsufficientPrivilegeError():
                text = f"{self._username} may not read {self._name}"
                return TableError("username", text, f"GRANT SELECT ON {self._name} TO {self._username}")
            case ssl.SSLError():
                text = f"no TLS with {self._where}: {error.reason or 'the handshake failed'}"
                return TableError("sslmode", text, "give the authority in ca_path, or choose another mode")
            case asyncpg.PostgresError():
                return TableError("", f"PostgreSQL at {self._where}: {type(error).__name__}: {_line(error)}")
        text = f"PostgreSQL at {self._where} can't be reached: {_line(error) or type(error).__name__}"
        return TableError("host", text, "start it, or name another")


_ERRORS = (OSError, EOFError, ssl.SSLError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def _line(error: BaseException) -> str:
    """Return an error's message in one line."""
    return " ".join(str(error).split())[:300]
