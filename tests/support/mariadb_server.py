"""A private, real MariaDB for tests: of Debian's package, on a free port of 127.0.0.1, in a folder of its own.

Use the fixtures: ``mariadb_server`` (one per worker process; take a fresh database from ``new_database``) and
``private_mariadb`` (one for this test alone, to be killed and frozen).
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.debian import packages
from tests.support.ports import free_port
from tests.support.user import give, own_folder, unprivileged

START_SECONDS = 60.0  # a loaded machine
USER = "sockudo"
PASSWORD = "word-of-mariadb"


class MariaDbServer:
    """A MariaDB process. ``USER`` with ``PASSWORD`` may do everything."""

    def __init__(self) -> None:
        self._packages = packages("mariadb-server")
        self._folder = own_folder("my-")
        self._process: subprocess.Popen[bytes] | None = None
        self._tls: list[str] = []
        self.port = 0
        self._make()

    def _words(self) -> list[str]:
        share = self._packages.file("usr/share/mysql/english/errmsg.sys").parent.parent
        program = self._packages.file("usr/sbin/mariadbd")
        words = [str(program), "--no-defaults", f"--datadir={self._folder / 'data'}", f"--lc-messages-dir={share}"]
        words += [f"--character-sets-dir={share / 'charsets'}", f"--plugin-dir={self._folder}", "--skip-grant-tables=0"]
        words += ["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M"]
        return [*words, f"--tmpdir={self._folder}", "--aria-log-dir-path", str(self._folder / "data")]

    def _make(self) -> None:
        (self._folder / "data").mkdir()
        give(self._folder / "data")
        share = self._packages.file("usr/share/mysql/mysql_system_tables.sql").parent
        statements = ["CREATE DATABASE mysql;", "USE mysql;"]
        for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql"):
            statements.append((share / name).read_text())
        statements.append(
            "FLUSH PRIVILEGES;\n"
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        )
        done = subprocess.run(
            [*self._words(), "--bootstrap", "--skip-networking"],
            input="\n".join(statements),
            cwd=self._folder,
            env=self._packages.env,
            capture_output=True,
            text=True,
            check=False,
            **unprivileged(),
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def use_tls(self, cert: bytes, key: bytes) -> None:
        """Speak TLS from the next start on; plain text as well."""
        for name, content in (("cert.pem", cert), ("key.pem", key)):
            path = self._folder / name
            path.touch(mode=0o600)
            path.write_bytes(content)
            give(path)
        self._tls = [f"--ssl-{what}={self._folder / name}.pem" for what, name in (("cert", "cert"), ("key", "key"))]

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "MariaDbServer":
        """Start it, at the same port as before, and wait until it answers."""
        self.port = self.port or free_port()
        words = [*self._words(), "--bind-address=127.0.0.1", f"--port={self.port}", *self._tls]
        words += [f"--socket={self._folder / 'socket'}", f"--pid-file={self._folder / 'pid'}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, cwd=self._folder, env=self._packages.env, stdout=log, stderr=log, **unprivileged()
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._answers():
                return self
            time.sleep(0.02)
        raise RuntimeError(f"MariaDB did not start:\n{(self._folder / 'log').read_text()[-3000:]}")

    def _answers(self) -> bool:
        return "1" in self._client("", "SELECT 1", check=False)

    def _client(self, database: str, sql: str, *, check: bool = True) -> str:
        program = self._packages.file("usr/bin/mariadb")
        words = [str(program), "--no-defaults", "-h127.0.0.1", f"-P{self.port}", f"-u{USER}", f"-p{PASSWORD}"]
        done = subprocess.run(
            [*words, "--skip-ssl", "-N", database] if database else [*words, "--skip-ssl", "-N"],
            input=sql,
            env=self._packages.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout

    def execute(self, database: str, sql: str) -> str:
        """Run statements in a database and return what they print."""
        return self._client(database, sql)

    def new_database(self) -> str:
        """Return the name of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._client("", f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def kill(self) -> None:
        """End it like a crash: SIGKILL. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it and remove what it wrote."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """The folder of everything it writes."""
        return self._folder


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """A MariaDB that the tests of this worker process share. Never stop or configure it."""
    server = MariaDbServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def private_mariadb() -> Iterator[MariaDbServer]:
    """A MariaDB for this test alone."""
    server = MariaDbServer()
    try:
        yield server.start()
    finally:
        server.remove()
