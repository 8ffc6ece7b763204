"""``sockudo-py health``: ask a server that runs on this machine, as the configuration says where it listens."""

import argparse
import http.client
import socket
import ssl
import sys
from pathlib import Path

from sockudo_py.cli import start
from sockudo_py.cli.options import FAILED, OK, Env, add_config, config_path, examples
from sockudo_py.cli.shown import plain
from sockudo_py.config import Config, load
from sockudo_py.errors import ConfigError
from sockudo_py.process.unix_socket import reachable

_SHOWN = 200  # bytes of an answer
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to ask who listens there


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "health",
        help="ask the server on this machine whether it is up",
        description="Ask the server on this machine whether it is up, on its port and, where it has one, on its Unix "
        "socket. Ends with 0 when every answer is 200, else with 1. Containers call it as their health check; it needs "
        "the file and the variables of the server.",
        **examples(
            "sockudo-py health config.json",
            "sockudo-py health config.json --path /ready --timeout 1",
            "HEALTHCHECK CMD sockudo-py health --config /etc/sockudo/config.json",
            "HEALTHCHECK CMD sockudo-py health --pid 1    # with the file and the options that it was started with",
        ),
    )
    add_config(parser)
    parser.add_argument(
        "--pid", type=int, metavar="N", help="the server's process: its file and options count (Linux only)"
    )
    parser.add_argument("--path", default="/up", help="path to ask for (default /up)")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="for each answer (default 2)")
    parser.add_argument("--port", type=int, metavar="N", help="port, when the server was started with another")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, env: Env) -> int:
    """Ask, print the answers, return 0 or 1. No other code: Docker reserves 2."""
    try:
        config = _config_of(options.pid, env) if options.pid is not None else load(config_path(options), env)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return FAILED
    path = config.url_prefix + (options.path if options.path.startswith("/") else f"/{options.path}")
    port = config.port if options.port is None else options.port
    results = [_ask_port(config, port, path, options.timeout)]
    if config.unix_socket.enabled:
        results.append(_ask_socket(Path(config.unix_socket.path), path, options.timeout))
    for well, text in results:
        print(text, file=sys.stdout if well else sys.stderr)
    return OK if all(well for well, _ in results) else FAILED


def _config_of(pid: int, env: Env) -> Config:
    """Return the configuration of the server that runs as this process. Raises ConfigError."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").removesuffix("\0").split("\0")
    except OSError as problem:
        raise ConfigError([f"--pid {pid}: can't be looked at: {problem.strerror}"]) from None
    if "start" not in words:
        raise ConfigError([f"--pid {pid}: is no `sockudo-py start` but `{plain(' '.join(words))}`"])
    parser = argparse.ArgumentParser()
    start.add(parser.add_subparsers())
    started = parser.parse_args(words[words.index("start") :])
    return load(config_path(started), env, start.given(started))


def _ask_port(config: Config, port: int, path: str, timeout: float) -> tuple[bool, str]:
    if port == 0:
        return False, "port: is 0, so nobody knows which one the server has; give --port"
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
