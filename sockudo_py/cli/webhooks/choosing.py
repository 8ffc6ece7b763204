"""What the options of a command stand for: endpoints by name, and the dead letters that are meant."""

import argparse
import difflib
from collections.abc import Iterable
from typing import Any

from sockudo_py.cli.shown import plain
from sockudo_py.cli.webhooks.asking import Asking, RefusedRequest
from sockudo_py.cli.webhooks.options import CLASSES
from sockudo_py.errors import ConfigError
from sockudo_py.webhooks.targets.base import ERROR_CLASSES

_PAGE = "200"


async def endpoints_of(asking: Asking, *, figures: bool = False) -> list[dict[str, Any]]:
    """Return all endpoints; a running server has ``figures`` of their deliveries."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        more = {"cursor": cursor} if cursor else {}
        more |= {"figures": "true"} if figures else {}
        answer = await asking.ask("GET", "/api/webhooks", {"limit": _PAGE, **more})
        found += answer["webhooks"]
        cursor = answer["next_cursor"]
    return found


async def chosen(options: argparse.Namespace, asking: Asking) -> dict[str, Any]:
    """Return the fields of the request. Raises ConfigError for what can choose nothing: it would be misspelt."""
    fields: dict[str, Any] = {}
    if options.ids or options.id:
        fields["ids"] = sorted({*options.ids, *options.id})
    if options.app is not None:
        fields["app_id"] = options.app
    if options.error is not None:
        if options.error not in ERROR_CLASSES:
            raise ConfigError(
                [
                    f"--error: there is no {plain(options.error)}{_meant(options.error, ERROR_CLASSES, 0.6)}; "
                    f"known are: {CLASSES}"
                ]
            )
        fields["error_class"] = options.error
    for name in ("since", "until"):
        if (moment := getattr(options, name)) is not None:
            fields[name] = moment
    if options.endpoint is not None or options.app is not None:
        endpoints = await endpoints_of(asking)
        if options.app is not None and all(one["app_id"] != options.app for one in endpoints):
            await _has_dead(asking, "--app", options.app, "app_id", {one["app_id"] for one in endpoints})
        if options.endpoint is not None:
            fields["webhookId"] = await _uid(options.endpoint, options.app, endpoints, asking)
    return fields


def find(which: str, app: str | None, endpoints: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the endpoint with this uid or name; None: there is none. Raises ConfigError when there are several."""
    found = [one for one in endpoints if app in (None, one["app_id"])]
    by_uid = [one for one in found if one["uid"] == which]
    if by_uid:
        return by_uid[0]
    named = [one for one in found if one["name"] == which]
    if len(named) > 1:
        uids = ", ".join(f"{one['uid']} (app {one['app_id']})" for one in named)
        raise ConfigError(
            [f"--endpoint: {len(named)} endpoints have the name {plain(which)}: {plain(uids)}; give the uid"]
        )
    return named[0] if named else None


def unknown(which: str, endpoints: Iterable[dict[str, Any]]) -> ConfigError:
    """Return the error that names the endpoints that are there."""
    known = {one["uid"]: one["name"] or one["app_id"] for one in endpoints}
    names = [*known, *(name for name in known.values())]
    listed = ", ".join(f"{uid} ({name})" for uid, name in list(known.items())[:20])
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    text = f"--endpoint: there is no {plain(which)}{_meant(which, names)}; known are: {plain(listed) or 'none'}{more}"
    return ConfigError([text])


async def _uid(which: str, app: str | None, endpoints: list[dict[str, Any]], asking: Asking) -> str:
    found = find(which, app, endpoints)
    if found is not None:
        return str(found["uid"])
    try:  # of an endpoint that is gone there may be dead letters still
        await asking.ask("GET", "/api/webhooks/queue/failed", {"limit": "1", "webhookId": which})
    except RefusedRequest:
        raise unknown(which, endpoints) from None
    return which


async def _has_dead(asking: Asking, option: str, value: str, field: str, known: Iterable[str]) -> None:
    answer = await asking.ask("GET", "/api/webhooks/queue/failed", {"limit": "1", field: value})
    if not answer["failed"]:
        listed = plain(", ".join(sorted(known))) or "none"
        text = f"{option}: no endpoint and no dead letter is of {plain(value)}{_meant(value, known)}"
        raise ConfigError([f"{text}; known are: {listed}"])


def _meant(word: str, known: Iterable[str], cutoff: float = 0.8) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {plain(close[0])}?)" if close else ""
