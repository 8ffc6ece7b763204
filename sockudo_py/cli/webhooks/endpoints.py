"""Endpoints: list and show them, test one, and the figures of the queue."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sockudo_py.cli.shown import number, plain, table
from sockudo_py.cli.webhooks.asking import RefusedRequest, asking
from sockudo_py.cli.webhooks.choosing import endpoints_of, find, unknown
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.webhooks.delivery.testing import TestDelivery, attempt

OK, FAILED = 0, 1

Known = Callable[[], Sequence[Endpoint]]


async def list_all(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks list``."""
    async with asking(config, known, writes=False) as server:
        found = await endpoints_of(server, figures=server.live)
    shown = [one for one in found if options.app in (None, one["app_id"])]
    if options.app is not None and not shown:
        apps = plain(", ".join(sorted({one["app_id"] for one in found}))) or "none"
        raise ConfigError([f"--app: no endpoint is of {plain(options.app)}; apps with endpoints: {apps}"])
    if options.json:
        print(json.dumps(shown, indent=2))
        return OK
    if shown:
        head = ("UID", "NAME", "APP", "STATE", "TARGET", "EVENTS", "PROFILE")
        rows = [
            (one["uid"], one["name"], one["app_id"], _state(one), _target(one), _events(one), one["profile"])
            for one in shown
        ]
        print("\n".join(table(head, rows)))
    print(number(len(shown), "endpoint"))
    return OK


async def show(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks show``."""
    async with asking(config, known, writes=False) as server:
        endpoints = await endpoints_of(server)
        found = find(options.which, None, endpoints)
        if found is None:
            try:
                letter = await server.ask("GET", f"/api/webhooks/queue/failed/{quote(options.which, safe='')}")
            except RefusedRequest:
                raise unknown(options.which, endpoints) from None
            print(json.dumps(letter, indent=2))  # JSON escapes what a terminal would obey
            return OK
    if options.json:
        print(json.dumps(found, indent=2))
        return OK
    rows = {
        "name": found["name"],
        "description": found["description"],
        "app": found["app_id"],
        "number": str(found["number"]),
        "state": _state(found),
        "target": _target(found),
        "events": _events(found),
        "filter": ", ".join(f"{name}={value}" for name, value in found["filter"].items()),
        "profile": found["profile"],
        "public key": ", ".join(found.get("public_keys", ())),
        "headers": ", ".join(found["header_names"]),
        "retries": ", ".join(f"{wait:g} s" for wait in found["retries_s"]) or "none",
    }
    print(plain(found["uid"]))
    for name, value in rows.items():
        if value:
            print(f"  {name:<12}{plain(value)}")
    return OK


async def stats(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks stats``."""
    async with asking(config, known, writes=False) as server:
        depths = await server.ask("GET", "/api/webhooks/queue/stats")
        complete = server.live or config.queue.driver != "sqlite"
    lanes = [{"endpoint": lane.pop("webhookId"), **lane} for lane in depths["lanes"]]
    if options.json:
        print(json.dumps({**depths, "lanes": lanes}, indent=2))
        return OK
    for name in ("waiting", "active", "delayed", "failed"):
        print(f"{name:<8} {depths[name]:>8}")
    if depths["waiting"]:
        print(f"the oldest waits for {depths['oldest_waiting_ms'] / 1000:.1f} s")
    if lanes:
        # How long attempts take and when a lane opens again only a server knows: a file of SQLite has neither.
        head = ("ENDPOINT", "WAITING", "IN FLIGHT", *(("TAKES", "OPENS IN") if complete else ()))
        rows = [
            (
                lane["endpoint"],
                str(lane["waiting"]),
                str(lane["in_flight"]),
                *((_seconds(lane["pace_ms"]), _seconds(lane["gate_ms"])) if complete else ()),
            )
            for lane in lanes
        ]
        print("", *table(head, rows), sep="\n")
    return OK


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s" if ms else ""


def _state(one: Mapping[str, Any]) -> str:
    if not one["enabled"]:
        return "disabled"
    circuit = one.get("figures", {}).get("circuit", "closed")
    return "enabled" if circuit == "closed" else f"circuit {circuit.replace('_', ' ')}"


def _target(one: Mapping[str, Any]) -> str:
    if "feed" in one:
        return "feed"
    return f"lambda {one['lambda']['function_name']}" if "lambda" in one else str(one["url"])


def _events(one: Mapping[str, Any]) -> str:
    return ", ".join(one["event_types"]) or "none"


# -- one attempt


async def test(options: argparse.Namespace, config: Config, known: Known) -> int:
    """``webhooks test``: the attempt is made here, not by the server."""
    from sockudo_py.wiring.drivers.webhooks import make_targets

    endpoints = {endpoint.uid: endpoint for endpoint in known()}
    described = [{"uid": one.uid, "name": one.name, "app_id": one.app_id} for one in endpoints.values()]
    found = find(options.endpoint, None, described)
    if found is None:
        raise unknown(options.endpoint, described)
    targets = make_targets(config, Metrics())
    try:
        trial = await attempt(endpoints[found["uid"]], targets, options.event_type)
    finally:
        for target in targets.values():
            await target.close()
    print(_as_json(trial) if options.json else _as_text(trial))
    if not options.json and not await _enabled(endpoints[found["uid"]], config, known):
        print("the endpoint is disabled: tests go out, events do not; `sockudo-py webhooks enable` switches it on")
    return OK if trial.delivered else FAILED


async def _enabled(endpoint: Endpoint, config: Config, known: Known) -> bool:
    try:
        async with asking(config, known, writes=False) as server:
            found = find(endpoint.uid, None, await endpoints_of(server))
    except SockudoError:  # no server, and no queue that could be asked: what the configuration says holds
        return endpoint.enabled
    return endpoint.enabled if found is None else bool(found["enabled"])


def _as_json(trial: TestDelivery) -> str:
    error = None if trial.delivered else {"class": trial.error_class, "message": trial.message}
    result = {
        "success": trial.delivered,
        "status_code": trial.status,
        "duration_ms": trial.duration_ms,
        "response_body": trial.response_body.decode("utf-8", "replace"),
        "response_truncated": trial.response_truncated,
        "delivery_id": trial.delivery_id,
        "event_type": trial.event_type,
        "error": error,
    }
    return json.dumps(result, indent=2)


def _as_text(trial: TestDelivery) -> str:
    lines = [
        f"{'delivered' if trial.delivered else 'FAILED'} in {trial.duration_ms} ms",
        f"  event     {plain(trial.event_type)} as {trial.delivery_id}",
        f"  status    {trial.status if trial.status is not None else 'none: no answer'}",
    ]
    if not trial.delivered:
        lines.append(f"  error     {trial.error_class}: {plain(trial.message or '')}")
    body = trial.response_body.decode("utf-8", "replace")
    if body:
        lines.append("  body      " + "\n            ".join(plain(line) for line in body.splitlines()))
        if trial.response_truncated:
            lines.append("            ... (more came)")
    return "\n".join(lines)
