"""Whom these commands ask: the server of the configuration on its admin socket, or any server by URL and admin key."""

import argparse
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from sockudo_py.cli.live.options import KEY
from sockudo_py.cli.options import Env, config_path
from sockudo_py.cli.webhooks.asking import connect
from sockudo_py.config import load
from sockudo_py.errors import ConfigError, SockudoError

_TIMEOUT = 30.0  # seconds for an answer
_QUIET = 60.0  # seconds in which a stream has to say that it lives


class Silent(SockudoError):
    """The server gave no answer."""


class Refusal(SockudoError):
    """The server answered that it does not do it. ``code`` is for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def server_of(options: argparse.Namespace, env: Env, *, absent: bool = False) -> "LiveServer":
    """Return the server that the options name. Raises ConfigError when none can be asked.

    ``absent``: it need not run yet.
    """
    if options.url is not None:
        return _by_url(options.url, env)
    from sockudo_py.wiring.drivers.admins import admin_socket_path

    config = load(config_path(options), env)
    path = admin_socket_path(config)
    if path is None or not (absent or path.exists()):
        where = "has no admin socket" if path is None else f"does not answer on {path}"
        raise ConfigError(
            [
                f"the server of this configuration {where}; start it, set webhooks.admin.socket, or give --url and the "
                f"variable {KEY}"
            ]
        )
    return LiveServer(path=path)


def _by_url(url: str, env: Env) -> "LiveServer":
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ConfigError([f"--url {url}: must be http://HOST[:PORT][/PREFIX] or https://..., without user and query"])
    key = env.get(KEY, "")
    if not key:
        raise ConfigError([f"{KEY}: is missing; put an admin key into this variable (sockudo-py admin-key makes one)"])
    return LiveServer(
        host=parts.hostname,
        port=parts.port,
        secure=parts.scheme == "https",
        prefix=parts.path.rstrip("/"),
        key=key,
    )


class LiveServer:
    """A running server. ``path``: of its admin socket; else it is asked at ``host`` with ``key``."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        host: str = "localhost",
        port: int | None = None,
        secure: bool = False,
        prefix: str = "",
        key: str = "",
    ) -> None:
        self._path = path
        self._host = host
        self._port = port
        self._secure = secure
        self._prefix = prefix
        self._key = key

    def ask(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object of the answer. Raises SockudoError with what the server said, or why there is none."""
        connection, response = self._send(method, path, query, body, _TIMEOUT)
        try:
            text = response.read()
        except (OSError, http.client.HTTPException) as problem:
            raise self._silent(problem) from problem
        finally:
            connection.close()
        return _document(response.status, text)

    def stream(self, path: str, query: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield events of a stream: name and JSON object. It ends when the server ends it."""
        connection, response = self._send("GET", path, query, None, _QUIET)
        try:
            if response.status != http.client.OK:
                _document(response.status, response.read())
            name = "message"
            while line := response.readline():
                text = line.decode("utf-8", "replace").rstrip("\n")
                if text.startswith("event: "):
                    name = text.removeprefix("event: ")
                elif text.startswith("data: "):
                    yield name, json.loads(text.removeprefix("data: "))
                elif not text:
                    name = "message"
        except (OSError, ValueError) as problem:
            raise self._silent(problem) from problem
        finally:
            connection.close()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        timeout: float,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        given = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        target = self._prefix + path + (f"?{urlencode(given)}" if given else "")
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection = self._connection(timeout)
        try:
            if self._path is not None:
                connection.sock = connect(self._path)
                connection.sock.settimeout(timeout)
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as problem:
            connection.close()
            raise self._silent(problem) from problem

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _silent(self, problem: Exception) -> Silent:
        where = str(self._path) if self._path is not None else f"{self._host}:{self._port or ''}".rstrip(":")
        return Silent(f"the server at {where} gave no answer: {problem}")


def _document(status: int, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError:
        document = None
    if not isinstance(document, dict) and status >= http.client.INTERNAL_SERVER_ERROR:  # a proxy says so
        raise Silent(f"the server can't be reached: status {status}")
    if not isinstance(document, dict):
        raise SockudoError(f"the answer (status {status}) is no JSON object: is this the URL of a sockudo_py server?")
    if status >= http.client.BAD_REQUEST:
        error = document.get("error")
        said = error if isinstance(error, dict) else {}
        raise Refusal(status, str(said.get("code")), str(said.get("message") or f"status {status}"))
    return document
