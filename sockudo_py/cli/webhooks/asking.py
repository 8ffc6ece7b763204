"""Whom the commands ask: the running server on its admin socket, or, when none runs, the queue itself.

Either way the same routes answer. Redis and SQS are asked directly: they are shared with the server.
"""

import asyncio
import http.client
import json
import os
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlencode

from sockudo_py.cli.webhooks.stored import Known, known
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.management.credentials.keys import SOCKET_OWNER
from sockudo_py.management.deliveries.letters import Letters, letters_of
from sockudo_py.management.deliveries.queue import QueueRoutes
from sockudo_py.management.endpoints.routes import EndpointRoutes, Listed
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Asked
from sockudo_py.metrics import Metrics
from sockudo_py.process.unix_socket import reachable
from sockudo_py.queues.base import Queue

_PATIENCE = 2.0  # seconds for a server that has the queue already and its socket not yet
_AGAIN = 0.1  # seconds between two tries
_TIMEOUT = 600.0  # seconds for an answer: a purge may take long

Endpoints = Callable[[], Sequence[Endpoint]]
Query = Mapping[str, str]
Body = Mapping[str, Any]
NONE: Mapping[str, Any] = MappingProxyType({})


class Asking(Protocol):
    """Somebody who answers the management routes."""

    live: bool  # a running server: its figures are complete

    async def ask(self, method: str, path: str, query: Query = NONE, body: Body = NONE) -> dict[str, Any]:
        """Return the JSON object of the answer. Raises RefusedRequest, or SockudoError when there is none."""


class RefusedRequest(SockudoError):
    """The answer is an error. ``code`` is its word for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Direct:
    """The routes in this process, over the queue or a view of its file."""

    live = False

    def __init__(self, letters: Letters, found: Known) -> None:
        routes = EndpointRoutes(Listed(lambda: found.endpoints), document=found.documents.get)
        self._router = Router((routes, QueueRoutes(letters, lambda: found.endpoints)))

    async def ask(self, method: str, path: str, query: Query = NONE, body: Body = NONE) -> dict[str, Any]:
        asked = Asked(SOCKET_OWNER, query=query, body=body)
        answer = await self._router.handle(method, path, asked)
        return _document(answer.status, dict(answer.document))


class _Server:
    """The running server, one connection a request."""

    live = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def ask(self, method: str, path: str, query: Query = NONE, body: Body = NONE) -> dict[str, Any]:
        return await asyncio.to_thread(self._ask, method, path, query, body)

    def _ask(self, method: str, path: str, query: Query, body: Body) -> dict[str, Any]:
        connection = http.client.HTTPConnection("localhost", timeout=_TIMEOUT)
        try:
            connection.sock = connect(self._path)
            target = f"{path}?{urlencode(query)}" if query else path
            sent = json.dumps(body) if body else None
            connection.request(method, target, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            document = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise SockudoError(
                f"the server at {self._path} gave no answer ({problem}); look whether it is still running, and repeat "
                "the command"
            ) from problem
        finally:
            connection.close()
        return _document(response.status, document)


def _document(status: int, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise SockudoError("the server answered something else than a JSON object: are both of the same version?")
    if status >= 400:
        error = document.get("error")
        error = error if isinstance(error, dict) else {}
        raise RefusedRequest(str(error.get("code")), str(error.get("message", f"status {status}")))
    return document


@asynccontextmanager
async def asking(config: Config, endpoints: Endpoints, *, writes: bool) -> AsyncIterator[Asking]:
    """Yield a server or a queue to ask. Raises ConfigError when there is neither.

    Args:
        config: Of the server.
        endpoints: Returns those of the configuration, for when no server runs.
        writes: Whether the command changes the queue.
    """
    from sockudo_py.wiring.drivers.admins import admin_socket_path

    path = admin_socket_path(config)
    if path is not None and _answered(path):
        yield _Server(path)
        return
    driver = config.queue.driver
    if driver in ("memory", "none"):
        raise ConfigError([config.problem("queue.driver", *_out_of_reach(config, path))])
    if driver != "sqlite":
        queue = await _open(config)
        if queue is not None:
            try:
                yield _Direct(letters_of(queue), await known(config, endpoints()))
            finally:
                await queue.close()
        return
    file = _existing(config)
    if not writes:
        from sockudo_py.queues.sqlite.view import SqliteView

        yield _Direct(SqliteView(file), await known(config, endpoints()))
        return
    async with _file(config, endpoints, path or file) as found:
        yield found


@asynccontextmanager
async def _file(config: Config, endpoints: Endpoints, path: Path) -> AsyncIterator[Asking]:
    """Yield the file of the queue to write to, or the server that has it."""
    deadline = time.monotonic() + _PATIENCE
    while (queue := await _open(config)) is None:
        if _answered(path):
            yield _Server(path)
            return
        if time.monotonic() > deadline:
            text = "the running server has this queue for itself"
            remedy = f"stop the server and repeat the command; its log says why it does not answer on {path}"
            raise ConfigError([config.problem("queue.sqlite.path", text, remedy)])
        await asyncio.sleep(_AGAIN)
    try:
        yield _Direct(letters_of(queue), await known(config, endpoints()))
    finally:
        await queue.close()


def _existing(config: Config) -> Path:
    file = Path(config.queue.sqlite.path)
    if not file.exists():
        text = f"there is no {file.absolute()}"
        raise ConfigError([config.problem("queue.sqlite.path", text, "run this where the server runs")])
    return file


async def _open(config: Config) -> Queue | None:
    """Return the queue; None: another process has its file."""
    from sockudo_py.wiring.drivers.queues import make_queue

    queue = make_queue(config, Metrics())
    try:
        await queue.open()
    except SockudoError as error:
        await queue.close()
        if config.queue.driver == "sqlite" and "in use by another process" in str(error):
            return None
        raise
    return queue


def _out_of_reach(config: Config, path: Path | None) -> tuple[str, str]:
    if config.queue.driver == "none":
        return "none: there is no queue", "set queue.driver to sqlite"
    lives = "memory: this queue lives inside the server process"
    if path is not None:
        return f"{lives}, and no server answers on {path.absolute()}", "start the server, or look into its log"
    return f"{lives} and can't be opened from outside", (
        "set webhooks.admin.socket to a path, such as data/admin.sock, and start the server again, or set queue.driver "
        "to redis or sqlite"
    )


def _answered(path: Path) -> bool:
    """Return whether a server listens there that is this user's, or root's. Raises SockudoError when it is not."""
    try:
        connect(path).close()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return False
    except PermissionError as problem:
        raise SockudoError(
            f"{path}: permission denied; run this as the user that the server runs as, or as root"
        ) from problem
    except OSError as problem:
        raise SockudoError(f"{path}: {problem.strerror or problem}") from problem
    return True


def connect(path: Path) -> socket.socket:
    """Return a connection to a socket, which must belong to this user or to root: another one may answer anything."""
    found = path.lstat()
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError("is no socket; remove it, and start the server again")
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise OSError("the socket belongs to another user; run this as the user that the server runs as")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_TIMEOUT)
        with reachable(path) as short:
            connection.connect(short)
    except OSError:
        connection.close()
        raise
    return connection
