"""What only a running server can do to an endpoint: switch it, replay deliveries, resync its receiver."""

import argparse
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from sockudo_py.cli.live.options import add_server
from sockudo_py.cli.options import OK, Env
from sockudo_py.cli.shown import number, plain
from sockudo_py.cli.webhooks.options import MOMENT, moment
from sockudo_py.errors import ConfigError

if TYPE_CHECKING:
    from sockudo_py.cli.live.server import LiveServer

_PAGE = 200
_MOST = 10_000  # deliveries that one request sends again


def add_actions(parsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""

    def add(name: str, text: str) -> argparse.ArgumentParser:
        parser = parsers.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}. Needs a running server."
        )
        parser.add_argument("which", metavar="WHICH", help="uid or name of an endpoint")
        parser.add_argument("--app", metavar="ID", help="of this app, where several have such a name")
        add_server(parser)
        return parser

    add("enable", "switch an endpoint on").set_defaults(run=_enable)

    off = add("disable", "switch an endpoint off; events that happen meanwhile are not kept for it")
    off.add_argument("--drop", action="store_true", help="what waits becomes dead letters; else it waits on")
    off.set_defaults(run=_disable)

    replay = add("replay", "send deliveries from the history again, delivered ones too, oldest first")
    replay.add_argument("--since", type=moment, metavar="TIME", help=f"only those of then or later: {MOMENT}")
    replay.add_argument("--until", type=moment, metavar="TIME", help="only those from before")
    replay.add_argument("--status", choices=("delivered", "failed"), help="only these (default: both)")
    replay.add_argument("--event-type", metavar="TYPE", help="only deliveries with such an event")
    replay.add_argument("--all", action="store_true", help="all of them; else give at least one condition")
    replay.add_argument("--dry-run", action="store_true", help="only say how many would be sent again")
    replay.set_defaults(run=_replay)

    resync = add("resync", "send which channels are occupied and which members are there, as events, to an endpoint")
    resync.set_defaults(run=_resync)


def _enable(options: argparse.Namespace, env: Env) -> int:
    server, found = _asked(options, env)
    server.ask("POST", f"{_path(found)}/enable", body={})
    print(f"{plain(found['uid'])} is enabled")
    return OK


def _disable(options: argparse.Namespace, env: Env) -> int:
    server, found = _asked(options, env)
    server.ask("POST", f"{_path(found)}/disable", {"drop": "to_dlq"} if options.drop else None, body={})
    waits = "what waited for it is a dead letter" if options.drop else "what waits for it stays"
    print(f"{plain(found['uid'])} is disabled: {waits}, and events from now on are not kept for it")
    return OK


def _replay(options: argparse.Namespace, env: Env) -> int:
    given = {name: getattr(options, name) for name in ("since", "until", "status", "event_type")}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not body and not options.all:
        raise ConfigError(["replay: say which: --since, --until, --status or --event-type; or --all"])
    server, found = _asked(options, env)
    path = f"{_path(found)}/replay"
    if options.dry_run:
        matched = server.ask("POST", path, body={**body, "dry_run": True})["matched"]
        print(f"{number(matched, 'delivery', 'deliveries')} would be sent again")
        return OK
    sent = 0
    body["limit"] = _MOST
    while True:
        answer = server.ask("POST", path, body=body)
        sent += answer["retried"]
        if answer["next_cursor"] is None:
            break
        body["cursor"] = answer["next_cursor"]
    print(f"{number(sent, 'delivery', 'deliveries')} sent again")
    return OK


def _resync(options: argparse.Namespace, env: Env) -> int:
    server, found = _asked(options, env)
    done = server.ask("POST", f"{_path(found)}/resync", body={})
    channels, members = number(done["channels"], "channel"), number(done["members"], "member")
    print(f"{channels} and {members} as of {plain(done['stamp'])} are in the queue of {plain(found['uid'])}")
    return OK


def _asked(options: argparse.Namespace, env: Env) -> "tuple[LiveServer, dict[str, Any]]":
    """Return the server and what it says of the endpoint. Raises ConfigError where it has none such."""
    from sockudo_py.cli.live.server import server_of  # here, not above: `start` has no use for them
    from sockudo_py.cli.webhooks.choosing import find, unknown

    server = server_of(options, env)
    endpoints: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = server.ask("GET", "/api/webhooks", {"limit": _PAGE, "cursor": cursor})
        endpoints += page["webhooks"]
        cursor = cast("str | None", page["next_cursor"])
    found = find(options.which, options.app, endpoints)
    if found is None:
        raise unknown(options.which, endpoints)
    return server, found


def _path(endpoint: dict[str, Any]) -> str:
    return f"/api/webhooks/{quote(endpoint['uid'], safe='')}"
