"""``sockudo-py start``."""

import argparse
import logging
import sys
from typing import Any

from sockudo_py import logs
from sockudo_py.cli.options import FAILED, UNUSABLE, Env, add_config, config_path, examples
from sockudo_py.config import load
from sockudo_py.config.load import Reader
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.process.imports import gc_paused
from sockudo_py.process.log_setup import set_up_log

_EXAMPLES = examples(
    "sockudo-py start                           # a demo on 127.0.0.1:6001",
    "sockudo-py start config.json",
    "sockudo-py start config.json --host 0.0.0.0 --port 8080 --log-format json",
    "sockudo-py start config.json --debug       # why can't this client subscribe?",
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "start",
        help="run the server until SIGTERM or SIGINT",
        description="Run the server until SIGTERM or SIGINT. Options count more than environment variables, and these "
        "more than the file.",
        **_EXAMPLES,
    )
    add_config(parser)
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on, instead of `host`")
    parser.add_argument("--port", metavar="N", help="port to listen on, instead of `port`; 0 takes a free one")
    parser.add_argument("--debug", action="store_true", help="log at level debug")
    parser.add_argument("--log-format", choices=["auto", "human", "json"], help="instead of `logging.format`")
    parser.add_argument(
        "--admin-key-file", metavar="FILE", help="file with an admin key, made when missing (`webhooks.admin.key_file`)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, env: Env) -> int:
    """Run the server and return its exit code."""
    reader = Reader()
    config = load(config_path(options), env, given(options), reader)
    handler = set_up_log(config)
    for warning in config.warnings:
        logging.getLogger("sockudo_py.config").warning("%s", warning)
    # Here, not above: the other commands need not import the whole server.
    with gc_paused():
        if config.supervised:
            from sockudo_py.supervisor.run import run as supervise
        else:
            from sockudo_py.wiring import run as serve

    try:
        if config.supervised:
            return supervise(config, reader, given(options), banner=sys.stderr.isatty())
        return serve(config, banner=sys.stderr.isatty())
    except SockudoError as error:
        if not isinstance(handler.formatter, logs.JsonFormatter):
            raise
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        for problem in problems:
            logging.getLogger("sockudo_py.start").error("can't start: %s", problem)
        return UNUSABLE if isinstance(error, ConfigError) else FAILED


def given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options by the key that they stand for."""
    found: dict[str, Any] = {}
    for key, value in (("host", options.host), ("port", options.port), ("logging.format", options.log_format)):
        if value is not None:
            found[key] = value
    if options.admin_key_file is not None:
        found["webhooks.admin.key_file"] = options.admin_key_file
    if options.debug:
        found |= {"debug": True, "logging.level": "debug"}
    return found
