"""Finds what would stop a start on this machine, without opening anything."""

import logging
import os
import socket
from pathlib import Path

from sockudo_py.apps.definition import app_reader
from sockudo_py.config import Config
from sockudo_py.errors import ConfigError
from sockudo_py.wiring.drivers.queues import spool_path, store_driver

log = logging.getLogger(__name__)


def unusable(config: Config) -> list[str]:
    """Return a line for each host that can't be resolved and each path that can't be used."""
    problems = []
    for key, host in (("host", config.host), ("metrics.host", config.metrics.host)):
        if host is not None and (key == "host" or config.metrics.enabled) and (why := _unresolved(host)):
            problems.append(config.problem(key, f"{host} can't be resolved: {why}", "use an address of this machine"))
    if config.unix_socket.enabled and (why := unwritable(Path(config.unix_socket.path), make_folders=False)):
        why = f"{config.unix_socket.path}: {why}"
        problems.append(config.problem("unix_socket.path", why, "make its folder, or name another"))
    admin = config.webhooks.admin.socket
    if admin is not None and (why := unwritable(Path(admin), make_folders=False)):
        why = f"{admin}: {why}"
        problems.append(config.problem("webhooks.admin.socket", why, "make its folder, or name another"))
    key_file = config.webhooks.admin.key_file
    if key_file is not None and (why := unwritable(Path(key_file))) and not Path(key_file).is_file():
        why = f"{key_file}: {why}"
        problems.append(
            config.problem("webhooks.admin.key_file", why, "name a file in a folder that the server may write to")
        )
    queue = Path(config.queue.sqlite.path)
    if store_driver(config) == "sqlite" and (why := unwritable(queue) or _no_database(queue)):
        problems.append(
            config.problem(
                "queue.sqlite.path", f"{queue}: {why}", "name a file in a folder that the server may write to"
            )
        )
    spool = spool_path(config)
    if spool is not None and spool.parent != queue.parent and config.sends_webhooks and (why := unwritable(spool)):
        problems.append(
            config.problem(
                "webhooks.spool.path", f"{spool}: {why}", "name a file in a folder that the server may write to"
            )
        )
    return problems


def spare_needless_queue(config: Config) -> tuple[Config, str | None]:
    """Return a configuration that starts where only the default queue, which nothing needs, would keep it from that.

    The second value is a warning, None when the configuration is as it was.
    """
    queue = config.queue
    given = "driver" in queue.model_fields_set or "path" in queue.sqlite.model_fields_set
    if queue.driver != "sqlite" or given or (why := unwritable(Path(queue.sqlite.path))) is None:
        return config, None
    if config.sends_webhooks and _has_endpoints(config):
        return config, None
    text = f"{queue.sqlite.path}: {why}; no webhook endpoint is configured, so the queue is kept in memory"
    spared = config.model_copy(update={"queue": queue.model_copy(update={"driver": "memory"})})
    return spared, config.problem("queue.sqlite.path", text, "name another file before you add endpoints")


def unwritable(path: Path, *, make_folders: bool = True) -> str | None:
    """Return why a file can't be made or written, or None. Folders in between may be missing with ``make_folders``."""
    try:
        if path.is_dir():
            return "is a folder"
        if path.exists():
            return None if os.access(path, os.W_OK) else "can't be written: permission denied"
        folder = path.absolute().parent
        while not folder.exists():
            if not make_folders:
                return f"there is no folder {folder}"
            folder = folder.parent
    except OSError as error:  # such as a folder that may not be looked into
        return f"can't be used: {error.strerror}"
    if not folder.is_dir():
        return f"{folder} is no folder"
    kernels = folder.resolve().parts[:2]
    if kernels in (("/", "proc"), ("/", "sys")):  # root may write to them, and yet no file can be made there
        return f"no file can be made in {''.join(kernels)}"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"the folder {folder} can't be written: permission denied"


def _no_database(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except OSError:  # it is made at the start
        return None
    return None if beginning in (b"", b"SQLite format 3\0") else "is no file of SQLite"


def _unresolved(host: str) -> str | None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or "it is no name"
    return None


def _has_endpoints(config: Config) -> bool:
    manager = config.app_manager
    if manager.in_database or config.webhooks.operators:
        return True  # there may be some
    if manager.driver != "file" or manager.file.path is None:
        return any(app.webhooks for app in manager.array.apps)
    read = app_reader(config, os.environ)
    try:
        files = [path for path in Path(manager.file.path).iterdir() if path.suffix == ".json"]
        return any(read(path.read_bytes(), str(path)).endpoints for path in files)
    except (OSError, ConfigError):  # reported when the apps are read; until then there may be some
        return True
