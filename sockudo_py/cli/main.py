"""The command line. Each command is a module of its own."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from sockudo_py import __version__
from sockudo_py.cli import admin_key, check, live, openapi, show, webhooks
from sockudo_py.cli.options import FAILED, UNUSABLE, examples
from sockudo_py.cli.servers import health, start, telling, worker
from sockudo_py.errors import ConfigError, SockudoError

BROKEN_PIPE = 141  # as shells count SIGPIPE
INTERRUPTED = 130  # ... and SIGINT


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run a command and return the exit code: 0; 1: it failed; 2: command line or configuration are unusable."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.run(options, os.environ if env is None else env)
        sys.stdout.flush()
    except ConfigError as error:
        _complain(error.problems)
        return UNUSABLE
    except SockudoError as error:
        _complain([str(error)])
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has enough: `sockudo-py print-config | head`
        _forget_output()
        return BROKEN_PIPE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sockudo-py",
        description="A self-hosted, Pusher-compatible realtime server with webhooks.",
        **examples(
            "sockudo-py start config.json",
            "sockudo-py check-config config.json",
            "sockudo-py health config.json",
            "sockudo-py why",
            "sockudo-py webhooks failed --config config.json",
            "sockudo-py COMMAND --help",
        ),
    )
    parser.add_argument("--version", action="version", version=f"sockudo-py {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    start.add(commands)
    health.add(commands)
    telling.add(commands)
    check.add(commands)
    show.add(commands)
    openapi.add(commands)
    live.add_commands(commands, webhooks.add_commands(commands))
    worker.add(commands)
    admin_key.add(commands)
    return parser


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _forget_output() -> None:
    """Let nothing that is still buffered be written: the end of the process would try, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
