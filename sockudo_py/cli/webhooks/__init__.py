"""``sockudo-py webhooks``: commands for operators, about endpoints and deliveries.

The commands ask the running server, or the queue when none runs (``asking.py``); ``cli.live.endpoints`` adds those
that need a server. They print no secrets. They escape control characters in text from outside, since a terminal would
obey them.
"""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from functools import cache
from importlib import import_module
from typing import Any

from sockudo_py.apps.definition import define_operators
from sockudo_py.cli.options import Env, add_config, apps_of, config_path, examples
from sockudo_py.cli.webhooks.options import add_choice
from sockudo_py.config import Config, load
from sockudo_py.endpoints import Endpoint

Known = Callable[[], list[Endpoint]]
Command = Callable[[argparse.Namespace, Config, Known], Coroutine[Any, Any, int]]

_EXAMPLES = examples(
    "sockudo-py webhooks failed --config config.json --since 2h",
    "sockudo-py webhooks retry --config config.json --endpoint orders --error timeout_read --dry-run",
    "sockudo-py webhooks retry --config config.json --all",
    "sockudo-py webhooks show --config config.json wh_orders",
    "sockudo-py webhooks replay --config config.json orders --since 2h --status failed --dry-run",
    "sockudo-py webhooks resync --url https://ws.example.com orders",
    "sockudo-py webhooks purge --config config.json --endpoint wh_gone --until 7d --yes",
)


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Add ``webhooks`` with its commands; return them."""
    group = commands.add_parser(
        "webhooks",
        help="look at endpoints and dead letters, send again, test, switch and resync endpoints",
        **_EXAMPLES,
    )
    parsers = group.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: str, text: str) -> argparse.ArgumentParser:
        parser = parsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_config(parser, positional=False)
        parser.set_defaults(run=_runner(run))
        return parser

    listed = add("list", "endpoints.list_all", "list the webhook endpoints")
    listed.add_argument("--app", metavar="ID", help="only of this app")
    listed.add_argument("--json", action="store_true", help="print JSON")

    show = add("show", "endpoints.show", "show an endpoint, or a dead letter with its events")
    show.add_argument("which", metavar="WHICH", help="uid or name of an endpoint, or id of a delivery")
    show.add_argument("--json", action="store_true", help="print JSON")

    failed = add("failed", "dead.failed", "list dead letters, newest first")
    add_choice(failed)
    failed.add_argument("--limit", type=_positive, default=20, metavar="N", help="maximum number to show (default 20)")
    failed.add_argument("--json", action="store_true", help="print the whole jobs, events included")

    retry = add("retry", "dead.retry", "send dead letters again, oldest first, with their whole schedule")
    add_choice(retry)
    many = retry.add_mutually_exclusive_group()
    many.add_argument(
        "--limit", type=_positive, default=100, metavar="N", help="maximum number to send again (default 100)"
    )
    many.add_argument("--all", action="store_true", help="send all of them again")
    retry.add_argument("--dry-run", action="store_true", help="only say how many would be sent again")

    purge = add("purge", "dead.purge", "delete dead letters for good")
    add_choice(purge)
    purge.add_argument("--all", action="store_true", help="all of them; else name at least one condition")
    purge.add_argument("--dry-run", action="store_true", help="only say how many would be deleted")
    purge.add_argument("--yes", action="store_true", help="confirm; without it nothing is deleted")

    trial = add("test", "endpoints.test", "send a test event to an endpoint, with its real target and signature")
    trial.add_argument("--endpoint", metavar="WHICH", required=True, help="uid or name")
    trial.add_argument(
        "--event-type",
        metavar="TYPE",
        help="event name, such as channel_occupied (default: one that the endpoint wants)",
    )
    trial.add_argument("--json", action="store_true", help="print JSON")

    stats = add(
        "stats",
        "endpoints.stats",
        "show queue depths: waiting, in flight, delayed and dead jobs, and the deepest endpoints",
    )
    stats.add_argument("--json", action="store_true", help="print JSON")
    return parsers


def _runner(name: str) -> Callable[[argparse.Namespace, Env], int]:
    """Return what runs a command, such as ``dead.retry``. Its module is imported then: `start` has no use for it."""

    def start(options: argparse.Namespace, env: Env) -> int:
        module, _, function = name.partition(".")
        run: Command = getattr(import_module(f"{__name__}.{module}"), function)
        config = load(config_path(options), env)

        @cache
        def known() -> list[Endpoint]:
            apps = apps_of(config, env, lambda warning: print(f"warning: {warning}"))
            return [*(endpoint for app in apps for endpoint in app.endpoints), *define_operators(config)]

        return asyncio.run(run(options, config, known))

    return start


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
