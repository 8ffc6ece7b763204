"""A private, real PostgreSQL for tests: of Debian's package, on a free port of 127.0.0.1, in a folder of its own.

Use the fixtures: ``postgres_server`` (one per worker process; take a fresh database from ``database``) and
``private_postgres`` (one for this test alone, to be killed and frozen).
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.debian import packages
from tests.support.ports import free_port
from tests.support.user import give, own_folder, unprivileged

START_SECONDS = 60.0  # a loaded machine
USER = "postgres"
PASSWORD = "word-of-postgres"


class PostgresServer:
    """A PostgreSQL process. Its superuser is ``postgres`` with ``PASSWORD``."""

    def __init__(self) -> None:
        found = packages("postgresql-15")
        self._bin = found.file("usr/lib/postgresql/15/bin/initdb").parent
        self._env = found.env
        self._folder = own_folder("pg-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._make()

    def _make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        give(secret)
        words = [str(self._bin / "initdb"), "-D", str(self._folder / "data"), "-U", USER, "--no-sync", "-E", "UTF8"]
        words += ["--locale=C", "-A", "scram-sha-256", f"--pwfile={secret}"]
        env = {**self._env, "HOME": str(self._folder)}
        done = subprocess.run(
            words, cwd=self._folder, env=env, capture_output=True, text=True, check=False, **unprivileged()
        )
        assert done.returncode == 0, done.stderr

    def use_tls(self, cert: bytes, key: bytes) -> None:
        """Speak TLS from the next start on; plain text as well."""
        data = self._folder / "data"
        for name, content in (("server.crt", cert), ("server.key", key)):
            path = data / name
            path.touch(mode=0o600)
            path.write_bytes(content)
            give(path)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("\nssl = on\n")

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "PostgresServer":
        """Start it, at the same port as before, and wait until it answers."""
        self.port = self.port or free_port()
        words = [str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        for setting in ("listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", "fsync=off"):
            words += ["-c", setting]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, cwd=self._folder, env=self._env, stdout=log, stderr=log, **unprivileged()
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                asyncio.run(self._run("postgres", "SELECT 1"))
            except (OSError, asyncpg.PostgresError):
                time.sleep(0.02)
            else:
                return self
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-3000:]}")

    async def _run(self, database: str, sql: str) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database=database, timeout=10, ssl=False
        )
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def execute(self, database: str, sql: str) -> None:
        """Run statements in a database."""
        await self._run(database, sql)

    def new_database(self) -> str:
        """Return the name of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        asyncio.run(self._run("postgres", f"CREATE DATABASE {name}"))
        return name

    def kill(self) -> None:
        """End it like a crash: SIGKILL of all its processes. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        children = _children(process.pid)
        process.kill()
        process.wait()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def freeze(self) -> None:
        """SIGSTOP of all its processes: connections stay, and nothing is answered."""
        for pid in (self.pid, *_children(self.pid)):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        for pid in (*_children(self.pid), self.pid):
            os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it and remove what it wrote."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that the tests of this worker process share. Never stop or configure it."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def private_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for this test alone."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()
