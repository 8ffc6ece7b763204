"""A table of apps in MySQL or MariaDB.

It can't tell of changes, so the table is polled. MySQL computes one hash over the whole table: while that stays the
same a look costs one small answer, however many apps there are. Only when it differs we ask for the hash of each row,
and then for the rows that are new.
"""

import asyncio
import ssl
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import asyncmy
from asyncmy.errors import MySQLError

from sockudo_py.apps.databases.table import Look, Row, TableError, versions_of

CHUNK = 500  # rows asked for at once
ACCESS_DENIED, NO_DATABASE_ACCESS, UNKNOWN_DATABASE, NO_SUCH_TABLE, NO_SUCH_COLUMN, NO_TABLE_ACCESS = (
    (1045, 1698),
    (1044,),
    (1049,),
    (1146,),
    (1054,),
    (1142,),
)
NEEDS_TLS = 3159


class MysqlTable:
    """A Table over asyncmy.

    Args:
        host: Name or address.
        port: Port.
        username: User.
        password: None: no password.
        database: Database.
        table: Name, perhaps with a database and a dot in front.
        tls: None: plain text.
        plain_too: Without TLS where the server has none.
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
        tls: ssl.SSLContext | None,
        plain_too: bool = False,
    ) -> None:
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": username,
            "password": password or "",
            "db": database,
            "charset": "utf8mb4",
            "autocommit": True,
        }
        self._tls = tls
        self._plain_too = plain_too
        self._where = f"{host}:{port}"
        self._database = database
        self._username = username
        self._name = table
        self._quoted = ".".join(f"`{part}`" for part in table.split("."))
        self._connection: Any = None
        self._print: Sequence[object] | None = None  # of the whole table, when the versions were read
        self._versions: dict[str, Hashable] = {}
        self._twice: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Connect. Raises TableError."""
        try:
            try:
                self._connection = await asyncmy.connect(**self._options, ssl=self._tls)
            except _ERRORS as error:
                if not self._plain_too or _code(error) in (*ACCESS_DENIED, *NO_DATABASE_ACCESS, *UNKNOWN_DATABASE):
                    raise
                self._connection = await asyncmy.connect(**self._options)
        except _ERRORS as error:
            raise self._error(error) from error

    async def look(self, known: Mapping[str, Hashable]) -> Look:
        """Return what is there. Raises TableError.

        Changes while we read are no harm: a row newer than its version is read again at the next look.
        """
        try:
            columns = await self._columns()
            if "id" not in columns:
                text = f"{self._name} has no column id"
                raise TableError("table_name", text, "name the table with the apps")
            await self._read_versions(columns)
            new = [row_id for row_id, version in self._versions.items() if known.get(row_id) != version]
            rows: dict[str, Row] = {}
            for start in range(0, len(new), CHUNK):
                rows |= await self._rows(new[start : start + CHUNK])
        except _ERRORS as error:
            raise self._error(error) from error
        return Look(dict(self._versions), rows, self._twice & rows.keys())

    async def changed(self, seconds: float) -> None:
        """Return after these seconds."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*_ERRORS):
                connection.close()

    async def _columns(self) -> list[str]:
        _, columns = await self._ask(f"SELECT * FROM {self._quoted} LIMIT 0")  # noqa: S608 - checked by config
        return columns

    async def _read_versions(self, columns: Sequence[str]) -> None:
        # QUOTE tells NULL from a word, and HEX keeps columns of all character sets apart.
        parts = ", ".join(f"HEX(QUOTE(`{column.replace('`', '``')}`))" for column in columns)
        row_hash = f"SHA2(CONCAT_WS(',', {parts}), 256)"
        halves = (f"BIT_XOR(CAST(CONV(SUBSTR(h, {place}, 16), 16, 10) AS UNSIGNED))" for place in (1, 17))
        whole = f"SELECT COUNT(*), {', '.join(halves)} FROM (SELECT {row_hash} AS h FROM {self._quoted}) AS hashes"  # noqa: S608
        answer, _ = await self._ask(whole.replace("%", "%%"))
        if self._print == answer[0]:
            return
        each = f"SELECT CAST(id AS CHAR), {row_hash} FROM {self._quoted}"  # noqa: S608
        pairs, _ = await self._ask(each.replace("%", "%%"))
        self._versions, self._twice = versions_of((_text(row_id), _text(version)) for row_id, version in pairs)
        self._print = answer[0]

    async def _rows(self, ids: Sequence[str]) -> dict[str, Row]:
        marks = ", ".join(["%s"] * len(ids))
        found, columns = await self._ask(f"SELECT * FROM {self._quoted} WHERE id IN ({marks})", ids)  # noqa: S608
        rows = [dict(zip(columns, values, strict=True)) for values in found]
        wanted = set(ids)
        return {row_id: row for row in rows if (row_id := _text(row["id"])) in wanted}

    async def _ask(self, sql: str, values: Sequence[str] = ()) -> tuple[Sequence[Sequence[Any]], list[str]]:
        """Return the rows and the names of the columns."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, tuple(values) or None)
            rows = await cursor.fetchall()
            return rows, [column[0] for column in cursor.description or ()]

    def _error(self, error: BaseException) -> TableError:
        code = _code(error)
        if code in ACCESS_DENIED:
            text = f"MySQL at {self._where} refuses {self._username}"
            return TableError("password", text, "check username, password, and from where the user may connect")
        if code in NO_DATABASE_ACCESS or code in NO_TABLE_ACCESS:
            text = f"{self._username} may not read {self._name} in the database {self._database}"
            return TableError("username", text, f"GRANT SELECT ON {self._database}.* TO {self._username}")
        if code in UNKNOWN_DATABASE:
            return TableError("database", f"there is no database {self._database}", "make it, or name another")
        if code in NO_SUCH_TABLE:
            text = f"there is no table {self._name} in the database {self._database}"
            return TableError("table_name", text, "make it (docs/apps-databases.md has the SQL), or name another")
        if code in NO_SUCH_COLUMN:
            return TableError("table_name", f"a column of {self._name} is gone", "")
        if code == NEEDS_TLS:
            return TableError("sslmode", f"MySQL at {self._where} takes no connection without TLS", "write require")
        cause = _tls_cause(error)
        if cause is not None:
            text = f"no TLS with {self._where}: {cause.reason or 'the handshake failed'}"
            return TableError("sslmode", text, "give the authority in ca_path, or choose another mode")
        if isinstance(error, MySQLError) and code is not None and code < 2000:
            return TableError("", f"MySQL at {self._where}: error {code}: {_line(error)}")
        text = f"MySQL at {self._where} can't be reached: {_line(error) or type(error).__name__}"
        return TableError("host", text, "start it, or name another")


# asyncmy raises RuntimeError where a connection ended in between.
_ERRORS = (OSError, EOFError, ssl.SSLError, MySQLError, RuntimeError)


def _code(error: BaseException) -> int | None:
    code = error.args[0] if isinstance(error, MySQLError) and error.args else None
    return code if isinstance(code, int) else None


def _tls_cause(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _text(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _line(error: BaseException) -> str:
    """Return an error's message in one line."""
    text = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], str) else str(error)
    return " ".join(text.split())[:300]
