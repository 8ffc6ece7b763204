"""``sockudo-py apps``, ``channels``, ``why`` and ``tail``: what a running server shows."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sockudo_py.cli.live.options import add_server
from sockudo_py.cli.options import FAILED, OK, Env, examples
from sockudo_py.cli.shown import number, plain, table
from sockudo_py.errors import SockudoError

if TYPE_CHECKING:
    from sockudo_py.cli.live.server import LiveServer

_AGAIN = 1.0  # seconds before a stream that ended is asked for again
_ABOUT = ("event", "error", "webhook", "reason", "status", "address")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    apps = commands.add_parser(
        "apps",
        help="list the apps of a running server",
        description="List the apps of a running server, with their connections and webhooks.",
        **examples("sockudo-py apps", "sockudo-py apps --url https://ws.example.com --json"),
    )
    _options(apps, _apps)
    channels = commands.add_parser(
        "channels",
        help="list the occupied channels of an app",
        description="List the occupied channels of an app of a running server, the largest first.",
        **examples("sockudo-py channels my-app", "sockudo-py channels my-app presence- --limit 200"),
    )
    channels.add_argument("app", metavar="APP", help="id of the app")
    channels.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only channels that begin so")
    channels.add_argument("--limit", type=int, default=50, metavar="N", help="at most (default 50, at most 200)")
    _options(channels, _channels)
    why = commands.add_parser(
        "why",
        help="say why clients and backends were refused, and what to change",
        description="Say why clients could not connect or subscribe, and why requests of backends were refused: the "
        "cause, and what to change where. With a socket id or a channel: only what concerns it.",
        **examples("sockudo-py why", "sockudo-py why private-orders", "sockudo-py why 123.456 --app my-app"),
    )
    why.add_argument("about", nargs="?", metavar="SOCKET|CHANNEL", help="a socket id or a channel")
    why.add_argument("--app", metavar="APP", help="only this app")
    _options(why, _why)
    tail = commands.add_parser(
        "tail",
        help="show what happens on a running server, as it happens",
        description="Show what happens on a running server: connects, refusals, subscriptions, client events, "
        "publishes, webhooks. At most 200 rows a second; it says how many it left out. Ends with Ctrl-C.",
        **examples(
            "sockudo-py tail",
            "sockudo-py tail --app my-app --channel presence-",
            "sockudo-py tail --kinds refuse,webhook_failed --json",
        ),
    )
    tail.add_argument("--app", metavar="APP", help="only this app")
    tail.add_argument("--channel", metavar="PREFIX", help="only channels that begin so")
    tail.add_argument("--socket", metavar="ID", help="only this connection")
    tail.add_argument("--user", metavar="ID", help="only this user")
    tail.add_argument("--kinds", metavar="KIND,...", help="only these kinds, such as refuse,subscribe")
    _options(tail, _tail)


def _options(parser: argparse.ArgumentParser, run: Any) -> None:
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _apps(options: argparse.Namespace, env: Env) -> int:
    document = _server(options, env).ask("GET", "/api/apps")
    if options.json:
        print(json.dumps(document, indent=2))
        return OK
    rows = [
        [
            one["id"],
            "on" if one["enabled"] else "off",
            str(one["connections"]),
            str(one["webhooks"]),
            ", ".join(one["keys"]),
        ]
        for one in document["apps"]
    ]
    if not rows:
        print("there is no app")
        return OK
    print("\n".join(table(("APP", "STATE", "CONNECTIONS", "WEBHOOKS", "KEYS"), rows, whole={0})))
    return OK


def _channels(options: argparse.Namespace, env: Env) -> int:
    query = {"prefix": options.prefix, "limit": options.limit}
    document = _server(options, env).ask("GET", f"/api/apps/{quote(options.app, safe='')}/channels", query)
    if options.json:
        print(json.dumps(document, indent=2))
        return OK
    rows = [
        [one["channel"], str(one["subscription_count"]), str(one.get("user_count", ""))] for one in document["channels"]
    ]
    if not rows:
        print("no channel is occupied")
        return OK
    print("\n".join(table(("CHANNEL", "SUBSCRIPTIONS", "MEMBERS"), rows, whole={0})))
    if document["total"] > len(rows):
        print(f"{document['total'] - len(rows)} more")
    return OK


def _why(options: argparse.Namespace, env: Env) -> int:
    document = _server(options, env).ask("GET", "/api/refusals", {"app_id": options.app, "limit": 200})
    about = options.about
    found = [one for one in document["refusals"] if about is None or about in (one["socket_id"], one["channel"])]
    if options.json:
        print(json.dumps(found, indent=2))
        return OK if found else FAILED
    if not found:
        print("nobody was refused" if about is None else f"nothing was refused to {plain(about)}")
        return FAILED
    for one in found:
        times = "" if one["count"] == 1 else f", {number(one['count'], 'time')}"
        place = " ".join(
            plain(str(one[name])) for name in ("app_id", "channel", "socket_id", "address", "request") if one.get(name)
        )
        print(f"{one['last_at']}  {one['what']} refused{times}  {place}")
        print(f"  cause:  {plain(one['cause'])}")
        print(f"  remedy: {plain(one['remedy'])}")
        if one.get("expected_string"):
            print(f"  the server expected this to be signed: {plain(one['expected_string'])}")
        print(f"  told:   {plain(one['told'])}")
    return OK


def _tail(options: argparse.Namespace, env: Env) -> int:
    server = _server(options, env)
    query = {name: getattr(options, name) for name in ("app", "channel", "socket", "user", "kinds")}
    while True:
        for name, row in server.stream("/api/live", query):
            if name == "left_out":
                print(f"{row['rows']} rows were left out; narrow the filters", file=sys.stderr)
            elif options.json:
                print(json.dumps(row), flush=True)
            else:
                print(_line(row), flush=True)
        time.sleep(_AGAIN)  # the server ends each stream after a while, so that it checks the key again
        _still(server)


def _server(options: argparse.Namespace, env: Env) -> "LiveServer":
    from sockudo_py.cli.live.server import server_of  # here, not above: `start` has no use for it

    return server_of(options, env)


def _still(server: "LiveServer") -> None:
    """Raise SockudoError when the server is gone."""
    try:
        server.ask("GET", "/api/session")
    except SockudoError:
        time.sleep(_AGAIN)
        server.ask("GET", "/api/session")


def _line(row: Mapping[str, Any]) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(row["at"] / 1000)) + f".{row['at'] % 1000:03}"
    place = " ".join(plain(str(row[name])) for name in ("app", "channel", "socket", "user") if row.get(name))
    about = " ".join(f"{name}={plain(str(row[name]))[:200]}" for name in _ABOUT if row.get(name))
    return f"{at}  {row['kind']:<17} {place}  {about}".rstrip()
