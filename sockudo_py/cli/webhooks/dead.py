"""Dead letters: list them, send them again, delete them."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sockudo_py.cli.shown import number, table
from sockudo_py.cli.webhooks.asking import Asking, asking
from sockudo_py.cli.webhooks.choosing import chosen
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError

OK, FAILED = 0, 1
_FAILED = "/api/webhooks/queue/failed"
_PAGE = 200  # dead letters listed at a time
_WHOLE = 20  # with their events
_SENT = 1000  # sent again at a time

Known = Callable[[], Sequence[Endpoint]]


async def failed(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks failed``."""
    async with asking(config, known, writes=False) as server:
        fields = await chosen(options, server)
        total = (await server.ask("GET", "/api/webhooks/queue/stats"))["failed"]
        found = await _listed(server, fields, options.limit, whole=options.json)
    if options.json:
        print(json.dumps([one.get("job") or {"raw": one.get("raw")} for one in found], indent=2))
        return _missing(fields, found)
    if found:
        head = ("FAILED AT", "ENDPOINT", "APP", "DELIVERY", "EVENTS", "ATTEMPTS", "ERROR")
        print("\n".join(table(head, [_row(one) for one in found], whole=(3,))))
    print(f"{len(found)} shown of {number(total, 'dead letter')}")
    return _missing(fields, found)


async def retry(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks retry``."""
    async with asking(config, known, writes=not options.dry_run) as server:
        fields = await chosen(options, server)
        matched, more = await _matched(server, fields)
        wanted = matched if options.all else min(options.limit, matched)
        if options.dry_run:
            several = f"more than {matched} dead letters match" if more else f"{number(matched, 'dead letter')} match"
            print(f"{several}; {'all' if more and options.all else wanted} would be sent again")
            return _short_of(fields, matched)
        # What fails again while this runs must not be sent round and round: no more than match now, and none later.
        if more and options.all:
            wanted = sys.maxsize
            fields.setdefault("until", int(time.time() * 1000) + 1)
        sent = 0
        while sent < wanted:
            limit = min(_SENT, wanted - sent)
            answer = await server.ask("POST", "/api/webhooks/queue/retry-failed", body={**fields, "limit": limit})
            sent += answer["retried"]
            if answer["retried"] < limit:
                break
            if sys.stderr.isatty():
                print(f"{sent} sent back ...", file=sys.stderr)
        left = (await server.ask("GET", "/api/webhooks/queue/stats"))["failed"]
    who = "the server delivers them" if server.live else "a running server delivers them"
    print(f"{sent} sent back for delivery, {number(left, 'dead letter')} left; {who}")
    return _short_of(fields, matched)


async def purge(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks purge``."""
    given = [name for name in ("ids", "id", "endpoint", "app", "error", "since", "until") if getattr(options, name)]
    if not given and not options.all:
        raise ConfigError(["purge: say which: DELIVERY, --endpoint, --app, --error, --since or --until; or --all"])
    if given and options.all:
        raise ConfigError(["purge: --all, and which ones besides; give one of them"])
    if not options.yes and not options.dry_run:
        raise ConfigError(["purge: deletes for good; repeat the command with --yes"])
    async with asking(config, known, writes=not options.dry_run) as server:
        fields = await chosen(options, server)
        if options.dry_run:
            matched, more = await _matched(server, fields)
            print(f"{'more than ' if more else ''}{number(matched, 'dead letter')} would be deleted")
            return _short_of(fields, matched)
        gone = (await server.ask("DELETE", _FAILED, body=fields))["deleted"]
    print(f"{number(gone, 'dead letter')} deleted")
    return _short_of(fields, gone)


async def _matched(server: Asking, fields: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many match, and whether there are more than were counted."""
    answer = await server.ask("POST", "/api/webhooks/queue/retry-failed", body={**fields, "dry_run": True})
    return answer["matched"], answer["more"]


async def _listed(server: Asking, fields: Mapping[str, Any], limit: int, *, whole: bool) -> list[dict[str, Any]]:
    query = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in fields.items()}
    if whole:
        query["payload"] = "true"
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        page = min(_WHOLE if whole else _PAGE, limit - len(found))
        answer = await server.ask("GET", _FAILED, {**query, "limit": str(page)})
        found += answer["failed"]
        if answer["next_cursor"] is None:
            break
        query["cursor"] = answer["next_cursor"]
    return found


def _missing(fields: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> int:
    return _short_of(fields, len(found)) if "ids" in fields else OK


def _short_of(fields: Mapping[str, Any], matched: int) -> int:
    """Return the exit code; complain about ids that were given and are none of a dead letter."""
    missing = len(fields.get("ids", ())) - matched
    if missing <= 0:
        return OK
    print(f"DELIVERY: {missing} of {len(fields['ids'])} are no dead letters here, or no longer", file=sys.stderr)
    return FAILED


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    error = one.get("error") or {}
    types, count = one.get("event_types") or [], one.get("event_count") or 0
    reason = ": ".join(str(error[key]) for key in ("class", "message") if error.get(key))
    return (
        _moment(one.get("failed_at")),
        str(one.get("webhook_id") or ""),
        str(one.get("app_id") or ""),
        str(one.get("id") or ""),
        (types[0] if types else "none") + (f" and {count - 1} more" if count > 1 else ""),
        str("" if one.get("attempts") is None else one.get("attempts")),
        reason or "this is no job",
    )


def _moment(text: object) -> str:
    if not isinstance(text, str):
        return "?"
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%SZ")
