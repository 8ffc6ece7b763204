"""PgBouncer of Debian's package before a PostgreSQL: each transaction gets any connection of its pool."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.debian import packages
from tests.support.ports import free_port
from tests.support.postgres_server import PASSWORD, START_SECONDS, USER
from tests.support.user import give, own_folder, unprivileged

SETTINGS = """
[databases]
{database} = host=127.0.0.1 port={server} dbname={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
"""


@contextmanager
def pooler(server: int, database: str) -> Iterator[int]:
    """Run it for the block, before the PostgreSQL at this port, and yield its own port."""
    found = packages("pgbouncer")
    folder, port = own_folder("bouncer-"), free_port()
    settings = SETTINGS.format(database=database, server=server, port=port, folder=folder)
    for name, content in (("users", f'"{USER}" "{PASSWORD}"\n'), ("settings.ini", settings)):
        (folder / name).write_text(content)
        give(folder / name)
    process = subprocess.Popen(
        [str(found.file("usr/sbin/pgbouncer")), str(folder / "settings.ini")],
        cwd=folder,
        env=found.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **unprivileged(),
    )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None
            assert time.monotonic() < end, "PgBouncer does not listen"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)  # polls, with a deadline
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
