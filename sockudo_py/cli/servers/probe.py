"""Asks a server on this machine, on its port and on its Unix socket."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from sockudo_py.cli.shown import plain
from sockudo_py.config import Config
from sockudo_py.process.unix_socket import reachable

_SHOWN = 200  # bytes of an answer
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to ask who listens there


def probe(config: Config, path: str, port: int | None, timeout: float) -> Iterator[tuple[bool, str]]:
    """Yield for each of the places where the server listens whether the answer is 200, and a line about it.

    Args:
        config: Of the server.
        path: What to ask for, without the prefix.
        port: In place of the configured one.
        timeout: Seconds for each answer.
    """
    target = config.url_prefix + (path if path.startswith("/") else f"/{path}")
    yield _ask_port(config, config.port if port is None else port, target, timeout)
    if config.unix_socket.enabled:
        yield _ask_socket(Path(config.unix_socket.path), target, timeout)


def _ask_port(config: Config, port: int, path: str, timeout: float) -> tuple[bool, str]:
    if port == 0:
        return False, "port: is 0, so the server's port can't be known; give --port"
    host = _EVERYWHERE.get(config.host, config.host)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not config.ssl.enabled:
        return _ask(http.client.HTTPConnection(host, port, timeout=timeout), f"http://{where}{path}", path)
    # The certificate is for the name that clients use, which is not the one that this asks for.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return _ask(connection, f"https://{where}{path}", path)


def _ask_socket(socket_path: Path, path: str, timeout: float) -> tuple[bool, str]:
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    where = f"{socket_path} {path}"
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    try:
        with reachable(socket_path) as short:
            stream.connect(short)
    except OSError as problem:
        stream.close()
        return False, f"{where}: no answer: {problem.strerror or problem}"
    connection.sock = stream
    return _ask(connection, where, path)


def _ask(connection: http.client.HTTPConnection, where: str, path: str) -> tuple[bool, str]:
    """Return whether the answer is 200, and a line about it."""
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = plain(response.read(_SHOWN).decode("utf-8", "replace").strip())
    except (OSError, http.client.HTTPException) as problem:
        return False, f"{where}: no answer: {getattr(problem, 'strerror', None) or problem or type(problem).__name__}"
    finally:
        connection.close()
    return response.status == 200, f"{where}: {response.status} {body}"
