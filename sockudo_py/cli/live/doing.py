"""``sockudo-py publish``: send an event through a running server."""

import argparse
import json
import sys
from urllib.parse import quote

from sockudo_py.cli.live.options import add_server
from sockudo_py.cli.options import OK, Env, examples
from sockudo_py.errors import ConfigError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "publish",
        help="send an event to a channel, and say how many got it",
        description="Send an event to a channel through a running server, and say how many subscribers it has. DATA is "
        "sent as it stands; - reads it from standard input.",
        **examples(
            'sockudo-py publish my-app my-channel my-event \'{"hello":"world"}\'',
            "date | sockudo-py publish my-app clock tick -",
        ),
    )
    parser.add_argument("app", metavar="APP", help="id of the app")
    parser.add_argument("channel", metavar="CHANNEL")
    parser.add_argument("event", metavar="EVENT")
    parser.add_argument("data", nargs="?", default="{}", metavar="DATA", help="text, usually JSON (default {})")
    parser.add_argument("--without", metavar="SOCKET", help="id of a socket that does not get the event")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_server(parser)
    parser.set_defaults(run=_publish)


def _publish(options: argparse.Namespace, env: Env) -> int:
    data = options.data
    if data == "-":
        try:
            data = sys.stdin.read()
        except UnicodeDecodeError as problem:
            raise ConfigError([f"DATA: standard input is not UTF-8 ({problem})"]) from None
    body = {"channel": options.channel, "name": options.event, "data": data}
    if options.without is not None:
        body["socket_id"] = options.without
    from sockudo_py.cli.live.server import server_of  # here, not above: `start` has no use for it

    server = server_of(options, env)
    answer = server.ask("POST", f"/api/apps/{quote(options.app, safe='')}/events", None, body)
    if options.json:
        print(json.dumps(answer))
        return OK
    count = sum(answer["channels"].values())
    print(f"sent to {count} {'subscriber' if count == 1 else 'subscribers'}")
    return OK
