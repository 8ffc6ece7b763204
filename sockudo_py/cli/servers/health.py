"""``sockudo-py health``: ask a server that runs on this machine, as the configuration says where it listens."""

import argparse
import sys
from pathlib import Path

from sockudo_py.cli.options import FAILED, OK, Env, add_config, config_path, examples
from sockudo_py.cli.servers import start
from sockudo_py.cli.shown import plain
from sockudo_py.config import Config, load
from sockudo_py.errors import ConfigError


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
    # Here, not above: `start` has no use for it.
    from sockudo_py.cli.servers.probe import probe

    results = list(probe(config, options.path, options.port, options.timeout))
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
